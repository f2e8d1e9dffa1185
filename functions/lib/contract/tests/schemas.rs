//! The JSON Schemas in `resources/schemas` agree with the types.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use contract::{
    AuditRecord, CreateSnapshotInput, CreateSnapshotOutput, DescribeSnapshotInput,
    DescribeSnapshotOutput, ErrorName, ExecutionStatusChange, PruneSnapshotsInput,
    PruneSnapshotsOutput, RecordAndNotifyInput, RecordAndNotifyOutput, Retention, RunInput,
};
use expect_test::expect_file;
use schemars::{Schema, schema_for};
use serde_json::{Value, json};

fn resources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../resources")
}

fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("run-input", schema_for!(RunInput)),
        ("create-snapshot-input", schema_for!(CreateSnapshotInput)),
        ("create-snapshot-output", schema_for!(CreateSnapshotOutput)),
        (
            "describe-snapshot-input",
            schema_for!(DescribeSnapshotInput),
        ),
        (
            "describe-snapshot-output",
            schema_for!(DescribeSnapshotOutput),
        ),
        ("prune-snapshots-input", schema_for!(PruneSnapshotsInput)),
        ("prune-snapshots-output", schema_for!(PruneSnapshotsOutput)),
        ("record-and-notify-input", schema_for!(RecordAndNotifyInput)),
        (
            "record-and-notify-output",
            schema_for!(RecordAndNotifyOutput),
        ),
        (
            "execution-status-change",
            schema_for!(ExecutionStatusChange),
        ),
        ("audit-record", schema_for!(AuditRecord)),
        ("error-name", schema_for!(ErrorName)),
    ]
}

#[test]
fn the_schema_files_agree_with_the_types_and_there_is_no_other_file() {
    // UPDATE_EXPECT=1 cargo test -p contract writes the files again.
    let mut names = Vec::new();
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        expect_file![resources().join(format!("schemas/{name}.json"))].assert_eq(&text);
        names.push(format!("{name}.json"));
    }
    let mut files: Vec<String> = fs::read_dir(resources().join("schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}

#[test]
fn the_schema_and_the_code_accept_the_same_run_inputs() {
    let schema = schema_for!(RunInput);
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let with = |field: &str, value: Value| {
        let mut input = json!({ "application_name": "orders" });
        input[field] = value;
        input
    };
    let policy = |policy: Value| with("retention", policy);
    let named = |mode: &str, name: Value| json!({ "application_name": "orders", "mode": mode, "snapshot_name": name });
    let valid = [
        with("mode", json!("RUN")),
        with("notify_on", json!("PROBLEMS")),
        with("poll_interval_seconds", json!(1)),
        with("poll_interval_seconds", json!(300)),
        with("ready_timeout_seconds", json!(60)),
        with("ready_timeout_seconds", json!(86_400)),
        with("application_timeout_seconds", json!(0)),
        with("application_timeout_seconds", json!(86_400)),
        with("snapshot_attempts", json!(1)),
        with("snapshot_attempts", json!(5)),
        with("application_name", json!("a".repeat(128))),
        with("snapshot_name", json!("before-upgrade")),
        with("snapshot_name", json!("custom_1")),
        with("snapshot_name", json!("a".repeat(256))),
        with("snapshot_name", Value::Null),
        named("RUN", json!("before-upgrade")),
        named("PLAN", Value::Null),
        policy(json!({ "keep_last": 1 })),
        policy(json!({ "keep_daily": 7, "keep_last": null })),
        policy(json!({ "keep_within": "P7D" })),
        policy(json!({ "keep_last": 1, "timezone": "Europe/Zurich" })),
        policy(json!({ "keep_last": 1, "scope": "ALL" })),
        policy(json!({ "keep_last": 1, "keep_last_runtimes": 9 })),
        policy(json!({ "keep_last": 1, "max_deletions_per_run": null })),
    ];
    let invalid = [
        json!({}),
        with("mode", json!("run")),
        with("notify_on", json!("NEVER")),
        with("poll_interval_seconds", json!(0)),
        with("poll_interval_seconds", json!(301)),
        with("poll_interval_seconds", json!(-1)),
        with("poll_interval_seconds", json!(1.5)),
        with("poll_interval_seconds", json!("15")),
        with("ready_timeout_seconds", json!(59)),
        with("ready_timeout_seconds", json!(86_401)),
        with("application_timeout_seconds", json!(-1)),
        with("application_timeout_seconds", json!(86_401)),
        with("snapshot_attempts", json!(0)),
        with("snapshot_attempts", json!(6)),
        with("keep_last", json!(3)),
        with("application_name", json!("")),
        with("application_name", json!("a".repeat(129))),
        with("application_name", json!("a b")),
        with("application_name", json!("a\nb")),
        with("application_name", json!(7)),
        with("snapshot_name", json!("")),
        with("snapshot_name", json!("a b")),
        with("snapshot_name", json!("a".repeat(257))),
        with("snapshot_name", json!("custom_1795377747949")),
        named("PLAN", json!("before-upgrade")),
        named("PRUNE", json!("before-upgrade")),
        policy(json!({})),
        policy(json!({ "keep_last": 0 })),
        policy(json!({ "keep_last": null })),
        policy(json!({ "keep_names": ["a"] })),
        policy(json!({ "keep_within": "7 days" })),
        policy(json!({ "keep_last": 1, "keep_names": ["a b"] })),
        policy(json!({ "keep_last": 1, "timezone": "Europe Zurich" })),
        policy(json!({ "keep_last": 1, "scope": "all" })),
        policy(json!({ "keep_last": 1, "keep_lats": 2 })),
        policy(json!({ "keep_last": 1, "max_deletions_per_run": 0 })),
        policy(json!({ "keep_last": 1, "keep_last_runtimes": 0 })),
    ];
    for (inputs, is_valid) in [(&valid[..], true), (&invalid[..], false)] {
        for input in inputs {
            let parsed = serde_json::from_value::<RunInput>(input.clone())
                .map_err(|error| error.to_string())
                .and_then(|read| {
                    read.refuse_unknown_fields()?;
                    read.refuse_unused_snapshot_name()
                });
            assert_eq!(parsed.is_ok(), is_valid, "the code on {input}: {parsed:?}");
            assert_eq!(validator.is_valid(input), is_valid, "the schema on {input}");
        }
    }
}

#[test]
fn the_listed_fields_are_the_fields_of_the_schema() {
    let schema = schema_for!(RunInput);
    let properties = |schema: &Value| -> BTreeSet<String> {
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let known = |fields: &[&str]| fields.iter().map(|name| (*name).to_owned()).collect();
    let schema = schema.as_value();
    assert_eq!(properties(schema), known(&RunInput::FIELDS));
    assert_eq!(
        properties(&schema["$defs"]["Retention"]),
        known(&Retention::FIELDS)
    );
}

#[test]
fn the_listed_optional_attributes_are_those_of_the_schema_of_the_record() {
    let schema = schema_for!(AuditRecord);
    let properties = schema.get("properties").unwrap().as_object().unwrap();
    let required: Vec<&str> = schema
        .get("required")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_str().unwrap())
        .collect();
    let mut optional: Vec<&str> = properties
        .keys()
        .map(String::as_str)
        .filter(|name| !required.contains(name))
        .collect();
    optional.sort_unstable();
    let mut listed = AuditRecord::OPTIONAL.to_vec();
    listed.sort_unstable();
    assert_eq!(listed, optional);
}
