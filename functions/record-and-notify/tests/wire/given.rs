//! Inputs of the last state, events of failed executions, and histories of executions.

use contract::redrive_command;
use serde_json::{Value, json};
use testkit::fixtures::{self, EXECUTION, RUN_ID, own_snapshot};

/// When the last state runs.
pub(crate) const NOW: i64 = 1_795_377_810_000;
/// When a failed execution stopped.
pub(crate) const STOP: i64 = 1_795_384_991_500;
/// When the run's own snapshot was created.
pub(crate) const CREATED: &str = "2026-11-22T20:02:28.42Z";
/// An input that asks for announcements of problems only.
pub(crate) const ONLY_PROBLEMS: &str = r#"{"application_name":"orders","notify_on":"PROBLEMS"}"#;

/// The object with these fields added or replaced.
pub(crate) fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        panic!("not an object")
    };
    object.as_object_mut().unwrap().extend(fields);
    object
}

pub(crate) fn run_input(mode: &str) -> Value {
    json!({ "application_name": "orders", "mode": mode, "retention": { "keep_last": 2 } })
}

/// A run that did this.
pub(crate) fn run_of(mode: &str, done: Value) -> Value {
    with(done, json!({ "run": fixtures::run(run_input(mode)) }))
}

pub(crate) fn deleted_snapshot() -> Value {
    json!({
        "snapshot_name": "custom_1795118547949", "created_at": "2026-11-19T20:02:28.42Z",
        "application_version_id": 6, "reason": "no rule keeps it"
    })
}

pub(crate) fn failed_deletion() -> Value {
    json!({ "snapshot_name": "custom_1795032147949", "reason": "in use." })
}

pub(crate) fn verdict() -> Value {
    json!({
        "snapshot_name": "custom_1795118547949", "action": "DELETE",
        "reasons": ["no rule keeps it"]
    })
}

/// What a run did that took its snapshot and deleted an old one.
pub(crate) fn pruned() -> Value {
    json!({
        "snapshot": own_snapshot(),
        "pruning": "DONE", "batch": [],
        "progress": {
            "deleted_count": 1, "deleted": [deleted_snapshot()], "failed_count": 0, "failed": []
        },
        "deletions_wanted": 0, "snapshots_ready": 2, "snapshots_total": 3,
        "newest_ready_at": CREATED, "verdicts": [verdict()]
    })
}

pub(crate) fn succeeded() -> Value {
    run_of("RUN", pruned())
}

pub(crate) fn nothing_to_prune() -> Value {
    with(succeeded(), json!({ "progress": {} }))
}

pub(crate) fn deletion_failed() -> Value {
    let mut done = succeeded();
    done["progress"]["failed_count"] = 1.into();
    done["progress"]["failed"] = json!([failed_deletion()]);
    done
}

pub(crate) fn held_back(cause: &str) -> Value {
    let held_back =
        json!({ "cause": cause, "deletions_wanted": 3, "message": "Three are held back." });
    with(succeeded(), json!({ "held_back": held_back }))
}

pub(crate) fn skipped() -> Value {
    let done = json!({
        "snapshot_creation": "SKIPPED", "wait_seconds": 15,
        "skip_reason": "The application orders is not running (status READY). Only a RUNNING application can take a snapshot."
    });
    run_of("RUN", done)
}

pub(crate) fn planned() -> Value {
    let plan = json!({ "snapshot": null, "progress": {}, "deletions_wanted": 1 });
    run_of("PLAN", with(pruned(), plan))
}

/// The run has these two warnings too, the second of which tries to forge a line.
pub(crate) fn warned(done: Value) -> Value {
    let warnings = ["The restore point before-upgrade is not listed.", "A\nb."];
    with(done, json!({ "warnings": warnings }))
}

/// The run asks for announcements of problems only.
pub(crate) fn only_problems(mut done: Value) -> Value {
    done["run"]["input"]["notify_on"] = "PROBLEMS".into();
    done
}

/// The input of `DescribeSnapshot` when it failed.
pub(crate) fn waiting() -> Value {
    let mut snapshot = own_snapshot();
    snapshot["seconds"] = Value::Null;
    run_of("RUN", json!({ "snapshot": snapshot }))
}

