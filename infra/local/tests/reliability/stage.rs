//! Step Functions, Lambda and EventBridge around the services: executions that follow the definition, the
//! real handlers as their functions, events to the failure rule's target. What goes wrong is decided by
//! [`Mischief`](crate::mischief::Mischief).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use contract::ErrorName;
use jiff::{SignedDuration, Timestamp};
use local::stack::FunctionSettings;
use local::stack::{EVERY_APPLICATION, Stack};
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::executions::{End, Execution, Status};
use crate::follower::{Follower, Next, Passed};
use crate::mischief::{Delivery, Mischief, Plot, Release};
use crate::services::Services;
use crate::watch::Watch;
use crate::wire::{INVOCATION, Invocation, Time, Wire};

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

/// What has run, and its answer.
type Ran = (Arc<Invocation>, Value);

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
    pub fn meet(&self, what: &impl Debug) {
        let what = format!("{what:?}");
        let end = what.find(|c: char| !c.is_alphanumeric());
        self.meet_thing(&what[..end.unwrap_or(what.len())]);
    }

    fn meet_thing(&self, thing: &str) {
        lock(&self.watch).met.insert(thing.to_owned());
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

    /// Runs a function once, for `limit` at most: its answer with the invocation, or its error and cause as a state
    /// machine has them.
    pub async fn run_function(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        limit: Duration,
    ) -> Result<Ran, (String, String)> {
        let start = (lock(&self.back.mischief).start)();
        let is_event = payload["detail-type"].is_string();
        let (given, rests_on, leg) = self.with(execution, |execution| {
            let given = (!is_event).then(|| execution.follower.data().clone());
            let rests_on = execution.rests_on.clone().filter(|_| !is_event);
            (given.unwrap_or_default(), rests_on, execution.ends.len())
        });
        let (function, execution) = (function.to_owned(), execution.to_owned());
        let (stage, payload) = (self.clone(), payload.clone());
        // It goes on, whatever becomes of who has invoked it.
        let ended = tokio::spawn(async move {
            if !start.takes.is_zero() {
                tokio::time::sleep(start.takes).await;
            }
            let began = stage.back.now();
            let invocation = Arc::new(Invocation {
                function,
                execution,
                payload,
                given,
                rests_on,
                began,
                clock: began + start.clock_ahead,
                harms: AtomicUsize::new(0),
                heard: AtomicBool::new(false),
                kill: Notify::new(),
                told: Mutex::default(),
            });
            let ends = stage.with(&invocation.execution, |execution| execution.ends.len());
            if !is_event && ends > leg {
                stage.back.meet_thing("a start after the end");
            }
            lock(&stage.back.watch).begun(&invocation);
            *lock(&stage.back.last) = Some(invocation.clone());
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
            ended.map(|output| (invocation, output))
        });
        match ended.await {
            Ok(ended) => ended,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn handle(&self, invocation: &Invocation) -> Result<Value, (String, String)> {
        let now = invocation.clock;
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
    ) -> Result<Ran, (String, String)> {
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
            ends: Vec::new(),
            rests_on: None,
            redrives: 0,
            redriven: None,
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
        let now = self.back.now();
        let count = self.with(arn, |execution| {
            assert!(!matches!(
                execution.status,
                Status::Running | Status::Succeeded(_)
            ));
            execution.status = Status::Running;
            execution.redrives += 1;
            execution.redriven = Some(now);
            execution.ends.last_mut().unwrap().redriven = Some(now);
            execution.follower.redriven();
            execution.redrives
        });
        let details = json!({ "redriveCount": count });
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
        let is_bare = (lock(&self.back.mischief).bare_event)();
        let (detail, in_last_state) = self.with(arn, |execution| {
            execution.status = status.clone();
            let in_last_state = execution.follower.state() == "RecordAndNotify";
            execution.ends.push(End {
                redrives: execution.redrives,
                status: status.clone(),
                at,
                in_last_state,
                is_bare,
                handled: None,
                redriven: None,
            });
            (execution.event_detail(arn, at, is_bare), in_last_state)
        });
        let mut event = json!({
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "detail": detail?,
        });
        if in_last_state && matches!(status, Status::Aborted | Status::TimedOut) {
            self.back.meet_thing("a last state that was cut off");
        }
        if is_bare {
            self.back.meet_thing("an event without redriveCount");
        }
        if let Status::Failed(error, cause) = status {
            event["detail"]["error"] = error.into();
            event["detail"]["cause"] = cause.into();
        }
        let deliveries = (lock(&self.back.mischief).events)();
        if deliveries.is_empty() {
            self.back.meet_thing("an event that is lost");
        }
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
                (Ok(_), _) => {
                    let now = self.back.now();
                    self.with(arn, |execution| execution.was_handled(event, now));
                    return None;
                }
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
                        _ => {
                            self.plot(arn, &state);
                            self.with(arn, |execution| execution.follower.enter())
                        }
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
                        Ok((invocation, output)) => self.go_on(arn, &invocation, output),
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

    /// Goes on with the answer of an invocation.
    fn go_on(&self, arn: &str, invocation: &Invocation, output: Value) -> Next {
        invocation.heard.store(true, Ordering::SeqCst);
        let handed_on = (lock(&self.back.mischief).handed_on)(arn, &output);
        let output = match handed_on {
            Some((release, payload)) if invocation.function != "record-and-notify" => {
                self.back.meet_thing(match release {
                    Release::Newer => "a payload of a newer release",
                    Release::Older => "a payload of an older release",
                });
                self.back.tell(&format!("{arn} hands on {release:?}"));
                payload
            }
            _ => output,
        };
        self.with(arn, |execution| {
            if invocation.function == "prune-snapshots" {
                let listing = lock(&invocation.told).listing.clone();
                execution.rests_on = Some(Arc::new(listing));
            }
            execution.follower.answered(output)
        })
    }

    /// What somebody does before the execution enters that state.
    fn plot(&self, arn: &str, next: &str) {
        let plot = (lock(&self.back.mischief).plots)(next);
        match plot {
            None => {}
            Some(Plot::DeletesOwn) => {
                let input = self.with(arn, |execution| execution.input.clone());
                let application = &input["application_name"];
                let started = self.with(arn, |execution| execution.started);
                let own = format!("custom_{}", started.as_millisecond());
                let now = self.back.now();
                let all = lock(&self.back.services)
                    .flink
                    .snapshots(application.as_str().unwrap_or_default(), now);
                let Some(own) = all.iter().find(|snapshot| snapshot["SnapshotName"] == own) else {
                    return;
                };
                let delete = json!({
                    "ApplicationName": application, "SnapshotName": own["SnapshotName"],
                    "SnapshotCreationTimestamp": own["SnapshotCreationTimestamp"],
                });
                if self.back.call("DeleteApplicationSnapshot", &delete).is_ok() {
                    let name = own["SnapshotName"].as_str().unwrap().to_owned();
                    self.back.tell(&format!("somebody deletes {name}"));
                    *lock(&self.back.watch).removed.entry(name).or_default() += 1;
                    self.back
                        .meet_thing("a snapshot of one's own that is deleted by hand");
                }
            }
            Some(Plot::Stops(after, status)) => {
                let (stage, arn) = (self.clone(), arn.to_owned());
                tokio::spawn(async move {
                    stage.back.clock.sleep(after).await;
                    if stage.status(&arn) == Status::Running {
                        stage.stop(&arn, status);
                    }
                });
            }
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
