//! How the history of an execution is read.

use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, SNAPSHOT};

use crate::given::{
    deleted_snapshot, ended, entered, event, execution_failed, exited, failed_event, happened,
    pruned, redriven, run_input, run_of, succeeded, task_failed, too_slow, too_slow_history,
    uncounted_event, waiting, with,
};
use crate::invocation::{announced, announced_after, history_page, invoke};

#[tokio::test]
async fn the_record_has_the_failed_state_and_what_the_run_did_before_it() {
    let halfway = json!({ "batch": [deleted_snapshot()] });
    let halfway = run_of("RUN", with(pruned(), halfway));
    let failed = || execution_failed("Throttled", "Slow.");
    let aborted = || ended(0, "Aborted", json!({}));
    let task =
        |name: &str, input: &Value| vec![failed(), task_failed(), entered(-1, "Task", name, input)];
    let waiting = entered(-1, "Wait", "WaitForSnapshot", &waiting());
    let between = vec![aborted(), exited(-1, "PruneSnapshots", &halfway)];
    let at_once = vec![failed(), entered(0, "Choice", "IsPruningDone", &halfway)];
    let (create, prune, record) = ("CreateSnapshot", "PruneSnapshots", "RecordAndNotify");
    let busy = json!({ "snapshot_creation": "BUSY", "wait_seconds": 300 });
    let busy = run_of("RUN", busy);
    for (history, state, has_snapshot, deleted) in [
        (task(create, &run_input("RUN")), Some(create), false, None),
        // Entered again, after a wait for the application.
        (task(create, &busy), Some(create), false, None),
        (task(prune, &halfway), Some(prune), true, Some(1)),
        (task(prune, &json!([])), Some(prune), false, None),
        (task(record, &succeeded()), Some(record), true, Some(1)),
        (
            vec![aborted(), waiting],
            Some("WaitForSnapshot"),
            true,
            None,
        ),
        (between, None, true, Some(1)),
        (at_once, Some("IsPruningDone"), true, Some(1)),
        (vec![], None, false, None),
    ] {
        let case = format!("{history:?}");
        let run = invoke(failed_event(), announced_after(&history)).await;
        let row = run.row();
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let count = row.get("snapshots_deleted_count").and_then(Value::as_i64);
        assert_eq!(text("failed_state"), state, "{case}");
        let snapshot = has_snapshot.then_some(SNAPSHOT);
        assert_eq!(text("new_snapshot_name"), snapshot, "{case}");
        assert_eq!(count, deleted, "{case}");
        assert_eq!(row["app_name"], "orders", "{case}");
        assert_eq!(run.email().contains("Deleted"), deleted.is_some(), "{case}");
    }
}

#[tokio::test]
async fn the_record_has_the_snapshot_of_the_last_attempt() {
    let second = "custom_1795377747950";
    let mut at_second = waiting();
    at_second["snapshot"]["name"] = second.into();
    at_second["snapshot_status"] = "FAILED".into();
    for (kind, state) in [
        ("Task", "DescribeSnapshot"),
        ("Wait", "WaitForApplication"),
        ("Task", "CreateSnapshot"),
    ] {
        let history = [
            execution_failed("SnapshotFailed", "It is FAILED."),
            entered(-1, kind, state, &at_second),
        ];
        let run = invoke(failed_event(), announced_after(&history)).await;
        assert_eq!(run.row()["new_snapshot_name"], second, "{state}");
        assert_eq!(run.row()["failed_state"], state);
        assert_eq!(run.row()["app_name"], "orders");
    }
}

#[tokio::test]
async fn the_history_is_read_page_by_page_until_the_state_is_found() {
    let found = [
        entered(-1, "Task", "PruneSnapshots", &waiting()),
        entered(-2, "Task", "DescribeSnapshot", &waiting()),
    ];
    let pages = [
        history_page(&[execution_failed("Throttled", "Slow.")], Some("2")),
        history_page(&[task_failed()], Some("3")),
        history_page(&found, Some("4")),
    ];
    let run = invoke(failed_event(), pages.into_iter().chain(announced())).await;
    assert_eq!(run.row()["failed_state"], "PruneSnapshots");
    assert_eq!(run.row()["error_name"], "Throttled");
    for ((_, request), token) in run.sent.iter().zip([None, Some("2"), Some("3")]) {
        let mut expected = json!({
            "executionArn": EXECUTION, "maxResults": 20, "reverseOrder": true,
            "includeExecutionData": true
        });
        if let Some(token) = token {
            expected["nextToken"] = token.into();
        }
        assert_eq!(*request, expected);
    }
}

#[tokio::test]
async fn an_execution_that_fails_again_after_a_redrive_is_recorded_with_its_newest_error() {
    let earlier = json!({ "error": "SnapshotsDisabled", "cause": "They are off." });
    for (newest, error) in [
        (
            execution_failed("AccessDenied", "Not allowed."),
            json!("AccessDenied"),
        ),
        (ended(0, "Aborted", json!({})), Value::Null),
    ] {
        // The redrive schedules the task again. Its state need not be entered again.
        let history = [
            newest,
            task_failed(),
            redriven(-40),
            ended(-80, "Failed", earlier.clone()),
            task_failed(),
            entered(-90, "Task", "CreateSnapshot", &run_input("RUN")),
        ];
        let run = invoke(event("FAILED", json!({})), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row["failed_state"], "CreateSnapshot");
        assert_eq!(row["error_name"], error);
        assert_eq!(row.get("error_message").is_some(), !error.is_null());
    }
}

#[tokio::test]
async fn an_event_that_arrives_after_a_redrive_is_recorded_without_the_redrive() {
    let details = json!({ "error": "TopicNotFound", "cause": "It is gone." });
    let later = [
        ended(90, "Failed", details),
        entered(60, "Task", "RecordAndNotify", &succeeded()),
        exited(59, "PruneSnapshots", &succeeded()),
        entered(50, "Task", "PruneSnapshots", &waiting()),
        redriven(40),
    ];
    let history = [later.to_vec(), too_slow_history()].concat();
    let run = invoke(failed_event(), announced_after(&history)).await;
    let row = run.row();
    assert_eq!(row["failed_state"], "DescribeSnapshot");
    assert_eq!(row["error_name"], "SnapshotTimedOut");
    assert_eq!(row["error_message"], too_slow());
    assert_eq!(row.get("snapshots_deleted_count"), None);
}

#[tokio::test]
async fn a_redrive_count_that_the_event_lacks_is_read_from_the_history() {
    let started = || {
        let details = json!({ "input": "{}" });
        happened(-90, "ExecutionStarted", "executionStarted", details)
    };
    let failed = || execution_failed("SnapshotTimedOut", &too_slow());
    let state = || entered(-1, "Task", "DescribeSnapshot", &waiting());
    // The state that failed is not entered again.
    let redriven_at_state = [
        vec![failed(), redriven(-1)],
        too_slow_history().split_off(1),
    ]
    .concat();
    let redriven_earlier = vec![failed(), state(), redriven(-2), state(), started()];
    let redriven_since = vec![redriven(5), failed(), state(), started()];
    for (history, count) in [
        (redriven_at_state, Some(1)),
        (redriven_earlier, Some(1)),
        (vec![failed(), state(), started()], Some(0)),
        (redriven_since, Some(0)),
        // The history lacks the start.
        (vec![failed(), state()], None),
    ] {
        let run = invoke(uncounted_event(), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row.get("redrive_count").and_then(Value::as_i64), count);
        assert_eq!(row["failed_state"], "DescribeSnapshot");
        assert_eq!(row["error_name"], "SnapshotTimedOut");
    }
}
