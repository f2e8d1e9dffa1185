//! What README draws and lists is what the definition and the contract say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write;

use contract::{AuditRecord, Cure, ErrorName, Retention, RunInput};
use expect_test::expect_file;
use local::definition::{DEFINITION, mermaid};
use schemars::{Schema, schema_for};
use serde_json::Value;

const README: &str = include_str!("../../../README.md");

/// Holds the block of README between `<!-- NAME -->` and `<!-- /NAME -->` against `content`.
/// `UPDATE_EXPECT=1 cargo test -p local --test readme` writes it anew.
fn assert_block(name: &str, content: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = README
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no block {name}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("no end of {name}"));
    let wanted = format!("{before}{begin}{}\n{end}{after}", content.trim_end());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        // Other blocks may have been written since this test was built.
        let now = std::fs::read_to_string(path()).unwrap();
        let (before, rest) = now.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        let wanted = format!("{before}{begin}{}\n{end}{after}", content.trim_end());
        std::fs::write(path(), wanted).unwrap();
    } else {
        expect_file![path()].assert_eq(&wanted);
    }
}

fn path() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")
}

/// One row for each field of a type: name, what `middle` says of it, what its documentation says.
fn rows(
    table: &mut String,
    schema: &Schema,
    prefix: &str,
    middle: impl Fn(&str, &Value) -> String,
) {
    for (field, property) in schema.get("properties").unwrap().as_object().unwrap() {
        let meaning = property["description"].as_str().unwrap().replace('\n', " ");
        let _ = writeln!(
            table,
            "| `{prefix}{field}` | {} | {meaning} |",
            middle(field, property)
        );
    }
}

fn default_of(schema: &Schema) -> impl Fn(&str, &Value) -> String {
    let required = schema.get("required").unwrap().clone();
    move |field, property| {
        if required
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == field)
        {
            return "required".to_owned();
        }
        match &property["default"] {
            Value::String(default) => format!("`{default}`"),
            default => format!("`{default}`"),
        }
    }
}

#[test]
fn the_blocks_are_those_of_the_code() {
    let diagram = mermaid(DEFINITION).unwrap();
    assert_block("machine", &format!("```mermaid\n{diagram}```"));

    let mut table = "| field | default | meaning |\n|---|---|---|\n".to_owned();
    let schema = schema_for!(RunInput);
    rows(&mut table, &schema, "", default_of(&schema));
    let schema = schema_for!(Retention);
    rows(&mut table, &schema, "retention.", default_of(&schema));
    assert_block("run-input", &table);

    let mut table =
        "| name | what has happened | what to do | retried |\n|---|---|---|---|\n".to_owned();
    for name in ErrorName::ALL {
        let retried = if name.is_retryable() { "yes" } else { "" };
        let cure = match name.cure() {
            Cure::Redrive => "**Redrive.**",
            Cure::NewExecution => "**New execution.**",
        };
        let (cause, remedy) = (name.cause(), name.remedy());
        let _ = writeln!(
            table,
            "| `{name}` | {cause} | {cure} {remedy} | {retried} |"
        );
    }
    assert_block("errors", &table);

    let mut table = "| attribute | type | meaning |\n|---|---|---|\n".to_owned();
    rows(&mut table, &schema_for!(AuditRecord), "", |_, property| {
        let kinds = match &property["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let kind = kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null");
        match (kind, property.get("anyOf")) {
            (Some("integer"), _) => "N",
            (Some("array"), _) => "L",
            (None, Some(any)) if any.to_string().contains("$ref") => "M",
            _ => "S",
        }
        .to_owned()
    });
    assert_block("audit-record", &table);
}
