//! Test data for several functions: a run, calls to Managed Service for Apache Flink, and calls that fail.

use contract::ErrorName;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::hostile::texts;
use crate::replay::Answer;

/// An expected call: the operation, the request body, and the answer.
pub type Exchange = (&'static str, Value, Answer);

/// The ARN of the run's execution.
pub const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:nightly";
/// The run id, which is the start time 2026-11-22T20:02:27.949Z in epoch milliseconds.
pub const RUN_ID: i64 = 1_795_377_747_949;
/// The name of the run's own snapshot.
pub const SNAPSHOT: &str = "custom_1795377747949";

/// A run for the application `orders`, as in the payload of a state. `input` is the run's input without
/// `application_name`.
pub fn run(input: Value) -> Value {
    let mut run = json!({ "run_id": RUN_ID, "definition": 3, "execution_arn": EXECUTION });
    run["input"] = input;
    run["input"]["application_name"] = "orders".into();
    run
}

/// The run's own snapshot, as in the payload of a state after the snapshot has become READY.
pub fn own_snapshot() -> Value {
    json!({
        "name": SNAPSHOT, "accepted_at": "2026-11-22T20:02:28.401Z",
        "created_at": "2026-11-22T20:02:28.42Z", "application_version_id": 7, "seconds": 46
    })
}

/// The response of `DescribeApplication` for `orders`. If `configuration` is given, it becomes the
/// `ApplicationConfigurationDescription`.
pub fn application(status: &str, configuration: Option<Value>) -> Value {
    let mut detail = json!({
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": status, "ApplicationVersionId": 3
    });
    if let Some(configuration) = configuration {
        detail["ApplicationConfigurationDescription"] = configuration;
    }
    json!({ "ApplicationDetail": detail })
}

/// A snapshot as in a response of the service. If `created` is null, the snapshot has no creation timestamp.
pub fn snapshot(name: &str, status: &str, version: i64, created: impl Into<Value>) -> Value {
    let mut snapshot = json!({
        "SnapshotName": name, "SnapshotStatus": status, "ApplicationVersionId": version,
        "RuntimeEnvironment": "FLINK-1_20"
    });
    let created: Value = created.into();
    if !created.is_null() {
        snapshot["SnapshotCreationTimestamp"] = created;
    }
    snapshot
}

/// A call of `DescribeApplication` for `orders`.
pub fn describe_application(answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders" });
    ("DescribeApplication", request, answer)
}

/// A call of `DescribeApplicationSnapshot` for the snapshot `name` of `orders`.
pub fn describe_snapshot(name: &str, answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": name });
    ("DescribeApplicationSnapshot", request, answer)
}

/// A call of `ListApplicationSnapshots` for `orders`. Without a `token`, it requests the first page.
pub fn list_snapshots(token: Option<&str>, answer: Answer) -> Exchange {
    let mut request = json!({ "ApplicationName": "orders", "Limit": 50 });
    if let Some(token) = token {
        request["NextToken"] = token.into();
    }
    ("ListApplicationSnapshots", request, answer)
}

/// Failed answers, each with the name of the error that the step has to return.
///
/// Each of the `rows` has an HTTP status, an error code and the name. `error` makes the answer from the status, the
/// code and a message. Two answers are added: a broken connection, and a page that does not come from the service.
pub fn failed_answers(
    error: fn(u16, &'static str, &'static str) -> Answer,
    rows: &[(u16, &'static str, ErrorName)],
) -> Vec<(Answer, ErrorName)> {
    let lost = [Answer::Lost, Answer::Page(200, "<html>".to_owned())];
    let lost = lost.map(|answer| (answer, ErrorName::ServiceUnavailable));
    let rows = rows.iter();
    rows.map(|(status, code, name)| (error(*status, code, "no"), *name))
        .chain(lost)
        .collect()
}

/// Failed answers for property tests: errors with one of these codes or with any text as the code, pages that do not
/// come from the service, and a broken connection.
pub fn any_failed_answer(codes: &'static [&'static str]) -> impl Strategy<Value = Answer> {
    let code = prop_oneof![3 => select(codes).prop_map(str::to_owned), 1 => texts()];
    prop_oneof![
        6 => (400_u16..600, code, texts()).prop_map(|(status, code, message)| {
            Answer::ErrorBody(status, json!({ "__type": code, "message": message }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}
