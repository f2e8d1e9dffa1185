//! The handler on the wire: which requests it sends, and what it makes of each answer.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use contract::{ErrorName, Outcome, RecordAndNotifyOutput, Recorded, redrive_command};
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use step::StepError;
use testkit::replay::{Answer, Service};

type Exchange = (&'static str, Answer);

const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:nightly";
const OTHER_EXECUTION: &str =
    "arn:aws:states:eu-central-1:123456789012:execution:snapshots:by-hand";
const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:snapshots";
const RUN_ID: i64 = 1_795_377_747_949;
/// When the machine's last state runs.
const NOW: i64 = 1_795_377_810_000;
/// When a failed execution stopped.
const STOP: i64 = 1_795_384_991_500;

// ---- What the function is given ----

fn run_input(mode: &str) -> Value {
    json!({ "application_name": "orders", "mode": mode, "retention": { "keep_last": 2 } })
}

/// A run, with what it has done.
fn run_of(mode: &str, done: Value) -> Value {
    let run = json!({
        "run_id": RUN_ID, "execution_arn": EXECUTION, "input": run_input(mode)
    });
    let mut state = json!({ "run": run });
    merge(&mut state, done);
    state
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn snapshot() -> Value {
    json!({
        "name": "custom_1795377747949", "accepted_at": "2026-11-22T20:02:28.401Z",
        "created_at": "2026-11-22T20:02:28.42Z", "application_version_id": 7, "seconds": 46
    })
}

fn deleted_snapshot() -> Value {
    json!({
        "snapshot_name": "custom_1795118547949", "created_at": "2026-11-19T20:02:28.42Z",
        "application_version_id": 6, "reason": "not among the newest 2 (keep_last)"
    })
}

fn failed_deletion() -> Value {
    json!({ "snapshot_name": "custom_1795032147949", "reason": "in use." })
}

fn verdict() -> Value {
    json!({
        "snapshot_name": "custom_1795118547949", "action": "DELETE",
        "reasons": ["not among the newest 2 (keep_last)"]
    })
}

/// What a run has done that took its snapshot and deleted an old one.
fn pruned() -> Value {
    json!({
        "snapshot": snapshot(),
        "pruning": "DONE", "batch": [],
        "progress": {
            "deleted_count": 1, "deleted": [deleted_snapshot()], "failed_count": 0, "failed": []
        },
        "deletions_wanted": 0, "snapshots_ready": 2, "snapshots_total": 3,
        "newest_ready_at": "2026-11-22T20:02:28.42Z", "verdicts": [verdict()]
    })
}

fn succeeded() -> Value {
    run_of("RUN", pruned())
}

fn nothing_to_prune() -> Value {
    let mut done = pruned();
    done["progress"] = json!({});
    run_of("RUN", done)
}

fn deletion_failed() -> Value {
    let mut done = pruned();
    done["progress"]["failed_count"] = 1.into();
    done["progress"]["failed"] = json!([failed_deletion()]);
    run_of("RUN", done)
}

fn held_back(cause: &str) -> Value {
    let mut done = pruned();
    done["held_back"] = json!({
        "cause": cause, "deletions_wanted": 3, "message": "Three are held back."
    });
    run_of("RUN", done)
}

fn skipped() -> Value {
    let done = json!({
        "snapshot_creation": "SKIPPED", "wait_seconds": 15,
        "skip_reason": "The application orders is READY, not RUNNING."
    });
    run_of("RUN", done)
}

fn planned() -> Value {
    let mut done = pruned();
    done["snapshot"] = Value::Null;
    done["progress"] = json!({});
    done["deletions_wanted"] = 1.into();
    run_of("PLAN", done)
}

fn only_problems(mut input: Value) -> Value {
    input["run"]["input"]["notify_on"] = "PROBLEMS".into();
    input
}

/// The event of an execution that ended as `status`, with what else it tells.
fn event(status: &str, tells: Value) -> Value {
    let mut detail = json!({
        "executionArn": EXECUTION, "status": status, "startDate": RUN_ID, "stopDate": STOP,
        "name": "nightly", "output": null, "redriveCount": 0
    });
    merge(&mut detail, tells);
    json!({
        "version": "0", "source": "aws.states", "detail": detail,
        "detail-type": "Step Functions Execution Status Change"
    })
}

/// The event of a run of `orders` whose snapshot was too slow.
fn failed_event() -> Value {
    event(
        "FAILED",
        json!({
            "input": r#"{"application_name":"orders"}"#,
            "error": "SnapshotTimedOut", "cause": lambda_cause("SnapshotTimedOut", &too_slow())
        }),
    )
}

/// An error's message as every step words it.
fn too_slow() -> String {
    format!(
        "It is still CREATING. Redrive when it is READY. Command: {}",
        redrive_command(EXECUTION)
    )
}

fn lambda_cause(name: &str, message: &str) -> String {
    json!({ "errorType": name, "errorMessage": message, "trace": [] }).to_string()
}

// ---- What the services answer ----

/// `UpdateItem` carried out, on a row that says this of earlier announcements.
fn updated(notified: Option<(&str, i64)>) -> Exchange {
    let mut row = json!({ "app_name": { "S": "orders" }, "execution_arn": { "S": EXECUTION } });
    if let Some((outcome, finished_at)) = notified {
        row["notified"] = json!({ "M": {
            "outcome": { "S": outcome }, "finished_at": { "N": finished_at.to_string() },
            "message_id": { "S": "earlier" }
        }});
    }
    ("UpdateItem", Answer::Ok(json!({ "Attributes": row })))
}

/// The condition failed on this row.
fn condition_failed(row: Option<Value>) -> Answer {
    let mut body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed"
    });
    if let Some(row) = row {
        body["Item"] = row;
    }
    Answer::Refusal(400, body)
}

fn accepted() -> Answer {
    Answer::Text(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
         <MessageId>m-1</MessageId></PublishResult></PublishResponse>"
            .to_owned(),
    )
}

fn published() -> Exchange {
    ("Publish", accepted())
}

fn marked() -> Exchange {
    ("UpdateItem", Answer::Ok(json!({})))
}

/// A row is written, the run is announced, the row is marked.
fn announced() -> Vec<Exchange> {
    vec![updated(None), published(), marked()]
}

/// The history, newest event first, then the same.
fn announced_after(events: &[Value]) -> Vec<Exchange> {
    let history = ("GetExecutionHistory", page(events, None));
    [history].into_iter().chain(announced()).collect()
}

fn page(events: &[Value], next: Option<&str>) -> Answer {
    let mut page = json!({ "events": events });
    if let Some(next) = next {
        page["nextToken"] = next.into();
    }
    Answer::Ok(page)
}

/// An event of the history, so many seconds after the execution stopped. `of` is what its details
/// are called for.
fn happened(after_stop: i64, kind: &str, of: &str, details: Value) -> Value {
    let millis = STOP + after_stop * 1_000;
    let timestamp = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    let timestamp: Value = serde_json::from_str(&timestamp).unwrap();
    let mut event = json!({
        "timestamp": timestamp, "type": kind, "id": 9, "previousEventId": 8
    });
    event[format!("{of}EventDetails")] = details;
    event
}

fn ended(after_stop: i64, how: &str, details: Value) -> Value {
    let (kind, of) = (format!("Execution{how}"), format!("execution{how}"));
    happened(after_stop, &kind, &of, details)
}

fn execution_failed(error: &str, message: &str) -> Value {
    let cause = lambda_cause(error, message);
    ended(0, "Failed", json!({ "error": error, "cause": cause }))
}

fn task_failed() -> Value {
    let details = json!({ "resource": "invoke", "resourceType": "lambda", "error": "Lambda.Gone" });
    happened(0, "TaskFailed", "taskFailed", details)
}

fn entered(after_stop: i64, kind: &str, name: &str, input: &Value) -> Value {
    let details = json!({ "name": name, "input": input.to_string() });
    let kind = format!("{kind}StateEntered");
    happened(after_stop, &kind, "stateEntered", details)
}

fn exited(after_stop: i64, name: &str, output: &Value) -> Value {
    let details = json!({ "name": name, "output": output.to_string() });
    happened(after_stop, "TaskStateExited", "stateExited", details)
}

fn redriven(after_stop: i64) -> Value {
    let details = json!({ "redriveCount": 1 });
    happened(
        after_stop,
        "ExecutionRedriven",
        "executionRedriven",
        details,
    )
}

