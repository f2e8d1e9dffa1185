//! The errors that only this function returns.

use contract::{ApplicationName, ErrorName, Run};
use jiff::Timestamp;
use step::{CallError, StepError};

/// The execution's input is invalid. `problem` names the field and what is wrong with it.
pub(crate) fn invalid_input(problem: &str) -> StepError {
    StepError::new(
        ErrorName::InvalidInput,
        format!("The execution's input is not valid: {problem}. Nothing was changed."),
    )
}

/// The snapshot of the run's name is not the run's.
pub(crate) fn name_taken(snapshot_name: &str, created_at: Option<Timestamp>) -> StepError {
    let fact = match created_at {
        Some(at) => format!(
            "The snapshot {snapshot_name} is older than this run: it was created at {}.",
            step::rounded_to_millis(at)
        ),
        None => format!(
            "There is a snapshot {snapshot_name} without a creation timestamp, which may be older than this run."
        ),
    };
    StepError::new(ErrorName::SnapshotNameTaken, fact)
}

/// The run has no attempt left.
pub(crate) fn all_failed(run: &Run) -> StepError {
    let names: Vec<String> = run.snapshot_names().collect();
    StepError::new(
        ErrorName::SnapshotFailed,
        format!(
            "Every snapshot of this run of the application {} is FAILED: {}.",
            run.input.application_name,
            names.join(", ")
        ),
    )
}

/// The snapshots of the attempts before `snapshot_name` are FAILED, and this one cannot be taken.
pub(crate) fn no_later_attempt(run: &Run, snapshot_name: &str, reason: &str) -> StepError {
    let failed = run
        .snapshot_names()
        .take_while(|name| name != snapshot_name);
    let failed: Vec<String> = failed.collect();
    StepError::new(
        ErrorName::SnapshotFailed,
        format!(
            "This run's snapshot {} is FAILED. {reason}",
            failed.join(", ")
        ),
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

/// `CreateApplicationSnapshot` was refused, and the checks after it found no other reason.
pub(crate) fn create(error: CallError) -> StepError {
    // For the SDK this code is throttling. Here it means that the quota of snapshots is used up.
    if error.code() == Some("LimitExceededException") {
        return error.into_step_error(ErrorName::SnapshotLimitExceeded);
    }
    flink::step_error(error, ErrorName::ApplicationNotFound)
}
