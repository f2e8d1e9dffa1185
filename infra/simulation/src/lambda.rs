//! Lambda: runs the real handlers for Tasks of the state machine and for events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use contract::ErrorName;
use record_and_notify::Config;
use serde_json::{Value, json};
use stack::{AWS_RETRY_DELAYS, EVERY_APPLICATION, FunctionSettings, Stack};
use tokio::sync::Notify;

use crate::backend::lock;
use crate::fault_plan::Delivery;
use crate::transport::{INVOCATION, Invocation};
use crate::world::World;

/// The most bytes that a state can pass on (256 KiB), a quota of Step Functions.
const MAX_STATE_DATA: usize = 262_144;

static FUNCTIONS: LazyLock<BTreeMap<String, FunctionSettings>> =
    LazyLock::new(|| Stack::of(EVERY_APPLICATION).unwrap().functions().unwrap());

/// The configuration of record-and-notify, from the environment variables that the template sets.
pub static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let environment = &FUNCTIONS["record-and-notify"].environment;
    let variable = |name: &str| {
        let mut all = environment.iter();
        all.find_map(|(key, value)| (key == name).then(|| value.clone()))
    };
    Config::from_vars(variable).unwrap()
});

/// The error and the cause of a failure, as Step Functions reports them.
pub type Failure = (String, String);

/// An invocation and its output.
type Answered = (Arc<Invocation>, Value);

/// The errors that a function documents.
pub fn errors_of(function: &str) -> &'static [ErrorName] {
    match function {
        "create-snapshot" => &create_snapshot::ERRORS,
        "describe-snapshot" => &describe_snapshot::ERRORS,
        "prune-snapshots" => &prune_snapshots::ERRORS,
        "record-and-notify" => &record_and_notify::ERRORS,
        other => panic!("no function {other}"),
    }
}

/// The IAM actions of the calls that a function makes.
pub fn actions_of(function: &str) -> &'static [&'static str] {
    match function {
        "create-snapshot" => &create_snapshot::IAM_ACTIONS,
        "describe-snapshot" => &describe_snapshot::IAM_ACTIONS,
        "prune-snapshots" => &prune_snapshots::IAM_ACTIONS,
        "record-and-notify" => &record_and_notify::IAM_ACTIONS,
        other => panic!("no function {other}"),
    }
}

/// The error of this name, if any function documents it.
pub fn documented_error(error: &str) -> Option<ErrorName> {
    let mut all = ErrorName::ALL.into_iter();
    all.find(|name| name.as_str() == error)
}

