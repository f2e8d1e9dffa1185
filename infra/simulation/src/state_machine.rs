//! Step Functions and EventBridge: starts, stops and redrives executions, keeps their histories, and delivers an event
//! when an execution fails.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use stack::{EVERY_APPLICATION, Stack};

use crate::backend::lock;
use crate::executions::{End, Execution, Status};
use crate::fault_plan::{Interference, Release};
use crate::follower::{Follower, Next, Passed};
use crate::lambda::documented_error;
use crate::services::own_name_in;
use crate::transport::Invocation;
use crate::world::World;

/// The most events that the history of an execution can have, a quota of Step Functions.
const MAX_EVENTS: usize = 25_000;

/// The definition of the template's state machine.
pub static DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    serde_json::from_str(&stack.definition().unwrap()).unwrap()
});

/// The errors of Lambda and Step Functions that a Task retries. No function returns them.
pub fn aws_errors(state: &str) -> BTreeSet<String> {
    let retriers = DEFINITION["States"][state]["Retry"].as_array().unwrap();
    retriers
        .iter()
        .flat_map(|retrier| retrier["ErrorEquals"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .filter(|name| documented_error(name).is_none())
        .collect()
}

impl World {
    /// Creates an execution at its first state. [`Self::run_to_end`] then runs it.
    pub fn create_execution(&self, arn: &str, input: &Value) {
        self.create_execution_with_definition(&DEFINITION, arn, input);
    }

    /// As [`Self::create_execution`], with another definition. Each of its states must also be in the current
    /// definition.
    pub fn create_execution_with_definition(&self, definition: &Value, arn: &str, input: &Value) {
        let started = self.backend.now().as_millisecond();
        let started = Timestamp::from_millisecond(started).unwrap();
        let context = json!({ "Execution": { "Id": arn, "StartTime": format!("{started:.3}") } });
        let follower = Follower::new(definition.clone(), context, input.clone());
        let execution = Execution::new(started, follower, input);
        lock(&self.backend.executions).insert(arn.to_owned(), execution);
        let details = json!({ "input": input.to_string() });
        self.record(arn, "ExecutionStarted", &details);
    }

    /// Makes a failed execution ready to run again from the state that failed. [`Self::run_to_end`] then runs it.
    pub fn redrive(&self, arn: &str) {
        let now = self.backend.now();
        let count = self.with(arn, |execution| {
            assert!(execution.status.failure().is_some());
            execution.status = Status::Running;
            execution.redrives += 1;
            execution.redriven = Some(now);
            execution.ends.last_mut().unwrap().redriven = Some(now);
            execution.follower.redriven();
            execution.redrives
        });
        let details = json!({ "redriveCount": count });
        self.record(arn, "ExecutionRedriven", &details);
    }

    /// Ends a running execution with a status.
    pub fn stop(&self, arn: &str, status: Status) {
        self.with(arn, |execution| {
            execution.stop_status = status;
            execution.stop.notify_one();
        });
    }

    /// Ends an execution with a status after some time, if it is still running then.
    pub fn stop_after(&self, arn: &str, after: Duration, status: Status) {
        let (world, arn) = (self.clone(), arn.to_owned());
        tokio::spawn(async move {
            world.backend.clock.sleep(after).await;
            if world.status(&arn) == Status::Running {
                world.stop(&arn, status);
            }
        });
    }

    /// Runs an execution from its current state until it ends. If it fails, returns the event of the failure. The event
    /// is also delivered to record-and-notify, at the times that the fault plan says.
    pub async fn run_to_end(&self, arn: &str) -> Option<Value> {
        let limit = Duration::from_secs(DEFINITION["TimeoutSeconds"].as_u64().unwrap());
        let stop = self.with(arn, |execution| execution.stop.clone());
        let status = tokio::select! {
            biased;
            () = stop.notified() => self.with(arn, |execution| execution.stop_status.clone()),
            status = tokio::time::timeout(limit, self.follow(arn)) => {
                status.unwrap_or(Status::TimedOut)
            }
        };
        self.record_states(arn);
        let (kind, details) = match &status {
            Status::Succeeded(output) => (
                "ExecutionSucceeded",
                json!({ "output": output.to_string() }),
            ),
            Status::Failed(error, cause) => {
                ("ExecutionFailed", json!({ "error": error, "cause": cause }))
            }
            Status::TimedOut => ("ExecutionTimedOut", json!({})),
            Status::Aborted => ("ExecutionAborted", json!({})),
            Status::Running => unreachable!("the execution has ended"),
        };
        self.backend.cover(kind);
        let at = self.record(arn, kind, &details);
        let without_redrive_count = (lock(&self.backend.fault_plan).event_without_redrive_count)();
        let (event, in_last_state) = self.with(arn, |execution| {
            execution.status = status.clone();
            let in_last_state = execution.follower.state == "RecordAndNotify";
            execution.ends.push(End {
                redrives: execution.redrives,
                status: status.clone(),
                at,
                in_last_state,
                without_redrive_count,
                handled: None,
                redriven: None,
            });
            (execution.failure_event(arn), in_last_state)
        });
        let event = event?;
        if in_last_state && matches!(status, Status::Aborted | Status::TimedOut) {
            self.backend
                .cover("an execution that is stopped or times out in its last state");
        }
        if without_redrive_count {
            self.backend.cover("an event without redriveCount");
        }
        let deliveries = (lock(&self.backend.fault_plan).events)();
        if deliveries.is_empty() {
            self.backend.cover("an event that is lost");
        }
        for after in deliveries {
            let (world, event, arn) = (self.clone(), event.clone(), arn.to_owned());
            tokio::spawn(async move {
                world.backend.clock.sleep(after).await;
                world.deliver_event(&arn, &event).await;
            });
        }
        Some(event)
    }

    async fn follow(&self, arn: &str) -> Status {
        let mut next = Next::Enter;
        loop {
            self.record_states(arn);
            if lock(&self.backend.services).histories[arn].len() >= MAX_EVENTS {
                let cause = "too many events in the history";
                return Status::Failed("States.Runtime".to_owned(), cause.to_owned());
            }
            next = match next {
                Next::End(output) => return Status::Succeeded(output),
                Next::Enter => {
                    let ends_before = lock(&self.ends_before).clone();
                    let state = self.with(arn, |execution| execution.follower.state.clone());
                    match ends_before {
                        Some((ending_state, status)) if ending_state == state => return status,
                        _ => {
                            self.interfere(arn, &state);
                            self.with(arn, |execution| execution.follower.enter())
                        }
                    }
                }
                Next::Wait(duration) => {
                    self.backend.clock.sleep(duration).await;
                    self.with(arn, |execution| execution.follower.waited())
                }
                Next::Invoke {
                    function,
                    payload,
                    within,
                } => {
                    let function = function.rsplit(':').next().unwrap();
                    match self.invoke(function, arn, &payload, within).await {
                        Ok((invocation, output)) => self.answer(arn, &invocation, output),
                        Err((error, cause)) => {
                            let details = json!({ "error": error, "cause": cause });
                            self.record(arn, "TaskFailed", &details);
                            let retry = self.with(arn, |e| e.follower.failed(&error));
                            let Some(backoff) = retry else {
                                return Status::Failed(error, cause);
                            };
                            let jitter = (lock(&self.backend.fault_plan).jitter)();
                            self.backend.clock.sleep(backoff.mul_f64(jitter)).await;
                            self.with(arn, |execution| execution.follower.task())
                        }
                    }
                }
            };
        }
    }

    /// Continues the execution with the output of an invocation, or with the payload that another release would have
    /// passed on.
    fn answer(&self, arn: &str, invocation: &Invocation, output: Value) -> Next {
        invocation.is_used.store(true, Ordering::SeqCst);
        let other_release = (lock(&self.backend.fault_plan).other_release)(arn, &output);
        let output = match other_release {
            Some((release, payload)) if invocation.function != "record-and-notify" => {
                self.backend.cover(match release {
                    Release::Newer => "a payload of a newer release",
                    Release::Older => "a payload of an older release",
                });
                self.backend.log(&format!("{arn} hands on {release:?}"));
                payload
            }
            _ => output,
        };
        self.with(arn, |execution| {
            if invocation.function == "prune-snapshots" {
                let listing = lock(&invocation.learned).listing.clone();
                execution.planned_from = Some(Arc::new(listing));
            }
            execution.follower.answered(output)
        })
    }

    /// Carries out what a person does, according to the fault plan, when the execution is about to enter a state.
    fn interfere(&self, arn: &str, state: &str) {
        let interference = (lock(&self.backend.fault_plan).interference)(state);
        match interference {
            None => {}
            Some(Interference::Stops(after, status)) => self.stop_after(arn, after, status),
            Some(Interference::DeletesOwn) => {
                let name = self.with(arn, |execution| own_name_in(&execution.follower.data));
                let snapshots = self.backend.snapshots();
                let Some(own) = snapshots.iter().find(|s| s["SnapshotName"] == name) else {
                    return;
                };
                let request = json!({
                    "SnapshotName": name,
                    "SnapshotCreationTimestamp": own["SnapshotCreationTimestamp"],
                });
                if self
                    .backend
                    .call("DeleteApplicationSnapshot", request)
                    .is_ok()
                {
                    self.backend.log(&format!("somebody deletes {name}"));
                    self.backend
                        .cover("a run's own snapshot that a person deletes");
                    let mut invariants = lock(&self.backend.invariants);
                    *invariants.deletions.entry(name).or_default() += 1;
                }
            }
        }
    }

    /// Adds the states that were entered or left since the last call to the history.
    fn record_states(&self, arn: &str) {
        let passed = self.with(arn, |execution| {
            std::mem::take(&mut execution.follower.passed)
        });
        for passed in passed {
            let (state, verb, data, value) = match &passed {
                Passed::Entered(state, input) => (state, "Entered", "input", input),
                Passed::Left(state, output) => (state, "Exited", "output", output),
            };
            let kind = DEFINITION["States"][state]["Type"].as_str().unwrap();
            let details = json!({ "name": state, data: value.to_string() });
            self.record(arn, &format!("{kind}State{verb}"), &details);
        }
    }

    /// Adds an event to the history. Returns its time, truncated to milliseconds.
    fn record(&self, arn: &str, kind: &str, details: &Value) -> Timestamp {
        let now = self.backend.now();
        self.backend
            .log(&format!("{arn} {kind} {}", details["name"]));
        // `TaskStateEntered` has `stateEnteredEventDetails`, `TaskFailed` has `taskFailedEventDetails`.
        let key = match kind.split_once("State") {
            Some((_, verb)) => format!("state{verb}EventDetails"),
            None => format!("{}{}EventDetails", kind[..1].to_lowercase(), &kind[1..]),
        };
        let mut services = lock(&self.backend.services);
        let history = services.histories.entry(arn.to_owned()).or_default();
        let milliseconds = now.as_millisecond();
        #[allow(clippy::cast_precision_loss, reason = "of 41 bits none is lost")]
        let timestamp = milliseconds as f64 / 1_000.0;
        history.push(json!({
            "id": history.len() + 1, "previousEventId": history.len(), "timestamp": timestamp,
            "type": kind, key: details,
        }));
        Timestamp::from_millisecond(milliseconds).unwrap()
    }
}