/// What `DescribeSnapshot` was given when it failed.
fn waiting() -> Value {
    let mut taken = snapshot();
    taken["seconds"] = Value::Null;
    run_of("RUN", json!({ "snapshot": taken }))
}

/// A run that failed while it waited for its snapshot.
fn too_slow_history() -> Vec<Value> {
    vec![
        execution_failed("SnapshotTimedOut", &too_slow()),
        task_failed(),
        entered(-1, "Task", "DescribeSnapshot", &waiting()),
        exited(-1, "WaitForSnapshot", &json!("not looked at")),
    ]
}

// ---- Running it ----

fn config() -> Config {
    Config {
        table_name: "snapshot_manager_status".to_owned(),
        topic_arn: TOPIC.to_owned(),
        application_name: None,
        record_retention_days: None,
    }
}

/// What the last state is given after so many redrives.
fn redriven_state(redrive_count: u32, done: &Value) -> Value {
    json!({ "redrive_count": redrive_count, "done": done })
}

/// The event of an execution that was redriven so often.
fn redriven_event(redrive_count: u32) -> Value {
    let mut event = failed_event();
    event["detail"]["redriveCount"] = redrive_count.into();
    event
}

async fn handle(
    service: &Service,
    config: Result<Config, String>,
    input: Value,
) -> Result<RecordAndNotifyOutput, StepError> {
    let clients = Clients::new(&service.config());
    let now = jiff::Timestamp::from_millisecond(NOW).unwrap();
    let given = if input.get("run").is_some() {
        redriven_state(0, &input)
    } else {
        input
    };
    let answer = record_and_notify::handle(&clients, &config, given, now, |_| ()).await;
    service.assert_done();
    answer
}

/// An invocation: what it answered, and what it sent.
struct Invocation {
    answer: Result<RecordAndNotifyOutput, StepError>,
    sent: Vec<(String, Value)>,
}

async fn invoke(input: Value, answers: impl IntoIterator<Item = Exchange>) -> Invocation {
    let service = Service::answering(answers);
    let answer = handle(&service, Ok(config()), input).await;
    let sent = service.sent();
    Invocation { answer, sent }
}

impl Invocation {
    fn output(&self) -> &RecordAndNotifyOutput {
        self.answer.as_ref().unwrap()
    }

    fn error(&self) -> &StepError {
        self.answer.as_ref().unwrap_err()
    }

    fn first(&self, operation: &str) -> &Value {
        let found = self.sent.iter().find(|(sent, _)| sent == operation);
        &found.unwrap_or_else(|| panic!("no {operation} was sent")).1
    }

    fn is_announced(&self) -> bool {
        self.sent.iter().any(|(sent, _)| sent == "Publish")
    }

    /// The row as it is written, as plain JSON.
    fn row(&self) -> Value {
        let update = self.first("UpdateItem");
        let values = update["ExpressionAttributeValues"].as_object().unwrap();
        let names = update["ExpressionAttributeNames"].as_object().unwrap();
        // The others are the condition's.
        let values = values
            .iter()
            .map(|(name, value)| (name.strip_prefix(':').unwrap().to_owned(), plain(value)))
            .filter(|(name, _)| names.contains_key(&format!("#{name}")));
        let key = update["Key"].as_object().unwrap();
        let key = key.iter().map(|(name, value)| (name.clone(), plain(value)));
        key.chain(values).collect()
    }

    fn subject(&self) -> &str {
        self.first("Publish")["Subject"].as_str().unwrap()
    }

    /// The message as it is published: one text for each protocol.
    fn message(&self) -> Value {
        let message = self.first("Publish")["Message"].as_str().unwrap();
        serde_json::from_str(message).unwrap()
    }

    fn email(&self) -> String {
        self.message()["email"].as_str().unwrap().to_owned()
    }

    /// The record as programs are told it.
    fn told(&self) -> Value {
        serde_json::from_str(self.message()["default"].as_str().unwrap()).unwrap()
    }
}

/// An attribute value as plain JSON.
fn plain(attribute: &Value) -> Value {
    let (kind, value) = attribute.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => value.clone(),
        "N" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "L" => value.as_array().unwrap().iter().map(plain).collect(),
        "M" => {
            let map = value.as_object().unwrap();
            map.iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect()
        }
        _ => panic!("the record has no {kind}"),
    }
}

/// The names of a row's attributes, sorted.
fn names(row: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = row
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn console(execution_arn: &str) -> String {
    format!(
        "https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1\
         #/v2/executions/details/{execution_arn}"
    )
}

/// The last two paragraphs of every e-mail.
fn where_to_look() -> String {
    format!(
        "Execution: {}\n\nRecord: app_name orders, snapshot_manager_run_id {RUN_ID}",
        console(EXECUTION)
    )
}

/// `UpdateItem` of the mark: only of the row as it was announced.
fn mark_request(outcome: &str, finished_at: i64) -> Value {
    json!({
        "TableName": "snapshot_manager_status",
        "Key": key(),
        "UpdateExpression": "SET notified = :told",
        "ConditionExpression":
            "execution_arn = :execution_arn AND finished_at = :finished_at",
        "ExpressionAttributeValues": {
            ":execution_arn": { "S": EXECUTION },
            ":finished_at": { "N": finished_at.to_string() },
            ":told": { "M": {
                "outcome": { "S": outcome }, "finished_at": { "N": finished_at.to_string() },
                "message_id": { "S": "m-1" }
            }}
        }
    })
}

fn key() -> Value {
    json!({ "app_name": { "S": "orders" }, "snapshot_manager_run_id": { "N": RUN_ID.to_string() } })
}

/// When the last state may write: after an earlier redrive, or in the same one unless the event was there.
const NOT_LATER_THAN_A_STATE: &str = "redrive_count < :redrive_count \
     OR (redrive_count = :redrive_count AND NOT outcome IN (:failed, :timed_out, :aborted)) \
     OR (attribute_not_exists(redrive_count) AND finished_at <= :finished_at)";
/// When the event of a failure may write: it stands above what the last state wrote.
const NOT_LATER_THAN_AN_EVENT: &str = "redrive_count < :redrive_count \
     OR (redrive_count = :redrive_count) \
     OR (attribute_not_exists(redrive_count) AND finished_at <= :finished_at)";
/// Where the redrive count is not known.
const NOT_LATER_BY_THE_CLOCK: &str = "finished_at <= :finished_at";

fn condition(not_later: &str) -> String {
    format!("attribute_not_exists(app_name) OR (execution_arn = :execution_arn AND ({not_later}))")
}

/// `UpdateItem` of the record: sets `set`, removes `removed`, both in the order of the expression.
fn write_request(set: &[(&str, Value)], removed: &str, not_later: &str) -> Value {
    let removed: Vec<&str> = removed.split_whitespace().collect();
    let assign = |(name, _): &(&str, Value)| format!("#{name} = :{name}");
    let assignments: Vec<String> = set.iter().map(assign).collect();
    let removals: Vec<String> = removed.iter().map(|name| format!("#{name}")).collect();
    let names = set.iter().map(|(name, _)| name).chain(&removed);
    let names: Value = names
        .map(|name| (format!("#{name}"), json!(name)))
        .collect();
    let mut values: Value = set
        .iter()
        .map(|(name, value)| (format!(":{name}"), value.clone()))
        .collect();
    if not_later == NOT_LATER_THAN_A_STATE {
        for outcome in ["FAILED", "TIMED_OUT", "ABORTED"] {
            values[format!(":{}", outcome.to_lowercase())] = json!({ "S": outcome });
        }
    }
    json!({
        "TableName": "snapshot_manager_status",
        "Key": key(),
        "UpdateExpression":
            format!("SET {} REMOVE {}", assignments.join(", "), removals.join(", ")),
        "ConditionExpression": condition(not_later),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    })
}

/// `Publish`, with all its parameters.
fn publish_request(headline: &str, outcome: &str, record: &Value, email: &str) -> Value {
    let message = json!({ "default": record.to_string(), "email": email, "sms": headline });
    json!({
        "TopicArn": TOPIC,
        "Subject": headline,
        "MessageStructure": "json",
        "Message": message.to_string(),
        "MessageAttributes.application_name.DataType": "String",
        "MessageAttributes.application_name.StringValue": "orders",
        "MessageAttributes.outcome.DataType": "String",
        "MessageAttributes.outcome.StringValue": outcome
    })
}

// ---- Whole exchanges ----

#[tokio::test]
async fn a_run_is_written_then_announced_then_marked_with_exactly_these_requests() {
    let write = write_request(
        &[
            ("execution_arn", json!({ "S": EXECUTION })),
            ("finished_at", json!({ "N": NOW.to_string() })),
            ("flink_app_version_id", json!({ "S": "7" })),
            ("mode", json!({ "S": "RUN" })),
            (
                "new_snapshot_create_time",
                json!({ "S": "2026-11-22T20:02:28.42Z" }),
            ),
            ("new_snapshot_name", json!({ "S": "custom_1795377747949" })),
            (
                "newest_ready_snapshot_create_time",
                json!({ "S": "2026-11-22T20:02:28.42Z" }),
            ),
            ("outcome", json!({ "S": "SUCCEEDED" })),
            ("redrive_count", json!({ "N": "0" })),
            ("snapshot_seconds", json!({ "N": "46" })),
            (
                "snapshots_deleted",
                json!({ "L": [{ "M": {
                    "snapshot_name": { "S": "custom_1795118547949" },
                    "created_at": { "S": "2026-11-19T20:02:28.42Z" },
                    "application_version_id": { "N": "6" },
                    "reason": { "S": "not among the newest 2 (keep_last)" }
                }}]}),
            ),
            ("snapshots_deleted_count", json!({ "N": "1" })),
            ("snapshots_failed_to_be_deleted", json!({ "L": [] })),
            ("snapshots_failed_to_be_deleted_count", json!({ "N": "0" })),
            ("snapshots_ready", json!({ "N": "2" })),
            ("snapshots_total", json!({ "N": "3" })),
            ("started_at", json!({ "N": RUN_ID.to_string() })),
        ],
        "skip_reason held_back plan deletions_planned failed_state error_name \
         error_message expires_at",
        NOT_LATER_THAN_A_STATE,
    );
    let record = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID,
        "outcome": "SUCCEEDED", "mode": "RUN", "execution_arn": EXECUTION,
        "started_at": RUN_ID, "finished_at": NOW, "redrive_count": 0,
        "new_snapshot_name": "custom_1795377747949",
        "new_snapshot_create_time": "2026-11-22T20:02:28.42Z",
        "flink_app_version_id": "7", "snapshot_seconds": 46,
        "snapshots_deleted": [deleted_snapshot()], "snapshots_deleted_count": 1,
        "snapshots_failed_to_be_deleted": [], "snapshots_failed_to_be_deleted_count": 0,
        "snapshots_ready": 2, "snapshots_total": 3,
            "newest_ready_snapshot_create_time": "2026-11-22T20:02:28.42Z"
    });
    let email = format!(
        "orders: SUCCEEDED\n\n\
         Snapshot custom_1795377747949 of application version 7 was READY within 46 s.\n\n\
         Deleted 1 snapshots.\nThe application has 2 READY snapshots, 3 in all; \
         the newest READY one is of 2026-11-22T20:02:28.42Z.\n\n{}",
        where_to_look()
    );
    let publish = publish_request("orders: SUCCEEDED", "SUCCEEDED", &record, &email);
    let service = Service::expecting([
        ("UpdateItem", write, updated(None).1),
        ("Publish", publish, accepted()),
        ("UpdateItem", mark_request("SUCCEEDED", NOW), marked().1),
    ]);
    let output = handle(&service, Ok(config()), succeeded()).await.unwrap();
    assert_eq!(
        output,
        RecordAndNotifyOutput {
            app_name: "orders".to_owned(),
            snapshot_manager_run_id: RUN_ID,
            outcome: Outcome::Succeeded,
            recorded: Recorded::Written,
            message_id: Some("m-1".to_owned()),
        }
    );
}

