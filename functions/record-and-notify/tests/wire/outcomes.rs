//! What the row and the message contain for each outcome.

use std::cell::RefCell;

use contract::Outcome::{Aborted, Failed, Planned, PruneIncomplete, Skipped, Succeeded, TimedOut};
use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, RUN_ID};
use testkit::replay::Service;

use crate::given::{
    CREATED, NOW, STOP, deletion_failed, ended, entered, event, failed_deletion, held_back,
    nothing_to_prune, planned, redriven_state, skipped, succeeded, verdict, waiting, warned,
};
use crate::invocation::{announced, announced_after, config, handle, invoke, where_to_look};

#[tokio::test]
async fn each_completed_run_has_its_outcome_and_the_message_contains_the_whole_row() {
    for (input, outcome) in [
        (succeeded(), Succeeded),
        (nothing_to_prune(), Succeeded),
        (skipped(), Skipped),
        (planned(), Planned),
        (deletion_failed(), PruneIncomplete),
        (held_back("APPLICATION_NOT_RUNNING"), PruneIncomplete),
        (held_back("SNAPSHOT_NOT_READY"), PruneIncomplete),
        (held_back("RESTORE_POINT_UNKNOWN"), PruneIncomplete),
        (held_back("MAX_DELETIONS_PER_RUN"), PruneIncomplete),
        (held_back("TOO_MANY_FAILURES"), PruneIncomplete),
        (held_back("LEFT_TO_LATER_RUN"), Succeeded),
    ] {
        let case = input.to_string();
        let run = invoke(input, announced()).await;
        assert_eq!(run.output().outcome, outcome, "{case}");
        assert_eq!(run.row()["outcome"], outcome.as_str(), "{case}");
        assert_eq!(run.announced_record(), run.row(), "{case}");
        assert_eq!(run.subject(), format!("orders: {}", outcome.as_str()));
        assert_eq!(run.message_attribute("outcome"), outcome.as_str());
    }
}

#[tokio::test]
async fn each_failed_execution_has_its_outcome() {
    for (status, how, outcome) in [
        ("FAILED", "Failed", Failed),
        ("TIMED_OUT", "TimedOut", TimedOut),
        ("ABORTED", "Aborted", Aborted),
    ] {
        let history = [
            ended(0, how, json!({ "error": "Odd", "cause": "Nobody knows." })),
            entered(-1, "Task", "DescribeSnapshot", &waiting()),
        ];
        let run = invoke(event(status, json!({})), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(run.output().outcome, outcome);
        assert_eq!(row["outcome"], status);
        assert_eq!(row["finished_at"], STOP);
        assert_eq!(row["error_name"], "Odd");
        assert_eq!(row["error_message"], "Nobody knows.");
        let subject = format!("orders: {status} at DescribeSnapshot with Odd");
        assert_eq!(run.subject(), subject);
    }
}

#[tokio::test]
async fn the_email_of_a_run_with_nothing_to_prune_says_that_it_deleted_no_snapshots() {
    let run = invoke(nothing_to_prune(), announced()).await;
    let row = run.row();
    assert_eq!(row["snapshots_deleted"], json!([]));
    assert_eq!(row["snapshots_deleted_count"], 0);
    assert_eq!(row["snapshots_failed_to_be_deleted_count"], 0);
    assert!(run.email().contains("Deleted 0 snapshots."));
}

#[tokio::test]
async fn the_email_of_a_skipped_run_gives_the_reason_and_nothing_about_snapshots() {
    let run = invoke(skipped(), announced()).await;
    let reason = "The application orders is not running (status READY). Only a RUNNING application can take a snapshot.";
    let row = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID, "outcome": "SKIPPED",
        "mode": "RUN", "execution_arn": EXECUTION, "started_at": RUN_ID, "finished_at": NOW,
        "redrive_count": 0, "skip_reason": reason
    });
    assert_eq!(run.row(), row);
    let email = format!(
        "orders: SKIPPED\n\nSkipped: {reason}\n\n{}",
        where_to_look()
    );
    assert_eq!(run.email(), email);
}

