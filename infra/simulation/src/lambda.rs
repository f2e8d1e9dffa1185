//! Lambda: the real handlers as functions, invoked by the state machine and by events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use contract::ErrorName;
use record_and_notify::Config;
use serde_json::{Value, json};
use stack::{EVERY_APPLICATION, FunctionSettings, Stack};
use tokio::sync::Notify;

use crate::backend::lock;
use crate::fault_plan::Delivery;
use crate::transport::{INVOCATION, Invocation};
use crate::world::World;

/// What Lambda waits before it runs a failed event again.
const EVENT_RETRIES: [Duration; 2] = stack::AWS_RETRY_DELAYS;

/// What passes between states, in bytes (256 KiB, quotas of Step Functions).
const STATE_DATA_LIMIT: usize = 262_144;

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

impl World {
    /// Runs a function once, for `limit` at most: its answer with the invocation, or its error and cause as a state
    /// machine has them.
    pub async fn run_function(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        limit: Duration,
    ) -> Result<Ran, (String, String)> {
        let start = (lock(&self.backend.fault_plan).start)();
        let is_event = payload["detail-type"].is_string();
        let (given, rests_on, leg) = self.with(execution, |execution| {
            let given = (!is_event).then(|| execution.follower.data().clone());
            let rests_on = execution.rests_on.clone().filter(|_| !is_event);
            (given.unwrap_or_default(), rests_on, execution.ends.len())
        });
        let (function, execution) = (function.to_owned(), execution.to_owned());
        let (world, payload) = (self.clone(), payload.clone());
        // It goes on, whatever becomes of who has invoked it.
        let ended = tokio::spawn(async move {
            if !start.takes.is_zero() {
                tokio::time::sleep(start.takes).await;
            }
            let began = world.backend.now();
            let invocation = Arc::new(Invocation {
                function,
                execution,
                payload,
                given,
                rests_on,
                began,
                clock: began + start.clock_ahead,
                disturbances: AtomicUsize::new(0),
                heard: AtomicBool::new(false),
                kill: Notify::new(),
                learned: Mutex::default(),
            });
            let ends = world.with(&invocation.execution, |execution| execution.ends.len());
            if !is_event && ends > leg {
                world.backend.cover("a start after the end");
            }
            lock(&world.backend.invariants).begun(&invocation);
            *lock(&world.backend.last) = Some(invocation.clone());
            let limit = limit.min(FUNCTIONS[&invocation.function].timeout);
            let handler = INVOCATION.scope(invocation.clone(), world.handle(&invocation));
            let ended = tokio::select! {
                biased;
                () = invocation.kill.notified() => {
                    Err(("Runtime.ExitError".to_owned(), "signal: killed".to_owned()))
                }
                ended = tokio::time::timeout(limit, handler) => ended.unwrap_or_else(|_| {
                    invocation.disturbances.fetch_add(1, Ordering::SeqCst);
                    let cause = format!("Task timed out after {limit:?}");
                    Err(("Sandbox.Timedout".to_owned(), cause))
                }),
            };
            lock(&world.backend.invariants).ended(&invocation, &ended);
            let Invocation {
                function,
                execution,
                ..
            } = &*invocation;
            world.backend.tell(&match &ended {
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
                    lock(&self.backend.printed).push(serde_json::from_str(line).unwrap());
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
                    lock(&self.backend.invariants).violations.push(violation);
                }
                let cause = json!({
                    "errorType": error.error_type, "errorMessage": error.error_message
                });
                Err((error.error_type, cause.to_string()))
            }
        }
    }

    pub(crate) async fn invoke(
        &self,
        function: &str,
        execution: &str,
        payload: &Value,
        within: Duration,
    ) -> Result<Ran, (String, String)> {
        let run = || self.run_function(function, execution, payload, Duration::MAX);
        let error = |name: &str| Err((name.to_owned(), "Lambda says so".to_owned()));
        let delivery = (lock(&self.backend.fault_plan).delivery)(function);
        let clock = &self.backend.clock;
        if delivery != Delivery::Once {
            self.backend.cover_variant(&delivery);
            self.backend
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
                    let now = self.backend.now();
                    self.with(arn, |execution| execution.was_handled(event, now));
                    return None;
                }
                (Err(_), Some(wait)) => self.backend.clock.sleep(wait).await,
                (Err(error), None) => {
                    lock(&self.backend.undelivered).push(event.clone());
                    return Some(error);
                }
            }
        }
    }
}
