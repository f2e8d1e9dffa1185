//! Executions that fail, are stopped or time out, and their redrives.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::json;
use stack::REGION;

use crate::support::{CALLS, Execution, Scenario, for_each, new_engine, pruning, run};

#[test]
fn a_refused_call_fails_the_run_with_a_record_and_a_redrive_continues_from_the_failed_state() {
    for_each(&CALLS, &async |number, row| {
        let (function, operation) = *row;
        let row = format!("{function} {operation}");
        let scenario = Scenario::new(&format!("denied-{number}")).await;
        let old = scenario.seed(3);
        let denied = scenario.deny(function, operation);
        let failed = scenario.execute(pruning()).await;
        let state = match function {
            "create-snapshot" => "CreateSnapshot",
            "describe-snapshot" => "DescribeSnapshot",
            "prune-snapshots" => "PruneSnapshots",
            _ => "RecordAndNotify",
        };
        assert_eq!(failed.status, ExecutionStatus::Failed, "{row}");
        assert_eq!(failed.failed_state(), Some(state), "{row}");
        let (error, message) = failed.error();
        assert_eq!(error, "AccessDenied", "{row}");
        assert!(message.contains(operation), "{row}: {message}");
        let command = format!(
            "redrive-execution --execution-arn {} --region {REGION}",
            failed.arn
        );
        assert!(message.ends_with(&command), "{row}: {message}");

        if state == "RecordAndNotify" {
            // For this failure, neither a record nor a notification is possible, so its event is kept.
            scenario.undelivered(&failed).await;
            let record = scenario.row(&scenario.application, failed.run_id).await;
            let record = record.unwrap_or_default();
            let outcome = (operation == "Publish").then(|| json!("FAILED"));
            assert_eq!(record.get("outcome"), outcome.as_ref(), "{row}");
            assert!(!record.contains_key("notified"), "{row}");
        } else {
            let record = scenario.record(&failed).await;
            for (attribute, value) in [
                ("outcome", "FAILED"),
                ("failed_state", state),
                ("error_name", "AccessDenied"),
                ("error_message", message.as_str()),
                ("execution_arn", failed.arn.as_str()),
            ] {
                assert_eq!(record[attribute], value, "{row}");
            }
            let (subject, announced) = scenario.notification().await;
            let headline = format!("FAILED at {state} with AccessDenied");
            assert_eq!(subject, format!("{}: {headline}", scenario.application));
            assert_eq!(announced["error_message"], message.as_str(), "{row}");
            let metrics = scenario.metrics(&failed).await;
            assert_eq!(metrics.len(), 1, "{row}: {metrics:?}");
            assert_eq!(metrics[0]["Outcome"], "FAILED", "{row}");
            assert_eq!(metrics[0]["FailedState"], state, "{row}");
            assert_eq!(metrics[0]["ErrorName"], "AccessDenied", "{row}");
        }

        scenario.faults().clear(denied);
        let done = scenario.redrive(&failed).await;
        assert_eq!(done.run_id, failed.run_id, "{row}");
        scenario.assert_pruned(&done, &old, &row).await;
        let subject = format!("{}: SUCCEEDED", scenario.application);
        assert_eq!(scenario.notification().await.0, subject, "{row}");
    });
}

/// Asserts that the record and the notification have the outcome of an execution that was ended while it waited for its
/// snapshot.
async fn assert_cut_off(scenario: &Scenario<'_>, ended: &Execution, outcome: &str) {
    let record = scenario.record(ended).await;
    assert_eq!(record["outcome"], outcome);
    assert_eq!(record["failed_state"], "WaitForSnapshot");
    assert_eq!(record["new_snapshot_name"], ended.snapshot_name());
    assert!(!record.contains_key("error_name"));
    let subject = format!("{}: {outcome} at WaitForSnapshot", scenario.application);
    assert_eq!(scenario.notification().await.0, subject);
}

#[test]
fn a_stopped_execution_is_recorded_as_aborted() {
    run(async {
        let scenario = Scenario::new("aborted").await;
        let ended = scenario.abort().await;
        assert_cut_off(&scenario, &ended, "ABORTED").await;
    });
}

#[test]
fn an_execution_that_takes_too_long_is_recorded_as_timed_out() {
    run(async {
        let engine = new_engine().await;
        let scenario = Scenario::on(&engine, "too-long").await;
        let mut definition = scenario.definition().await;
        definition["TimeoutSeconds"] = 30.into();
        let update =
            aws_sdk_sfn::Client::new(&engine.connection().sdk_config()).update_state_machine();
        let update = update.state_machine_arn(&engine.connection().state_machine_arn);
        let update = update.definition(definition.to_string());
        update.send().await.unwrap();

        let input = json!({ "poll_interval_seconds": 300 });
        let arn = scenario.start(input, 1).await;
        let ended = scenario.end_of(&arn).await;
        assert_eq!(ended.status, ExecutionStatus::TimedOut);
        assert_cut_off(&scenario, &ended, "TIMED_OUT").await;
        engine.stop().await;
    });
}
