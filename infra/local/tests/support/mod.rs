//! One real engine for the tests of a file, and what they do with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub,
    reason = "test support: a panic is a failed test, and each test file uses a part of it"
)]

pub mod follower;
mod held_to_ministack;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesisanalyticsv2 as flink;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use jiff::{SignedDuration, Timestamp};
use local::engine::{Engine, EngineSettings};
use local::faults::{Fault, FaultId, Kind, Times};
use local::follow;
use local::msf::{Behaviour, Lifecycle, SeededSnapshot, SnapshotStatus};
use local::report::{self, Record};
use local::stack::{ACCOUNT, EVERY_APPLICATION, REGION};
use local::{functions, python};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// No wait of a test is longer; what has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// A second of a Wait, of a Retry or of a machine's timeout lasts this many seconds.
const WAIT_SCALE: f64 = 0.1;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

static ENGINE: OnceCell<Engine> = OnceCell::const_new();

/// Runs a test on the runtime that the engine lives on.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The engine of this test file.
pub async fn engine() -> &'static Engine {
    ENGINE.get_or_init(new_engine).await
}

/// An engine of its own, for tests that take something away from it. Life cycles are short, and so are the waits of
/// executions and between the attempts at an event; nothing else differs from `cargo local`.
pub async fn new_engine() -> Engine {
    new_engine_for(EVERY_APPLICATION).await
}

/// An engine of its own whose stack is that of one application.
pub async fn new_engine_for(application: &str) -> Engine {
    let target = functions::target_folder().unwrap();
    let python = python::install(&target, python::MINISTACK, |_| ())
        .await
        .unwrap();
    let built = functions::build().await.unwrap();
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
        built,
        application: application.to_owned(),
        lifecycle,
        wait_scale: WAIT_SCALE,
        event_retry_seconds: 0.1,
    })
    .await
    .unwrap()
}

/// As the system names its snapshots.
pub fn managed(_hours: i64, created_at: Timestamp) -> String {
    format!("custom_{}", created_at.as_millisecond())
}

/// Looks until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "never seen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a queue has of that execution: a message that contains its ARN.
pub async fn message_about(engine: &Engine, queue_url: &str, execution_arn: &str) -> Value {
    let sqs = aws_sdk_sqs::Client::new(&engine.names().sdk_config());
    let body = eventually("the message", async || {
        // Others of the queue's messages are for tests that run at the same time: hidden for a second, so
        // that the next look finds what is behind them, they come back.
        let receive = sqs.receive_message().queue_url(queue_url);
        let receive = receive.max_number_of_messages(10).visibility_timeout(1);
        let messages = receive.send().await.unwrap().messages?;
        let mut bodies = messages.into_iter().filter_map(|message| message.body);
        bodies.find(|body| body.contains(execution_arn))
    })
    .await;
    serde_json::from_str(&body).unwrap()
}

/// Calls a service with a path, which has no client here; its answer.
pub async fn call(engine: &Engine, method: Method, path: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/{path}", engine.names().endpoint);
    // What a call is signed for tells MiniStack the service.
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

/// Calls Lambda.
pub async fn lambda(engine: &Engine, method: Method, path: &str, body: &Value) -> Value {
    call(
        engine,
        method,
        &format!("2015-03-31/functions/{path}"),
        body,
    )
    .await
}

/// One application with snapshots, and a queue that gets its notifications.
pub struct Scenario<'a> {
    pub engine: &'a Engine,
    pub application: String,
    flink: flink::Client,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
}

/// An execution that has ended.
#[derive(Debug)]
pub struct Execution {
    pub arn: String,
    pub status: ExecutionStatus,
    pub history: Vec<HistoryEvent>,
    pub run_id: i64,
}

impl Scenario<'static> {
    /// A running application of that name on the engine of this test file.
    pub async fn new(application: &str) -> Self {
        Scenario::on(engine().await, application).await
    }
}

impl<'a> Scenario<'a> {
    /// A running application of that name.
    pub async fn on(engine: &'a Engine, application: &str) -> Self {
        let scenario = Self::without_application(engine, application).await;
        let enabled = flink::types::ApplicationSnapshotConfiguration::builder()
            .snapshots_enabled(true)
            .build()
            .unwrap();
        scenario
            .flink
            .create_application()
            .application_name(application)
            .runtime_environment("FLINK-1_20".into())
            .service_execution_role("arn:aws:iam::123456789012:role/flink")
            .application_configuration(
                flink::types::ApplicationConfiguration::builder()
                    .application_snapshot_configuration(enabled)
                    .build(),
            )
            .send()
            .await
            .unwrap();
        scenario.start_application().await;
        scenario
    }

