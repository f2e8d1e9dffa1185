//! The JSON Schemas in `resources/schemas` are those of the types, and the sample events in
//! `resources/events` are what they say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

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
use serde::de::DeserializeOwned;
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
fn the_schemas_are_those_of_the_types_and_none_is_left_over() {
    // UPDATE_EXPECT=1 cargo test -p contract writes them anew.
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

/// Each sample event is named for its schema, and for what is special about it after a dot.
fn events() -> Vec<(String, Value)> {
    let entries = fs::read_dir(resources().join("events")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        // The payloads of earlier releases have their own test.
        .filter(|path| path.is_file())
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let schema = stem.split('.').next().unwrap().to_owned();
            (
                schema,
                serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
            )
        })
        .collect()
}

/// Fails the test if the code does not take the event.
fn parse(name: &str, event: &Value) {
    fn parses<T: DeserializeOwned>(event: &Value) {
        serde_json::from_value::<T>(event.clone()).unwrap();
    }
    match name {
        "run-input" => parses::<RunInput>(event),
        "create-snapshot-input" => parses::<CreateSnapshotInput>(event),
        "describe-snapshot-input" => parses::<DescribeSnapshotInput>(event),
        "prune-snapshots-input" => parses::<PruneSnapshotsInput>(event),
        "record-and-notify-input" => parses::<RecordAndNotifyInput>(event),
        "execution-status-change" => parses::<ExecutionStatusChange>(event),
        other => panic!("no step takes {other}"),
    }
}

#[test]
fn every_sample_event_is_valid_and_parses() {
    let schemas = schemas();
    let events = events();
    for (name, event) in &events {
        let (_, schema) = schemas
            .iter()
            .find(|(schema, _)| schema == name)
            .expect(name);
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(event)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        parse(name, event);
    }
    assert!(events.len() >= 6, "there is one for each input");
}

#[test]
fn the_schema_of_the_run_input_refuses_what_the_code_refuses() {
    let schema = schema_for!(RunInput);
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let with = |field: &str, value: Value| {
        let mut input = json!({ "application_name": "orders" });
        input[field] = value;
        input
    };
    for (input, valid) in [
        (with("mode", json!("RUN")), true),
        (with("mode", json!("run")), false),
        (with("notify_on", json!("PROBLEMS")), true),
        (with("notify_on", json!("NEVER")), false),
        (with("poll_interval_seconds", json!(1)), true),
        (with("poll_interval_seconds", json!(300)), true),
        (with("poll_interval_seconds", json!(0)), false),
        (with("poll_interval_seconds", json!(301)), false),
        (with("poll_interval_seconds", json!(-1)), false),
        (with("poll_interval_seconds", json!(1.5)), false),
        (with("poll_interval_seconds", json!("15")), false),
        (with("ready_timeout_seconds", json!(60)), true),
        (with("ready_timeout_seconds", json!(59)), false),
        (with("ready_timeout_seconds", json!(86_400)), true),
        (with("ready_timeout_seconds", json!(86_401)), false),
        (with("retention", json!({ "keep_last": 1 })), true),
        (with("retention", json!({ "keep_last": 0 })), false),
        (with("retention", json!({})), false),
        (with("retention", json!({ "keep_last": null })), false),
        (with("retention", json!({ "keep_names": ["a"] })), false),
        (
            with("retention", json!({ "keep_daily": 7, "keep_last": null })),
            true,
        ),
        (with("retention", json!({ "keep_within": "P7D" })), true),
        (with("retention", json!({ "keep_within": "7 days" })), false),
        (
            with(
                "retention",
                json!({ "keep_last": 1, "keep_names": ["a b"] }),
            ),
            false,
        ),
        (
            with(
                "retention",
                json!({ "keep_last": 1, "timezone": "Europe/Zurich" }),
            ),
            true,
        ),
        (
            with(
                "retention",
                json!({ "keep_last": 1, "timezone": "Europe Zurich" }),
            ),
            false,
        ),
        (
            with("retention", json!({ "keep_last": 1, "scope": "ALL" })),
            true,
        ),
        (
            with("retention", json!({ "keep_last": 1, "scope": "all" })),
            false,
        ),
        (
            with("retention", json!({ "keep_last": 1, "keep_lats": 2 })),
            false,
        ),
        (
            with(
                "retention",
                json!({ "keep_last": 1, "max_deletions_per_run": 0 }),
            ),
            false,
        ),
        (with("keep_last", json!(3)), false),
        (with("application_name", json!("")), false),
        (with("application_name", json!("a".repeat(128))), true),
        (with("application_name", json!("a".repeat(129))), false),
        (with("application_name", json!("a b")), false),
        (with("application_name", json!("a\nb")), false),
        (with("application_name", json!(7)), false),
        (json!({}), false),
    ] {
        let read: Result<RunInput, _> = serde_json::from_value(input.clone());
        let parsed = read
            .map_err(|error| error.to_string())
            .and_then(|read| read.refuse_unknown_fields());
        assert_eq!(parsed.is_ok(), valid, "the code on {input}: {parsed:?}");
        assert_eq!(validator.is_valid(&input), valid, "the schema on {input}");
    }
}

#[test]
fn the_fields_that_the_code_knows_are_those_of_the_schema() {
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
fn what_a_record_may_lack_is_listed() {
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

#[test]
fn what_passes_between_states_ignores_fields_of_another_release() {
    for (name, mut event) in events() {
        if name != "run-input" {
            event["field_of_another_release"] = json!({ "a": 1 });
            parse(&name, &event);
        }
    }
}
