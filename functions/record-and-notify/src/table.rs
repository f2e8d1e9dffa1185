//! The row of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnConditionFailure,
};
use contract::{AuditRecord, Notified, Outcome};
use serde_json::Value;
use step::{CallError, StepError};

use crate::error;

/// A row's attributes.
type Row = HashMap<String, AttributeValue>;

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The row says it now. With what was told of it before.
    Now(Told),
    /// The row says something later of this execution. With that record, if it can be read, and what was
    /// told of it.
    Superseded(Option<(Box<AuditRecord>, Told)>),
}

/// What was told of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The topic has accepted its announcement under this message id, and its metrics are in the log.
    Announced(String),
    /// Its metrics are in the log.
    Measured,
    /// Nothing, as far as the row says.
    Nothing,
}

/// Writes the record, unless the row is another execution's or says something later of this one.
/// Attributes that the record does not have are removed, those aside that say what was told.
///
/// What is later no clock decides. The ends of an execution are in the order of its redrives, and of two
/// ends within one redrive the event of Step Functions is later than what the last state wrote: a state can
/// still write after its execution was stopped. Where a redrive count is not known, as in the rows and
/// executions of release 0.1.0, the times are compared.
pub(crate) async fn write(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
) -> Result<Written, StepError> {
    let mut attributes: Row = serde_dynamo::to_item(record)
        .map_err(|error| StepError::unexpected(format!("The record: {error}.")))?;
    for key in ["app_name", "snapshot_manager_run_id"].iter().chain(&TOLD) {
        attributes.remove(*key);
    }
    let mut update = set_and_remove(row(dynamodb, table_name, record), attributes);
    let is_event = record.outcome.is_failed_execution();
    let not_later = if record.redrive_count.is_none() {
        "finished_at <= :finished_at".to_owned()
    } else {
        let same_redrive = if is_event {
            "redrive_count = :redrive_count"
        } else {
            for (name, outcome) in [
                (":failed", Outcome::Failed),
                (":timed_out", Outcome::TimedOut),
                (":aborted", Outcome::Aborted),
            ] {
                let value = AttributeValue::S(outcome.as_str().to_owned());
                update = update.expression_attribute_values(name, value);
            }
            "redrive_count = :redrive_count AND NOT outcome IN (:failed, :timed_out, :aborted)"
        };
        format!(
            "redrive_count < :redrive_count OR ({same_redrive}) \
             OR (attribute_not_exists(redrive_count) AND finished_at <= :finished_at)"
        )
    };
    let answer = update
        .condition_expression(format!(
            "attribute_not_exists(app_name) OR (execution_arn = :execution_arn AND ({not_later}))"
        ))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(OnConditionFailure::AllOld)
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(Written::Now(
            answer
                .attributes
                .map_or(Told::Nothing, |row| told(&row, record)),
        )),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let empty = Row::new();
                let row = refused.item.as_ref().unwrap_or(&empty);
                let owner = text(row, "execution_arn");
                if owner == Some(&record.execution_arn) {
                    let later = read(row).map(|later| {
                        let told = told(row, &later);
                        (Box::new(later), told)
                    });
                    Ok(Written::Superseded(later))
                } else {
                    Err(error::record_conflict(record, owner.map(String::as_str)))
                }
            }
            _ => Err(error::update_item(
                CallError::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

/// The attributes that say what was told of a record.
const TOLD: [&str; 2] = ["measured", "notified"];

fn text<'a>(row: &'a Row, name: &str) -> Option<&'a String> {
    row.get(name)?.as_s().ok()
}

/// What the row says was told of this record.
fn told(row: &Row, record: &AuditRecord) -> Told {
    let notified = row.get("notified").and_then(notified);
    let measured = text(row, "measured").and_then(|text| outcome(text));
    match notified {
        Some(notified) if announces(&notified, record) => Told::Announced(notified.message_id),
        _ if measured == Some(record.outcome) => Told::Measured,
        _ => Told::Nothing,
    }
}

/// Whether `notified` is the announcement of this record. An execution ends well only once, but can
/// end badly once after each redrive.
fn announces(notified: &Notified, record: &AuditRecord) -> bool {
    let ends_well = !record.outcome.is_failed_execution();
    notified.outcome == record.outcome && (ends_well || notified.finished_at == record.finished_at)
}

