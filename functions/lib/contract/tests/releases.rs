//! Today's types read the sample payloads in `resources/events` and the payloads of every release, each of which has a
//! directory there. The payloads of this release show every field and every value of its schemas. So a copy of the
//! schemas of each release is not necessary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use contract::{
    AuditRecord, CreateSnapshotInput, DescribeSnapshotInput, ExecutionStatusChange, NO_RULE,
    PruneSnapshotsInput, RecordAndNotifyInput, RunInput, RunSummary,
};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use testkit::hostile::{places, without};

const WHAT_TO_DO: &str = "A redrive up to 14 days later passes this payload to today's code: make the change \
                          compatible (a default for a new field, the old value beside a new one), and leave \
                          the payload as it is.";

/// A file of `resources/events`.
struct Payload {
    /// The path of the file, relative to `resources/events`.
    path: String,
    /// The release, which is the directory of the file. Empty for a sample.
    release: String,
    /// The kind of payload, which is the file name up to the first dot. The rest of the name says what is special about
    /// this payload.
    kind: String,
    value: Value,
}

fn payloads() -> Vec<Payload> {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../resources/events");
    let (releases, samples): (Vec<PathBuf>, Vec<PathBuf>) =
        entries(&events).into_iter().partition(|path| path.is_dir());
    let of_releases = releases.iter().flat_map(|release| entries(release));
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&events).unwrap();
        let name = below.file_name().unwrap().to_str().unwrap();
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let kind = match name.split('.').next().unwrap() {
            // The definition of release 0.1.0 passes only the summary of the run to the last state.
            "record-and-notify-input" if value.get("done").is_none() => "run-summary",
            kind => kind,
        };
        Payload {
            path: below.display().to_string(),
            release: below.parent().unwrap().display().to_string(),
            kind: kind.to_owned(),
            value,
        }
    };
    samples.into_iter().chain(of_releases).map(read).collect()
}

/// The files and directories in `directory`, sorted by name.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Today's type for a kind of payload.
struct Today {
    /// Reads a payload and writes it again.
    parse: fn(&Value) -> Result<Value, String>,
    schema: fn() -> Schema,
}

impl Today {
    fn of(kind: &str) -> Self {
        match kind {
            "run-input" => Self::new::<RunInput>(),
            "create-snapshot-input" => Self {
                parse: |payload| {
                    let read: CreateSnapshotInput = contract::parse(payload)?;
                    contract::parse::<RunInput>(&read.input)?;
                    Ok(serde_json::to_value(read).unwrap())
                },
                schema: || schema_for!(CreateSnapshotInput),
            },
            "describe-snapshot-input" => Self::new::<DescribeSnapshotInput>(),
            "prune-snapshots-input" => Self::new::<PruneSnapshotsInput>(),
            "record-and-notify-input" => Self::new::<RecordAndNotifyInput>(),
            "run-summary" => Self::new::<RunSummary>(),
            "execution-status-change" => Self::new::<ExecutionStatusChange>(),
            "audit-record" => Self::new::<AuditRecord>(),
            other => panic!("{other} is no kind of payload"),
        }
    }

    fn new<T: DeserializeOwned + Serialize + JsonSchema>() -> Self {
        Self {
            parse: |payload| {
                contract::parse::<T>(payload).map(|read| serde_json::to_value(read).unwrap())
            },
            schema: || schema_for!(T),
        }
    }
}

impl Payload {
    /// Asserts that today's type reads `value`, which is this payload after the `change`.
    fn assert_parses(&self, value: &Value, change: &str) {
        if let Err(error) = (Today::of(&self.kind).parse)(value) {
            let path = &self.path;
            panic!("resources/events/{path}{change}: {error}.\n{WHAT_TO_DO}\n{value:#}");
        }
    }
}

#[test]
fn every_payload_parses_and_is_valid_by_todays_schema() {
    let payloads = payloads();
    for payload in &payloads {
        payload.assert_parses(&payload.value, "");
        let schema = (Today::of(&payload.kind).schema)();
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        let errors = validator.iter_errors(&payload.value);
        let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", payload.path);
    }
    assert!(payloads.len() >= 70, "{}", payloads.len());
    let samples = payloads.iter().filter(|payload| payload.release.is_empty());
    assert!(samples.count() >= 6, "there is a sample for each input");
}

/// The places of a payload that have a time that today's code reads.
fn times(payload: &Payload) -> Vec<String> {
    let written = (Today::of(&payload.kind).parse)(&payload.value).unwrap();
    let mut places = places(&payload.value);
    places.retain(|place| {
        let value = payload.value.pointer(place).and_then(Value::as_str);
        let is_time = value.is_some_and(|text| text.parse::<Timestamp>().is_ok());
        is_time && written.pointer(place).is_some()
    });
    places
}

