//! Builds the errors of this function. The crate `flink` builds the errors of failed calls, except the one for an
//! exhausted quota of snapshots.

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

/// The name in the input's `snapshot_name` belongs to a snapshot that another run or a person may have taken.
/// `created_at` is the creation time of that snapshot.
pub(crate) fn name_taken(snapshot_name: &str, created_at: Option<Timestamp>) -> StepError {
    let fact = match created_at {
        Some(at) => format!(
            "The snapshot {snapshot_name} is older than this run: it was created at {}.",
            step::rounded_to_millis(at)
        ),
        None => format!(
            "The snapshot {snapshot_name} exists and has no creation timestamp, so it may be older than this run."
        ),
    };
    StepError::new(ErrorName::SnapshotNameTaken, fact)
}

/// The snapshot of every attempt is FAILED.
pub(crate) fn all_attempts_failed(run: &Run) -> StepError {
    let names: Vec<String> = run.snapshot_names().collect();
    StepError::new(
        ErrorName::SnapshotFailed,
        format!(
            "All snapshots that this run took of the application {} are FAILED ({}).",
            run.input.application_name,
            names.join(", ")
        ),
    )
}

/// The snapshots of the earlier attempts are FAILED, and the run cannot take its next snapshot, `next_snapshot_name`.
/// `reason` is one sentence that says why.
pub(crate) fn next_attempt_impossible(
    run: &Run,
    next_snapshot_name: &str,
    reason: &str,
) -> StepError {
    let failed = run
        .snapshot_names()
        .take_while(|name| name != next_snapshot_name);
    let failed: Vec<String> = failed.collect();
    let failed = match failed.as_slice() {
        [name] => format!("This run's snapshot {name} is FAILED."),
        names => format!(
            "These snapshots of this run are FAILED: {}.",
            names.join(", ")
        ),
    };
    StepError::new(ErrorName::SnapshotFailed, format!("{failed} {reason}"))
}

pub(crate) fn snapshots_disabled(application: &ApplicationName) -> StepError {
    StepError::new(
        ErrorName::SnapshotsDisabled,
        format!("Snapshots are turned off for the application {application}."),
    )
}

pub(crate) fn application_busy(application: &ApplicationName, status: &str) -> StepError {
    StepError::new(
        ErrorName::ApplicationBusy,
        format!("The application {application} is {status}, not RUNNING."),
    )
}

pub(crate) fn another_snapshot_in_progress(
    application: &ApplicationName,
    snapshot_name: &str,
) -> StepError {
    StepError::new(
        ErrorName::ApplicationBusy,
        format!("The application {application} is taking another snapshot, {snapshot_name}."),
    )
}

/// `CreateApplicationSnapshot` failed.
pub(crate) fn create_call_failed(error: CallError) -> StepError {
    // The SDK treats this code as throttling. From this operation it means that the application has reached its quota
    // of snapshots.
    if error.code() == Some("LimitExceededException") {
        return error.into_step_error(ErrorName::SnapshotLimitExceeded);
    }
    flink::step_error(error, ErrorName::ApplicationNotFound)
}