#[tokio::test]
async fn a_failed_execution_is_looked_up_written_announced_and_marked_with_exactly_these_requests()
{
    let look = json!({
        "executionArn": EXECUTION, "maxResults": 100, "reverseOrder": true,
        "includeExecutionData": true
    });
    let write = write_request(
        &[
            ("error_message", json!({ "S": too_slow() })),
            ("error_name", json!({ "S": "SnapshotTimedOut" })),
            ("execution_arn", json!({ "S": EXECUTION })),
            ("failed_state", json!({ "S": "DescribeSnapshot" })),
            ("finished_at", json!({ "N": STOP.to_string() })),
            ("flink_app_version_id", json!({ "S": "7" })),
            ("mode", json!({ "S": "RUN" })),
            (
                "new_snapshot_create_time",
                json!({ "S": "2026-11-22T20:02:28.42Z" }),
            ),
            ("new_snapshot_name", json!({ "S": "custom_1795377747949" })),
            ("outcome", json!({ "S": "FAILED" })),
            ("redrive_count", json!({ "N": "0" })),
            ("started_at", json!({ "N": RUN_ID.to_string() })),
        ],
        "snapshot_seconds skip_reason snapshots_deleted snapshots_deleted_count \
         snapshots_failed_to_be_deleted snapshots_failed_to_be_deleted_count \
         held_back snapshots_ready snapshots_total newest_ready_snapshot_create_time plan deletions_planned \
         expires_at",
        NOT_LATER_THAN_AN_EVENT,
    );
    let record = json!({
        "app_name": "orders", "snapshot_manager_run_id": RUN_ID,
        "outcome": "FAILED", "mode": "RUN", "execution_arn": EXECUTION,
        "started_at": RUN_ID, "finished_at": STOP, "redrive_count": 0,
        "new_snapshot_name": "custom_1795377747949",
        "new_snapshot_create_time": "2026-11-22T20:02:28.42Z", "flink_app_version_id": "7",
        "failed_state": "DescribeSnapshot", "error_name": "SnapshotTimedOut",
        "error_message": too_slow()
    });
    let headline = "orders: FAILED at DescribeSnapshot with SnapshotTimedOut";
    let email = format!(
        "{headline}\n\n\
         Snapshot custom_1795377747949 of application version 7 was begun and not seen READY.\n\n\
         Cause: {}\n\n{}",
        too_slow(),
        where_to_look()
    );
    let publish = publish_request(headline, "FAILED", &record, &email);
    let service = Service::expecting([
        ("GetExecutionHistory", look, page(&too_slow_history(), None)),
        ("UpdateItem", write, updated(None).1),
        ("Publish", publish, accepted()),
        ("UpdateItem", mark_request("FAILED", STOP), marked().1),
    ]);
    let output = handle(&service, Ok(config()), failed_event())
        .await
        .unwrap();
    assert_eq!(output.outcome, Outcome::Failed);
    assert_eq!(output.recorded, Recorded::Written);
    assert_eq!(output.message_id.as_deref(), Some("m-1"));
}

// ---- Outcomes ----

#[tokio::test]
async fn each_end_of_the_machine_has_its_outcome() {
    use Outcome::{Planned, PruneIncomplete, Skipped, Succeeded};
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
        let end = format!("{input}");
        let run = invoke(input, announced()).await;
        assert_eq!(run.output().outcome, outcome, "{end}");
        assert_eq!(run.row()["outcome"], outcome.as_str(), "{end}");
        assert_eq!(run.told()["outcome"], outcome.as_str(), "{end}");
        assert_eq!(run.subject(), format!("orders: {}", outcome.as_str()));
        let attribute = &run.first("Publish")["MessageAttributes.outcome.StringValue"];
        assert_eq!(attribute, outcome.as_str(), "{end}");
    }
}

#[tokio::test]
async fn programs_are_told_what_the_row_says() {
    for input in [
        succeeded(),
        nothing_to_prune(),
        deletion_failed(),
        held_back("TOO_MANY_FAILURES"),
        skipped(),
        planned(),
    ] {
        let run = invoke(input, announced()).await;
        assert_eq!(run.told(), run.row());
    }
}

#[tokio::test]
async fn a_run_with_nothing_to_prune_says_that_it_deleted_none() {
    let run = invoke(nothing_to_prune(), announced()).await;
    let row = run.row();
    assert_eq!(row["snapshots_deleted"], json!([]));
    assert_eq!(row["snapshots_deleted_count"], 0);
    assert_eq!(row["snapshots_failed_to_be_deleted_count"], 0);
    assert!(run.email().contains("Deleted 0 snapshots."));
}

