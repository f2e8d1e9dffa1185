//! What each refusal ends the step with.

use contract::{AuditRecord, ErrorName};
use step::{CallError, StepError};

pub(crate) fn misconfigured(fact: &str) -> StepError {
    StepError::new(ErrorName::Misconfigured, fact)
}

/// The row is another execution's.
pub(crate) fn record_conflict(record: &AuditRecord, owner: Option<&str>) -> StepError {
    StepError::new(
        ErrorName::RecordConflict,
        format!(
            "The row ({}, {}) belongs to {}; nothing was overwritten.",
            record.app_name,
            record.snapshot_manager_run_id,
            owner.map_or_else(
                || "a writer that is not this system".to_owned(),
                |arn| format!("the execution {arn}")
            )
        ),
    )
}

/// `UpdateItem` was refused.
pub(crate) fn update_item(refusal: CallError, table_name: &str) -> StepError {
    if refusal.code() == Some("ResourceNotFoundException") {
        let fact = format!("The table {table_name} does not exist.");
        return StepError::new(ErrorName::TableNotFound, fact);
    }
    other(refusal)
}

/// `Publish` was refused.
pub(crate) fn publish(refusal: CallError, topic_arn: &str) -> StepError {
    if matches!(refusal.code(), Some("NotFound" | "NotFoundException")) {
        let fact = format!("The topic {topic_arn} does not exist. The audit record is written.");
        return StepError::new(ErrorName::TopicNotFound, fact);
    }
    other(refusal)
}

/// Any other call was refused, or these for a reason of any service's.
pub(crate) fn other(refusal: CallError) -> StepError {
    let name = refusal.name();
    refusal.into_step_error(name)
}
