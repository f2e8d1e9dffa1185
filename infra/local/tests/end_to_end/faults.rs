//! Lost answers, killed processes and functions that hang, which a run gets over by itself.

use std::time::Duration;

use engine::Engine;
use engine::faults::FaultKind;
use engine::functions::FUNCTIONS;
use reqwest::Method;
use serde_json::json;

use crate::support::{CALLS, Scenario, engine, for_each, lambda, new_engine, pruning, run};

/// The second write, which marks the record as announced: function, operation, calls before it.
const MARK: (&str, &str, u32) = ("record-and-notify", "UpdateItem", 1);

#[derive(Debug)]
struct OneCall {
    function: &'static str,
    operation: &'static str,
    through: u32,
    kind: FaultKind,
}

impl OneCall {
    fn each(kinds: &[FaultKind]) -> Vec<Self> {
        let calls = CALLS.map(|(function, operation)| (function, operation, 0));
        let calls = calls.into_iter().chain([MARK]);
        calls
            .flat_map(|(function, operation, through)| {
                kinds.iter().map(move |kind| Self {
                    function,
                    operation,
                    through,
                    kind: kind.clone(),
                })
            })
            .collect()
    }

    /// The error of the try that the state machine repeats, if the SDK does not get over it.
    fn error(&self) -> Option<&'static str> {
        match self.kind {
            FaultKind::KillBefore | FaultKind::KillAfter => Some("Runtime.ExitError"),
            FaultKind::Delay(_) => Some("Sandbox.Timedout"),
            _ => None,
        }
    }

    /// How often the run is announced. Where nobody knows whether it was: rather twice than not at all.
    fn announcements(&self) -> usize {
        let is_mark = self.through > 0;
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
        let fault = scenario.inject_after(self.through, function, operation, self.kind.clone());
        let done = scenario.execute(pruning()).await;
        assert_eq!(scenario.faults().hits(fault), 1, "{row}");
        assert_eq!(done.task_errors(), self.error().as_slice(), "{row}");
        scenario.assert_pruned(&done, &old, &row).await;
        let announced = scenario.notifications(self.announcements()).await;
        let subject = format!("{application}: SUCCEEDED");
        assert!(announced.iter().all(|(told, _)| *told == subject), "{row}");
        // Written before the mark: a process that is killed at the mark leaves them.
        let metrics = scenario.metrics(&done).await;
        assert!(metrics.len() <= announced.len(), "{row}: {metrics:?}");
    }
}

#[test]
fn lost_answers_and_killed_functions_leave_one_snapshot_one_record_and_its_metrics() {
    let engine = run(engine());
    let rows = OneCall::each(&[
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
fn a_function_that_hangs_in_any_of_its_calls_is_killed_by_lambda_and_called_again() {
    let engine = run(async {
        let engine = new_engine().await;
        for function in FUNCTIONS {
            // Less than the SDK's 10 s for an attempt: the function is not to give up by itself.
            let path = format!("{}/configuration", engine.deployed_name(function).unwrap());
            lambda(&engine, Method::PUT, &path, &json!({ "Timeout": 9 })).await;
        }
        engine
    });
    let rows = OneCall::each(&[FaultKind::Delay(Duration::from_hours(1))]);
    for_each(&rows, &async |number, row| {
        let application = format!("hanging-{number}");
        row.assert_survived(&engine, &application).await;
    });
    run(engine.stop());
}