#[test]
fn each_time_is_written_in_the_format_of_every_release() {
    let mut compared = 0;
    for payload in payloads() {
        let written = (Today::of(&payload.kind).parse)(&payload.value).unwrap();
        for place in times(&payload) {
            let (before, after) = (payload.value.pointer(&place), written.pointer(&place));
            assert_eq!(before, after, "{} {place}", payload.path);
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn a_malformed_time_is_refused_with_its_name_if_it_is_required_and_otherwise_counts_as_absent() {
    let (mut refused, mut absent) = (0, 0);
    for payload in payloads() {
        for place in times(&payload) {
            let mut forged = payload.value.clone();
            *forged.pointer_mut(&place).unwrap() = "yesterday".into();
            let read = (Today::of(&payload.kind).parse)(&forged);
            let (parent, name) = place.rsplit_once('/').unwrap();
            let is_needed = match name {
                "execution_started_at" | "accepted_at" => true,
                "created_at" => parent.contains("batch") || parent.contains("deleted"),
                _ => false,
            };
            if is_needed {
                let error = read.unwrap_err();
                assert!(error.contains(&format!("{name}: ")), "{place}: {error}");
                refused += 1;
            } else {
                let read = read.unwrap();
                let time = read.pointer(&place).and_then(Value::as_str);
                assert_eq!(time, None, "{} {place}", payload.path);
                absent += 1;
            }
        }
    }
    assert!(refused > 30 && absent > 30, "{refused} {absent}");
}

/// An object in a payload or a schema. Its name is the name of the field that contains it, or the kind of payload.
struct Object<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

fn objects<'a>(name: &'a str, value: &'a Value) -> Vec<Object<'a>> {
    match value {
        Value::Object(fields) => {
            let inner = fields.iter().flat_map(|(name, value)| objects(name, value));
            std::iter::once(Object { name, fields })
                .chain(inner)
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| objects(name, item)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_field_that_a_release_leaves_out_in_one_payload_may_be_missing_in_all_of_them() {
    let payloads = payloads();
    let mut left_out = 0;
    for payload in &payloads {
        let release: Vec<Object> = payloads
            .iter()
            .filter(|other| other.release == payload.release)
            .flat_map(|other| objects(&other.kind, &other.value))
            .collect();
        for place in places(&payload.value) {
            let Some((parent, field)) = place.rsplit_once('/') else {
                continue;
            };
            let name = parent
                .rsplit('/')
                .find(|part| !part.is_empty() && part.parse::<usize>().is_err())
                .unwrap_or(&payload.kind);
            let is_item = field.parse::<usize>().is_ok();
            let is_optional = is_item
                || release
                    .iter()
                    .any(|object| object.name == name && !object.fields.contains_key(field));
            let shorter = without(payload.value.clone(), &place);
            // No release accepts a policy without a rule.
            let is_without_rule = (Today::of(&payload.kind).parse)(&shorter)
                .is_err_and(|error| error.contains(NO_RULE));
            if is_optional && !is_without_rule {
                payload.assert_parses(&shorter, &format!(" without {place}"));
                left_out += 1;
            }
        }
    }
    assert!(left_out > 1_000, "{left_out}");
}

/// A field in a schema.
struct Field {
    /// The name of the [`Object`] that has the field.
    object: String,
    name: String,
    is_optional: bool,
}

/// The fields of `schema` and of the schemas in it. `schema` is a part of the schema `root`.
fn fields(root: &Value, schema: &Value, object: &str) -> Vec<Field> {
    let mut found = Vec::new();
    for schema in resolved(root, schema) {
        let required = schema["required"].as_array();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push(Field {
                object: object.to_owned(),
                name: name.clone(),
                is_optional: required.is_none_or(|names| !names.contains(&json!(name))),
            });
            found.extend(fields(root, property, name));
        }
        if let Some(items) = schema.get("items") {
            found.extend(fields(root, items, object));
        }
    }
    found
}

/// The schema, and the schemas to which it refers with `$ref`, `anyOf` or `oneOf`.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let referred = schema["$ref"].as_str().map(|reference| {
        let pointer = reference.strip_prefix('#').unwrap();
        root.pointer(pointer).unwrap()
    });
    let choices = ["anyOf", "oneOf"].map(|keyword| schema[keyword].as_array());
    let chosen = choices.into_iter().flatten().flatten();
    let mut all = vec![schema];
    for other in referred.into_iter().chain(chosen) {
        all.extend(resolved(root, other));
    }
    all
}

/// The values of all enums in a schema.
fn constants(schema: &Value) -> Vec<&Value> {
    let all = objects("", schema).into_iter();
    all.flat_map(|object| {
        let constant = object.fields.get("const").into_iter();
        let choices = object.fields.get("enum").and_then(Value::as_array);
        constant.chain(choices.into_iter().flatten())
    })
    .collect()
}

#[test]
fn the_payloads_of_this_release_show_every_field_each_absence_of_an_optional_field_and_every_enum_value()
 {
    const RELEASE: &str = env!("CARGO_PKG_VERSION");
    let payloads: Vec<Payload> = payloads()
        .into_iter()
        .filter(|payload| payload.release == RELEASE)
        .collect();
    let shown: Vec<Object> = payloads
        .iter()
        .flat_map(|payload| objects(&payload.kind, &payload.value))
        .collect();
    let text: String = payloads.iter().map(|it| it.value.to_string()).collect();
    let mut missing = Vec::new();
    for kind in [
        "run-input",
        "create-snapshot-input",
        "describe-snapshot-input",
        "prune-snapshots-input",
        "record-and-notify-input",
        "execution-status-change",
        "audit-record",
    ] {
        let schema = (Today::of(kind).schema)();
        let schema = schema.as_value();
        for Field {
            object,
            name,
            is_optional,
        } in fields(schema, schema, kind)
        {
            let is_there = |it: &Object| it.fields.contains_key(&name);
            let mut all = shown.iter().filter(|it| it.name == object);
            if !all.clone().any(is_there) {
                missing.push(format!("{object}.{name}"));
            }
            if is_optional && all.all(is_there) {
                missing.push(format!("{object} without {name}"));
            }
        }
        let values = constants(schema).into_iter().map(Value::to_string);
        missing.extend(values.filter(|value| !text.contains(value)));
    }
    assert!(
        missing.is_empty(),
        "resources/events/{RELEASE} does not show {missing:?}. Add it there if {RELEASE} is not released yet. \
         Otherwise raise the version in Cargo.toml and add a directory for it."
    );
}

/// The objects with which a run starts: the kind of payload, and the place in it. Unknown fields in them are refused.
const STARTS: [(&str, &str); 4] = [
    ("run-input", ""),
    ("run-input", "/retention"),
    ("create-snapshot-input", "/input"),
    ("create-snapshot-input", "/input/retention"),
];

#[test]
fn an_unknown_field_is_ignored_except_in_the_input_of_a_new_run() {
    let mut refused = 0;
    for payload in payloads() {
        for at in places(&payload.value) {
            let mut value = payload.value.clone();
            let Some(Value::Object(fields)) = value.pointer_mut(&at) else {
                continue;
            };
            fields.insert("field_of_another_release".to_owned(), "x".into());
            let change = format!(" with one more field at {at:?}");
            payload.assert_parses(&value, &change);
            let input = match payload.kind.as_str() {
                "run-input" => Some(&value),
                "create-snapshot-input" => Some(&value["input"]),
                _ => None,
            };
            let known = input.map_or(Ok(()), |input| {
                let input: RunInput = serde_json::from_value(input.clone()).unwrap();
                input.refuse_unknown_fields()
            });
            let is_start = STARTS.contains(&(payload.kind.as_str(), at.as_str()));
            assert_eq!(
                known.is_err(),
                is_start,
                "{}{change}: {known:?}",
                payload.path
            );
            refused += usize::from(is_start);
        }
    }
    assert!(refused >= STARTS.len(), "{refused}");
}

#[test]
fn an_unknown_field_of_the_run_input_is_passed_on_unchanged() {
    for Payload {
        path,
        kind,
        mut value,
        ..
    } in payloads()
    {
        if kind != "describe-snapshot-input" {
            continue;
        }
        for at in ["/run/input", "/run/input/retention"] {
            let (parent, name) = at.rsplit_once('/').unwrap();
            let parent = value.pointer_mut(parent).unwrap();
            let fields = &mut parent[name];
            // Some payloads have no policy.
            if fields.is_null() {
                *fields = json!({ "keep_last": 1 });
            }
            fields["field_of_another_release"] = json!({ "a": [1, "x", null] });
        }
        let read: DescribeSnapshotInput = serde_json::from_value(value.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        for at in ["/run/input", "/run/input/retention"] {
            let at = format!("{at}/field_of_another_release");
            assert_eq!(written.pointer(&at), value.pointer(&at), "{path} {at}");
        }
    }
}