#[tokio::test]
async fn a_skipped_run_says_why_and_nothing_about_snapshots() {
    let run = invoke(skipped(), announced()).await;
    assert_eq!(
        run.row(),
        json!({
            "app_name": "orders", "snapshot_manager_run_id": RUN_ID, "outcome": "SKIPPED",
            "mode": "RUN", "execution_arn": EXECUTION, "started_at": RUN_ID, "finished_at": NOW,
            "redrive_count": 0,
            "skip_reason": "The application orders is READY, not RUNNING."
        })
    );
    let email = format!(
        "orders: SKIPPED\n\nSkipped: The application orders is READY, not RUNNING.\n\n{}",
        where_to_look()
    );
    assert_eq!(run.email(), email);
}

#[tokio::test]
async fn a_plan_is_recorded_as_a_plan_and_not_as_deletions() {
    let run = invoke(planned(), announced()).await;
    assert_eq!(
        run.row(),
        json!({
            "app_name": "orders", "snapshot_manager_run_id": RUN_ID, "outcome": "PLANNED",
            "mode": "PLAN", "execution_arn": EXECUTION, "started_at": RUN_ID, "finished_at": NOW,
            "redrive_count": 0,
            "plan": [verdict()], "deletions_planned": 1,
            "snapshots_ready": 2, "snapshots_total": 3,
            "newest_ready_snapshot_create_time": "2026-11-22T20:02:28.42Z"
        })
    );
    let email = run.email();
    assert!(
        email.contains("The plan would delete 1 snapshots."),
        "{email}"
    );
    assert!(!email.contains("Deleted"), "{email}");
}

#[tokio::test]
async fn failed_deletions_and_what_was_held_back_are_recorded_and_told_with_their_reasons() {
    let run = invoke(deletion_failed(), announced()).await;
    let row = run.row();
    assert_eq!(
        row["snapshots_failed_to_be_deleted"],
        json!([failed_deletion()])
    );
    assert_eq!(row["snapshots_failed_to_be_deleted_count"], 1);
    assert!(run.email().contains(
        "Deleted 1 snapshots. 1 could not be deleted:\n- custom_1795032147949: in use.\n"
    ));

    let run = invoke(held_back("MAX_DELETIONS_PER_RUN"), announced()).await;
    assert_eq!(
        run.row()["held_back"],
        json!({
            "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 3,
            "message": "Three are held back."
        })
    );
    assert!(
        run.email()
            .contains("\n\nHeld back: Three are held back.\n\n")
    );
}

#[tokio::test]
async fn each_bad_end_of_an_execution_has_its_outcome() {
    for (status, how, outcome) in [
        ("FAILED", "Failed", Outcome::Failed),
        ("TIMED_OUT", "TimedOut", Outcome::TimedOut),
        ("ABORTED", "Aborted", Outcome::Aborted),
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
        assert_eq!(
            run.subject(),
            format!("orders: {status} at DescribeSnapshot with Odd")
        );
    }
}

// ---- Whom to tell, and how often ----

#[tokio::test]
async fn runs_that_ask_for_problems_only_are_recorded_all_and_announced_when_bad() {
    for (input, is_told) in [
        (succeeded(), false),
        (skipped(), false),
        (planned(), false),
        (held_back("LEFT_TO_LATER_RUN"), false),
        (held_back("MAX_DELETIONS_PER_RUN"), true),
        (deletion_failed(), true),
    ] {
        let answers = if is_told {
            announced()
        } else {
            vec![updated(None), marked()]
        };
        let run = invoke(only_problems(input), answers).await;
        assert_eq!(run.output().recorded, Recorded::Written);
        let message_id = is_told.then_some("m-1");
        assert_eq!(run.output().message_id.as_deref(), message_id);
    }
    for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
        let input = r#"{"application_name":"orders","notify_on":"PROBLEMS"}"#;
        let event = event(status, json!({ "input": input }));
        let run = invoke(event, announced_after(&[])).await;
        assert!(run.is_announced(), "{status}");
    }
}

#[tokio::test]
async fn what_was_announced_is_not_announced_again() {
    for (input, earlier, is_told) in [
        // The machine tries its last state again, later.
        (succeeded(), ("SUCCEEDED", NOW - 5_000), false),
        (deletion_failed(), ("PRUNE_INCOMPLETE", NOW - 5_000), false),
        // It is redriven, and ends otherwise.
        (succeeded(), ("FAILED", NOW - 5_000), true),
        (succeeded(), ("ABORTED", NOW), true),
        (deletion_failed(), ("SUCCEEDED", NOW - 5_000), true),
    ] {
        let first = updated(Some(earlier));
        let answers = if is_told {
            vec![first, published(), marked()]
        } else {
            vec![first]
        };
        let run = invoke(input, answers).await;
        let message_id = if is_told { "m-1" } else { "earlier" };
        assert_eq!(run.output().message_id.as_deref(), Some(message_id));
        assert_eq!(run.output().recorded, Recorded::Written);
    }
    for (earlier, is_told) in [
        // The same event again.
        (("FAILED", STOP), false),
        // It was redriven, and failed again.
        (("FAILED", STOP - 60_000), true),
        (("TIMED_OUT", STOP), true),
        // Its last state was done, but nobody took the answer.
        (("SUCCEEDED", STOP - 1), true),
    ] {
        let history = ("GetExecutionHistory", page(&too_slow_history(), None));
        let mut answers = vec![history, updated(Some(earlier))];
        if is_told {
            answers.extend([published(), marked()]);
        }
        let run = invoke(failed_event(), answers).await;
        assert_eq!(run.is_announced(), is_told, "{earlier:?}");
    }
}

#[tokio::test]
async fn success_after_an_announced_failure_is_announced_and_removes_the_error() {
    let answers = [
        updated(Some(("FAILED", NOW - 5_000))),
        published(),
        marked(),
    ];
    let run = invoke(succeeded(), answers).await;
    assert_eq!(run.subject(), "orders: SUCCEEDED");
    let update = run.first("UpdateItem");
    let expression = update["UpdateExpression"].as_str().unwrap();
    let (_, removed) = expression.split_once(" REMOVE ").unwrap();
    for name in ["#failed_state", "#error_name", "#error_message"] {
        assert!(removed.split(", ").any(|removed| removed == name), "{name}");
    }
    assert!(
        !expression.contains("notified"),
        "the mark outlives a write"
    );
}

/// A row of this execution as the table has it, with what was told of it.
fn row_that_says(outcome: &str, finished_at: i64, told: Value) -> Value {
    let mut row = json!({
        "app_name": { "S": "orders" }, "execution_arn": { "S": EXECUTION },
        "snapshot_manager_run_id": { "N": RUN_ID.to_string() }, "outcome": { "S": outcome },
        "started_at": { "N": RUN_ID.to_string() }, "finished_at": { "N": finished_at.to_string() },
        "redrive_count": { "N": "1" }
    });
    merge(&mut row, told);
    row
}

fn announced_as(outcome: &str, finished_at: i64) -> Value {
    json!({ "notified": { "M": {
        "outcome": { "S": outcome }, "finished_at": { "N": finished_at.to_string() },
        "message_id": { "S": "earlier" }
    }}})
}

#[tokio::test]
async fn what_is_older_than_the_row_is_neither_written_nor_announced() {
    let measured = json!({ "measured": { "S": "SUCCEEDED" } });
    // A kind of attribute that no record has.
    let unreadable = json!({ "plan": { "B": "AAAA" } });
    for (row, is_silent) in [
        (
            row_that_says("SUCCEEDED", NOW, announced_as("SUCCEEDED", NOW - 5)),
            false,
        ),
        (
            row_that_says("FAILED", STOP, announced_as("FAILED", STOP)),
            false,
        ),
        (row_that_says("SUCCEEDED", NOW, measured), true),
        (row_that_says("SUCCEEDED", NOW, unreadable), false),
    ] {
        let superseded = ("UpdateItem", condition_failed(Some(row)));
        let history = ("GetExecutionHistory", page(&too_slow_history(), None));
        let mut event = failed_event();
        let mut state = succeeded();
        if is_silent {
            let input = r#"{"application_name":"orders","notify_on":"PROBLEMS"}"#;
            event["detail"]["input"] = input.into();
            state = only_problems(state);
        }
        for (input, answers) in [
            (state, vec![superseded.clone()]),
            (event, vec![history, superseded]),
        ] {
            let run = invoke(input, answers).await;
            assert_eq!(run.output().recorded, Recorded::Superseded);
            assert_eq!(run.output().message_id, None);
        }
    }
}

