//! Builds the errors of this function.

use contract::{AuditRecord, ErrorName};
use step::{CallError, StepError};

pub(crate) fn misconfigured(fact: &str) -> StepError {
    StepError::new(ErrorName::Misconfigured, fact)
}

/// The record's row belongs to another execution. `owner` is the ARN of that execution, if the row has one.
pub(crate) fn record_conflict(record: &AuditRecord, owner: Option<&str>) -> StepError {
    StepError::new(
        ErrorName::RecordConflict,
        format!(
            "The row ({}, {}) belongs to {}; nothing was overwritten.",
            record.app_name,
            record.snapshot_manager_run_id,
            owner.map_or_else(
                || "another program".to_owned(),
                |arn| format!("the execution {arn}")
            )
        ),
    )
}

/// `UpdateItem` failed.
pub(crate) fn update_item_failed(error: CallError, table_name: &str) -> StepError {
    if error.code() == Some("ResourceNotFoundException") {
        let fact = format!("The table {table_name} does not exist.");
        return StepError::new(ErrorName::TableNotFound, fact);
    }
    call_failed(error)
}

/// `Publish` failed.
pub(crate) fn publish_failed(error: CallError, topic_arn: &str) -> StepError {
    if matches!(error.code(), Some("NotFound" | "NotFoundException")) {
        let fact = format!("The topic {topic_arn} does not exist. The audit record was written.");
        return StepError::new(ErrorName::TopicNotFound, fact);
    }
    call_failed(error)
}

/// The error of a failed call that needs no treatment by service.
pub(crate) fn call_failed(error: CallError) -> StepError {
    let name = error.default_name();
    error.into_step_error(name)
}