    /// No application, but a queue that would get its notifications.
    pub async fn without_application(engine: &'a Engine, application: &str) -> Self {
        let config = engine.names().sdk_config();
        let sqs = aws_sdk_sqs::Client::new(&config);
        // Filtered as an operator would filter.
        let queue = format!("{application}-notifications");
        let create = sqs.create_queue().queue_name(&queue);
        // What a test has received does not come again, however long it takes.
        let create = create.attributes("VisibilityTimeout".into(), "43200");
        let created = create.send().await.unwrap();
        let filter = json!({ "application_name": [application] });
        let subscribed = aws_sdk_sns::Client::new(&config)
            .subscribe()
            .topic_arn(&engine.names().topic_arn)
            .protocol("sqs")
            .endpoint(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"))
            .attributes("FilterPolicy", filter.to_string())
            .send()
            .await;
        // A test may have taken the topic away.
        let _ = subscribed;
        Self {
            engine,
            application: application.to_owned(),
            flink: flink::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            sqs,
            queue_url: created.queue_url.unwrap(),
        }
    }

    pub async fn start_application(&self) {
        self.flink
            .start_application()
            .application_name(&self.application)
            .send()
            .await
            .unwrap();
        self.until_application_is("RUNNING").await;
    }

    pub async fn stop_application(&self) {
        let stop = self
            .flink
            .stop_application()
            .application_name(&self.application);
        stop.force(true).send().await.unwrap();
        self.until_application_is("READY").await;
    }

    async fn until_application_is(&self, status: &str) {
        eventually(status, async || {
            let describe = self
                .flink
                .describe_application()
                .application_name(&self.application);
            let detail = describe.send().await.unwrap().application_detail.unwrap();
            (detail.application_status.as_str() == status).then_some(())
        })
        .await;
    }

    /// Turns snapshots on or off in the application's configuration.
    pub async fn set_snapshots_enabled(&self, enabled: bool) {
        let describe = self
            .flink
            .describe_application()
            .application_name(&self.application);
        let version = describe.send().await.unwrap().application_detail.unwrap();
        let update = flink::types::ApplicationSnapshotConfigurationUpdate::builder()
            .snapshots_enabled_update(enabled)
            .build()
            .unwrap();
        self.flink
            .update_application()
            .application_name(&self.application)
            .current_application_version_id(version.application_version_id)
            .application_configuration_update(
                flink::types::ApplicationConfigurationUpdate::builder()
                    .application_snapshot_configuration_update(update)
                    .build(),
            )
            .send()
            .await
            .unwrap();
        self.until_application_is("RUNNING").await;
    }

    /// Changes what is particular about the application.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(
            self.engine
                .proxy()
                .emulator()
                .lock()
                .unwrap()
                .behaviour(&self.application),
        );
    }

    /// Managed READY snapshots of earlier days, oldest first; their names.
    pub fn seed(&self, days: i64) -> Vec<String> {
        let now = Timestamp::now();
        let names: Vec<(String, Timestamp)> = (1..=days)
            .rev()
            .map(|days| {
                let created_at = now - SignedDuration::from_hours(24 * days);
                (
                    format!("custom_{}", created_at.as_millisecond()),
                    created_at,
                )
            })
            .collect();
        let snapshots = names.iter().map(|(name, created_at)| SeededSnapshot {
            name: name.clone(),
            status: SnapshotStatus::Ready,
            created_at: Some(*created_at),
            version_id: 1,
        });
        let mut emulator = self.engine.proxy().emulator().lock().unwrap();
        emulator.seed(&self.application, snapshots);
        drop(emulator);
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// A full quota of READY snapshots, one an hour, named by their number of hours and their time.
    pub fn seed_thousand(&self, name: impl Fn(i64, Timestamp) -> String) {
        let now = Timestamp::now();
        let snapshots = (1..=1_000).map(|hours| {
            let created_at = now - SignedDuration::from_hours(hours);
            SeededSnapshot {
                name: name(hours, created_at),
                status: SnapshotStatus::Ready,
                created_at: Some(created_at),
                version_id: 1,
            }
        });
        let mut emulator = self.engine.proxy().emulator().lock().unwrap();
        emulator.seed(&self.application, snapshots);
    }

    /// Names and statuses of the application's snapshots, oldest first, those on their way out
    /// aside.
    pub async fn snapshots(&self) -> Vec<(String, String)> {
        let mut pages = self
            .flink
            .list_application_snapshots()
            .application_name(&self.application)
            .into_paginator()
            .send();
        let mut snapshots = Vec::new();
        while let Some(page) = pages.next().await {
            snapshots.extend(page.unwrap().snapshot_summaries.unwrap_or_default());
        }
        snapshots.sort_by_key(|snapshot| snapshot.snapshot_creation_timestamp.unwrap().as_nanos());
        snapshots
            .into_iter()
            .map(|s| (s.snapshot_name, s.snapshot_status.as_str().to_owned()))
            .filter(|(_, status)| status != "DELETING")
            .collect()
    }

    /// Names of the application's snapshots.
    pub async fn names(&self) -> Vec<String> {
        self.snapshots()
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    /// Waits until the snapshot of an execution is READY.
    pub async fn until_ready(&self, name: &str) {
        eventually("READY", async || {
            let ready = (name.to_owned(), "READY".to_owned());
            self.snapshots().await.contains(&ready).then_some(())
        })
        .await;
    }

    /// Makes the calls of a function for this application fail.
    pub fn inject(&self, function: &str, operation: &str, times: Times, kind: Kind) -> FaultId {
        self.engine.proxy().faults().inject(Fault {
            function: Some(function.to_owned()),
            operation: operation.to_owned(),
            application: Some(self.application.clone()),
            times,
            kind,
        })
    }

    /// Starts an execution with this input and the application's name; its ARN. Its name is the
    /// application's with a number.
    pub async fn start(&self, mut input: Value, number: u32) -> String {
        if let Some(fields) = input.as_object_mut() {
            fields
                .entry("application_name")
                .or_insert_with(|| self.application.clone().into());
        }
        let name = format!("{}-{number}", self.application);
        follow::start_execution(&self.sfn, self.engine.names(), &name, &input)
            .await
            .unwrap()
    }

    /// Runs an execution to its end. It looks for the snapshot every second.
    pub async fn execute(&self, mut input: Value) -> Execution {
        if let Some(fields) = input.as_object_mut() {
            fields
                .entry("poll_interval_seconds")
                .or_insert_with(|| 1.into());
        }
        let number = Timestamp::now().subsec_nanosecond().cast_unsigned();
        let arn = self.start(input, number).await;
        self.end_of(&arn).await
    }

    /// Waits until an execution has ended, and holds the follower to its history.
    pub async fn end_of(&self, arn: &str) -> Execution {
        let execution = self.ended(arn).await;
        held_to_ministack::hold_to(
            &execution.history,
            &self.definition().await,
            &context(&execution),
        );
        execution
    }

    /// Waits until an execution has ended.
    pub async fn ended(&self, arn: &str) -> Execution {
        let described = eventually("the end of the execution", async || {
            let described = self
                .sfn
                .describe_execution()
                .execution_arn(arn)
                .send()
                .await
                .unwrap();
            (described.status != ExecutionStatus::Running).then_some(described)
        })
        .await;
        let microseconds = (described.start_date.as_nanos() + 500).div_euclid(1_000);
        Execution {
            arn: arn.to_owned(),
            status: described.status,
            history: follow::history(&self.sfn, arn).await.unwrap(),
            run_id: i64::try_from(microseconds.div_euclid(1_000)).unwrap(),
        }
    }

    /// Waits until an execution is in that state.
    pub async fn until_state(&self, arn: &str, state: &str) {
        eventually(state, async || {
            let history = self.history(arn).await;
            let mut entered = history
                .iter()
                .filter_map(|event| event.state_entered_event_details());
            let last = entered.next_back()?;
            (last.name() == state).then_some(())
        })
        .await;
    }

    /// The definition that the engine's machine has.
    async fn definition(&self) -> Value {
        let machine = &self.engine.names().state_machine_arn;
        let describe = self.sfn.describe_state_machine().state_machine_arn(machine);
        serde_json::from_str(describe.send().await.unwrap().definition()).unwrap()
    }

    /// Redrives an execution, to its end.
    pub async fn redrive(&self, execution: &Execution) -> Execution {
        self.sfn
            .redrive_execution()
            .execution_arn(&execution.arn)
            .send()
            .await
            .unwrap();
        self.end_of(&execution.arn).await
    }

    /// Stops an execution, and waits until it has ended.
    pub async fn abort(&self, arn: &str) -> Execution {
        self.sfn
            .stop_execution()
            .execution_arn(arn)
            .send()
            .await
            .unwrap();
        self.end_of(arn).await
    }

    /// The history of an execution so far.
    pub async fn history(&self, arn: &str) -> Vec<HistoryEvent> {
        follow::history(&self.sfn, arn).await.unwrap()
    }

    /// The audit record of an execution that has ended, once it is there and announced. A repeated last step
    /// writes the record of a run that ended well anew, and announces it no more.
    pub async fn record(&self, execution: &Execution) -> Record {
        self.record_under(&self.application, execution).await
    }

    /// The same, under another name.
    pub async fn record_under(&self, app_name: &str, execution: &Execution) -> Record {
        let wanted = match execution.status {
            ExecutionStatus::Succeeded => None,
            ref status => Some(status.as_str().to_owned()),
        };
        eventually("the announced record", async || {
            let record = self.row(app_name, execution.run_id).await?;
            let outcome = record.get("outcome")?.as_str()?.to_owned();
            let expected = wanted.clone().unwrap_or_else(|| outcome.clone());
            let announced = record.get("notified").is_some_and(|notified| {
                notified["outcome"] == outcome.as_str()
                    && (wanted.is_none()
                        || record.get("finished_at") == Some(&notified["finished_at"]))
            });
            (outcome == expected && announced).then_some(record)
        })
        .await
    }

    /// The row of the table.
    pub async fn row(&self, app_name: &str, run_id: i64) -> Option<Record> {
        report::get(
            &self.engine.names().sdk_config(),
            &self.engine.names().table,
            app_name,
            run_id,
        )
        .await
        .unwrap()
    }

    /// How many rows the table has of the application.
    pub async fn row_count(&self) -> i32 {
        let name = self.application.clone();
        let query = aws_sdk_dynamodb::Client::new(&self.engine.names().sdk_config()).query();
        let rows = query
            .table_name(&self.engine.names().table)
            .key_condition_expression("app_name = :name")
            .expression_attribute_values(":name", AttributeValue::S(name));
        rows.send().await.unwrap().count
    }

    /// So many notifications that the application's subscriber has got, in order: subject and
    /// record.
    pub async fn notifications(&self, count: usize) -> Vec<(String, Value)> {
        let mut received = Vec::new();
        let what = format!("{count} notifications of {}", self.application);
        eventually(&what, async || {
            let receive = self.sqs.receive_message().queue_url(&self.queue_url);
            let got = receive.max_number_of_messages(10).send().await.unwrap();
            for message in got.messages.unwrap_or_default() {
                let envelope: Value = serde_json::from_str(&message.body.unwrap()).unwrap();
                let record = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
                received.push((envelope["Subject"].as_str().unwrap().to_owned(), record));
            }
            (received.len() >= count).then_some(())
        })
        .await;
        assert_eq!(received.len(), count, "{received:#?}");
        received
    }
}

/// `$$` of an execution, as far as the definition reads it.
fn context(execution: &Execution) -> Value {
    let started = Timestamp::from_millisecond(execution.run_id).unwrap();
    json!({ "Execution": { "Id": execution.arn, "StartTime": format!("{started:.3}") } })
}

impl Execution {
    /// The states that were entered, in order.
    pub fn states(&self) -> Vec<&str> {
        let entered = self
            .history
            .iter()
            .filter_map(|event| event.state_entered_event_details());
        entered
            .map(aws_sdk_sfn::types::StateEnteredEventDetails::name)
            .collect()
    }

    /// The state that was entered and not left.
    pub fn failed_state(&self) -> Option<&str> {
        let last = self.history.iter().rev().find(|event| {
            event.state_entered_event_details.is_some()
                || event.state_exited_event_details.is_some()
        })?;
        last.state_entered_event_details()
            .map(aws_sdk_sfn::types::StateEnteredEventDetails::name)
    }

    /// Error and cause of the execution's end.
    pub fn error(&self) -> (String, String) {
        let failed = self
            .history
            .iter()
            .rev()
            .find_map(|event| event.execution_failed_event_details.as_ref())
            .expect("an execution that failed");
        let cause = failed.cause.clone().unwrap();
        // A function's is JSON, a service's is text.
        let message = match serde_json::from_str::<Value>(&cause) {
            Ok(cause) => cause["errorMessage"].as_str().unwrap().to_owned(),
            Err(_) => cause,
        };
        (failed.error.clone().unwrap(), message)
    }

    /// The errors of tasks that failed, tries that were repeated included.
    pub fn task_errors(&self) -> Vec<&str> {
        self.history
            .iter()
            .filter(|event| event.r#type == HistoryEventType::TaskFailed)
            .filter_map(|event| event.task_failed_event_details()?.error())
            .collect()
    }

    /// The run's snapshot, if it takes one.
    pub fn snapshot_name(&self) -> String {
        format!("custom_{}", self.run_id)
    }
}
