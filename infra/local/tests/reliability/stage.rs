//! Step Functions, Lambda and EventBridge around the services: executions that follow the definition, the
//! real handlers as their functions, events to the failure rule's target. What goes wrong is decided by
//! [`Mischief`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use contract::ErrorName;
use jiff::{SignedDuration, Timestamp};
use local::faults::Kind;
use local::stack::FunctionSettings;
use local::stack::{EVERY_APPLICATION, Stack};
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::follower::{Follower, Next, Passed};
use crate::services::{Answer, Services, error};
use crate::watch::Watch;

/// What Lambda waits before it runs a failed event again.
const EVENT_RETRIES: [Duration; 2] = local::stack::AWS_RETRY_DELAYS;

/// What passes between states, in bytes (256 KiB, quotas of Step Functions).
const STATE_DATA_LIMIT: usize = 262_144;

/// Events in the history of an execution, quotas of Step Functions.
const MOST_EVENTS: usize = 25_000;

/// The state machine of the template.
pub static DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    serde_json::from_str(&stack.definition().unwrap()).unwrap()
});

static FUNCTIONS: LazyLock<BTreeMap<String, FunctionSettings>> =
    LazyLock::new(|| Stack::of(EVERY_APPLICATION).unwrap().functions().unwrap());

/// The environment of record-and-notify in the template.
pub static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let environment = &FUNCTIONS["record-and-notify"].environment;
    let variable = |name: &str| {
        let mut all = environment.iter();
        all.find_map(|(key, value)| (key == name).then(|| value.clone()))
    };
    Config::from_vars(variable).unwrap()
});

/// The time: that of the runtime, from a given one on. Who sleeps either waits on the runtime's clock, which
/// a paused runtime winds on, or winds this one on itself.
#[derive(Debug)]
pub struct Clock {
    from: Timestamp,
    started: Instant,
    /// Milliseconds that were skipped; `None` when nothing is.
    skipped: Option<AtomicU64>,
}

impl Clock {
    /// On the runtime's clock, which should be paused.
    pub fn of_the_runtime(from: Timestamp) -> Self {
        Self {
            from,
            started: Instant::now(),
            skipped: None,
        }
    }

    /// On the real clock, without the waits of the machine.
    pub fn that_skips(from: Timestamp) -> Self {
        Self {
            skipped: Some(AtomicU64::new(0)),
            ..Self::of_the_runtime(from)
        }
    }

    pub fn now(&self) -> Timestamp {
        let skipped = self
            .skipped
            .as_ref()
            .map_or(0, |ms| ms.load(Ordering::SeqCst));
        let passed = self.started.elapsed() + Duration::from_millis(skipped);
        self.from + SignedDuration::try_from(passed).unwrap()
    }

    pub async fn sleep(&self, duration: Duration) {
        if let Some(skipped) = &self.skipped {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap();
            skipped.fetch_add(milliseconds, Ordering::SeqCst);
        } else {
            tokio::time::sleep(duration).await;
        }
    }
}

/// How the state machine's invocation of a function goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// Not at all; this error.
    Refused(String),
    /// The function has run; this error.
    AnswerLost(String),
    /// The function runs on; this error, so much after its start.
    Abandoned(String, Duration),
    /// The function has no more time than this.
    Freezes(Duration),
    /// One after the other.
    Twice,
    TwiceAtOnce,
}

/// What is decided of each call.
type Calls = Box<dyn FnMut(&Invocation, &str) -> (Duration, Option<Kind>) + Send>;

/// What goes wrong, and how long things take.
pub struct Mischief {
    /// For a call of a function: its latency, and what happens to it.
    pub call: Calls,
    pub delivery: Box<dyn FnMut(&str) -> Delivery + Send>,
    /// How long after the end of an execution each delivery of its event comes.
    pub events: Box<dyn FnMut() -> Vec<Duration> + Send>,
    /// A part of the backoff, 0 to 1.
    pub jitter: Box<dyn FnMut() -> f64 + Send>,
}