/// The input of the last state after this many redrives.
pub(crate) fn redriven_state(redrive_count: u32, done: &Value) -> Value {
    json!({ "redrive_count": redrive_count, "done": done })
}

/// The event of an execution that ended with this status and these details.
pub(crate) fn event(status: &str, details: Value) -> Value {
    let detail = json!({
        "executionArn": EXECUTION, "status": status, "startDate": RUN_ID, "stopDate": STOP,
        "name": "nightly", "output": null, "redriveCount": 0
    });
    json!({
        "version": "0", "source": "aws.states", "detail": with(detail, details),
        "detail-type": "Step Functions Execution Status Change"
    })
}

/// The event of a run of `orders` that failed because its snapshot was too slow.
pub(crate) fn failed_event() -> Value {
    event(
        "FAILED",
        json!({
            "input": r#"{"application_name":"orders"}"#,
            "error": "SnapshotTimedOut", "cause": lambda_cause("SnapshotTimedOut", &too_slow())
        }),
    )
}

/// The event of an execution that was redriven this many times.
pub(crate) fn redriven_event(redrive_count: u32) -> Value {
    let mut event = failed_event();
    event["detail"]["redriveCount"] = redrive_count.into();
    event
}

/// The event without the redrive count.
pub(crate) fn uncounted_event() -> Value {
    let mut event = failed_event();
    let detail = event["detail"].as_object_mut().unwrap();
    detail.remove("redriveCount");
    event
}

/// An error message as every step writes it.
pub(crate) fn too_slow() -> String {
    format!(
        "It is still CREATING. Redrive when it is READY. Command: {}",
        redrive_command(EXECUTION)
    )
}

pub(crate) fn lambda_cause(name: &str, message: &str) -> String {
    json!({ "errorType": name, "errorMessage": message, "trace": [] }).to_string()
}

/// An event of the history, this many seconds after the execution stopped. `field` is the name of its
/// details without the end.
pub(crate) fn happened(after_stop: i64, kind: &str, field: &str, details: Value) -> Value {
    let millis = STOP + after_stop * 1_000;
    let timestamp = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    let timestamp: Value = serde_json::from_str(&timestamp).unwrap();
    let mut event = json!({
        "timestamp": timestamp, "type": kind, "id": 9, "previousEventId": 8
    });
    event[format!("{field}EventDetails")] = details;
    event
}

pub(crate) fn ended(after_stop: i64, how: &str, details: Value) -> Value {
    let (kind, field) = (format!("Execution{how}"), format!("execution{how}"));
    happened(after_stop, &kind, &field, details)
}

pub(crate) fn execution_failed(error: &str, message: &str) -> Value {
    let cause = lambda_cause(error, message);
    ended(0, "Failed", json!({ "error": error, "cause": cause }))
}

pub(crate) fn task_failed() -> Value {
    let details = json!({ "resource": "invoke", "resourceType": "lambda", "error": "Lambda.Gone" });
    happened(0, "TaskFailed", "taskFailed", details)
}

pub(crate) fn entered(after_stop: i64, kind: &str, name: &str, input: &Value) -> Value {
    let details = json!({ "name": name, "input": input.to_string() });
    let kind = format!("{kind}StateEntered");
    happened(after_stop, &kind, "stateEntered", details)
}

pub(crate) fn exited(after_stop: i64, name: &str, output: &Value) -> Value {
    let details = json!({ "name": name, "output": output.to_string() });
    happened(after_stop, "TaskStateExited", "stateExited", details)
}

pub(crate) fn redriven(after_stop: i64) -> Value {
    ended(after_stop, "Redriven", json!({ "redriveCount": 1 }))
}

/// The run failed while it waited for its snapshot.
pub(crate) fn too_slow_history() -> Vec<Value> {
    vec![
        execution_failed("SnapshotTimedOut", &too_slow()),
        task_failed(),
        entered(-1, "Task", "DescribeSnapshot", &waiting()),
        exited(-1, "WaitForSnapshot", &json!("not read")),
    ]
}
