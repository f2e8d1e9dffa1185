//! The exact requests of a whole invocation.

use contract::{Outcome, RecordAndNotifyOutput, Recorded};
use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, RUN_ID, SNAPSHOT};
use testkit::replay::Service;

use crate::given::{
    CREATED, NOW, STOP, deleted_snapshot, failed_event, redriven_state, succeeded, too_slow,
    too_slow_history,
};
use crate::invocation::{TOPIC, accepted, config, handle, history, marked, where_to_look, written};

/// The last state may write after an earlier redrive, and within one redrive unless the event of Step
/// Functions was recorded.
pub(crate) const STATE_MAY_WRITE: &str = "redrive_count < :redrive_count \
     OR (redrive_count = :redrive_count AND NOT outcome IN (:failed, :timed_out, :aborted)) \
     OR (attribute_not_exists(redrive_count) AND finished_at <= :finished_at)";
/// The event of a failure is later than what the last state wrote within the same redrive.
pub(crate) const EVENT_MAY_WRITE: &str = "redrive_count < :redrive_count \
     OR (redrive_count = :redrive_count) \
     OR (attribute_not_exists(redrive_count) AND finished_at <= :finished_at)";
/// If the redrive count is unknown, the clock decides.
pub(crate) const BY_THE_CLOCK: &str = "finished_at <= :finished_at";
/// Of an event whose redrive count nobody tells.
pub(crate) const UNCOUNTED_MAY_WRITE: &str =
    "attribute_not_exists(redrive_count) AND finished_at <= :finished_at";

pub(crate) fn condition(may_write: &str) -> String {
    format!("attribute_not_exists(app_name) OR (execution_arn = :execution_arn AND ({may_write}))")
}

fn key() -> Value {
    json!({ "app_name": { "S": "orders" }, "snapshot_manager_run_id": { "N": RUN_ID.to_string() } })
}

/// Plain JSON as an attribute value.
fn attribute(value: &Value) -> Value {
    match value {
        Value::String(text) => json!({ "S": text }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::Array(items) => json!({ "L": items.iter().map(attribute).collect::<Value>() }),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), attribute(value)));
            json!({ "M": fields.collect::<Value>() })
        }
        _ => panic!("the record has no {value}"),
    }
}

/// `UpdateItem` of the record: sets what it has, and removes these attributes, in this order.
fn write_request(record: &Value, removed: &str, may_write: &str) -> Value {
    let key = key();
    let fields = record.as_object().unwrap().iter();
    let mut set: Vec<(&String, &Value)> =
        fields.filter(|(name, _)| key.get(name).is_none()).collect();
    set.sort_by_key(|(name, _)| *name);
    let assignments: Vec<String> = set
        .iter()
        .map(|(name, _)| format!("#{name} = :{name}"))
        .collect();
    let removals: Vec<String> = removed.split(' ').map(|name| format!("#{name}")).collect();
    let names = set.iter().map(|(name, _)| name.as_str());
    let names = names.chain(removed.split(' '));
    let values = set
        .iter()
        .map(|(name, value)| (format!(":{name}"), attribute(value)));
    let mut values: Value = values.collect();
    if may_write == STATE_MAY_WRITE {
        for outcome in ["FAILED", "TIMED_OUT", "ABORTED"] {
            values[format!(":{}", outcome.to_lowercase())] = json!({ "S": outcome });
        }
    }
    json!({
        "TableName": "snapshot_manager_status",
        "Key": key,
        "UpdateExpression":
            format!("SET {} REMOVE {}", assignments.join(", "), removals.join(", ")),
        "ConditionExpression": condition(may_write),
        "ExpressionAttributeNames":
            names.map(|name| (format!("#{name}"), json!(name))).collect::<Value>(),
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    })
}

/// `Publish`, with all its parameters.
fn publish_request(headline: &str, record: &Value, email: &str) -> Value {
    let message = json!({ "default": record.to_string(), "email": email, "sms": headline });
    json!({
        "TopicArn": TOPIC,
        "Subject": headline,
        "MessageStructure": "json",
        "Message": message.to_string(),
        "MessageAttributes.application_name.DataType": "String",
        "MessageAttributes.application_name.StringValue": "orders",
        "MessageAttributes.outcome.DataType": "String",
        "MessageAttributes.outcome.StringValue": record["outcome"]
    })
}