impl Mischief {
    pub fn none() -> Self {
        Self {
            call: Box::new(|_, _| (Duration::from_millis(20), None)),
            delivery: Box::new(|_| Delivery::Once),
            events: Box::new(|| vec![Duration::from_secs(1)]),
            jitter: Box::new(|| 0.5),
        }
    }
}

/// One invocation of a function.
#[derive(Debug)]
pub struct Invocation {
    pub function: String,
    /// The ARN of the execution that it is for.
    pub execution: String,
    pub payload: Value,
    pub began: Timestamp,
    /// How often an answer, or its process, was lost.
    pub harms: AtomicUsize,
    kill: Notify,
    /// What it has been told so far.
    pub told: Mutex<Told>,
}

/// The last answers that an invocation was given.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub application: Option<Value>,
    /// The pages of the listing at hand.
    pub snapshots: Vec<Value>,
}

tokio::task_local! {
    static INVOCATION: Arc<Invocation>;
}

/// How an execution stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Running,
    Succeeded(Value),
    Failed(String, String),
    TimedOut,
    Aborted,
}

/// One execution.
#[derive(Debug)]
pub struct Execution {
    pub started: Timestamp,
    pub input: Value,
    pub follower: Follower,
    pub status: Status,
    /// How often it has ended otherwise than by success.
    pub bad_ends: usize,
    /// How often of those the answer of the last state was not waited for, or lost.
    pub unheard_ends: usize,
    /// How it ends when it is stopped.
    stopped: Status,
    stop: Arc<Notify>,
}

/// Everything behind the functions.
pub struct Backstage {
    pub clock: Clock,
    pub services: Mutex<Services>,
    pub mischief: Mutex<Mischief>,
    pub executions: Mutex<BTreeMap<String, Execution>>,
    /// Events that the failure rule's target has failed on three times.
    pub undelivered: Mutex<Vec<Value>>,
    pub watch: Mutex<Watch>,
    /// What record-and-notify has printed.
    pub printed: Mutex<Vec<Value>>,
    /// The invocation that began last: whose a call is, for who sees only the call.
    pub last: Mutex<Option<Arc<Invocation>>>,
}

impl Debug for Backstage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backstage")
    }
}

/// The system.
#[derive(Clone, Debug)]
pub struct Stage {
    pub back: Arc<Backstage>,
    flink: aws_sdk_kinesisanalyticsv2::Client,
    clients: Arc<Clients>,
    pub config: Arc<Mutex<Result<Config, String>>>,
    /// The execution ends like this when it is about to enter that state.
    pub halt: Arc<Mutex<Option<(String, Status)>>>,
}

/// The names of the errors that a function fails with.
pub fn errors_of(function: &str) -> &'static [ErrorName] {
    match function {
        "create-snapshot" => &create_snapshot::ERRORS,
        "describe-snapshot" => &describe_snapshot::ERRORS,
        "prune-snapshots" => &prune_snapshots::ERRORS,
        "record-and-notify" => &record_and_notify::ERRORS,
        other => panic!("no function {other}"),
    }
}

