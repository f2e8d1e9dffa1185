//! What the tests of several functions need: a run, the calls of Managed Flink, and calls that fail.

use contract::ErrorName;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::hostile::texts;
use crate::replay::Answer;

/// One call: operation, request, answer.
pub type Exchange = (&'static str, Value, Answer);

/// The execution of the run.
pub const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:nightly";
/// The id of the run: 2026-11-22T20:02:27.949Z.
pub const RUN_ID: i64 = 1_795_377_747_949;
/// The name of the run's own snapshot.
pub const SNAPSHOT: &str = "custom_1795377747949";

/// A run of the application `orders`, as the states pass it on. `input` is the rest of its input.
pub fn run(input: Value) -> Value {
    let mut run = json!({ "run_id": RUN_ID, "definition": 3, "execution_arn": EXECUTION });
    run["input"] = input;
    run["input"]["application_name"] = "orders".into();
    run
}

/// The run's own snapshot, as the states pass it on once it is READY.
pub fn own_snapshot() -> Value {
    json!({
        "name": SNAPSHOT, "accepted_at": "2026-11-22T20:02:28.401Z",
        "created_at": "2026-11-22T20:02:28.42Z", "application_version_id": 7, "seconds": 46
    })
}

/// What `DescribeApplication` answers for `orders`, with this configuration if there is one.
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

/// A snapshot as the service shows it. If `created` is null, the service leaves the timestamp out.
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

/// `DescribeApplication`.
pub fn describe_application(answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders" });
    ("DescribeApplication", request, answer)
}

/// `DescribeApplicationSnapshot`.
pub fn describe_snapshot(name: &str, answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": name });
    ("DescribeApplicationSnapshot", request, answer)
}

/// `ListApplicationSnapshots`: the first page, or that of `token`.
pub fn list_snapshots(token: Option<&str>, answer: Answer) -> Exchange {
    let mut request = json!({ "ApplicationName": "orders", "Limit": 50 });
    if let Some(token) = token {
        request["NextToken"] = token.into();
    }
    ("ListApplicationSnapshots", request, answer)
}

/// Failed calls and the error that each ends the step with: these rows of status, code and name, a
/// lost answer, and an answer that is not the service's. `error` writes errors as the service does.
pub fn refusals(
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

/// Failed calls for property tests: errors with these codes or with any text for a code, the page of
/// a proxy, a lost answer.
pub fn failures(codes: &'static [&'static str]) -> impl Strategy<Value = Answer> {
    let code = prop_oneof![3 => select(codes).prop_map(str::to_owned), 1 => texts()];
    prop_oneof![
        6 => (400_u16..600, code, texts()).prop_map(|(status, code, message)| {
            Answer::Refusal(status, json!({ "__type": code, "message": message }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}
