//! Builds the errors of this function. The crate `flink` builds the errors of failed calls.

use contract::{ErrorName, Run};
use step::StepError;

pub(crate) fn snapshot_failed(run: &Run, snapshot_name: &str) -> StepError {
    StepError::new(
        ErrorName::SnapshotFailed,
        format!(
            "The snapshot {snapshot_name} of the application {} is FAILED.",
            run.input.application_name
        ),
    )
}

/// A snapshot that is DELETING counts as not found, because nobody can restore from it any more.
pub(crate) fn snapshot_deleting(run: &Run, snapshot_name: &str) -> StepError {
    StepError::new(
        ErrorName::SnapshotNotFound,
        format!(
            "The snapshot {snapshot_name} of the application {} is DELETING.",
            run.input.application_name
        ),
    )
}

/// An application that is DELETING counts as not found. `DeleteApplication` also deletes the application's snapshots.
pub(crate) fn application_deleting(application: &str) -> StepError {
    StepError::new(
        ErrorName::ApplicationNotFound,
        format!("The application {application} is DELETING. Its snapshots are deleted with it."),
    )
}

pub(crate) fn snapshot_timed_out(
    run: &Run,
    snapshot_name: &str,
    status: &str,
    age_seconds: u64,
) -> StepError {
    StepError::new(
        ErrorName::SnapshotTimedOut,
        format!(
            "The snapshot {snapshot_name} of the application {} is still {status} after \
             {age_seconds} seconds; ready_timeout_seconds is {}.",
            run.input.application_name, run.input.ready_timeout_seconds
        ),
    )
}
