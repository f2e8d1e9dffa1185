//! The two updates of a row: the record, and the mark that it was announced.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnConditionFailure,
};
use contract::{AuditRecord, Notified, Outcome};
use step::{CallError, StepError};

use crate::error;
use crate::row::{self, MARKS, Mark, Row};

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The row has the record now, and had this mark before.
    Now(Mark),
    /// The row has a later record of this execution. `None` if that record cannot be read.
    Superseded(Option<Box<LaterRecord>>),
}

/// A later record of the execution, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaterRecord {
    pub(crate) record: AuditRecord,
    pub(crate) mark: Mark,
}

/// Writes the record, unless the row belongs to another execution or has a later record of this one. Removes
/// the attributes that the record does not have, except the marks.
pub(crate) async fn write(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
) -> Result<Written, StepError> {
    let mut attributes: Row = serde_dynamo::to_item(record)
        .map_err(|error| StepError::unexpected(format!("The record: {error}.")))?;
    for key in ["app_name", "snapshot_manager_run_id"].iter().chain(&MARKS) {
        attributes.remove(*key);
    }
    let update = set_and_remove(update_row(dynamodb, table_name, record), attributes);
    let response = unless_later(update, record)
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(OnConditionFailure::AllOld)
        .send()
        .await;
    match response {
        Ok(updated) => {
            let row = updated.attributes.unwrap_or_default();
            Ok(Written::Now(row::mark(&row, record)))
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                not_written(&failed.item.clone().unwrap_or_default(), record)
            }
            _ => Err(error::update_item(
                CallError::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

/// Adds the condition that the row is new, or that it belongs to the same execution and is not later.
///
/// What is later does not depend on a clock. An execution ends once after each redrive, so the redrive count
/// orders its ends. Within one redrive, the event of Step Functions is later than what the last state wrote,
/// because a state can still write after its execution was stopped. Where a redrive count is not known, as in
/// the rows and executions of release 0.1.0, the times are compared. An event of unknown redrive count never
/// overwrites a row that has a count. Its count is unknown because the history could not be read, which fails the
/// attempt, so Lambda keeps the event.
fn unless_later(
    mut update: UpdateItemFluentBuilder,
    record: &AuditRecord,
) -> UpdateItemFluentBuilder {
    let not_later = if record.redrive_count.is_none() {
        let by_time = "finished_at <= :finished_at";
        if record.outcome.is_failed_execution() {
            format!("attribute_not_exists(redrive_count) AND {by_time}")
        } else {
            by_time.to_owned()
        }
    } else {
        let same_redrive = if record.outcome.is_failed_execution() {
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
    update.condition_expression(format!(
        "attribute_not_exists(app_name) OR (execution_arn = :execution_arn AND ({not_later}))"
    ))
}

/// Why the condition failed: the row is later, or belongs to another execution.
fn not_written(row: &Row, record: &AuditRecord) -> Result<Written, StepError> {
    let owner = row::string(row, "execution_arn");
    if owner != Some(record.execution_arn.as_str()) {
        return Err(error::record_conflict(record, owner));
    }
    let later = row::read_record(row).map(|record| {
        let mark = row::mark(row, &record);
        Box::new(LaterRecord { record, mark })
    });
    Ok(Written::Superseded(later))
}

/// Marks the record as announced under `message_id`, or, if there is none, its metrics as printed. Does nothing
/// if the row has another record by now.
pub(crate) async fn mark(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
    message_id: Option<&str>,
) -> Result<(), StepError> {
    let (expression, value) = match message_id {
        None => (
            "SET measured = :mark",
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
            ("SET notified = :mark", notified)
        }
    };
    let response = update_row(dynamodb, table_name, record)
        .update_expression(expression)
        .condition_expression("execution_arn = :execution_arn AND finished_at = :finished_at")
        .expression_attribute_values(":mark", value)
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
    match response {
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

/// An update of the record's row.
fn update_row(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
) -> UpdateItemFluentBuilder {
    dynamodb
        .update_item()
        .table_name(table_name)
        .key("app_name", AttributeValue::S(record.app_name.clone()))
        .key(
            "snapshot_manager_run_id",
            AttributeValue::N(record.snapshot_manager_run_id.to_string()),
        )
}

/// Sets the attributes, and removes the optional ones that are not among them.
fn set_and_remove(mut update: UpdateItemFluentBuilder, attributes: Row) -> UpdateItemFluentBuilder {
    let absent: Vec<&str> = AuditRecord::OPTIONAL
        .into_iter()
        .filter(|name| !MARKS.contains(name) && !attributes.contains_key(*name))
        .collect();
    let mut names: Vec<&String> = attributes.keys().collect();
    names.sort();
    let sets: Vec<String> = names
        .iter()
        .map(|name| format!("#{name} = :{name}"))
        .collect();
    let removes: Vec<String> = absent.iter().map(|name| format!("#{name}")).collect();
    let mut expression = format!("SET {}", sets.join(", "));
    if !removes.is_empty() {
        expression = format!("{expression} REMOVE {}", removes.join(", "));
    }
    update = update.update_expression(expression);
    for name in absent {
        update = update.expression_attribute_names(format!("#{name}"), name);
    }
    for (name, value) in attributes {
        update = update
            .expression_attribute_names(format!("#{name}"), &name)
            .expression_attribute_values(format!(":{name}"), value);
    }
    update
}
