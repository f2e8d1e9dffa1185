//! The row of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnConditionFailure,
};
use contract::{AuditRecord, Notified};
use shell::{Refusal, StepError};

use crate::error;

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The row says it now. With what was announced of this execution before, if anything was.
    Now(Option<Notified>),
    /// The row says something later of this execution.
    Superseded,
}

/// Writes the record, unless the row is another execution's or says something later of this one.
/// Attributes that the record does not have are removed, the announcement aside.
pub(crate) async fn write(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
) -> Result<Written, StepError> {
    let mut attributes: HashMap<String, AttributeValue> = serde_dynamo::to_item(record)
        .map_err(|error| StepError::unexpected(format!("The record: {error}.")))?;
    for key in ["app_name", "snapshot_manager_run_id", "notified"] {
        attributes.remove(key);
    }
    let answer = set_and_remove(row(dynamodb, table_name, record), attributes)
        .condition_expression(
            "attribute_not_exists(app_name) OR \
             (execution_arn = :execution_arn AND finished_at <= :finished_at)",
        )
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(OnConditionFailure::AllOld)
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let notified = answer
                .attributes
                .as_ref()
                .and_then(|row| row.get("notified"));
            Ok(Written::Now(notified.and_then(announced)))
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                let owner = refused
                    .item
                    .as_ref()
                    .and_then(|row| row.get("execution_arn"));
                let owner = owner.and_then(|arn| arn.as_s().ok());
                if owner == Some(&record.execution_arn) {
                    Ok(Written::Superseded)
                } else {
                    let owner = owner.map(String::as_str);
                    Err(error::record_conflict(record, owner))
                }
            }
            _ => Err(error::update_item(
                Refusal::of("UpdateItem", &error),
                table_name,
            )),
        },
    }
}

/// An earlier announcement, if it can be read. `serde_dynamo` would panic at a kind of attribute that
/// the SDK does not know.
fn announced(notified: &AttributeValue) -> Option<Notified> {
    let notified = notified.as_m().ok()?;
    let outcome = notified.get("outcome")?.as_s().ok()?.as_str();
    Some(Notified {
        outcome: serde_json::from_value(outcome.into()).ok()?,
        finished_at: notified.get("finished_at")?.as_n().ok()?.parse().ok()?,
        message_id: notified.get("message_id")?.as_s().ok()?.clone(),
    })
}

/// Marks the record as announced, if it is still the one that was.
pub(crate) async fn mark(
    dynamodb: &Client,
    table_name: &str,
    record: &AuditRecord,
    notified: &Notified,
) -> Result<(), StepError> {
    let notified = serde_dynamo::to_attribute_value(notified)
        .map_err(|error| StepError::unexpected(format!("The mark: {error}.")))?;
    let answer = row(dynamodb, table_name, record)
        .update_expression("SET notified = :notified")
        .condition_expression("execution_arn = :execution_arn AND finished_at = :finished_at")
        .expression_attribute_values(":notified", notified)
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
                Refusal::of("UpdateItem", &error),
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
        .filter(|name| *name != "notified" && !attributes.contains_key(*name))
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
