//! The payloads of every release are still read. `resources/events` has a directory for each: what
//! its code handed on, and what its schemas were.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

use contract::{
    AuditRecord, CreateSnapshotInput, DescribeSnapshotInput, ExecutionStatusChange,
    PruneSnapshotsInput, RunInput, RunSummary,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use testkit::hostile::{places, without};

const CURE: &str = "A redrive up to 14 days later hands this payload to today's code: make the change \
                    compatible (a default for a new field, the old value beside a new one), and leave \
                    the file as it is.";

/// The files of the directory, by name.
fn entries(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Each payload of a release with where it is, the name of its type, and that release's schema.
fn payloads() -> Vec<(String, String, Value, jsonschema::Validator)> {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../resources/events");
    let releases = entries(&events).into_iter().filter(|path| path.is_dir());
    releases
        .flat_map(|release| {
            let files = entries(&release).into_iter().filter(|path| path.is_file());
            files.map(move |path| {
                let stem = path.file_stem().unwrap().to_str().unwrap();
                let kind = stem.split('.').next().unwrap().to_owned();
                let schema = read(&release.join(format!("schemas/{kind}.json")));
                let place = path.strip_prefix(release.parent().unwrap()).unwrap();
                (
                    place.display().to_string(),
                    kind,
                    read(&path),
                    jsonschema::validator_for(&schema).unwrap(),
                )
            })
        })
        .collect()
}

/// Whether today's code takes the payload.
fn parse(kind: &str, payload: &Value) -> Result<(), serde_json::Error> {
    fn parses<T: DeserializeOwned>(payload: &Value) -> Result<(), serde_json::Error> {
        serde_json::from_value::<T>(payload.clone()).map(|_| ())
    }
    match kind {
        "run-input" => parses::<RunInput>(payload),
        "create-snapshot-input" => parses::<CreateSnapshotInput>(payload)
            .and_then(|()| parses::<RunInput>(&payload["input"])),
        "describe-snapshot-input" => parses::<DescribeSnapshotInput>(payload),
        "prune-snapshots-input" => parses::<PruneSnapshotsInput>(payload),
        // The definition of 0.1.0 gave the last state nothing but this.
        "record-and-notify-input" => parses::<RunSummary>(payload),
        "execution-status-change" => parses::<ExecutionStatusChange>(payload),
        "audit-record" => parses::<AuditRecord>(payload),
        other => panic!("no step takes {other}"),
    }
}

fn assert_parses(place: &str, what: &str, kind: &str, payload: &Value) {
    if let Err(error) = parse(kind, payload) {
        panic!("resources/events/{place}{what}: {error}.\n{CURE}\n{payload:#}");
    }
}

#[test]
fn the_payloads_of_every_release_are_valid_by_its_schemas_and_still_parse() {
    let payloads = payloads();
    for (place, kind, payload, schema) in &payloads {
        assert!(schema.is_valid(payload), "{place}");
        assert_parses(place, "", kind, payload);
    }
    assert!(payloads.len() >= 19, "{}", payloads.len());
}

#[test]
fn what_a_release_could_leave_out_may_still_be_missing() {
    let mut left_out = 0;
    for (place, kind, payload, schema) in payloads() {
        let optional: Vec<String> = places(&payload)
            .into_iter()
            .filter(|at| !at.is_empty() && schema.is_valid(&without(payload.clone(), at)))
            .collect();
        for at in &optional {
            let shorter = without(payload.clone(), at);
            assert_parses(&place, &format!(" without {at}"), &kind, &shorter);
        }
        // From the end, so that an item that is taken out moves none that is still to go.
        let least = optional.iter().rev().fold(payload, |payload, at| {
            let shorter = without(payload.clone(), at);
            if schema.is_valid(&shorter) {
                shorter
            } else {
                payload
            }
        });
        assert_parses(&place, " without anything that can go", &kind, &least);
        left_out += optional.len();
    }
    assert!(left_out > 100, "{left_out}");
}

/// Where a run begins: the places in which an unknown field is refused.
const BEGINNINGS: [(&str, &str); 4] = [
    ("run-input", ""),
    ("run-input", "/retention"),
    ("create-snapshot-input", "/input"),
    ("create-snapshot-input", "/input/retention"),
];

#[test]
fn a_field_of_another_release_is_ignored_at_every_place_but_where_a_run_begins() {
    let mut refused = 0;
    for (place, kind, payload, _) in payloads() {
        for at in places(&payload) {
            let mut payload = payload.clone();
            let Some(Value::Object(fields)) = payload.pointer_mut(&at) else {
                continue;
            };
            fields.insert("field_of_another_release".to_owned(), "x".into());
            let what = format!(" with one more field at {at:?}");
            assert_parses(&place, &what, &kind, &payload);
            let begun = match kind.as_str() {
                "run-input" => Some(&payload),
                "create-snapshot-input" => Some(&payload["input"]),
                _ => None,
            };
            let known = begun.map_or(Ok(()), |input| {
                let input: RunInput = serde_json::from_value(input.clone()).unwrap();
                input.refuse_unknown_fields()
            });
            let is_beginning = BEGINNINGS.contains(&(kind.as_str(), at.as_str()));
            assert_eq!(known.is_err(), is_beginning, "{place}{what}: {known:?}");
            refused += usize::from(is_beginning);
        }
    }
    assert!(refused >= BEGINNINGS.len(), "{refused}");
}

#[test]
fn an_unknown_field_of_the_run_input_is_handed_on_unchanged() {
    for (place, kind, mut payload, _) in payloads() {
        if kind != "describe-snapshot-input" {
            continue;
        }
        for at in ["/run/input", "/run/input/retention"] {
            let (parent, name) = at.rsplit_once('/').unwrap();
            let parent = payload.pointer_mut(parent).unwrap();
            let fields = &mut parent[name];
            // Some payloads have no policy of their own.
            if fields.is_null() {
                *fields = serde_json::json!({ "keep_last": 1 });
            }
            fields["field_of_another_release"] = serde_json::json!({ "a": [1, "x", null] });
        }
        let read: DescribeSnapshotInput = serde_json::from_value(payload.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        for at in ["/run/input", "/run/input/retention"] {
            let at = format!("{at}/field_of_another_release");
            assert_eq!(written.pointer(&at), payload.pointer(&at), "{place} {at}");
        }
    }
}
