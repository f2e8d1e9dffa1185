//! Reads a row of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use contract::{AuditRecord, Notified, Outcome};
use serde_json::{Map, Value};

/// A row's attributes by name.
pub(crate) type Row = HashMap<String, AttributeValue>;

/// The attributes that mark what was announced and printed. A write of the record keeps them.
pub(crate) const MARKS: [&str; 2] = ["measured", "notified"];

/// What a row's marks say about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It was announced under this message id, and its metrics are printed.
    Announced(String),
    /// It was not announced, but an earlier failure of its execution was.
    FailureAnnounced,
    /// Its metrics are printed. It was not to be announced.
    Printed,
    /// Nothing.
    Absent,
}

/// What the row's marks say about the record.
pub(crate) fn mark(row: &Row, record: &AuditRecord) -> Mark {
    let notified = row.get("notified").and_then(read_notified);
    let printed = string(row, "measured").and_then(parse_outcome);
    match notified {
        Some(notified) if is_about(&notified, record) => Mark::Announced(notified.message_id),
        Some(notified) if notified.outcome.is_failed_execution() => Mark::FailureAnnounced,
        _ if printed == Some(record.outcome) => Mark::Printed,
        _ => Mark::Absent,
    }
}

/// Whether the mark is about this record. An execution succeeds only once, but can fail once after each
/// redrive.
fn is_about(notified: &Notified, record: &AuditRecord) -> bool {
    let is_success = !record.outcome.is_failed_execution();
    notified.outcome == record.outcome && (is_success || notified.finished_at == record.finished_at)
}

fn read_notified(attribute: &AttributeValue) -> Option<Notified> {
    let notified = attribute.as_m().ok()?;
    Some(Notified {
        outcome: parse_outcome(string(notified, "outcome")?)?,
        finished_at: notified.get("finished_at")?.as_n().ok()?.parse().ok()?,
        message_id: string(notified, "message_id")?.to_owned(),
    })
}

fn parse_outcome(outcome: &str) -> Option<Outcome> {
    serde_json::from_value(outcome.into()).ok()
}

/// The attribute of that name, if it is a string.
pub(crate) fn string<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

/// The row as a record, if it is one.
pub(crate) fn read_record(row: &Row) -> Option<AuditRecord> {
    serde_json::from_value(object(row)?).ok()
}

fn object(row: &Row) -> Option<Value> {
    let fields: Option<Map<String, Value>> = row
        .iter()
        .map(|(name, attribute)| Some((name.clone(), to_json(attribute)?)))
        .collect();
    Some(fields?.into())
}

/// An attribute as JSON, if it is of a type that records have. `serde_dynamo` panics at a type that the SDK
/// does not know.
fn to_json(attribute: &AttributeValue) -> Option<Value> {
    Some(match attribute {
        AttributeValue::S(text) => Value::from(text.as_str()),
        AttributeValue::N(number) => Value::Number(number.parse().ok()?),
        AttributeValue::Bool(value) => Value::from(*value),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(items) => items
            .iter()
            .map(to_json)
            .collect::<Option<Vec<_>>>()?
            .into(),
        AttributeValue::M(fields) => object(fields)?,
        _ => return None,
    })
}
