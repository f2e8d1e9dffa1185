//! Lost responses, killed processes and functions that hang, from which a run recovers by itself.

use std::time::Duration;

use engine::Engine;
use engine::faults::FaultKind;
use engine::functions::FUNCTIONS;
use reqwest::Method;
use serde_json::json;

use crate::support::{CALLS, Scenario, engine, for_each, lambda, new_engine, pruning, run};

/// The second write of record-and-notify, which marks the record as notified: function, operation, and number of calls
/// before it.
const MARK: (&str, &str, u32) = ("record-and-notify", "UpdateItem", 1);

/// A fault in one call.
#[derive(Debug)]
struct FaultyCall {
    function: &'static str,
    operation: &'static str,
    /// How many calls of the operation come before this one.
    skipped: u32,
    kind: FaultKind,
}

impl FaultyCall {
    fn each(kinds: &[FaultKind]) -> Vec<Self> {
        let calls = CALLS.map(|(function, operation)| (function, operation, 0));
        let calls = calls.into_iter().chain([MARK]);
        calls
            .flat_map(|(function, operation, skipped)| {
                kinds.iter().map(move |kind| Self {
                    function,
                    operation,
                    skipped,
                    kind: kind.clone(),
                })
            })
            .collect()
    }

    /// The error of the attempt that fails, if the SDK does not recover from the fault. The state machine retries the
    /// attempt.
    fn error(&self) -> Option<&'static str> {
        match self.kind {
            FaultKind::KillBefore | FaultKind::KillAfter => Some("Runtime.ExitError"),
            FaultKind::Delay(_) => Some("Sandbox.Timedout"),
            _ => None,
        }
    }

    /// How many notifications are sent. If the function cannot know whether it has sent the notification, it sends it
    /// again.
    fn notifications(&self) -> usize {
        let is_mark = self.skipped > 0;
        match self.kind {
            FaultKind::KillBefore | FaultKind::Delay(_) if is_mark => 2,
            FaultKind::DropAfter | FaultKind::KillAfter if self.operation == "Publish" => 2,
            _ => 1,
        }
    }

    async fn assert_survived(&self, engine: &Engine, application: &str) {
        let row = format!("{self:?}");
        let scenario = Scenario::on(engine, application).await;
        let old = scenario.seed(3);
        let (function, operation) = (self.function, self.operation);
        let fault = scenario.inject_after(self.skipped, function, operation, self.kind.clone());
        let done = scenario.execute(pruning()).await;
        assert_eq!(scenario.faults().hits(fault), 1, "{row}");
        assert_eq!(done.task_errors(), self.error().as_slice(), "{row}");
        scenario.assert_pruned(&done, &old, &row).await;
        let notifications = scenario.notifications(self.notifications()).await;
        let subject = format!("{application}: SUCCEEDED");
        assert!(
            notifications.iter().all(|(sent, _)| *sent == subject),
            "{row}"
        );
        // The metrics are written before the mark. So they exist even if the process is killed when it writes the mark.
        let metrics = scenario.metrics(&done).await;
        assert!(metrics.len() <= notifications.len(), "{row}: {metrics:?}");
    }
}

#[test]
fn a_run_with_a_lost_response_or_a_killed_function_leaves_one_snapshot_one_record_and_its_metrics()
{
    let engine = run(engine());
    let rows = FaultyCall::each(&[
        FaultKind::DropAfter,
        FaultKind::KillBefore,
        FaultKind::KillAfter,
    ]);
    for_each(&rows, &async |number, row| {
        let application = format!("lost-or-killed-{number}");
        row.assert_survived(engine, &application).await;
    });
}

#[test]
fn a_function_that_hangs_in_any_of_its_calls_times_out_and_is_retried() {
    let engine = run(async {
        let engine = new_engine().await;
        for function in FUNCTIONS {
            // This must be less than the SDK's timeout of 10 s for an attempt, so that the function does not give up
            // the call by itself.
            let path = format!("{}/configuration", engine.deployed_name(function).unwrap());
            lambda(&engine, Method::PUT, &path, &json!({ "Timeout": 9 })).await;
        }
        engine
    });
    let rows = FaultyCall::each(&[FaultKind::Delay(Duration::from_hours(1))]);
    for_each(&rows, &async |number, row| {
        let application = format!("hanging-{number}");
        row.assert_survived(&engine, &application).await;
    });
    run(engine.stop());
}
