//! MiniStack, an emulator of AWS: its process, calls to it, and the deployment of a stack on it.

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

/// MiniStack starts in a second or two, but the first import compiles, and the machine may be busy.
const START_LIMIT: Duration = Duration::from_mins(1);

const SHOWN_LINES: usize = 15;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// Headers of the connection, not of the message (RFC 9110, section 7.6.1), and the length, which the HTTP client sets.
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
    pub python: PathBuf,
    /// An existing folder for `ministack.log` and temporary files.
    pub folder: PathBuf,
    /// The port on 127.0.0.1 that clients know.
    pub proxy_port: u16,
    pub wait_scale: f64,
    /// The wait before the first retry of an event, in seconds. The wait before the second is twice as long.
    pub event_retry_seconds: f64,
}

/// A MiniStack process and the functions that it has started. They end when this is dropped, and when this process dies.
#[derive(Debug)]
pub struct MiniStack {
    process: Group,
    /// MiniStack ends when this is closed.
    _input: Option<ChildStdin>,
    upstream: Upstream,
    python: PathBuf,
    log: PathBuf,
    /// Has the functions' code, among others. Dropping it removes the folder.
    _temporary: TempDir,
}

/// What to deploy, as `deploy.py` reads it.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    pub stack: String,
    pub template: Value,
    pub parameters: BTreeMap<String, String>,
    /// By logical id.
    pub functions: BTreeMap<String, Program>,
    pub definitions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// One of [`crate::functions::FUNCTIONS`].
    pub name: String,
    pub binary: PathBuf,
    /// The `AWS_ENDPOINT_URL` of this function alone.
    pub endpoint: String,
}

/// The result of a deployment, as `deploy.py` prints it.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployed {
    pub outputs: BTreeMap<String, String>,
    /// The physical ids of the stack's resources, by logical id.
    pub resources: BTreeMap<String, String>,
    /// The roles of functions and state machines, by the logical ids of these.
    pub roles: BTreeMap<String, Role>,
}

impl MiniStack {
    /// Starts MiniStack. Until it answers, calls wait.
    pub async fn start(settings: &MiniStackSettings) -> Result<Self> {
        let folder = || settings.folder.display().to_string();
        let log = settings.folder.join("ministack.log");
        let written = std::fs::File::create(&log).with_context(folder)?;
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
            // They would listen on all interfaces.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(written);
        let mut process = Group::start(&mut serve)?;

        let started = tokio::time::timeout(START_LIMIT, read_address(&mut process)).await;
        let Ok(Some(address)) = started else {
            return Err(with_log("MiniStack does not start", &log));
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

    pub async fn deploy(&mut self, work: &Work) -> Result<Deployed> {
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
        let input = serde_json::to_vec(work)?;
        if let Some(mut stdin) = deploying.leader().stdin.take() {
            // If it has failed already, its output says why.
            let _ = stdin.write_all(&input).await;
        }
        let output = tokio::select! {
            output = deploying.output() => output?,
            // The deployment would only fail to connect.
            error = self.failure() => return Err(error),
        };
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let fact = format!("the stack {} is not deployed: {}", work.stack, why.trim());
        Err(with_log(&fact, &self.log))
    }

    /// Waits until it ends by itself. The error says how, with the end of its log.
    pub async fn failure(&mut self) -> Error {
        match self.process.ended().await {
            Ok(status) => with_log(&format!("MiniStack has ended ({status})"), &self.log),
            Err(error) => error.context("MiniStack"),
        }
    }
}

fn python(interpreter: &Path) -> Command {
    command(Child::Engine, interpreter)
}

/// Port and secret path that the process serves, or `None` if it ended before it printed them.
async fn read_address(process: &mut Group) -> Option<String> {
    let mut lines = BufReader::new(process.leader().stdout.take()?).lines();
    let address = lines.next_line().await.ok()??;
    // A full pipe would block the process.
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

/// Calls to MiniStack. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: reqwest::Client,
    base: String,
}

impl Upstream {
    /// Of port and secret path, as `serve.py` prints them.
    fn new(address: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let base = format!("http://127.0.0.1:{address}");
        Ok(Self { client, base })
    }

    /// The `AWS_ENDPOINT_URL` of a client that needs no proxy.
    pub fn endpoint(&self) -> &str {
        &self.base
    }

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

    /// The inline policies of each role now, by the role's ARN.
    pub(crate) async fn policies(&self) -> Result<BTreeMap<String, Vec<Value>>> {
        let answer = self.client.get(format!("{}/_policies", self.base));
        let answer = answer.send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// The lines in a log group that contain a text, each invocation's in order.
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

/// Removes what would let pages of other origins read an answer. MiniStack lets all of them.
fn without_cors(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names {
        if name.as_str().starts_with("access-control-") {
            headers.remove(name);
        }
    }
}