/// An announcement, if it can be read.
fn notified(attribute: &AttributeValue) -> Option<Notified> {
    let notified = attribute.as_m().ok()?;
    Some(Notified {
        outcome: outcome(text(notified, "outcome")?)?,
        finished_at: notified.get("finished_at")?.as_n().ok()?.parse().ok()?,
        message_id: text(notified, "message_id")?.clone(),
    })
}

fn outcome(text: &str) -> Option<Outcome> {
    serde_json::from_value(text.into()).ok()
}

/// The record that a row has, if it is one.
fn read(row: &Row) -> Option<AuditRecord> {
    let fields: Option<serde_json::Map<String, Value>> = row
        .iter()
        .map(|(name, attribute)| Some((name.clone(), plain(attribute)?)))
        .collect();
    serde_json::from_value(fields?.into()).ok()
}

/// An attribute as JSON, if it is of a kind that records have. `serde_dynamo` would panic at a kind that
/// the SDK does not know.
fn plain(attribute: &AttributeValue) -> Option<Value> {
    Some(match attribute {
        AttributeValue::S(text) => Value::from(text.as_str()),
        AttributeValue::N(number) => Value::Number(number.parse().ok()?),
        AttributeValue::Bool(value) => Value::from(*value),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(items) => items.iter().map(plain).collect::<Option<Vec<_>>>()?.into(),
        AttributeValue::M(fields) => {
            let fields: Option<serde_json::Map<String, Value>> = fields
                .iter()
                .map(|(name, attribute)| Some((name.clone(), plain(attribute)?)))
                .collect();
            fields?.into()
        }
        _ => return None,
    })
}

/// Marks what was told of the record, if the row still says the same.
pub(crate) async fn mark(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
    message_id: Option<&str>,
) -> Result<(), StepError> {
    let (expression, value) = match message_id {
        None => (
            "SET measured = :told",
            AttributeValue::S(record.outcome.as_str().to_owned()),
        ),
        Some(message_id) => {
            let notified = Notified {
                outcome: record.outcome,
                finished_at: record.finished_at,
                message_id: message_id.to_owned(),
            };
            let notified = serde_dynamo::to_attribute_value(notified)
                .map_err(|error| StepError::unexpected(format!("The mark: {error}.")))?;
            ("SET notified = :told", notified)
        }
    };
    let answer = row(dynamodb, table_name, record)
        .update_expression(expression)
        .condition_expression("execution_arn = :execution_arn AND finished_at = :finished_at")
        .expression_attribute_values(":told", value)
        .expression_attribute_values(
            ":execution_arn",
            AttributeValue::S(record.execution_arn.clone()),
        )
        .expression_attribute_values(
            ":finished_at",
            AttributeValue::N(record.finished_at.to_string()),
        )
        .send()
        .await;
    match answer {
        Ok(_) => Ok(()),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(error::update_item(
                CallError::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

fn row(dynamodb: &Client, table_name: &str, record: &AuditRecord) -> UpdateItemFluentBuilder {
    dynamodb
        .update_item()
        .table_name(table_name)
        .key("app_name", AttributeValue::S(record.app_name.clone()))
        .key(
            "snapshot_manager_run_id",
            AttributeValue::N(record.snapshot_manager_run_id.to_string()),
        )
}

/// `SET` what there is, `REMOVE` the optional attributes that there are not.
fn set_and_remove(
    update: UpdateItemFluentBuilder,
    attributes: HashMap<String, AttributeValue>,
) -> UpdateItemFluentBuilder {
    let gone: Vec<&str> = AuditRecord::OPTIONAL
        .into_iter()
        .filter(|name| !TOLD.contains(name) && !attributes.contains_key(*name))
        .collect();
    let mut names: Vec<&String> = attributes.keys().collect();
    names.sort();
    let sets: Vec<String> = names
        .iter()
        .map(|name| format!("#{name} = :{name}"))
        .collect();
    let removes: Vec<String> = gone.iter().map(|name| format!("#{name}")).collect();
    let mut expression = format!("SET {}", sets.join(", "));
    if !removes.is_empty() {
        expression = format!("{expression} REMOVE {}", removes.join(", "));
    }
    let mut update = update.update_expression(expression);
    for name in gone {
        update = update.expression_attribute_names(format!("#{name}"), name);
    }
    for (name, value) in attributes {
        update = update
            .expression_attribute_names(format!("#{name}"), &name)
            .expression_attribute_values(format!(":{name}"), value);
    }
    update
}
