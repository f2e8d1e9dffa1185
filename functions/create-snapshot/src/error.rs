//! What each refusal ends the step with.

use contract::{ApplicationName, ErrorName};
use step::{CallError, StepError};

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

/// `CreateApplicationSnapshot` was refused, and a second look has shown no other reason.
pub(crate) fn create(error: CallError) -> StepError {
    // The SDK would retry this code as throttling; here it means the quota of snapshots.
    if error.code() == Some("LimitExceededException") {
        return error.into_step_error(ErrorName::SnapshotLimitExceeded);
    }
    flink::step_error(error, ErrorName::ApplicationNotFound)
}