/// `UpdateItem` of the mark: only if the row is as it was announced.
fn mark_request(record: &Value) -> Value {
    let finished_at = record["finished_at"].to_string();
    json!({
        "TableName": "snapshot_manager_status",
        "Key": key(),
        "UpdateExpression": "SET notified = :mark",
        "ConditionExpression":
            "execution_arn = :execution_arn AND finished_at = :finished_at",
        "ExpressionAttributeValues": {
            ":execution_arn": { "S": EXECUTION },
            ":finished_at": { "N": finished_at },
            ":mark": { "M": {
                "outcome": { "S": record["outcome"] }, "finished_at": { "N": finished_at },
                "message_id": { "S": "m-1" }
            }}
        }
    })
}

#[tokio::test]
async fn a_completed_run_makes_exactly_these_requests_to_write_notify_and_mark() {
    let record = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID,
        "outcome": "SUCCEEDED", "mode": "RUN", "execution_arn": EXECUTION,
        "started_at": RUN_ID, "finished_at": NOW, "redrive_count": 0,
        "new_snapshot_name": SNAPSHOT, "new_snapshot_create_time": CREATED,
        "flink_app_version_id": "7", "snapshot_seconds": 46,
        "snapshots_deleted": [deleted_snapshot()], "snapshots_deleted_count": 1,
        "snapshots_failed_to_be_deleted": [], "snapshots_failed_to_be_deleted_count": 0,
        "snapshots_ready": 2, "snapshots_total": 3, "newest_ready_snapshot_create_time": CREATED
    });
    let removed = "skip_reason held_back warnings plan deletions_planned failed_state error_name \
                   error_message expires_at";
    let headline = "orders: SUCCEEDED";
    let email = format!(
        "{headline}\n\n\
         Snapshot {SNAPSHOT} of application version 7 was READY within 46 s.\n\n\
         Deleted 1 snapshot.\nThe application has 2 READY snapshots, 3 in total. \
         The newest READY snapshot was created at {CREATED}.\n\n{}",
        where_to_look()
    );
    let write = write_request(&record, removed, STATE_MAY_WRITE);
    let publish = publish_request(headline, &record, &email);
    let service = Service::expecting([
        ("UpdateItem", write, written().1),
        ("Publish", publish, accepted().1),
        ("UpdateItem", mark_request(&record), marked().1),
    ]);
    let input = redriven_state(0, &succeeded());
    let run = handle(&service, Ok(config()), input, |_| ()).await;
    let output = RecordAndNotifyOutput {
        app_name: "orders".to_owned(),
        snapshot_manager_run_id: RUN_ID,
        outcome: Outcome::Succeeded,
        recorded: Recorded::Written,
        message_id: Some("m-1".to_owned()),
    };
    assert_eq!(*run.output(), output);
}

#[tokio::test]
async fn a_failed_execution_makes_exactly_these_requests_to_read_write_notify_and_mark() {
    let read = json!({
        "executionArn": EXECUTION, "maxResults": 20, "reverseOrder": true,
        "includeExecutionData": true
    });
    let record = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID,
        "outcome": "FAILED", "mode": "RUN", "execution_arn": EXECUTION,
        "started_at": RUN_ID, "finished_at": STOP, "redrive_count": 0,
        "new_snapshot_name": SNAPSHOT, "new_snapshot_create_time": CREATED,
        "flink_app_version_id": "7", "failed_state": "DescribeSnapshot",
        "error_name": "SnapshotTimedOut", "error_message": too_slow()
    });
    let removed = "snapshot_seconds skip_reason snapshots_deleted snapshots_deleted_count \
                   snapshots_failed_to_be_deleted snapshots_failed_to_be_deleted_count held_back \
                   warnings snapshots_ready snapshots_total newest_ready_snapshot_create_time plan \
                   deletions_planned expires_at";
    let headline = "orders: FAILED at DescribeSnapshot with SnapshotTimedOut";
    let email = format!(
        "{headline}\n\n\
         Snapshot {SNAPSHOT} of application version 7 was started. The run ended before the snapshot was READY.\n\n\
         Cause: {}\n\n{}",
        too_slow(),
        where_to_look()
    );
    let write = write_request(&record, removed, EVENT_MAY_WRITE);
    let publish = publish_request(headline, &record, &email);
    let service = Service::expecting([
        ("GetExecutionHistory", read, history(&too_slow_history()).1),
        ("UpdateItem", write, written().1),
        ("Publish", publish, accepted().1),
        ("UpdateItem", mark_request(&record), marked().1),
    ]);
    let run = handle(&service, Ok(config()), failed_event(), |_| ()).await;
    let output = run.output();
    assert_eq!(output.outcome, Outcome::Failed);
    assert_eq!(output.recorded, Recorded::Written);
    assert_eq!(run.message_id(), Some("m-1"));
}
