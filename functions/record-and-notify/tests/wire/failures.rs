//! What the record of a failed execution contains.

use contract::ErrorName;
use serde_json::{Value, json};
use testkit::fixtures::RUN_ID;

use crate::given::{
    ended, entered, event, execution_failed, failed_event, lambda_cause, run_input, succeeded,
    too_slow, too_slow_history, waiting,
};
use crate::invocation::{announced, announced_after, invoke};

/// The names of a row's attributes, sorted.
fn names(row: &Value) -> Vec<&str> {
    let fields = row.as_object().unwrap();
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_failure_is_recorded_with_the_values_that_are_known() {
    const KNOWN: [&str; 7] = [
        "app_name",
        "execution_arn",
        "finished_at",
        "outcome",
        "redrive_count",
        "snapshot_manager_run_id",
        "started_at",
    ];
    let nothing = json!({ "input": null, "error": null, "cause": null });
    let input = json!({ "input": run_input("PRUNE").to_string() });
    let error = json!({ "error": "States.Runtime" });
    let cause = json!({ "cause": "The machine is broken." });
    for (details, application, more) in [
        (json!({}), "(unknown)", None),
        (nothing, "(unknown)", None),
        (json!({ "error": "", "cause": "" }), "(unknown)", None),
        (input, "orders", Some("mode")),
        (error, "(unknown)", Some("error_name")),
        (cause, "(unknown)", Some("error_message")),
    ] {
        let given = details.to_string();
        // The history says only that the execution ended.
        let history = [ended(0, "Failed", json!({}))];
        let run = invoke(event("FAILED", details), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row["app_name"], application, "{given}");
        let mut expected: Vec<&str> = KNOWN.into_iter().chain(more).collect();
        expected.sort_unstable();
        assert_eq!(names(&row), expected, "{given}");
        assert_eq!(run.announced_record(), row, "{given}");
    }
}

#[tokio::test]
async fn an_empty_error_in_the_history_does_not_replace_the_error_in_the_event() {
    let history = [ended(0, "Failed", json!({ "error": "", "cause": "" }))];
    let run = invoke(failed_event(), announced_after(&history)).await;
    assert_eq!(run.row()["error_name"], "SnapshotTimedOut");
    assert_eq!(run.row()["error_message"], too_slow());
}

#[tokio::test]
async fn the_error_message_is_the_message_of_the_function_or_the_whole_cause() {
    let of_a_function = lambda_cause("Odd", "It broke.");
    for (cause, message) in [
        (of_a_function.as_str(), "It broke."),
        ("It broke.", "It broke."),
        (r#"{"Code":"It broke."}"#, r#"{"Code":"It broke."}"#),
        (r#"{"errorMessage":""}"#, r#"{"errorMessage":""}"#),
        (r#"{"errorMessage":7}"#, r#"{"errorMessage":7}"#),
        (r#""It broke.""#, r#""It broke.""#),
    ] {
        let event = event("FAILED", json!({ "cause": cause }));
        let run = invoke(event, announced_after(&[])).await;
        assert_eq!(run.row()["error_message"], message);
    }
}

#[tokio::test]
async fn an_input_without_a_valid_application_name_is_recorded_as_unknown() {
    for (input, application) in [
        (r#"{"application_name":"orders","keep":1}"#, "orders"),
        (r#"{"application_name":"a b"}"#, "(unknown)"),
        (r#"{"application_name":"orders\nevil"}"#, "(unknown)"),
        (r#"{"application_name":""}"#, "(unknown)"),
        (r#"{"application_name":7}"#, "(unknown)"),
        (r#"{"app_name":"orders"}"#, "(unknown)"),
        (r#""orders""#, "(unknown)"),
        ("not JSON", "(unknown)"),
    ] {
        let event = event("FAILED", json!({ "input": input }));
        let run = invoke(event, announced_after(&[])).await;
        assert_eq!(run.output().app_name, application, "{input}");
        let row = run.row();
        assert_eq!(row["app_name"], application, "{input}");
        assert_eq!(row["snapshot_manager_run_id"], RUN_ID);
        assert!(row.get("mode").is_none(), "{input}");
        assert_eq!(run.subject(), format!("{application}: FAILED"));
        assert_eq!(run.message_attribute("application_name"), application);
    }
}

#[tokio::test]
async fn an_input_that_is_missing_in_the_event_is_read_from_the_history() {
    let first = entered(-1, "Task", "CreateSnapshot", &run_input("RUN"));
    let later = entered(-1, "Task", "DescribeSnapshot", &waiting());
    for entered in [first, later] {
        let failed = execution_failed("ApplicationNotFound", "There is none.");
        let answers = announced_after(&[failed, entered]);
        let run = invoke(event("FAILED", json!({})), answers).await;
        assert_eq!(run.row()["app_name"], "orders");
        assert_eq!(run.row()["mode"], "RUN");
    }
}

#[tokio::test]
async fn the_run_id_comes_from_the_payload_of_the_states() {
    let mut event = failed_event();
    event["detail"]["startDate"] = (RUN_ID + 1).into();
    let run = invoke(event.clone(), announced_after(&too_slow_history())).await;
    assert_eq!(run.output().snapshot_manager_run_id, RUN_ID);
    assert_eq!(run.row()["started_at"], RUN_ID);

    let run = invoke(event, announced_after(&[])).await;
    assert_eq!(run.output().snapshot_manager_run_id, RUN_ID + 1);
}

#[tokio::test]
async fn a_record_is_written_even_if_a_time_in_the_payload_is_invalid() {
    let forged = |place: &str| {
        let mut done = succeeded();
        *done.pointer_mut(place).unwrap() = "yesterday".into();
        done
    };
    for (place, attribute) in [
        ("/snapshot/created_at", "#new_snapshot_create_time"),
        ("/newest_ready_at", "#newest_ready_snapshot_create_time"),
    ] {
        let run = invoke(forged(place), announced()).await;
        assert_eq!(run.row()["outcome"], "SUCCEEDED", "{place}");
        assert_eq!(run.row()["snapshots_deleted_count"], 1, "{place}");
        assert!(run.removed().contains(&attribute), "{place}");
    }
    // A step that needs the time fails, and then the event is recorded.
    for place in ["/snapshot/accepted_at", "/progress/deleted/0/created_at"] {
        let run = invoke(forged(place), []).await;
        assert_eq!(run.error().name, ErrorName::Unexpected, "{place}");
        let field = place.rsplit('/').next().unwrap();
        assert!(run.error().fact.contains(field), "{}", run.error().fact);

        let entered = entered(-1, "Task", "RecordAndNotify", &forged(place));
        let history = [execution_failed("Unexpected", &run.error().fact), entered];
        let run = invoke(failed_event(), announced_after(&history)).await;
        assert_eq!(run.row()["outcome"], "FAILED", "{place}");
        assert_eq!(run.row()["app_name"], "orders", "{place}");
        assert_eq!(run.row()["failed_state"], "RecordAndNotify", "{place}");
    }
}