#[tokio::test]
async fn a_plan_is_recorded_as_a_plan_and_not_as_deletions() {
    let run = invoke(planned(), announced()).await;
    let row = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID, "outcome": "PLANNED",
        "mode": "PLAN", "execution_arn": EXECUTION, "started_at": RUN_ID, "finished_at": NOW,
        "redrive_count": 0, "plan": [verdict()], "deletions_planned": 1,
        "snapshots_ready": 2, "snapshots_total": 3, "newest_ready_snapshot_create_time": CREATED
    });
    assert_eq!(run.row(), row);
    let email = run.email();
    assert!(
        email.contains("The plan would delete 1 snapshot."),
        "{email}"
    );
    assert!(!email.contains("Deleted"), "{email}");
}

#[tokio::test]
async fn failed_deletions_are_in_the_record_and_the_email_with_their_reasons() {
    let run = invoke(deletion_failed(), announced()).await;
    let (row, email) = (run.row(), run.email());
    assert_eq!(
        row["snapshots_failed_to_be_deleted"],
        json!([failed_deletion()])
    );
    assert_eq!(row["snapshots_failed_to_be_deleted_count"], 1);
    let failures = "Deleted 1 snapshot. 1 could not be deleted:\n- custom_1795032147949: in use.\n";
    assert!(email.contains(failures), "{email}");
}

#[tokio::test]
async fn held_back_deletions_are_in_the_record_and_the_email_with_the_reason() {
    let run = invoke(held_back("MAX_DELETIONS_PER_RUN"), announced()).await;
    let held_back = json!({
        "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 3, "message": "Three are held back."
    });
    assert_eq!(run.row()["held_back"], held_back);
    let email = run.email();
    assert!(
        email.contains("\n\nHeld back: Three are held back.\n\n"),
        "{email}"
    );
}

#[tokio::test]
async fn warnings_do_not_change_the_outcome_and_are_in_the_record_the_email_and_the_metrics() {
    for (input, outcome) in [
        (succeeded(), Succeeded),
        (planned(), Planned),
        (skipped(), Skipped),
        (deletion_failed(), PruneIncomplete),
    ] {
        let printed = RefCell::new(Vec::new());
        let print = |line: &str| printed.borrow_mut().push(line.to_owned());
        let service = Service::answering(announced());
        let input = redriven_state(0, &warned(input));
        let run = handle(&service, Ok(config()), input, print).await;
        let row = run.row();
        assert_eq!(run.output().outcome, outcome);
        let warning = "The restore point before-upgrade is not listed.";
        assert_eq!(row["warnings"], json!([warning, "A b."]));
        assert_eq!(run.announced_record(), row);
        let headline = format!("orders: {}, 2 warnings", outcome.as_str());
        assert_eq!(run.subject(), headline);
        let email = run.email();
        let paragraph = format!("\n\nWarning: {warning}\nWarning: A b.\n\n");
        assert!(email.starts_with(&headline), "{email}");
        assert!(email.contains(&paragraph), "{email}");
        let line: Value = serde_json::from_str(&printed.borrow()[0]).unwrap();
        assert_eq!(line["Warnings"], 2);
    }
}

#[tokio::test]
async fn without_warnings_the_row_and_the_message_have_no_warnings() {
    let run = invoke(succeeded(), announced()).await;
    assert_eq!(run.row().get("warnings"), None);
    assert!(run.removed().contains(&"#warnings"));
    assert!(!run.email().contains("Warning"), "{}", run.email());
}

#[tokio::test]
async fn a_run_that_fails_in_its_last_state_keeps_its_warnings() {
    let history = [
        ended(0, "Failed", json!({ "error": "TopicNotFound" })),
        entered(-1, "Task", "RecordAndNotify", &warned(succeeded())),
    ];
    let run = invoke(event("FAILED", json!({})), announced_after(&history)).await;
    let headline = "orders: FAILED at RecordAndNotify with TopicNotFound, 2 warnings";
    assert_eq!(run.subject(), headline);
    assert_eq!(run.row()["warnings"].as_array().unwrap().len(), 2);
}
