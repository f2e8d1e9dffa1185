//! Payloads of other releases: a stack can be rolled back, and forward again, in the middle of a run.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// The payloads of the first release.
const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../resources/events/0.1.0");

/// What a state of the first release was given.
static INPUTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    ["describe-snapshot", "prune-snapshots", "record-and-notify"]
        .into_iter()
        .map(|function| {
            let path = format!("{EVENTS}/schemas/{function}-input.json");
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        })
        .collect()
});

/// What only the first release's definition read.
const ROUTING: [&str; 4] = [
    "pruning",
    "snapshot_creation",
    "snapshot_status",
    "wait_seconds",
];

/// The payload with a field at each object that no code of today knows.
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

/// The payload without what the first release did not know.
pub fn older(payload: &Value) -> Value {
    let schemas: Vec<(&Value, &Value)> = INPUTS.iter().map(|root| (root, root)).collect();
    let mut known = without_unknown_fields(payload, &schemas);
    for name in ROUTING {
        if let Some(routing) = payload.get(name) {
            known[name] = routing.clone();
        }
    }
    known
}

/// The value with what any of the schemas knows, each with the document that its references are in.
fn without_unknown_fields(value: &Value, schemas: &[(&Value, &Value)]) -> Value {
    let schemas: Vec<(&Value, &Value)> = schemas
        .iter()
        .flat_map(|(root, schema)| resolved(root, schema))
        .collect();
    let below = |keyword: &str, name: Option<&str>| -> Vec<(&Value, &Value)> {
        let found = schemas.iter().filter_map(|(root, schema)| {
            let below = schema.get(keyword)?;
            Some((*root, name.map_or(Some(below), |name| below.get(name))?))
        });
        found.collect()
    };
    match value {
        Value::Object(fields) if !below("properties", None).is_empty() => {
            let known = fields.iter().filter_map(|(name, value)| {
                let schemas = below("properties", Some(name));
                let value = without_unknown_fields(value, &schemas);
                (!schemas.is_empty()).then(|| (name.clone(), value))
            });
            Value::Object(known.collect())
        }
        Value::Array(items) => {
            let schemas = below("items", None);
            let items = items
                .iter()
                .map(|item| without_unknown_fields(item, &schemas));
            items.collect()
        }
        other => other.clone(),
    }
}

/// The schemas that a schema refers to, or chooses from, and itself.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Vec<(&'a Value, &'a Value)> {
    let referred = schema["$ref"].as_str().map(|reference| {
        let pointer = reference.strip_prefix('#').unwrap();
        root.pointer(pointer).unwrap()
    });
    let chosen = schema["anyOf"].as_array().into_iter().flatten();
    let mut all = vec![(root, schema)];
    for other in referred.into_iter().chain(chosen) {
        all.extend(resolved(root, other));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of all fields anywhere in it.
    fn names(value: &Value) -> BTreeSet<String> {
        match value {
            Value::Object(fields) => fields
                .iter()
                .flat_map(|(name, value)| names(value).into_iter().chain([name.clone()]))
                .collect(),
            Value::Array(items) => items.iter().flat_map(names).collect(),
            _ => BTreeSet::new(),
        }
    }

    #[test]
    fn an_older_release_knows_all_of_its_own_payloads_and_nothing_newer() {
        let mut seen = 0;
        for entry in std::fs::read_dir(EVENTS).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let given = ["describe-snapshot", "prune-snapshots", "record-and-notify"];
            if !given.iter().any(|function| name.starts_with(function)) {
                continue;
            }
            let payload: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(older(&payload), payload, "{name}");
            let newer = newer(&payload);
            assert!(names(&newer).contains("field_of_a_newer_release"));
            assert_eq!(older(&newer), payload, "{name}");
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }
}
