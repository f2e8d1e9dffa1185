//! The process of MiniStack, an emulator of AWS: starting it, calling it, and deploying a stack to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};

use stack::{ACCOUNT, REGION, Role};

use crate::environment::{Child, command};
use crate::group::Group;

/// How long MiniStack may take to start. It usually takes a second or two. The first start also compiles its Python
/// modules, and the machine may be busy.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How many lines of MiniStack's log an error shows.
const SHOWN_LINES: usize = 15;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// Headers that the proxy does not pass on: those that belong to one connection (RFC 9110, section 7.6.1), and the
/// length, which the HTTP client sets.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

#[derive(Clone, Debug)]
pub struct MiniStackSettings {
    /// The Python interpreter that has the packages of MiniStack.
    pub python: PathBuf,
    /// An existing folder for `ministack.log` and temporary files.
    pub folder: PathBuf,
    /// The port of the proxy on 127.0.0.1. MiniStack puts it into the URLs of queues.
    pub proxy_port: u16,
    /// The real duration, in seconds, of one second of a Wait state, a Retry or a timeout in the state machine.
    pub wait_scale: f64,
    /// The wait before Lambda's first retry of an asynchronous invocation, in seconds. The wait before the second retry
    /// is twice as long.
    pub event_retry_seconds: f64,
}

/// A MiniStack process and the function processes that it has started. They end when this value is dropped, and when
/// this process ends.
#[derive(Debug)]
pub struct MiniStack {
    process: Group,
    /// MiniStack ends when its standard input is closed.
    _input: Option<ChildStdin>,
    upstream: Upstream,
    python: PathBuf,
    log: PathBuf,
    /// A folder for temporary files, such as the functions' code. Dropping it removes the folder.
    _temporary: TempDir,
}

/// What to deploy. `deploy.py` reads it as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct DeploymentSpec {
    pub stack: String,
    pub template: Value,
    pub parameters: BTreeMap<String, String>,
    /// The functions, by logical id.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// The definitions of the state machines, by logical id.
    pub definitions: BTreeMap<String, String>,
}

/// A function to deploy.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionSpec {
    /// One of [`crate::functions::FUNCTIONS`].
    pub name: String,
    pub binary: PathBuf,
    /// The beginning of the function's `AWS_ENDPOINT_URL`. Each process of the function appends its own id.
    pub endpoint: String,
}

/// The result of a deployment. `deploy.py` prints it as JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployed {
    /// The values of the stack's outputs, by the outputs' names.
    pub outputs: BTreeMap<String, String>,
    /// The physical ids of the stack's resources, by logical id.
    pub resources: BTreeMap<String, String>,
    /// The roles of the functions and the state machines, by the logical id of the function or state machine.
    pub roles: BTreeMap<String, Role>,
}

impl MiniStack {
    /// Starts MiniStack. Returns as soon as MiniStack listens. Calls then wait until its modules are loaded.
    pub async fn start(settings: &MiniStackSettings) -> Result<Self> {
        let folder = || settings.folder.display().to_string();
        let log = settings.folder.join("ministack.log");
        let log_file = std::fs::File::create(&log).with_context(folder)?;
        let temporary = tempfile::Builder::new()
            .prefix("ministack-")
            .tempdir_in(&settings.folder)
            .with_context(folder)?;
        let mut serve = python(&settings.python);
        serve
            .arg(format!("{PYTHON}/serve.py"))
            .env("TMPDIR", temporary.path())
            .env("GATEWAY_PORT", settings.proxy_port.to_string())
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("MINISTACK_REGION", REGION)
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
            .env("SFN_WAIT_SCALE", settings.wait_scale.to_string())
            .env(
                "LAMBDA_ASYNC_RETRY_BASE_SECONDS",
                settings.event_retry_seconds.to_string(),
            )
            .env("LOG_LEVEL", "WARNING")
            // These services would listen on all interfaces.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file);
        let mut process = Group::start(&mut serve)?;

        let started = tokio::time::timeout(START_LIMIT, read_address(&mut process)).await;
        let Ok(Some(address)) = started else {
            return Err(with_log("MiniStack did not start", &log));
        };
        Ok(Self {
            _input: process.leader().stdin.take(),
            process,
            upstream: Upstream::new(&address)?,
            python: settings.python.clone(),
            log,
            _temporary: temporary,
        })
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Creates or updates a stack. Returns when CloudFormation has finished.
    pub async fn deploy(&mut self, spec: &DeploymentSpec) -> Result<Deployed> {
        let mut deploy = python(&self.python);
        deploy
            .arg(format!("{PYTHON}/deploy.py"))
            .env("AWS_ENDPOINT_URL", &self.upstream.base)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCOUNT)
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut deploying = Group::start(&mut deploy)?;
        let input = serde_json::to_vec(spec)?;
        if let Some(mut stdin) = deploying.leader().stdin.take() {
            // If `deploy.py` has failed already, its output says why.
            let _ = stdin.write_all(&input).await;
        }
        let output = tokio::select! {
            output = deploying.output() => output?,
            // If MiniStack ends first, `deploy.py` would only report that it cannot connect.
            error = self.wait_for_failure() => return Err(error),
        };
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let fact = format!("the stack {} is not deployed: {}", spec.stack, why.trim());
        Err(with_log(&fact, &self.log))
    }

