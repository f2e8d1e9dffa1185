//! Reads a row of the table of audit records.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use contract::{AuditRecord, Notified, Outcome};
use serde_json::{Map, Value};

/// A row's attributes by name.
pub(crate) type Row = HashMap<String, AttributeValue>;

/// The two marks of a row. `notified` says that the notification was sent. `measured` says that the metrics were logged
/// without a notification. Writing a record does not change the marks.
pub(crate) const MARKS: [&str; 2] = ["measured", "notified"];

/// What has already been reported for a record, according to the marks in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotificationState {
    /// The notification was sent with this message id, and the metrics were printed.
    Notified(String),
    /// The row has no mark for this record, but a notification was sent for an earlier failure of the same execution.
    FailureNotified,
    /// The metrics were printed. The run's input asked for no notification.
    MetricsLogged,
    /// The row has no mark for this record.
    Unmarked,
}

/// Reads from the marks in the row what is already done for the record.
pub(crate) fn notification_state(row: &Row, record: &AuditRecord) -> NotificationState {
    let notified = row.get("notified").and_then(read_notified);
    let printed = string(row, "measured").and_then(parse_outcome);
    match notified {
        Some(notified) if is_for(&notified, record) => {
            NotificationState::Notified(notified.message_id)
        }
        Some(notified) if notified.outcome.is_failed_execution() => {
            NotificationState::FailureNotified
        }
        _ if printed == Some(record.outcome) => NotificationState::MetricsLogged,
        _ => NotificationState::Unmarked,
    }
}

/// Whether the notification was sent for this record. An execution completes only once, so it is enough to compare the
/// outcomes. An execution can fail again after each redrive, so for a failure the times are compared too.
fn is_for(notified: &Notified, record: &AuditRecord) -> bool {
    let is_completed = !record.outcome.is_failed_execution();
    notified.outcome == record.outcome
        && (is_completed || notified.finished_at == record.finished_at)
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

/// The value of the attribute with this name, if the value is a string.
pub(crate) fn string<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

/// Reads the row as an audit record. `None` if it is not a valid one.
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

/// Converts an attribute to JSON. `None` if records have no attributes of its type. `serde_dynamo` is not used here,
/// because it panics on a type that the SDK does not know.
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
