//! What each refusal ends the step with.

use contract::{ApplicationName, ErrorName};
use shell::{Refusal, StepError};

/// An input that no run can have been meant by. `place` names the field and what is wrong with it.
pub(crate) fn invalid_input(place: &str) -> StepError {
    StepError::new(
        ErrorName::InvalidInput,
        format!("The execution's input is not valid: {place}. Nothing was changed."),
    )
}

pub(crate) fn snapshots_disabled(application: &ApplicationName) -> StepError {
    StepError::new(
        ErrorName::SnapshotsDisabled,
        format!("Snapshots are turned off for the application {application}."),
    )
}

pub(crate) fn busy(application: &ApplicationName, status: &str) -> StepError {
    StepError::new(
        ErrorName::ApplicationBusy,
        format!("The application {application} is {status}, not RUNNING."),
    )
}

pub(crate) fn another_snapshot(application: &ApplicationName, snapshot_name: &str) -> StepError {
    StepError::new(
        ErrorName::ApplicationBusy,
        format!("The application {application} is taking another snapshot, {snapshot_name}."),
    )
}

/// A look that was refused.
pub(crate) fn look(refusal: Refusal) -> StepError {
    let name = refusal.flink_name();
    refusal.into_error(name)
}

/// `DescribeApplication` was refused.
pub(crate) fn describe_application(refusal: Refusal) -> StepError {
    let name = if refusal.is_gone() {
        ErrorName::ApplicationNotFound
    } else {
        refusal.flink_name()
    };
    refusal.into_error(name)
}

/// `CreateApplicationSnapshot` was refused, and a second look has shown no other reason.
pub(crate) fn create(refusal: Refusal) -> StepError {
    let name = match refusal.code() {
        // The SDK would retry this code as throttling; here it means the quota of snapshots.
        Some("LimitExceededException") => ErrorName::SnapshotLimitExceeded,
        Some("ResourceNotFoundException") => ErrorName::ApplicationNotFound,
        _ => refusal.flink_name(),
    };
    refusal.into_error(name)
}
