//! MiniStack, an emulator of AWS: its process, calls to it, and the deployment of a stack on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, Response, header};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use stack::{ACCOUNT, REGION, Role};

/// MiniStack takes a second or two, but on a busy machine the first import also compiles.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Lines of the log that a failed start shows.
const SHOWN_LINES: usize = 15;

/// The Python files beside this crate's source.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// Serves MiniStack on a port that the system chooses and tells it on the first line of output. That
/// leaves no moment in which another process can take the port. The process ends when its standard input
/// ends, and that end is ours: however we die, MiniStack ends too, and so do the functions, which lose their
/// Runtime API. `GATEWAY_PORT`, which queue URLs are made of, is the proxy's.
const SERVE: &str = r#"
import os, shutil, socket, sys, threading
def end():
    os.read(0, 1)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
import asyncio
sys.path.insert(0, sys.argv[1])
import redrive
from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app
config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.keep_alive_timeout = 75
asyncio.run(serve(app, config))
"#;

/// Headers that belong to one connection, not to the message (RFC 9110, section 7.6.1), and the
/// length, which the HTTP client sets itself.
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

/// How MiniStack is to run.
#[derive(Clone, Debug)]
pub struct MiniStackSettings {
    /// The interpreter that has MiniStack.
    pub python: PathBuf,
    /// An existing folder for `ministack.log`, and for what is gone afterwards.
    pub folder: PathBuf,
    /// The port on 127.0.0.1 that clients know.
    pub proxy_port: u16,
    /// What the waits of executions are multiplied by; 1 leaves them as they are.
    pub wait_scale: f64,
    /// The wait before the second attempt at an event, in seconds. The third comes after twice the wait.
    pub event_retry_seconds: f64,
}

/// A MiniStack process and the functions that it has started. All end with [`MiniStack::stop`], when this is
/// dropped, and when we die.
#[derive(Debug)]
pub struct MiniStack {
    process: Child,
    upstream: Upstream,
    python: PathBuf,
    log: PathBuf,
    /// The functions' code, among others. It goes when this is dropped.
    _temporary: TempDir,
}

/// What is deployed.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    /// The stack's name.
    pub stack: String,
    /// The template.
    pub template: Value,
    /// The values of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Program>,
    /// The definitions of state machines, by logical id.
    pub definitions: BTreeMap<String, String>,
}

/// The program of a function.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// One of [`crate::functions::FUNCTIONS`].
    pub name: String,
    /// Where it is.
    pub binary: PathBuf,
    /// The function's own address of AWS.
    pub endpoint: String,
}

/// What has become of a deployment.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployed {
    /// The stack's outputs.
    pub outputs: BTreeMap<String, String>,
    /// The physical ids of the stack's resources, by logical id.
    pub resources: BTreeMap<String, String>,
    /// The roles of functions and state machines, by their logical ids.
    pub roles: BTreeMap<String, Role>,
}

impl MiniStack {
    /// Starts MiniStack. It answers a little later; until then calls wait.
    pub async fn start(settings: &MiniStackSettings) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", settings.folder.display());
        let log = settings.folder.join("ministack.log");
        let written = std::fs::File::create(&log).map_err(told)?;
        let temporary = tempfile::Builder::new()
            .prefix("ministack-")
            .tempdir_in(&settings.folder)
            .map_err(told)?;
        let mut process = python(&settings.python)
            .args(["-c", SERVE, PYTHON])
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
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(written)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", settings.python.display()))?;

        let started = tokio::time::timeout(START_LIMIT, port(&mut process)).await;
        let Ok(Some(port)) = started else {
            return Err(failure(&log, "MiniStack does not start"));
        };
        Ok(Self {
            process,
            upstream: Upstream::new(port)?,
            python: settings.python.clone(),
            log,
            _temporary: temporary,
        })
    }

    /// Where calls to it go.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Deploys a stack by CloudFormation, or updates it.
    pub async fn deploy(&self, work: &Work) -> Result<Deployed, String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.python.display());
        let mut deploying = python(&self.python)
            .arg(format!("{PYTHON}/deploy.py"))
            .env("AWS_ENDPOINT_URL", &self.upstream.base)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCOUNT)
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(told)?;
        let input = serde_json::to_vec(work).map_err(|error| error.to_string())?;
        if let Some(mut stdin) = deploying.stdin.take() {
            // One that has failed already reads nothing, and says why.
            let _ = stdin.write_all(&input).await;
        }
        let output = deploying.wait_with_output().await.map_err(told)?;
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).map_err(|error| error.to_string());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let fact = format!("the stack {} is not deployed: {}", work.stack, why.trim());
        Err(failure(&self.log, &fact))
    }

    /// Ends it and what it has started, and waits until it is gone.
    pub async fn stop(mut self) {
        self.kill();
        let _ = self.process.wait().await;
    }

    /// The functions are in the process group too.
    fn kill(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // An error means that it is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An interpreter that inherits nothing but `PATH`.
fn python(interpreter: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

/// The port that is served, or `None` when the process ended before it said one.
async fn port(process: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(process.stdout.take()?).lines();
    let port = lines.next_line().await.ok()??.trim().parse().ok()?;
    // Unread output would one day block the process.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some(port)
}

fn failure(log: &Path, fact: &str) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    format!(
        "{fact}\nIf Python was upgraded since the last run, delete the python-* folder beside {}. The log ends:\n{}",
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
    fn new(port: u16) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            base: format!("http://127.0.0.1:{port}"),
        })
    }

    /// Passes a request on as it is and returns the answer as it is.
    pub(crate) async fn forward(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Body>, reqwest::Error> {
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
        // A page of another origin has no business here.
        answer
            .headers_mut()
            .remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        *answer.body_mut() = Body::from(received.bytes().await?);
        Ok(answer)
    }

    /// The lines in a log group that contain a text, each invocation's in order.
    pub async fn log_lines(&self, group: &str, containing: &str) -> Result<Vec<String>, String> {
        let input =
            json!({ "logGroupName": group, "filterPattern": json!(containing).to_string() });
        let answer = self
            .client
            .post(&self.base)
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .body(input.to_string())
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| format!("the log group {group}: {error}"))?;
        let answer = answer.bytes().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let events = answer["events"].as_array().into_iter().flatten();
        Ok(events
            .filter_map(|event| event["message"].as_str().map(str::to_owned))
            .collect())
    }
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
