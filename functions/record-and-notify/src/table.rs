//! The two updates of a row. The first writes the audit record. The second marks the row as notified.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnConditionFailure,
};
use contract::{AuditRecord, Notified, Outcome};
use step::{CallError, StepError};

use crate::error;
use crate::row::{self, MARKS, NotificationState, Row};

/// The result of writing a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteResult {
    /// The record is written. The state says what was already done for this record before.
    Written(NotificationState),
    /// The record is not written, because the row has a later record of the same execution. `None` if the later record
    /// cannot be read.
    Superseded(Option<Box<LaterRecord>>),
}

/// A later record of the same execution, read from the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaterRecord {
    pub(crate) record: AuditRecord,
    pub(crate) notification_state: NotificationState,
}

/// Writes the record, unless the row has a later record of the same execution. Removes the attributes that the record
/// does not have, except the marks.
///
/// # Errors
/// Returns `RecordConflict` if the row belongs to another execution, or the error of the failed call.
pub(crate) async fn write(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
) -> Result<WriteResult, StepError> {
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
            Ok(WriteResult::Written(row::notification_state(&row, record)))
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                not_written(&failed.item.clone().unwrap_or_default(), record)
            }
            _ => Err(error::update_item_failed(
                CallError::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

/// Adds the condition that the row does not exist, or that it belongs to the same execution and has no later record.
///
/// These rules decide which of two records of an execution is later:
///
/// - The record with the higher redrive count is later, because an execution ends once after each redrive.
/// - If the redrive counts are equal, the record of a failed execution is later than the record that the last state
///   wrote. The reason is that the last state's function can still write its record after the execution was stopped.
/// - If a redrive count is unknown, `finished_at` decides. Executions that release 0.1.0 started, and their rows, may
///   have no redrive count.
/// - A record of a failed execution whose redrive count is unknown never overwrites a row that has a count. The count
///   is unknown because the history could not be read. In this case record-and-notify fails in the end, so Lambda
///   retries the event.
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

/// Decides from the row why the condition failed: the row has a later record, or it belongs to another execution.
fn not_written(row: &Row, record: &AuditRecord) -> Result<WriteResult, StepError> {
    let owner = row::string(row, "execution_arn");
    if owner != Some(record.execution_arn.as_str()) {
        return Err(error::record_conflict(record, owner));
    }
    let later = row::read_record(row).map(|record| {
        let notification_state = row::notification_state(row, &record);
        Box::new(LaterRecord {
            record,
            notification_state,
        })
    });
    Ok(WriteResult::Superseded(later))
}

/// Marks the row of the record. With a `message_id`, the mark says that the notification was sent. Without one, the
/// mark says that only the metrics were printed. Does nothing if the row has a different record by now.
pub(crate) async fn write_mark(
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
            _ => Err(error::update_item_failed(
                CallError::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

/// The beginning of a request that updates the record's row.
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

/// Adds the expression that sets `attributes` and removes every other optional attribute of a record, except the marks.
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
