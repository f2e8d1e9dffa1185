//! An engine that the tests of a file share, and what these tests do with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "test support: a panic is a failed test, and each test file uses a part of it"
)]

mod execution;
mod follower_check;
mod scenario;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use engine::msf::Lifecycle;
use engine::{Engine, EngineSettings};
use engine::{functions, python};
pub use execution::Execution;
use futures::StreamExt;
use reqwest::Method;
pub use scenario::Scenario;
use serde_json::{Value, json};
use stack::{EVERY_APPLICATION, REGION};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// How long a test waits before it fails.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How many real seconds a second of a Wait state, of a Retry or of a timeout in the state machine lasts.
const WAIT_SCALE: f64 = 0.1;

/// The calls of each function in a run that takes a snapshot and prunes, in the order in which they are first made.
pub const CALLS: [(&str, &str); 9] = [
    ("create-snapshot", "DescribeApplicationSnapshot"),
    ("create-snapshot", "DescribeApplication"),
    ("create-snapshot", "CreateApplicationSnapshot"),
    ("describe-snapshot", "DescribeApplicationSnapshot"),
    ("prune-snapshots", "DescribeApplication"),
    ("prune-snapshots", "DeleteApplicationSnapshot"),
    ("prune-snapshots", "ListApplicationSnapshots"),
    ("record-and-notify", "UpdateItem"),
    ("record-and-notify", "Publish"),
];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

static ENGINE: OnceCell<Engine> = OnceCell::const_new();

/// Runs a test on the runtime on which the engine runs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// Checks rows, ten at a time. The check is called with the number of the row.
pub fn for_each<T>(rows: &[T], check: &impl AsyncFn(usize, &T)) {
    let rows = futures::stream::iter(rows.iter().enumerate());
    run(rows.for_each_concurrent(10, |(number, row)| check(number, row)));
}

/// The shared engine.
pub async fn engine() -> &'static Engine {
    ENGINE.get_or_init(new_engine).await
}

/// A new engine, for a test that changes or stops it. Operations of the emulated Managed Flink, waits of executions and
/// Lambda's retries are short. Otherwise the engine is that of `cargo local`.
pub async fn new_engine() -> Engine {
    new_engine_for(EVERY_APPLICATION).await
}

/// A new engine, with the stack of one application.
pub async fn new_engine_for(application: &str) -> Engine {
    let target = functions::target_folder().unwrap();
    let python = python::install(&target, python::MINISTACK, |_| ())
        .await
        .unwrap();
    let binaries = functions::build(functions::Profile::Dev).await.unwrap();
    let lifecycle = Lifecycle {
        starting: Duration::from_millis(100),
        stopping: Duration::from_millis(100),
        updating: Duration::from_millis(100),
        snapshot: Duration::from_millis(50),
        deleting: Duration::from_millis(200),
    };
    Engine::start(EngineSettings {
        port: None,
        python,
        target,
        binaries,
        application: application.to_owned(),
        lifecycle,
        wait_scale: WAIT_SCALE,
        event_retry_seconds: 0.1,
    })
    .await
    .unwrap()
}

/// The input of a run that prunes two of three old snapshots.
pub fn pruning() -> Value {
    json!({ "retention": { "keep_last": 2 } })
}

pub fn names_in(list: &Value) -> Vec<&str> {
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|entry| entry["snapshot_name"].as_str().unwrap())
        .collect()
}

/// Repeats `check` until it returns a value.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = check().await {
            return seen;
        }
        assert!(began.elapsed() < TIMEOUT, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The message in a queue that contains the ARN of an execution.
pub async fn message_about(engine: &Engine, queue_url: &str, execution_arn: &str) -> Value {
    let sqs = aws_sdk_sqs::Client::new(&engine.connection().sdk_config());
    let body = eventually("the message", async || {
        // Other messages in the queue belong to tests that run at the same time. They become visible again after a
        // second. Until then, the next call receives the messages behind them.
        let receive = sqs.receive_message().queue_url(queue_url);
        let receive = receive.max_number_of_messages(10).visibility_timeout(1);
        let messages = receive.send().await.unwrap().messages?;
        let mut bodies = messages.into_iter().filter_map(|message| message.body);
        bodies.find(|body| body.contains(execution_arn))
    })
    .await;
    serde_json::from_str(&body).unwrap()
}

/// Calls an operation by its path, for a service without a client here. Returns the response.
pub async fn call(engine: &Engine, method: Method, path: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/{path}", engine.connection().endpoint);
    // MiniStack takes the service from the scope of the signature.
    let service = if path.starts_with("schedules/") {
        "scheduler"
    } else {
        "lambda"
    };
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=none"
    );
    let request = client
        .request(method, url)
        .header("authorization", signature);
    let request = request.body(match body {
        Value::Null => String::new(),
        body => body.to_string(),
    });
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let answer = answer.bytes().await.unwrap();
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

pub async fn lambda(engine: &Engine, method: Method, path: &str, body: &Value) -> Value {
    let path = format!("2015-03-31/functions/{path}");
    call(engine, method, &path, body).await
}
