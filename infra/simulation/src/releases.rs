//! Payloads of other releases. A stack can be rolled back to an older release, and updated again, in the middle of a
//! run.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::state_machine::DEFINITION;

/// The paths of the fields that the first release knows, from its sample payloads.
static FIRST_RELEASE: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let payloads = payloads("0.1.0");
    let fields = payloads.iter().flat_map(|payload| fields(payload, ""));
    fields.collect()
});

/// The definition of the first release. Its Tasks invoke the functions of the current release.
pub static FIRST_DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../resources/releases/0.1.0/snapshot-manager.asl.json");
    let mut definition: Value = serde_json::from_str(text).unwrap();
    for (name, state) in definition["States"].as_object_mut().unwrap() {
        if state["Type"] == "Task" {
            let today = &DEFINITION["States"][name]["Parameters"]["FunctionName"];
            state["Parameters"]["FunctionName"] = today.clone();
        }
    }
    definition
});

/// The sample payloads that a release passes from one state to another.
fn payloads(release: &str) -> Vec<Value> {
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../../resources/events");
    let files = std::fs::read_dir(format!("{events}/{release}")).unwrap();
    let files = files.map(|entry| entry.unwrap().path()).filter(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        let functions = ["describe-snapshot", "prune-snapshots", "record-and-notify"];
        functions.iter().any(|function| name.starts_with(function))
    });
    files
        .map(|file| {
            let mut payload: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            // The definition puts the input of the last state into this field.
            if let Some(done) = payload.get_mut("done") {
                payload = done.take();
            }
            payload
        })
        .collect()
}

/// The paths of all fields in a value that is at `place`. Indices of arrays are left out.
fn fields(value: &Value, place: &str) -> Vec<String> {
    match value {
        Value::Object(known) => known
            .iter()
            .flat_map(|(name, value)| {
                let place = format!("{place}/{name}");
                let mut all = fields(value, &place);
                all.push(place);
                all
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| fields(item, place)).collect(),
        _ => Vec::new(),
    }
}

/// The payload with one more field in each object. The current code does not know the field.
pub fn newer(payload: &Value) -> Value {
    let mut fields = 0;
    with_unknown_fields(payload, &mut fields)
}

fn with_unknown_fields(value: &Value, fields: &mut usize) -> Value {
    match value {
        Value::Object(known) => {
            let known = known
                .iter()
                .map(|(name, value)| (name.clone(), with_unknown_fields(value, fields)));
            let mut all: Map<String, Value> = known.collect();
            let kinds = [json!({ "a": [1] }), json!(-1.5), json!("new"), json!(null)];
            let kind = kinds[*fields % kinds.len()].clone();
            *fields += 1;
            all.insert("field_of_a_newer_release".to_owned(), kind);
            Value::Object(all)
        }
        Value::Array(items) => items
            .iter()
            .map(|item| with_unknown_fields(item, fields))
            .collect(),
        scalar => scalar.clone(),
    }
}

/// The payload without the fields that the first release does not know.
pub fn older(payload: &Value) -> Value {
    with_known_fields(payload, "")
}

fn with_known_fields(value: &Value, place: &str) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, value)| {
                let place = format!("{place}/{name}");
                let is_known = FIRST_RELEASE.contains(&place);
                is_known.then(|| (name.clone(), with_known_fields(value, &place)))
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| with_known_fields(item, place))
            .collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_release_knows_every_field_of_its_own_payloads_and_no_field_of_a_newer_release() {
        let payloads = payloads("0.1.0");
        for payload in &payloads {
            assert_eq!(older(payload), *payload);
            let newer = newer(payload);
            assert!(fields(&newer, "").contains(&"/field_of_a_newer_release".to_owned()));
            assert_eq!(older(&newer), *payload);
        }
        assert!(payloads.len() > 10, "{}", payloads.len());
    }

    #[test]
    fn these_fields_are_newer_than_the_first_release() {
        let payloads = payloads(env!("CARGO_PKG_VERSION"));
        let today: BTreeSet<String> = payloads.iter().flat_map(|it| fields(it, "")).collect();
        let newer: Vec<&String> = today.difference(&FIRST_RELEASE).collect();
        assert_eq!(
            newer,
            [
                "/batch/exempt",
                "/batch/tried",
                "/planned_at",
                "/progress/application_busy_since",
                "/progress/exempt_count",
                "/progress/throttled_batches",
                "/progress/waiting_since",
                "/run/definition",
                "/run/input/application_timeout_seconds",
                "/run/input/retention/keep_last_runtimes",
                "/run/input/snapshot_attempts",
                "/run/input/snapshot_name",
                "/warnings",
            ]
        );
    }
}