#[tokio::test]
async fn a_later_end_that_was_never_announced_is_announced_by_whoever_comes_next() {
    let nothing = json!({});
    for (outcome, finished_at, told) in [
        ("SUCCEEDED", NOW, nothing.clone()),
        ("SUCCEEDED", NOW, announced_as("FAILED", STOP)),
        ("ABORTED", STOP, nothing),
        // Of an earlier failure.
        ("FAILED", STOP, announced_as("FAILED", STOP - 60_000)),
    ] {
        let row = row_that_says(outcome, finished_at, told);
        let superseded = ("UpdateItem", condition_failed(Some(row)));
        let run = invoke(succeeded(), [superseded, published(), marked()]).await;
        assert_eq!(run.output().recorded, Recorded::Superseded);
        assert_eq!(run.output().message_id, None);
        assert_eq!(run.told()["outcome"], outcome);
        assert_eq!(run.told()["finished_at"], finished_at);
        let (_, mark) = run.sent.last().unwrap();
        let marked = &mark["ExpressionAttributeValues"];
        assert_eq!(marked[":finished_at"]["N"], finished_at.to_string());
    }
}

#[tokio::test]
async fn the_order_of_the_ends_is_told_by_the_redrive_count_and_by_who_writes() {
    let history = ("GetExecutionHistory", page(&too_slow_history(), None));
    let mut uncounted = failed_event();
    let detail = uncounted["detail"].as_object_mut().unwrap();
    detail.remove("redriveCount");
    let first = vec![("UpdateItem", updated(None).1), published(), marked()];
    for (input, count, not_later) in [
        (
            redriven_state(0, &succeeded()),
            Some("0"),
            NOT_LATER_THAN_A_STATE,
        ),
        (
            redriven_state(3, &skipped()),
            Some("3"),
            NOT_LATER_THAN_A_STATE,
        ),
        (redriven_event(0), Some("0"), NOT_LATER_THAN_AN_EVENT),
        (redriven_event(2), Some("2"), NOT_LATER_THAN_AN_EVENT),
        (uncounted, None, NOT_LATER_BY_THE_CLOCK),
    ] {
        let mut answers = first.clone();
        if input.get("detail").is_some() {
            answers.insert(0, history.clone());
        }
        let run = invoke(input, answers).await;
        let write = run.first("UpdateItem");
        assert_eq!(write["ConditionExpression"], condition(not_later));
        let values = &write["ExpressionAttributeValues"];
        assert_eq!(values[":redrive_count"]["N"].as_str(), count);
    }
}

#[tokio::test]
async fn an_execution_of_the_first_definition_is_recorded_in_the_order_of_its_times() {
    // Its last state gives what the run has done, and no redrive count.
    let clients = |service: &Service| Clients::new(&service.config());
    let service = Service::answering(announced());
    let now = jiff::Timestamp::from_millisecond(NOW).unwrap();
    let clients = clients(&service);
    let output = record_and_notify::handle(&clients, &Ok(config()), succeeded(), now, |_| ()).await;
    assert_eq!(output.unwrap().outcome, Outcome::Succeeded);
    let (_, write) = &service.sent()[0];
    assert_eq!(
        write["ConditionExpression"],
        condition(NOT_LATER_BY_THE_CLOCK)
    );
    let expression = write["UpdateExpression"].as_str().unwrap();
    let (_, removed) = expression.split_once(" REMOVE ").unwrap();
    assert!(removed.contains("#redrive_count"), "{removed}");
}

#[tokio::test]
async fn the_history_tells_the_redrive_count_that_an_event_leaves_out() {
    let began = || {
        let details = json!({ "input": "{}" });
        happened(-90, "ExecutionStarted", "executionStarted", details)
    };
    let mut event = failed_event();
    let detail = event["detail"].as_object_mut().unwrap();
    detail.remove("redriveCount");
    let last = || execution_failed("SnapshotTimedOut", &too_slow());
    let failed_before = || {
        let mut before = too_slow_history();
        before.remove(0);
        before
    };
    let state = || entered(-1, "Task", "DescribeSnapshot", &waiting());
    for (history, count) in [
        // Redriven, and what failed is not entered again.
        (
            [vec![last(), redriven(-1)], failed_before()].concat(),
            Some(1),
        ),
        // Redriven at an earlier state.
        (
            vec![last(), state(), redriven(-2), state(), began()],
            Some(1),
        ),
        (vec![last(), state(), began()], Some(0)),
        // Redriven since the event.
        (vec![redriven(5), last(), state(), began()], Some(0)),
        // Its beginning is not told.
        (vec![last(), state()], None),
    ] {
        let run = invoke(event.clone(), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row.get("redrive_count"), count.map(Value::from).as_ref());
        assert_eq!(row["failed_state"], "DescribeSnapshot");
        assert_eq!(row["error_name"], "SnapshotTimedOut");
    }
}

#[tokio::test]
async fn a_silent_run_prints_its_metrics_once_however_often_its_last_step_is_repeated() {
    let printed = std::cell::RefCell::new(Vec::new());
    let print = |line: &str| printed.borrow_mut().push(line.to_owned());
    let now = jiff::Timestamp::from_millisecond(NOW).unwrap();
    let silent = || redriven_state(0, &only_problems(succeeded()));
    let measured = json!({ "Attributes": {
        "execution_arn": { "S": EXECUTION }, "measured": { "S": "SUCCEEDED" }
    }});
    let again = ("UpdateItem", Answer::Ok(measured));
    for answers in [
        vec![updated(None), marked()],
        vec![again.clone()],
        vec![again],
    ] {
        let service = Service::answering(answers);
        let clients = Clients::new(&service.config());
        let output = record_and_notify::handle(&clients, &Ok(config()), silent(), now, print).await;
        assert_eq!(output.unwrap().message_id, None);
        service.assert_done();
        if let Some((_, mark)) = service.sent().get(1) {
            assert_eq!(mark["UpdateExpression"], "SET measured = :told");
            assert_eq!(mark["ExpressionAttributeValues"][":told"]["S"], "SUCCEEDED");
        }
    }
    assert_eq!(printed.borrow().len(), 1);
}