/// The errors of AWS's own that a Task retries.
pub fn of_aws(state: &str) -> BTreeSet<String> {
    let retriers = DEFINITION["States"][state]["Retry"].as_array().unwrap();
    let names = retriers
        .iter()
        .flat_map(|r| r["ErrorEquals"].as_array().unwrap());
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .filter(|name| ErrorName::ALL.into_iter().all(|ours| ours.as_str() != name))
        .collect()
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Backstage {
    pub fn new(clock: Clock, services: Services, mischief: Mischief) -> Arc<Self> {
        Arc::new(Self {
            clock,
            services: Mutex::new(services),
            mischief: Mutex::new(mischief),
            executions: Mutex::default(),
            undelivered: Mutex::default(),
            watch: Mutex::default(),
            printed: Mutex::default(),
            last: Mutex::default(),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Adds to the story.
    pub fn tell(&self, what: &str) {
        lock(&self.watch).tell(self.now(), what);
    }

    /// Remembers the variant.
    fn meet(&self, what: &impl Debug) {
        let what = format!("{what:?}");
        let end = what.find(|c: char| !c.is_alphanumeric());
        let name = &what[..end.unwrap_or(what.len())];
        lock(&self.watch).met.insert(name.to_owned());
    }

    /// The effect of a function's call, and its answer.
    pub fn carry_out(&self, invocation: &Invocation, operation: &str, body: &Value) -> Answer {
        let now = self.now();
        let ended = lock(&self.executions)
            .get(&invocation.execution)
            .is_some_and(|execution| execution.status != Status::Running);
        let mut services = lock(&self.services);
        lock(&self.watch).before(operation, body, &mut services, now);
        let answer = services.answer(operation, body, now);
        lock(&self.watch).after(invocation, operation, body, &answer, ended);
        drop(services);
        let run = invocation.execution.rsplit(':').next().unwrap();
        self.tell(&format!(
            "{run} {operation} {} {}",
            answer.0, body["SnapshotName"]
        ));
        answer
    }

    /// A call of somebody else, for the application.
    pub fn call(&self, operation: &str, body: &Value) -> Result<Value, String> {
        let (status, answer) = lock(&self.services).answer(operation, body, self.now());
        match status {
            200 => Ok(serde_json::from_str(&answer).unwrap()),
            _ => Err(answer),
        }
    }
}

/// The SDK's connection to the services, without sockets.
#[derive(Clone, Debug)]
struct Wire(Arc<Backstage>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let back = self.0.clone();
        let target = request.headers().get("x-amz-target");
        let (operation, body) = shell::replay::read(target, request.body().bytes().unwrap());
        let invocation = INVOCATION.with(Arc::clone);
        lock(&back.watch).sent(&invocation, &operation, &body);
        let (latency, kind) = (lock(&back.mischief).call)(&invocation, &operation);
        if let Some(kind) = &kind {
            back.meet(kind);
            back.tell(&format!("{operation} meets {kind:?}"));
            // Without its mark an announcement is not known to a repeat.
            let marks = body["ExpressionAttributeValues"][":notified"].is_object();
            invocation
                .harms
                .fetch_add(usize::from(marks), Ordering::SeqCst);
        }
        HttpConnectorFuture::new(async move {
            back.travel(invocation, operation, body, latency, kind)
                .await
        })
    }
}

impl Backstage {
    /// A call on its way there and back.
    pub async fn travel(
        self: Arc<Self>,
        invocation: Arc<Invocation>,
        operation: String,
        body: Value,
        latency: Duration,
        kind: Option<Kind>,
    ) -> Result<HttpResponse, ConnectorError> {
        let lost = || Err(ConnectorError::io("connection reset".into()));
        let harm = || invocation.harms.fetch_add(1, Ordering::SeqCst);
        let request = body.clone();
        let late = match &kind {
            Some(Kind::Delay(delay)) => *delay,
            _ => Duration::ZERO,
        };
        let answer = match &kind {
            Some(Kind::KillBefore) => {
                harm();
                invocation.kill.notify_one();
                return std::future::pending().await;
            }
            Some(Kind::DropBefore) => {
                tokio::time::sleep(latency).await;
                return lost();
            }
            Some(Kind::NotJson) => (
                200,
                "<html><body>A proxy was here.</body></html>".to_owned(),
            ),
            Some(Kind::Error {
                code,
                message,
                status,
            }) => {
                tokio::time::sleep(latency).await;
                error(&operation, *status, code, message)
            }
            _ => {
                // What has been sent comes, whatever becomes of who has sent it.
                let (reply, answered) = oneshot::channel();
                let (back, invocation) = (self.clone(), invocation.clone());
                let operation = operation.clone();
                if !late.is_zero() {
                    harm();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(latency + late).await;
                    drop(reply.send(back.carry_out(&invocation, &operation, &body)));
                });
                answered.await.unwrap()
            }
        };
        match kind {
            Some(Kind::DropAfter) => {
                harm();
                lost()
            }
            Some(Kind::KillAfter) => {
                harm();
                invocation.kill.notify_one();
                std::future::pending().await
            }
            _ => {
                tokio::time::sleep(latency).await;
                Watch::told(&invocation, &operation, &request, &answer);
                let (status, body) = answer;
                let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                Ok(match kind {
                    Some(Kind::NotJson) => answer,
                    _ => shell::replay::of_the_service(answer),
                })
            }
        }
    }
}

#[derive(Debug)]
struct Time(Arc<Backstage>);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}

impl Stage {
    /// Over the SDK, without sockets.
    pub fn without_sockets(back: Arc<Backstage>) -> Self {
        let connector = SharedHttpConnector::new(Wire(back.clone()));
        let config = shell::replay::config_of(http_client_fn(move |_, _| connector.clone()))
            .into_builder()
            .timeout_config(shell::timeouts())
            .retry_config(RetryConfig::standard())
            .time_source(Time(back.clone()))
            // It counts the bytes that a socket takes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self::new(back, &config)
    }

    /// With clients of that configuration. They have token buckets of their own: the SDK's is one for the
    /// process, so that no course could be repeated.
    pub fn new(back: Arc<Backstage>, config: &aws_config::SdkConfig) -> Self {
        let bucket = || RetryPartition::custom("one stage").build();
        let flink =
            aws_sdk_kinesisanalyticsv2::config::Builder::from(config).retry_partition(bucket());
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config).retry_partition(bucket());
        let sfn = aws_sdk_sfn::config::Builder::from(config).retry_partition(bucket());
        let sns = aws_sdk_sns::config::Builder::from(config).retry_partition(bucket());
        Self {
            back,
            flink: aws_sdk_kinesisanalyticsv2::Client::from_conf(flink.build()),
            clients: Arc::new(Clients {
                dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
                sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
                sns: aws_sdk_sns::Client::from_conf(sns.build()),
            }),
            config: Arc::new(Mutex::new(Ok(CONFIG.clone()))),
            halt: Arc::default(),
        }
    }

    /// Runs a function once, for `limit` at most: its answer, or its error and cause as a state machine has them.
    pub async fn run_function(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        limit: Duration,
    ) -> Result<Value, (String, String)> {
        let invocation = Arc::new(Invocation {
            function: function.to_owned(),
            execution: execution.to_owned(),
            payload: payload.clone(),
            began: self.back.now(),
            harms: AtomicUsize::new(0),
            kill: Notify::new(),
            told: Mutex::default(),
        });
        lock(&self.back.watch).begun(&invocation);
        *lock(&self.back.last) = Some(invocation.clone());
        let stage = self.clone();
        // It goes on, whatever becomes of who has invoked it.
        let ended = tokio::spawn(async move {
            let limit = limit.min(FUNCTIONS[&invocation.function].timeout);
            let handler = INVOCATION.scope(invocation.clone(), stage.handle(&invocation));
            let ended = tokio::select! {
                biased;
                () = invocation.kill.notified() => {
                    Err(("Runtime.ExitError".to_owned(), "signal: killed".to_owned()))
                }
                ended = tokio::time::timeout(limit, handler) => ended.unwrap_or_else(|_| {
                    invocation.harms.fetch_add(1, Ordering::SeqCst);
                    let cause = format!("Task timed out after {limit:?}");
                    Err(("Sandbox.Timedout".to_owned(), cause))
                }),
            };
            lock(&stage.back.watch).ended(&invocation, &ended);
            let Invocation {
                function,
                execution,
                ..
            } = &*invocation;
            stage.back.tell(&match &ended {
                Ok(_) => format!("{execution} {function} has ended"),
                Err((error, cause)) => format!("{execution} {function} {error} {cause}"),
            });
            ended
        });
        match ended.await {
            Ok(ended) => ended,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn handle(&self, invocation: &Invocation) -> Result<Value, (String, String)> {
        let now = invocation.began;
        let (flink, payload) = (&self.flink, &invocation.payload);
        macro_rules! answer {
            ($handler:expr) => {
                shell::invoke($handler, payload, "request")
                    .await
                    .map(|output| serde_json::to_value(output).unwrap())
            };
        }
        let answer = match invocation.function.as_str() {
            "create-snapshot" => answer!(|input| create_snapshot::handle(flink, input, now)),
            "describe-snapshot" => answer!(|input| describe_snapshot::handle(flink, input, now)),
            "prune-snapshots" => answer!(|input| prune_snapshots::handle(flink, input, now)),
            "record-and-notify" => {
                let config = lock(&self.config).clone();
                let print = |line: &str| {
                    lock(&self.back.printed).push(serde_json::from_str(line).unwrap());
                };
                let (clients, config) = (&self.clients, &config);
                answer!(|input| record_and_notify::handle(clients, config, input, now, print))
            }
            other => panic!("no function {other}"),
        };
        match answer {
            Ok(output) if output.to_string().len() > STATE_DATA_LIMIT => Err((
                "States.DataLimitExceeded".to_owned(),
                format!("{} bytes", output.to_string().len()),
            )),
            Ok(output) => Ok(output),
            Err(error) => {
                let names = errors_of(&invocation.function);
                if !names.iter().any(|name| name.as_str() == error.error_type) {
                    let violation = format!("{}: {}", invocation.function, error.error_type);
                    lock(&self.back.watch).violations.push(violation);
                }
                let cause = json!({
                    "errorType": error.error_type, "errorMessage": error.error_message
                });
                Err((error.error_type, cause.to_string()))
            }
        }
    }

    async fn invoke(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        within: Duration,
    ) -> Result<Value, (String, String)> {
        let run = || self.run_function(function, execution, payload, Duration::MAX);
        let error = |name: &str| Err((name.to_owned(), "Lambda says so".to_owned()));
        let delivery = (lock(&self.back.mischief).delivery)(function);
        let clock = &self.back.clock;
        if delivery != Delivery::Once {
            self.back.meet(&delivery);
            self.back
                .tell(&format!("{execution} {function} is delivered {delivery:?}"));
        }
        let answer = async {
            match delivery {
                Delivery::Once => run().await,
                Delivery::Refused(name) => error(&name),
                Delivery::AnswerLost(name) => {
                    drop(run().await);
                    error(&name)
                }
                Delivery::Abandoned(name, after) => {
                    tokio::select! {
                        biased;
                        _ = run() => (),
                        () = clock.sleep(after) => (),
                    }
                    error(&name)
                }
                Delivery::Freezes(limit) => {
                    self.run_function(function, execution, payload, limit).await
                }
                Delivery::Twice => {
                    drop(run().await);
                    run().await
                }
                Delivery::TwiceAtOnce => {
                    tokio::select! {
                        biased;
                        answer = run() => answer,
                        answer = run() => answer,
                    }
                }
            }
        };
        tokio::time::timeout(within, answer)
            .await
            .unwrap_or_else(|_| error("States.Timeout"))
    }

    /// Starts an execution; [`Self::go`] brings it to its end.
    pub fn begin(&self, arn: &str, input: &Value) {
        let started = self.back.now().as_millisecond();
        let started = Timestamp::from_millisecond(started).unwrap();
        let context = json!({ "Execution": { "Id": arn, "StartTime": format!("{started:.3}") } });
        let execution = Execution {
            started,
            follower: Follower::new(DEFINITION.clone(), context, input.clone()),
            input: input.clone(),
            status: Status::Running,
            bad_ends: 0,
            unheard_ends: 0,
            stopped: Status::Aborted,
            stop: Arc::new(Notify::new()),
        };
        lock(&self.back.executions).insert(arn.to_owned(), execution);
        let details = json!({ "input": input.to_string() });
        self.note(
            arn,
            "ExecutionStarted",
            "executionStartedEventDetails",
            &details,
        );
    }

    /// Redrives an execution that has failed; [`Self::go`] brings it to its end.
    pub fn redrive(&self, arn: &str) {
        self.with(arn, |execution| {
            assert!(!matches!(
                execution.status,
                Status::Running | Status::Succeeded(_)
            ));
            execution.status = Status::Running;
        });
        let details = json!({ "redriveCount": 1 });
        self.note(
            arn,
            "ExecutionRedriven",
            "executionRedrivenEventDetails",
            &details,
        );
    }

    /// Ends an execution that runs, with that status.
    pub fn stop(&self, arn: &str, status: Status) {
        self.with(arn, |execution| {
            execution.stopped = status;
            execution.stop.notify_one();
        });
    }

    pub fn status(&self, arn: &str) -> Status {
        self.with(arn, |execution| execution.status.clone())
    }

    pub fn with<T>(&self, arn: &str, look: impl FnOnce(&mut Execution) -> T) -> T {
        look(lock(&self.back.executions).get_mut(arn).unwrap())
    }

    /// An execution from where it stands to its end; the event of that, if it did not succeed, which comes
    /// when [`Mischief::events`] says.
    pub async fn go(&self, arn: &str) -> Option<Value> {
        let (stop, most) = self.with(arn, |execution| {
            let most = DEFINITION["TimeoutSeconds"].as_u64().unwrap();
            (execution.stop.clone(), Duration::from_secs(most))
        });
        let status = tokio::select! {
            biased;
            () = stop.notified() => self.with(arn, |execution| execution.stopped.clone()),
            status = tokio::time::timeout(most, self.follow(arn)) => {
                status.unwrap_or(Status::TimedOut)
            }
        };
        self.flush(arn);
        let (kind, name, details) = match &status {
            Status::Succeeded(output) => (
                "ExecutionSucceeded",
                "executionSucceededEventDetails",
                json!({ "output": output.to_string() }),
            ),
            Status::Failed(error, cause) => (
                "ExecutionFailed",
                "executionFailedEventDetails",
                json!({ "error": error, "cause": cause }),
            ),
            Status::TimedOut => (
                "ExecutionTimedOut",
                "executionTimedOutEventDetails",
                json!({}),
            ),
            Status::Aborted => (
                "ExecutionAborted",
                "executionAbortedEventDetails",
                json!({}),
            ),
            Status::Running => unreachable!("it has ended"),
        };
        lock(&self.back.watch).met.insert(kind.to_owned());
        let at = self.note(arn, kind, name, &details);
        self.with(arn, |execution| {
            execution.status = status.clone();
            if !matches!(status, Status::Succeeded(_)) {
                execution.bad_ends += 1;
                let last = execution.follower.state() == "RecordAndNotify";
                execution.unheard_ends += usize::from(last);
            }
        });
        let word = match &status {
            Status::Failed(..) => "FAILED",
            Status::TimedOut => "TIMED_OUT",
            Status::Aborted => "ABORTED",
            _ => return None,
        };
        let (started, input) = self.with(arn, |execution| {
            (execution.started, execution.input.to_string())
        });
        let mut event = json!({
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "detail": {
                "executionArn": arn, "status": word, "input": input,
                "startDate": started.as_millisecond(), "stopDate": at.as_millisecond(),
            },
        });
        if let Status::Failed(error, cause) = status {
            event["detail"]["error"] = error.into();
            event["detail"]["cause"] = cause.into();
        }
        let deliveries = (lock(&self.back.mischief).events)();
        for after in deliveries {
            let (stage, event, arn) = (self.clone(), event.clone(), arn.to_owned());
            tokio::spawn(async move {
                stage.back.clock.sleep(after).await;
                stage.deliver(&arn, &event).await;
            });
        }
        Some(event)
    }

    /// Lambda's asynchronous invocation: up to three tries, then the failure destination; the last error and its
    /// cause, if it comes to that.
    pub async fn deliver(&self, arn: &str, event: &Value) -> Option<(String, String)> {
        let mut waits = EVENT_RETRIES.into_iter();
        loop {
            let answer = self
                .run_function("record-and-notify", arn, event, Duration::MAX)
                .await;
            match (answer, waits.next()) {
                (Ok(_), _) => return None,
                (Err(_), Some(wait)) => self.back.clock.sleep(wait).await,
                (Err(error), None) => {
                    lock(&self.back.undelivered).push(event.clone());
                    return Some(error);
                }
            }
        }
    }

    async fn follow(&self, arn: &str) -> Status {
        let mut next = Next::On;
        loop {
            self.flush(arn);
            if lock(&self.back.services).histories[arn].len() >= MOST_EVENTS {
                let cause = "too many events in the history";
                return Status::Failed("States.Runtime".to_owned(), cause.to_owned());
            }
            next = match next {
                Next::End(output) => return Status::Succeeded(output),
                Next::On => {
                    let halt = lock(&self.halt).clone();
                    let state = self.with(arn, |execution| execution.follower.state().to_owned());
                    match halt {
                        Some((halted, status)) if halted == state => return status,
                        _ => self.with(arn, |execution| execution.follower.enter()),
                    }
                }
                Next::Wait(duration) => {
                    self.back.clock.sleep(duration).await;
                    self.with(arn, |execution| execution.follower.waited())
                }
                Next::Invoke {
                    function,
                    payload,
                    within,
                } => {
                    let function = function.rsplit(':').next().unwrap();
                    match self.invoke(function, arn, &payload, within).await {
                        Ok(output) => self.with(arn, |e| e.follower.answered(output)),
                        Err((error, cause)) => {
                            let details = json!({ "error": error, "cause": cause });
                            self.note(arn, "TaskFailed", "taskFailedEventDetails", &details);
                            let retry = self.with(arn, |e| e.follower.failed(&error));
                            let Some(backoff) = retry else {
                                return Status::Failed(error, cause);
                            };
                            let jitter = (lock(&self.back.mischief).jitter)();
                            self.back.clock.sleep(backoff.mul_f64(jitter)).await;
                            self.with(arn, |execution| execution.follower.task())
                        }
                    }
                }
            };
        }
    }

    /// Writes to the history what the follower has passed.
    fn flush(&self, arn: &str) {
        let passed = self.with(arn, |execution| {
            std::mem::take(&mut execution.follower.passed)
        });
        for passed in passed {
            let (state, verb, name, details) = match passed {
                Passed::Entered(state, input) => {
                    let details = json!({ "name": state, "input": input.to_string() });
                    (state, "Entered", "stateEnteredEventDetails", details)
                }
                Passed::Left(state, output) => {
                    let details = json!({ "name": state, "output": output.to_string() });
                    (state, "Exited", "stateExitedEventDetails", details)
                }
            };
            let kind = DEFINITION["States"][&state]["Type"].as_str().unwrap();
            self.note(arn, &format!("{kind}State{verb}"), name, &details);
        }
    }

    /// Adds an event to the history; when it happened.
    fn note(&self, arn: &str, kind: &str, name: &str, details: &Value) -> Timestamp {
        let now = self.back.now();
        self.back.tell(&format!("{arn} {kind} {}", details["name"]));
        let mut services = lock(&self.back.services);
        let history = services.histories.entry(arn.to_owned()).or_default();
        let milliseconds = now.as_millisecond();
        #[allow(clippy::cast_precision_loss, reason = "of 41 bits none is lost")]
        let timestamp = milliseconds as f64 / 1_000.0;
        history.push(json!({
            "id": history.len() + 1, "previousEventId": history.len(), "timestamp": timestamp,
            "type": kind, name: details,
        }));
        Timestamp::from_millisecond(milliseconds).unwrap()
    }
}