impl World {
    /// Runs a function once. It is cut off after `limit`, or after the function's own timeout if that is shorter.
    async fn run_function(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        limit: Duration,
    ) -> Result<Answered, Failure> {
        let start = (lock(&self.backend.fault_plan).start)();
        let is_event = payload["detail-type"].is_string();
        let (state_input, planned_from, ends) = self.with(execution, |execution| {
            let state_input = (!is_event).then(|| execution.follower.data.clone());
            let planned_from = execution.planned_from.clone().filter(|_| !is_event);
            let ends = execution.ends.len();
            (state_input.unwrap_or_default(), planned_from, ends)
        });
        let (function, execution) = (function.to_owned(), execution.to_owned());
        let (world, payload) = (self.clone(), payload.clone());
        // The handler runs in a task of its own, so that it goes on when nobody waits for the invocation any more.
        let ended = tokio::spawn(async move {
            if !start.takes.is_zero() {
                tokio::time::sleep(start.takes).await;
            }
            let began = world.backend.now();
            let invocation = Arc::new(Invocation {
                function,
                execution,
                payload,
                state_input,
                planned_from,
                began,
                began_by_own_clock: began + start.clock_ahead,
                disturbances: AtomicUsize::new(0),
                is_used: AtomicBool::new(false),
                kill: Notify::new(),
                learned: Mutex::default(),
            });
            let ends_now = world.with(&invocation.execution, |execution| execution.ends.len());
            if !is_event && ends_now > ends {
                world
                    .backend
                    .cover("an invocation that starts after the end of its execution");
            }
            lock(&world.backend.invariants).invocation_began(&invocation);
            *lock(&world.backend.last_invocation) = Some(invocation.clone());
            let limit = limit.min(FUNCTIONS[&invocation.function].timeout);
            let handler = INVOCATION.scope(invocation.clone(), world.handle(&invocation));
            let ended = tokio::select! {
                biased;
                () = invocation.kill.notified() => {
                    Err(("Runtime.ExitError".to_owned(), "signal: killed".to_owned()))
                }
                ended = tokio::time::timeout(limit, handler) => ended.unwrap_or_else(|_| {
                    invocation.disturb();
                    let cause = format!("Task timed out after {limit:?}");
                    Err(("Sandbox.Timedout".to_owned(), cause))
                }),
            };
            lock(&world.backend.invariants).invocation_ended(&invocation, &ended);
            let (execution, function) = (&invocation.execution, &invocation.function);
            world.backend.log(&match &ended {
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

    async fn handle(&self, invocation: &Invocation) -> Result<Value, Failure> {
        let now = invocation.began_by_own_clock;
        let (flink, payload) = (&self.flink, &invocation.payload);
        macro_rules! answer {
            ($handler:expr) => {
                step::invoke($handler, payload, "request")
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
                    lock(&self.backend.metrics).push(serde_json::from_str(line).unwrap());
                };
                let (clients, config) = (&self.clients, &config);
                answer!(|input| record_and_notify::handle(clients, config, input, now, print))
            }
            other => panic!("no function {other}"),
        };
        match answer {
            Ok(output) if output.to_string().len() > MAX_STATE_DATA => Err((
                "States.DataLimitExceeded".to_owned(),
                format!("{} bytes", output.to_string().len()),
            )),
            Ok(output) => Ok(output),
            Err(error) => {
                let names = errors_of(&invocation.function);
                if !names.iter().any(|name| name.as_str() == error.error_type) {
                    let function = &invocation.function;
                    let violation = format!("{function} does not document {}", error.error_type);
                    lock(&self.backend.invariants).violations.push(violation);
                }
                let cause = json!({
                    "errorType": error.error_type, "errorMessage": error.error_message
                });
                Err((error.error_type, cause.to_string()))
            }
        }
    }

    /// Invokes a function for a Task, as often and in the way that the fault plan says. `within` is the Task's timeout.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        within: Duration,
    ) -> Result<Answered, Failure> {
        let run = || self.run_function(function, execution, payload, Duration::MAX);
        let error = |name: &str| Err((name.to_owned(), "an error of Lambda".to_owned()));
        let delivery = (lock(&self.backend.fault_plan).delivery)(function);
        if delivery != Delivery::Once {
            self.backend.cover_variant(&delivery);
            self.backend
                .log(&format!("{execution} {function} is delivered {delivery:?}"));
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
                        () = self.backend.clock.sleep(after) => (),
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

    /// Delivers an event to record-and-notify. If all three attempts to handle the event fail, the failure destination
    /// keeps the event, and the failure of the last attempt is returned.
    pub async fn deliver_event(&self, arn: &str, event: &Value) -> Option<Failure> {
        let mut delays = AWS_RETRY_DELAYS.into_iter();
        loop {
            let answer = self
                .run_function("record-and-notify", arn, event, Duration::MAX)
                .await;
            match (answer, delays.next()) {
                (Ok(_), _) => {
                    let now = self.backend.now();
                    self.with(arn, |execution| execution.was_handled(event, now));
                    return None;
                }
                (Err(_), Some(delay)) => self.backend.clock.sleep(delay).await,
                (Err(failure), None) => {
                    lock(&self.backend.undelivered).push(event.clone());
                    return Some(failure);
                }
            }
        }
    }
}