    /// Waits until MiniStack ends by itself. The error says how it ended, and shows the end of its log.
    pub async fn wait_for_failure(&mut self) -> Error {
        match self.process.ended().await {
            Ok(status) => with_log(&format!("MiniStack has ended ({status})"), &self.log),
            Err(error) => error.context("MiniStack"),
        }
    }
}

fn python(interpreter: &Path) -> Command {
    command(Child::Engine, interpreter)
}

/// The port and the secret path at which MiniStack listens, as `<port>/<path>`. `None` if the process ended before it
/// printed them.
async fn read_address(process: &mut Group) -> Option<String> {
    let mut lines = BufReader::new(process.leader().stdout.take()?).lines();
    let address = lines.next_line().await.ok()??;
    // The rest of the output is read and dropped: a full pipe would block the process.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some(address)
}

fn with_log(fact: &str, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    anyhow!(
        "{fact}\nThe log {} ends:\n{}",
        log.display(),
        last.join("\n")
    )
}

/// A client for calls to MiniStack. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: reqwest::Client,
    base: String,
}

impl Upstream {
    /// `address` is `<port>/<secret path>`, as `serve.py` prints it.
    fn new(address: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let base = format!("http://127.0.0.1:{address}");
        Ok(Self { client, base })
    }

    /// The `AWS_ENDPOINT_URL` for a client that calls MiniStack without the proxy.
    pub fn endpoint(&self) -> &str {
        &self.base
    }

    /// Passes a request on to MiniStack, and returns the response without the headers that permit CORS.
    pub(crate) async fn forward(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Body>> {
        let mut sent = headers.clone();
        without_hop_by_hop(&mut sent);
        let mut received = self
            .client
            .request(method, format!("{}{path_and_query}", self.base))
            .headers(sent)
            .body(body)
            .send()
            .await?;
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = received.status();
        *answer.headers_mut() = std::mem::take(received.headers_mut());
        without_hop_by_hop(answer.headers_mut());
        without_cors(answer.headers_mut());
        *answer.body_mut() = Body::from(received.bytes().await?);
        Ok(answer)
    }

    /// The current inline policies of each role, by the role's ARN.
    pub(crate) async fn policies(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let answer = self.client.get(format!("{}/_policies", self.base));
        let answer = answer.send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// The lines in a log group that contain a text. The lines of one invocation are in order.
    pub async fn log_lines(&self, group: &str, containing: &str) -> Result<Vec<String>> {
        let pattern = json!(containing).to_string();
        let input = json!({ "logGroupName": group, "filterPattern": pattern });
        let answer = self
            .client
            .post(&self.base)
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .body(input.to_string())
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("the log group {group}"))?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let events = answer["events"].as_array().into_iter().flatten();
        let messages = events.filter_map(|event| event["message"].as_str());
        Ok(messages.map(str::to_owned).collect())
    }
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes the headers that let web pages of other origins read a response. MiniStack lets every origin do so.
fn without_cors(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names {
        if name.as_str().starts_with("access-control-") {
            headers.remove(name);
        }
    }
}
