//! Events of failed executions that arrive late or are replayed.

use engine::faults::{FaultKind, Times};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Scenario, lambda, run};

/// Replays an event as the runbook says: invokes the function with it.
async fn replay(scenario: &Scenario<'_>, event: &Value) -> Value {
    let function = &scenario.engine.connection().function_name;
    let path = format!("{function}/invocations");
    let answer = lambda(scenario.engine, Method::POST, &path, event).await;
    assert!(answer.get("errorType").is_none(), "{answer}");
    answer
}

#[test]
fn an_event_on_which_three_attempts_fail_is_kept_and_its_replay_is_announced_once() {
    run(async {
        for (application, outcome) in [("replay-failed", "FAILED"), ("replay-aborted", "ABORTED")] {
            let scenario = Scenario::new(application).await;
            let denied = scenario.deny("record-and-notify", "UpdateItem");
            let (ended, state) = if outcome == "FAILED" {
                scenario.set_snapshots_enabled(false).await;
                (scenario.execute(json!({})).await, "CreateSnapshot")
            } else {
                (scenario.abort().await, "WaitForSnapshot")
            };
            let failure = scenario.undelivered(&ended).await;
            assert_eq!(failure["requestContext"]["approximateInvokeCount"], 3);
            assert_eq!(failure["responsePayload"]["errorType"], "AccessDenied");
            assert_eq!(scenario.row(application, ended.run_id).await, None);

            scenario.faults().clear(denied);
            let event = &failure["requestPayload"];
            assert_eq!(event["detail"]["executionArn"], ended.arn);
            assert_eq!(replay(&scenario, event).await["outcome"], outcome);
            let record = scenario.record(&ended).await;
            assert_eq!(record["failed_state"], state);
            // A second replay changes nothing, and sends no notification.
            replay(&scenario, event).await;
            assert_eq!(scenario.record(&ended).await, record);
            scenario.notification().await;
            assert_eq!(scenario.metrics(&ended).await.len(), 1);
        }
    });
}

#[test]
fn an_event_that_arrives_after_the_success_of_a_redrive_changes_nothing() {
    run(async {
        let scenario = Scenario::new("late-event").await;
        scenario.set_snapshots_enabled(false).await;
        let (function, operation) = ("record-and-notify", "UpdateItem");
        let fault = scenario.inject(function, operation, Times::Always, FaultKind::NotJson);
        let failed = scenario.execute(json!({})).await;
        let failure = scenario.undelivered(&failed).await;
        scenario.faults().clear(fault);
        scenario.set_snapshots_enabled(true).await;
        let done = scenario.redrive(&failed).await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");

        let late = replay(&scenario, &failure["requestPayload"]).await;
        assert_eq!(late["recorded"], "SUPERSEDED");
        assert_eq!(scenario.record(&done).await, record);
        let (subject, _) = scenario.notification().await;
        assert_eq!(subject, "late-event: SUCCEEDED");
        let metrics = scenario.metrics(&done).await;
        let outcomes: Vec<&Value> = metrics.iter().map(|line| &line["Outcome"]).collect();
        assert_eq!(outcomes, ["SUCCEEDED"]);
    });
}
