//! The errors that only this function returns.

use contract::{ErrorName, Run};
use step::StepError;

pub(crate) fn failed(run: &Run, snapshot_name: &str) -> StepError {
    StepError::new(
        ErrorName::SnapshotFailed,
        format!(
            "The snapshot {snapshot_name} of the application {} is FAILED.",
            run.input.application_name
        ),
    )
}

pub(crate) fn deleting(run: &Run, snapshot_name: &str) -> StepError {
    StepError::new(
        ErrorName::SnapshotNotFound,
        format!(
            "The snapshot {snapshot_name} of the application {} is DELETING.",
            run.input.application_name
        ),
    )
}

/// `DeleteApplication` deletes the snapshots too.
pub(crate) fn application_deleting(application: &str) -> StepError {
    StepError::new(
        ErrorName::ApplicationNotFound,
        format!("The application {application} is DELETING, and its snapshots with it."),
    )
}

pub(crate) fn timed_out(run: &Run, snapshot_name: &str, age_seconds: u64) -> StepError {
    StepError::new(
        ErrorName::SnapshotTimedOut,
        format!(
            "The snapshot {snapshot_name} of the application {} is still CREATING after \
             {age_seconds} seconds; ready_timeout_seconds is {}.",
            run.input.application_name, run.input.ready_timeout_seconds
        ),
    )
}
