//! moto, which plays Step Functions, `DynamoDB`, SNS and SQS: its process, and calls to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// moto takes half a second, but on a busy machine the first import also compiles.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Lines of moto's log that a failed start shows.
const SHOWN_LINES: usize = 15;

/// Serves moto on a port that the system chooses and tells it on the first line of output; that
/// leaves no moment in which another process can take the port. It exits when its standard input
/// ends, and that end is ours: however we die, moto dies too. A line of log for every request
/// would only hide the errors.
///
/// `States.DataLimitExceeded` reaches moto as a function's error, and moto's own check would turn
/// a custom error of that prefix into `States.Runtime`. Its context object lacks `RedriveCount`, which is 0
/// here: a redrive has the count as a literal.
const SERVE: &str = r#"
import logging, os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
logging.getLogger("werkzeug").setLevel(logging.ERROR)
import moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name as error_names
error_names.ILLEGAL_CUSTOM_ERROR_PREFIX = "States.\0"
import moto.stepfunctions.parser.backend.execution_worker as worker
worker.ExecutionData = lambda **context: dict(context, RedriveCount=0)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, request_handler=MotoRequestHandler)
print(server.port, flush=True)
server.serve_forever()
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

/// A moto process. It ends with [`Moto::stop`], when this is dropped, and when we die.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    upstream: Upstream,
}

impl Moto {
    /// Starts moto with the interpreter `python`, its Lambda calls going to the gateway's port,
    /// and its log to `<folder>/moto.log`.
    ///
    /// # Errors
    /// A text for people: moto does not start, or does not answer within a minute, with the end of its log.
    pub async fn start(
        python: &Path,
        folder: &Path,
        gateway_port: u16,
        region: &str,
    ) -> Result<Self, String> {
        let log = folder.join("moto.log");
        let written =
            std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut process = Command::new(python)
            .args(["-c", SERVE])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("MOTO_PORT", gateway_port.to_string())
            .env("AWS_ACCESS_KEY_ID", "moto")
            .env("AWS_SECRET_ACCESS_KEY", "moto")
            .env("AWS_DEFAULT_REGION", region)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(written)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", python.display()))?;

        let started = tokio::time::timeout(START_LIMIT, port(&mut process)).await;
        let Ok(Some(port)) = started else {
            return Err(failure(&log, started.is_err()));
        };
        let upstream = Upstream::new(port, region)?;
        upstream
            .configure()
            .await
            .map_err(|error| format!("{error}\n{}", failure(&log, false)))?;
        Ok(Self { process, upstream })
    }

    /// Where calls to this moto go.
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// The process id, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends moto and waits until it is gone.
    pub async fn stop(mut self) {
        // An error means that it is gone already.
        let _ = self.process.kill().await;
    }
}

/// The port that moto serves, or `None` when it ended before it said one.
async fn port(process: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(process.stdout.take()?).lines();
    let port = lines.next_line().await.ok()??.trim().parse().ok()?;
    // Unread output would one day block moto.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some(port)
}

fn failure(log: &PathBuf, timed_out: bool) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    let fact = if timed_out {
        format!("moto did not start within {} s", START_LIMIT.as_secs())
    } else {
        "moto does not start".to_owned()
    };
    format!(
        "{fact}. If Python was upgraded since the last run, delete the python-* folder beside {}. Its log ends:\n{}",
        log.display(),
        last.join("\n")
    )
}

/// Calls to moto. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: reqwest::Client,
    base: String,
    region: String,
}

/// moto's own answer to a call that it refused, to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Upstream {
    fn new(port: u16, region: &str) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            base: format!("http://127.0.0.1:{port}"),
            region: region.to_owned(),
        })
    }

    async fn configure(&self) -> Result<(), String> {
        let answer = self
            .client
            .post(format!("{}/moto-api/config", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({"stepfunctions": {"execute_state_machine": true}}).to_string())
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        answer
            .map(drop)
            .map_err(|error| format!("moto did not take its configuration: {error}"))
    }

    /// Passes a request on as it is and returns the answer as it is. The `Host` header stays, so
    /// that the queue URLs which moto makes of it lead back to the gateway.
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
        *answer.body_mut() = Body::from(received.bytes().await?);
        Ok(answer)
    }

    /// Calls Step Functions for ourselves.
    pub(crate) async fn states(&self, operation: &str, input: &Value) -> Result<Value, Refused> {
        let target = format!("AWSStepFunctions.{operation}");
        self.call("states", &target, input).await
    }

    /// Sends a message to the queue of that ARN, with attributes, for ourselves. AWS tells nobody when
    /// it cannot; here stderr has it.
    pub(crate) async fn send_message(
        &self,
        queue_arn: &str,
        body: &str,
        attributes: &[(&str, &str)],
    ) {
        let mut parts = queue_arn.rsplit(':');
        let (name, account) = (parts.next(), parts.next());
        let attributes: Map<String, Value> = attributes
            .iter()
            .map(|(name, value)| {
                let value = json!({"DataType": "String", "StringValue": value});
                ((*name).to_owned(), value)
            })
            .collect();
        let input = json!({
            "QueueUrl": format!("{}/{}/{}", self.base, account.unwrap_or_default(), name.unwrap_or_default()),
            "MessageBody": body,
            "MessageAttributes": attributes,
        });
        if let Err(refused) = self.call("sqs", "AmazonSQS.SendMessage", &input).await {
            let why = String::from_utf8_lossy(&refused.body);
            eprintln!("the queue {queue_arn} has not got a message: {why}");
        }
    }

    async fn call(&self, service: &str, target: &str, input: &Value) -> Result<Value, Refused> {
        let credential = format!(
            "Credential=gateway/20260101/{}/{service}/aws4_request",
            self.region
        );
        let answer = self
            .client
            .post(&self.base)
            .header("x-amz-target", target)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header(
                header::AUTHORIZATION,
                format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none"),
            )
            .body(input.to_string())
            .send()
            .await
            .map_err(|error| Refused::unreachable(&error))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|error| Refused::unreachable(&error))?
            .to_vec();
        if !status.is_success() {
            return Err(Refused { status, body });
        }
        serde_json::from_slice(&body).map_err(|_| Refused { status, body })
    }
}

fn without_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

impl Refused {
    /// moto is gone: to a client that is a failure of the service.
    pub(crate) fn unreachable(error: &reqwest::Error) -> Self {
        let body = json!({"__type": "InternalFailure", "message": format!("moto: {error}")});
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: body.to_string().into_bytes(),
        }
    }
}