#[tokio::test]
async fn a_run_of_another_application_is_recorded_under_unknown_on_the_stack_of_one() {
    let others = |mut done: Value| {
        done["run"]["input"]["application_name"] = "payments".into();
        done
    };
    let asked = json!({ "input": r#"{"application_name":"payments"}"# });
    for (input, answers) in [
        (others(succeeded()), announced()),
        (event("FAILED", asked), announced_after(&[])),
    ] {
        for (stack, recorded) in [
            (Some("orders"), "(unknown)"),
            (Some("payments"), "payments"),
            (None, "payments"),
        ] {
            let config = Config {
                application_name: stack.map(str::to_owned),
                ..config()
            };
            let service = Service::answering(answers.clone());
            let answer = handle(&service, Ok(config), input.clone()).await;
            let sent = service.sent();
            let run = Invocation { answer, sent };
            assert_eq!(run.row()["app_name"], recorded);
            assert_eq!(run.output().app_name, recorded);
            let subject = run.subject();
            assert!(subject.starts_with(recorded), "{subject}");
        }
    }
}

#[tokio::test]
async fn a_row_of_another_writer_is_a_conflict() {
    let others =
        json!({ "app_name": { "S": "orders" }, "execution_arn": { "S": OTHER_EXECUTION } });
    let samples =
        json!({ "app_name": { "S": "orders" }, "new_snapshot_name": { "S": "custom_1" } });
    let other_execution = format!("the execution {OTHER_EXECUTION}");
    let other_system = "a writer that is not this system";
    for (row, owner) in [
        (Some(others), other_execution.as_str()),
        (Some(samples), other_system),
        (None, other_system),
    ] {
        let run = invoke(succeeded(), [("UpdateItem", condition_failed(row))]).await;
        assert_eq!(run.error().name, ErrorName::RecordConflict);
        assert_eq!(
            run.error().fact,
            format!("The row (orders, {RUN_ID}) belongs to {owner}; nothing was overwritten.")
        );
    }
}

// ---- What an event and a history tell ----

#[tokio::test]
async fn a_failure_is_told_as_far_as_it_is_known() {
    let asked = json!({ "input": run_input("PRUNE").to_string() });
    let error = json!({ "error": "States.Runtime" });
    let cause = json!({ "cause": "The machine is broken." });
    let known = ["app_name", "execution_arn", "finished_at", "outcome"];
    let always = ["redrive_count", "snapshot_manager_run_id", "started_at"];
    for (tells, application, more) in [
        (json!({}), "(unknown)", vec![]),
        (
            json!({ "input": null, "error": null, "cause": null }),
            "(unknown)",
            vec![],
        ),
        (json!({ "error": "", "cause": "" }), "(unknown)", vec![]),
        (asked, "orders", vec!["mode"]),
        (error, "(unknown)", vec!["error_name"]),
        (cause, "(unknown)", vec!["error_message"]),
    ] {
        // A history that says no more than that it ended.
        let history = [ended(0, "Failed", json!({}))];
        let run = invoke(event("FAILED", tells.clone()), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row["app_name"], application, "{tells}");
        let mut expected: Vec<&str> = known.iter().chain(&always).copied().chain(more).collect();
        expected.sort_unstable();
        assert_eq!(names(&row), expected, "{tells}");
        assert_eq!(run.told(), row, "{tells}");
    }
}

#[tokio::test]
async fn an_empty_error_of_the_history_does_not_hide_the_events() {
    let history = [ended(0, "Failed", json!({ "error": "", "cause": "" }))];
    let run = invoke(failed_event(), announced_after(&history)).await;
    assert_eq!(run.row()["error_name"], "SnapshotTimedOut");
    assert_eq!(run.row()["error_message"], too_slow());
}

#[tokio::test]
async fn a_cause_is_told_in_its_own_words() {
    for (cause, said) in [
        (lambda_cause("Odd", "It broke."), "It broke."),
        ("It broke.".to_owned(), "It broke."),
        (
            r#"{"Code":"It broke."}"#.to_owned(),
            r#"{"Code":"It broke."}"#,
        ),
        (
            r#"{"errorMessage":""}"#.to_owned(),
            r#"{"errorMessage":""}"#,
        ),
        (r#"{"errorMessage":7}"#.to_owned(), r#"{"errorMessage":7}"#),
        (r#""It broke.""#.to_owned(), r#""It broke.""#),
    ] {
        let event = event("FAILED", json!({ "cause": cause }));
        let run = invoke(event, announced_after(&[])).await;
        assert_eq!(run.row()["error_message"], said);
    }
}

#[tokio::test]
async fn an_input_that_names_no_usable_application_is_recorded_as_unknown() {
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
        assert_eq!(run.row()["app_name"], application, "{input}");
        assert_eq!(run.row()["snapshot_manager_run_id"], RUN_ID);
        assert!(run.row().get("mode").is_none(), "{input}");
        assert_eq!(run.subject(), format!("{application}: FAILED"));
        let attribute = &run.first("Publish")["MessageAttributes.application_name.StringValue"];
        assert_eq!(attribute, application);
    }
}

#[tokio::test]
async fn an_input_that_the_event_leaves_out_is_read_from_the_history() {
    let asked = run_input("RUN");
    let failed = execution_failed("ApplicationNotFound", "There is none.");
    for history in [
        vec![
            failed.clone(),
            entered(-1, "Task", "CreateSnapshot", &asked),
        ],
        vec![failed, entered(-1, "Task", "DescribeSnapshot", &waiting())],
    ] {
        let run = invoke(event("FAILED", json!({})), announced_after(&history)).await;
        assert_eq!(run.row()["app_name"], "orders");
        assert_eq!(run.row()["mode"], "RUN");
    }
}

#[tokio::test]
async fn the_history_tells_the_state_and_what_was_done_before_it() {
    let mut halfway = pruned();
    halfway["batch"] = json!([deleted_snapshot()]);
    let halfway = run_of("RUN", halfway);
    let asked = run_input("RUN");
    let failed = || execution_failed("Throttled", "Slow.");
    let aborted = || ended(0, "Aborted", json!({}));
    let task =
        |name: &str, given: &Value| vec![failed(), task_failed(), entered(-1, "Task", name, given)];
    let waited = vec![
        aborted(),
        entered(-1, "Wait", "WaitForSnapshot", &waiting()),
    ];
    let between = vec![aborted(), exited(-1, "PruneSnapshots", &halfway)];
    let at_once = vec![failed(), entered(0, "Choice", "IsPruningDone", &halfway)];
    let (create, prune, record) = ("CreateSnapshot", "PruneSnapshots", "RecordAndNotify");
    for (history, state, snapshot, deleted) in [
        (task(create, &asked), Some(create), false, None),
        (task(prune, &halfway), Some(prune), true, Some(1)),
        (task(prune, &json!([])), Some(prune), false, None),
        (task(record, &succeeded()), Some(record), true, Some(1)),
        (waited, Some("WaitForSnapshot"), true, None),
        (between, None, true, Some(1)),
        (at_once, Some("IsPruningDone"), true, Some(1)),
        (vec![], None, false, None),
    ] {
        let what = format!("{history:?}");
        let run = invoke(failed_event(), announced_after(&history)).await;
        let row = run.row();
        assert_eq!(
            row.get("failed_state"),
            state.map(Value::from).as_ref(),
            "{what}"
        );
        let name = snapshot.then(|| json!("custom_1795377747949"));
        assert_eq!(row.get("new_snapshot_name"), name.as_ref(), "{what}");
        let deleted = deleted.map(Value::from);
        assert_eq!(
            row.get("snapshots_deleted_count"),
            deleted.as_ref(),
            "{what}"
        );
        assert_eq!(row["app_name"], "orders", "{what}");
        assert_eq!(run.email().contains("Deleted"), deleted.is_some(), "{what}");
    }
}

#[tokio::test]
async fn the_row_keeps_the_run_id_that_the_states_use() {
    let mut event = failed_event();
    event["detail"]["startDate"] = (RUN_ID + 1).into();
    let run = invoke(event.clone(), announced_after(&too_slow_history())).await;
    assert_eq!(run.output().snapshot_manager_run_id, RUN_ID);
    assert_eq!(run.row()["started_at"], RUN_ID);

    let run = invoke(event, announced_after(&[])).await;
    assert_eq!(run.output().snapshot_manager_run_id, RUN_ID + 1);
}

#[tokio::test]
async fn the_history_is_read_page_by_page_until_the_state_is_found() {
    let look = |token: Option<&str>| {
        let mut request = json!({
            "executionArn": EXECUTION, "maxResults": 100, "reverseOrder": true,
            "includeExecutionData": true
        });
        if let Some(token) = token {
            request["nextToken"] = token.into();
        }
        request
    };
    let found = [
        entered(-1, "Task", "PruneSnapshots", &waiting()),
        entered(-2, "Task", "DescribeSnapshot", &waiting()),
    ];
    let pages = [
        page(&[execution_failed("Throttled", "Slow.")], Some("2")),
        page(&[task_failed()], Some("3")),
        page(&found, Some("4")),
    ];
    let answers = pages.map(|page| ("GetExecutionHistory", page));
    let run = invoke(failed_event(), answers.into_iter().chain(announced())).await;
    assert_eq!(run.row()["failed_state"], "PruneSnapshots");
    assert_eq!(run.row()["error_name"], "Throttled");
    let requests: Vec<&Value> = run.sent[..3].iter().map(|(_, body)| body).collect();
    assert_eq!(requests, [&look(None), &look(Some("2")), &look(Some("3"))]);
}

#[tokio::test]
async fn a_redriven_execution_that_fails_again_is_told_with_its_newest_error() {
    let state = || entered(-90, "Task", "CreateSnapshot", &run_input("RUN"));
    let earlier = || {
        let details = json!({ "error": "SnapshotsDisabled", "cause": "They are off." });
        ended(-80, "Failed", details)
    };
    for (newest, error) in [
        (
            execution_failed("AccessDenied", "Not allowed."),
            json!("AccessDenied"),
        ),
        (ended(0, "Aborted", json!({})), Value::Null),
    ] {
        // The redrive schedules the task again; its state need not be entered again.
        let history = [
            newest,
            task_failed(),
            redriven(-40),
            earlier(),
            task_failed(),
            state(),
        ];
        let event = event("FAILED", json!({}));
        let run = invoke(event, announced_after(&history)).await;
        let row = run.row();
        assert_eq!(row["failed_state"], "CreateSnapshot");
        assert_eq!(row["error_name"], error);
        assert_eq!(row.get("error_message").is_some(), !error.is_null());
    }
}

#[tokio::test]
async fn an_event_that_comes_after_the_redrive_is_told_as_of_its_own_time() {
    let details = json!({ "error": "TopicNotFound", "cause": "It is gone." });
    let history = [
        ended(90, "Failed", details),
        entered(60, "Task", "RecordAndNotify", &succeeded()),
        exited(59, "PruneSnapshots", &succeeded()),
        entered(50, "Task", "PruneSnapshots", &waiting()),
        redriven(40),
    ];
    let history = history.into_iter().chain(too_slow_history());
    let history: Vec<Value> = history.collect();
    let run = invoke(failed_event(), announced_after(&history)).await;
    let row = run.row();
    assert_eq!(row["failed_state"], "DescribeSnapshot");
    assert_eq!(row["error_name"], "SnapshotTimedOut");
    assert_eq!(row["error_message"], too_slow());
    assert_eq!(row.get("snapshots_deleted_count"), None);
}

// ---- Refused calls ----

/// Error bodies as the service writes them, and what is no answer at all, with their names.
fn refusals(
    body: fn(u16, &'static str, &'static str) -> Answer,
    rows: &[(u16, &'static str, ErrorName)],
) -> Vec<(Answer, ErrorName)> {
    let answered = rows
        .iter()
        .map(|(status, code, name)| (body(*status, code, "no"), *name));
    let unreadable = Answer::Text("<html>".to_owned());
    let lost = [Answer::Lost, unreadable].map(|answer| (answer, ErrorName::ServiceUnavailable));
    answered.chain(lost).collect()
}

#[tokio::test]
async fn an_execution_whose_history_is_refused_is_recorded_and_announced_before_the_step_fails() {
    use ErrorName::{AccessDenied, ServiceUnavailable, Throttled, Unexpected};
    let rows = [
        (400, "AccessDeniedException", AccessDenied),
        (400, "KmsAccessDeniedException", AccessDenied),
        (400, "ExpiredTokenException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (400, "KmsThrottlingException", Throttled),
        (500, "InternalFailure", ServiceUnavailable),
        (400, "ExecutionDoesNotExist", Unexpected),
        (400, "InvalidArn", Unexpected),
        (400, "InvalidToken", Unexpected),
        (400, "KmsInvalidStateException", Unexpected),
    ];
    for (answer, name) in refusals(Answer::Error, &rows) {
        let refused = ("GetExecutionHistory", answer.clone());
        let answers = [refused].into_iter().chain(announced());
        let run = invoke(failed_event(), answers).await;
        assert_eq!(run.error().name, name, "{answer:?}");
        assert_eq!(run.row()["app_name"], "orders");
        assert_eq!(run.row()["error_name"], "SnapshotTimedOut");
        assert_eq!(run.row()["error_message"], too_slow());
        assert_eq!(run.row().get("failed_state"), None);
        assert_eq!(run.subject(), "orders: FAILED with SnapshotTimedOut");
    }
}

#[tokio::test]
async fn each_refused_write_has_a_name_and_announces_nothing() {
    use ErrorName::{AccessDenied, ServiceUnavailable, TableNotFound, Throttled, Unexpected};
    let rows = [
        (400, "ResourceNotFoundException", TableNotFound),
        (400, "AccessDeniedException", AccessDenied),
        (400, "KMSAccessDeniedException", AccessDenied),
        (400, "UnrecognizedClientException", AccessDenied),
        (400, "ProvisionedThroughputExceededException", Throttled),
        (400, "RequestLimitExceeded", Throttled),
        (400, "ThrottlingException", Throttled),
        (500, "InternalServerError", ServiceUnavailable),
        (400, "ItemCollectionSizeLimitExceededException", Unexpected),
        (400, "ValidationException", Unexpected),
    ];
    for (answer, name) in refusals(Answer::Error, &rows) {
        let run = invoke(succeeded(), [("UpdateItem", answer.clone())]).await;
        assert_eq!(run.error().name, name, "{answer:?}");
    }
    let gone = Answer::Error(400, "ResourceNotFoundException", "no");
    let run = invoke(succeeded(), [("UpdateItem", gone)]).await;
    assert_eq!(
        run.error().fact,
        "The table snapshot_manager_status does not exist."
    );
}

#[tokio::test]
async fn each_refused_announcement_has_a_name_and_marks_nothing() {
    use ErrorName::{AccessDenied, ServiceUnavailable, Throttled, TopicNotFound, Unexpected};
    let rows = [
        (404, "NotFound", TopicNotFound),
        (404, "NotFoundException", TopicNotFound),
        (403, "AuthorizationError", AccessDenied),
        (403, "InvalidClientTokenId", AccessDenied),
        (403, "InvalidSecurity", AccessDenied),
        (400, "KMSAccessDenied", AccessDenied),
        (403, "KMSOptInRequired", AccessDenied),
        (400, "Throttling", Throttled),
        (400, "KMSThrottling", Throttled),
        (500, "InternalError", ServiceUnavailable),
        (400, "InvalidParameter", Unexpected),
        (400, "KMSDisabled", Unexpected),
        (400, "KMSInvalidState", Unexpected),
        (400, "KMSNotFound", Unexpected),
        (400, "ParameterValueInvalid", Unexpected),
        (400, "ValidationException", Unexpected),
    ];
    for (answer, name) in refusals(Answer::QueryError, &rows) {
        let run = invoke(succeeded(), [updated(None), ("Publish", answer.clone())]).await;
        assert_eq!(run.error().name, name, "{answer:?}");
    }
    let gone = Answer::QueryError(404, "NotFound", "no");
    let run = invoke(succeeded(), [updated(None), ("Publish", gone)]).await;
    assert_eq!(
        run.error().fact,
        format!("The topic {TOPIC} does not exist. The audit record is written.")
    );
}

#[tokio::test]
async fn a_run_that_is_announced_is_done_even_if_the_mark_is_refused() {
    use Answer::{Error, Lost};
    for answer in [
        condition_failed(None),
        Error(400, "ResourceNotFoundException", "no"),
        Error(400, "AccessDeniedException", "no"),
        Error(400, "ThrottlingException", "slow"),
        Error(500, "InternalServerError", "later"),
        Error(400, "ValidationException", "bad"),
        Lost,
    ] {
        let answers = [updated(None), published(), ("UpdateItem", answer)];
        let run = invoke(succeeded(), answers).await;
        assert_eq!(run.output().message_id.as_deref(), Some("m-1"));
    }
}

#[tokio::test]
async fn a_bad_environment_or_payload_is_answered_before_any_call() {
    let service = Service::answering([]);
    let fact = "The function's environment: TOPIC_ARN is not set.";
    for input in [succeeded(), failed_event()] {
        let error = handle(&service, Err(fact.to_owned()), input).await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.name, error.fact.as_str()),
            (ErrorName::Misconfigured, fact)
        );
    }
    for (input, place) in [
        (json!({ "run": { "run_id": "x" } }), "done.run.run_id: "),
        (event("RUNNING", json!({})), "detail.status: "),
    ] {
        let error = handle(&service, Ok(config()), input).await.unwrap_err();
        assert_eq!(error.name, ErrorName::Unexpected);
        assert!(error.fact.starts_with(place), "{}", error.fact);
    }
}

// ---- The row and the texts ----

#[tokio::test]
async fn a_row_expires_so_many_days_after_the_end_of_its_run() {
    let kept_30_days = Config {
        record_retention_days: Some(30),
        ..config()
    };
    let history = ("GetExecutionHistory", page(&too_slow_history(), None));
    for (input, first, end) in [
        (succeeded(), None, NOW),
        (failed_event(), Some(history), STOP),
    ] {
        let service = Service::answering(first.into_iter().chain(announced()));
        let answer = handle(&service, Ok(kept_30_days.clone()), input).await;
        let sent = service.sent();
        let run = Invocation { answer, sent };
        assert_eq!(run.row()["expires_at"], end / 1_000 + 2_592_000);
    }
    let run = invoke(succeeded(), announced()).await;
    assert_eq!(run.row().get("expires_at"), None);
}

#[tokio::test]
async fn what_is_not_known_is_absent_and_never_zero_or_empty() {
    fn assert_known(value: &Value) {
        match value {
            Value::Null => panic!("null"),
            Value::String(text) => assert!(!text.is_empty(), "an empty text"),
            Value::Number(number) => assert_ne!(number.as_i64(), Some(0), "a zero"),
            Value::Array(items) => {
                assert!(!items.is_empty(), "an empty list");
                items.iter().for_each(assert_known);
            }
            Value::Object(map) => map.values().for_each(assert_known),
            Value::Bool(_) => {}
        }
    }
    // The service has not said yet when the snapshot was created, or of which version.
    let accepted = json!({
        "name": "custom_1795377747949", "accepted_at": "2026-11-22T20:02:28.401Z"
    });
    let begun = run_of("RUN", json!({ "snapshot": accepted }));
    let blank = ended(0, "Failed", json!({ "error": "", "cause": "" }));
    for history in [
        vec![],
        vec![blank.clone()],
        vec![
            blank.clone(),
            entered(-1, "Task", "CreateSnapshot", &json!({})),
        ],
        vec![blank, entered(-1, "Wait", "WaitForSnapshot", &begun)],
    ] {
        let blank = json!({ "error": "", "cause": "", "redriveCount": 1 });
        let run = invoke(event("FAILED", blank), announced_after(&history)).await;
        assert_known(&run.row());
        assert_known(&run.told());
    }
    let run = invoke(redriven_state(1, &skipped()), announced()).await;
    assert_known(&run.row());
}

#[tokio::test]
async fn text_from_outside_forges_no_line_of_the_subject_or_the_mail() {
    const FORGED: &str = "Odd\r\n\r\nExecution: https://evil.example\u{2028}\u{85}\u{1b}[31m\0";
    let assert_whole = |run: &Invocation| {
        let (subject, email) = (run.subject(), run.email());
        assert!(!subject.contains(char::is_control), "{subject:?}");
        let is_control = |c: char| (c.is_control() && c != '\n') || c == '\u{2028}';
        assert!(!email.contains(is_control), "{email:?}");
        let links = email.lines().filter(|line| line.starts_with("Execution: "));
        assert_eq!(links.count(), 1, "{email}");
    };
    let cause = lambda_cause(FORGED, FORGED);
    let told = json!({ "error": FORGED, "cause": cause });
    let failed = ended(0, "Failed", told.clone());
    for (event, history) in [
        (event("FAILED", told.clone()), vec![]),
        (
            event("FAILED", json!({ "error": FORGED, "cause": FORGED })),
            vec![],
        ),
        (
            event("FAILED", json!({})),
            vec![failed, entered(-1, "Task", FORGED, &waiting())],
        ),
    ] {
        assert_whole(&invoke(event, announced_after(&history)).await);
    }
    let mut input = deletion_failed();
    input["progress"]["failed"][0]["reason"] = FORGED.into();
    assert_whole(&invoke(input, announced()).await);
}

#[tokio::test]
async fn a_subject_is_shorter_than_100_characters_whatever_its_parts_are() {
    let error = "É".repeat(300);
    for length in [1, 40, 75, 76, 77, 128] {
        let application = "a".repeat(length);
        let input = json!({ "application_name": application }).to_string();
        let short = json!({ "input": input, "error": "Throttled" });
        let long = json!({ "input": input, "error": error });
        for (tells, headline) in [
            (short, format!("{application}: FAILED with Throttled")),
            (long, format!("{application}: FAILED with {error}")),
        ] {
            let run = invoke(event("FAILED", tells), announced_after(&[])).await;
            let subject = run.subject();
            if headline.chars().count() < 100 {
                assert_eq!(subject, headline);
            } else {
                assert_eq!(subject.chars().count(), 99);
                let kept = subject.strip_suffix("...").unwrap();
                assert!(headline.starts_with(kept), "{subject}");
            }
            assert!(run.message()["sms"].as_str().unwrap().chars().count() <= 140);
        }
    }
}

#[tokio::test]
async fn a_failure_comes_with_one_cure_and_one_command() {
    let redrive = redrive_command(EXECUTION);
    let anew = "aws stepfunctions start-execution --state-machine-arn \
                arn:aws:states:eu-central-1:123456789012:stateMachine:snapshots \
                --input '<the corrected input>'";
    let whole = lambda_cause("Throttled", &format!("Slow. Redrive. Command: {redrive}"));
    let endless = lambda_cause("Throttled", &"x".repeat(5_000));
    let awss = "Once the cause is gone, redrive it: ";
    let throttled = format!("{} Command: ", ErrorName::Throttled.instructions());
    let invalid = format!("{} Command: ", ErrorName::InvalidInput.instructions());
    for (error, cause, cure, command) in [
        // The message of one of our names has it, unless it was left out or too long.
        (
            Some("Throttled"),
            Some(whole),
            "Redrive. Command: ",
            redrive.as_str(),
        ),
        (
            Some("Throttled"),
            None,
            throttled.as_str(),
            redrive.as_str(),
        ),
        (
            Some("Throttled"),
            Some(endless),
            throttled.as_str(),
            redrive.as_str(),
        ),
        (Some("InvalidInput"), None, invalid.as_str(), anew),
        // AWS's own has not.
        (Some("States.Timeout"), None, awss, redrive.as_str()),
        (None, None, awss, redrive.as_str()),
        (
            None,
            Some("See aws stepfunctions help".to_owned()),
            awss,
            redrive.as_str(),
        ),
    ] {
        let tells = json!({ "error": error, "cause": cause });
        let run = invoke(event("FAILED", tells.clone()), announced_after(&[])).await;
        let email = run.email();
        assert!(
            email.contains(&format!("{cure}{command}")),
            "{tells}: {email}"
        );
        assert_eq!(email.matches("-arn arn:").count(), 1, "{email}");
    }
    let run = invoke(deletion_failed(), announced()).await;
    assert!(
        !run.email().contains("aws stepfunctions "),
        "it has not failed"
    );
}

#[tokio::test]
async fn the_link_leads_to_the_console_of_the_executions_partition() {
    for (partition, region, host) in [
        ("aws", "eu-central-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "console.amazonaws-us-gov.com",
        ),
    ] {
        let arn = format!("arn:{partition}:states:{region}:123456789012:execution:snapshots:n");
        let mut input = succeeded();
        input["run"]["execution_arn"] = arn.as_str().into();
        let run = invoke(input, announced()).await;
        let link = format!(
            "\n\nExecution: https://{region}.{host}/states/home?region={region}\
             #/v2/executions/details/{arn}\n\n"
        );
        assert!(run.email().contains(&link), "{}", run.email());
    }
}

#[tokio::test]
async fn the_largest_record_stays_within_the_limits_of_the_topic_and_the_table() {
    /// SNS: body and attributes.
    const MESSAGE: usize = 262_144;
    const ITEM: usize = 400 * 1_024;
    let name = "n".repeat(256);
    let ours = "r".repeat(300);
    let mut largest = vec![];
    // A service's words may be of characters that take more than one byte, or a backslash.
    for theirs in ["r", "\"", "\\", "é", "\u{1f980}", "\u{1}"] {
        let mut gone = deleted_snapshot();
        merge(&mut gone, json!({ "snapshot_name": name, "reason": ours }));
        let failure = json!({ "snapshot_name": name, "reason": theirs.repeat(300) });
        let mut input = held_back("TOO_MANY_FAILURES");
        input["progress"] = json!({
            "deleted_count": 4_000, "deleted": vec![gone; 100],
            "failed_count": 100, "failed": vec![failure; 100]
        });
        largest.push(input);
    }
    let judged = json!({ "snapshot_name": name, "action": "IGNORE", "reasons": [ours, ours] });
    let mut plan = planned();
    plan["verdicts"] = vec![judged; 200].into();
    largest.push(plan);
    for input in largest {
        let run = invoke(input, announced()).await;
        let publish = run.first("Publish").as_object().unwrap();
        let message: usize = publish
            .values()
            .map(|parameter| parameter.as_str().unwrap().len())
            .sum();
        assert!(message < MESSAGE, "{message}");
        // The notation of the wire is longer than what DynamoDB counts.
        let item = run.first("UpdateItem")["ExpressionAttributeValues"].to_string();
        assert!(item.len() < ITEM, "{}", item.len());
    }
}
