//! Step Functions: an execution on its way through the definition, and the event of its end.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use contract::ErrorName;
use serde_json::{Value, json};
use stack::{EVERY_APPLICATION, Stack};

use crate::backend::lock;
use crate::executions::{End, Status};
use crate::fault_plan::{Plot, Release};
use crate::follower::Next;
use crate::transport::Invocation;
use crate::world::World;

/// Events in the history of an execution, quotas of Step Functions.
const MOST_EVENTS: usize = 25_000;

/// The state machine of the template.
pub static DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    serde_json::from_str(&stack.definition().unwrap()).unwrap()
});

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

impl World {
    /// An execution from where it stands to its end; the event of that, if it did not succeed, which comes
    /// when [`FaultPlan::events`] says.
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
        lock(&self.backend.invariants)
            .coverage
            .insert(kind.to_owned());
        let at = self.note(arn, kind, name, &details);
        let is_bare = (lock(&self.backend.fault_plan).bare_event)();
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
            self.backend.cover("a last state that was cut off");
        }
        if is_bare {
            self.backend.cover("an event without redriveCount");
        }
        if let Status::Failed(error, cause) = status {
            event["detail"]["error"] = error.into();
            event["detail"]["cause"] = cause.into();
        }
        let deliveries = (lock(&self.backend.fault_plan).events)();
        if deliveries.is_empty() {
            self.backend.cover("an event that is lost");
        }
        for after in deliveries {
            let (world, event, arn) = (self.clone(), event.clone(), arn.to_owned());
            tokio::spawn(async move {
                world.backend.clock.sleep(after).await;
                world.deliver(&arn, &event).await;
            });
        }
        Some(event)
    }

    async fn follow(&self, arn: &str) -> Status {
        let mut next = Next::On;
        loop {
            self.flush(arn);
            if lock(&self.backend.services).histories[arn].len() >= MOST_EVENTS {
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
                        Ok((invocation, output)) => self.go_on(arn, &invocation, output),
                        Err((error, cause)) => {
                            let details = json!({ "error": error, "cause": cause });
                            self.note(arn, "TaskFailed", "taskFailedEventDetails", &details);
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

    /// Goes on with the answer of an invocation.
    fn go_on(&self, arn: &str, invocation: &Invocation, output: Value) -> Next {
        invocation.heard.store(true, Ordering::SeqCst);
        let handed_on = (lock(&self.backend.fault_plan).handed_on)(arn, &output);
        let output = match handed_on {
            Some((release, payload)) if invocation.function != "record-and-notify" => {
                self.backend.cover(match release {
                    Release::Newer => "a payload of a newer release",
                    Release::Older => "a payload of an older release",
                });
                self.backend.tell(&format!("{arn} hands on {release:?}"));
                payload
            }
            _ => output,
        };
        self.with(arn, |execution| {
            if invocation.function == "prune-snapshots" {
                let listing = lock(&invocation.learned).listing.clone();
                execution.rests_on = Some(Arc::new(listing));
            }
            execution.follower.answered(output)
        })
    }

    /// What somebody does before the execution enters that state.
    fn plot(&self, arn: &str, next: &str) {
        let plot = (lock(&self.backend.fault_plan).plots)(next);
        match plot {
            None => {}
            Some(Plot::DeletesOwn) => {
                let input = self.with(arn, |execution| execution.input.clone());
                let application = &input["application_name"];
                let started = self.with(arn, |execution| execution.started);
                let own = format!("custom_{}", started.as_millisecond());
                let now = self.backend.now();
                let all = lock(&self.backend.services)
                    .flink
                    .snapshots(application.as_str().unwrap_or_default(), now);
                let Some(own) = all.iter().find(|snapshot| snapshot["SnapshotName"] == own) else {
                    return;
                };
                let delete = json!({
                    "ApplicationName": application, "SnapshotName": own["SnapshotName"],
                    "SnapshotCreationTimestamp": own["SnapshotCreationTimestamp"],
                });
                if self
                    .backend
                    .call("DeleteApplicationSnapshot", &delete)
                    .is_ok()
                {
                    let name = own["SnapshotName"].as_str().unwrap().to_owned();
                    self.backend.tell(&format!("somebody deletes {name}"));
                    *lock(&self.backend.invariants)
                        .removed
                        .entry(name)
                        .or_default() += 1;
                    self.backend
                        .cover("a snapshot of one's own that is deleted by hand");
                }
            }
            Some(Plot::Stops(after, status)) => {
                let (world, arn) = (self.clone(), arn.to_owned());
                tokio::spawn(async move {
                    world.backend.clock.sleep(after).await;
                    if world.status(&arn) == Status::Running {
                        world.stop(&arn, status);
                    }
                });
            }
        }
    }
}
