//! Handles one invocation: describes the snapshot and decides from its status and age what the run does next.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::{ApplicationStatus, SnapshotStatus as ServiceStatus};
use contract::{
    DescribeSnapshotInput, DescribeSnapshotOutput, ErrorName, Run, RunSnapshot, SnapshotStatus,
    wait_seconds,
};
use flink::Lookup;
use jiff::Timestamp;
use step::StepError;

use crate::error;

/// If the service does not find a snapshot that is younger than this, the snapshot counts as CREATING. AWS does not
/// document whether a snapshot is visible as soon as the service has accepted its creation.
const MAX_UNSEEN_SECONDS: u64 = 60;

/// Polls the run's snapshot once.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    client: &Client,
    input: DescribeSnapshotInput,
    now: Timestamp,
) -> Result<DescribeSnapshotOutput, StepError> {
    let DescribeSnapshotInput { run, snapshot } = input;
    let application = run.input.application_name.as_str();
    let ready_timeout = u64::from(run.input.ready_timeout_seconds.get());
    let age_before_poll = age_seconds(&snapshot, now);
    let details = match flink::describe_snapshot(client, application, &snapshot.name).await {
        Ok(Lookup::Found(details)) => details,
        Ok(Lookup::NotFound(_)) if age_before_poll < MAX_UNSEEN_SECONDS => {
            tracing::warn!("snapshot not found yet");
            return Ok(output(
                run,
                snapshot,
                SnapshotStatus::Creating,
                age_before_poll,
            ));
        }
        Ok(Lookup::NotFound(error)) => {
            let error = error.into_step_error(ErrorName::SnapshotNotFound);
            return Err(application_or_snapshot_error(client, application, error).await);
        }
        Err(error)
            if error.name == ErrorName::ApplicationBusy
                && run.definition_handles_busy_and_failed()
                && age_before_poll < ready_timeout =>
        {
            tracing::warn!(error = error.fact, "snapshot not polled");
            return Ok(output(
                run,
                snapshot,
                SnapshotStatus::Creating,
                age_before_poll,
            ));
        }
        Err(error) => return Err(error),
    };

    let created_at = details
        .snapshot_creation_timestamp
        .as_ref()
        .and_then(step::timestamp);
    let mut snapshot = RunSnapshot {
        created_at: created_at
            .map(step::rounded_to_millis)
            .or(snapshot.created_at),
        application_version_id: Some(details.application_version_id),
        ..snapshot
    };
    let age_after_poll = age_seconds(&snapshot, now);
    let status = details.snapshot_status;
    tracing::info!(
        status = status.as_str(),
        age_seconds = age_after_poll,
        "snapshot polled"
    );

    let snapshot_status = match status {
        ServiceStatus::Ready => {
            snapshot.seconds = Some(age_after_poll);
            SnapshotStatus::Ready
        }
        ServiceStatus::Failed if run.has_attempt_after(&snapshot.name) => SnapshotStatus::Failed,
        ServiceStatus::Failed => return Err(error::snapshot_failed(&run, &snapshot.name)),
        ServiceStatus::Deleting => {
            let error = error::snapshot_deleting(&run, &snapshot.name);
            let application = run.input.application_name.as_str();
            return Err(application_or_snapshot_error(client, application, error).await);
        }
        // The status is CREATING or unknown, so the snapshot can still become READY.
        _ if age_after_poll < ready_timeout => SnapshotStatus::Creating,
        status => {
            let status = status.as_str();
            return Err(error::snapshot_timed_out(
                &run,
                &snapshot.name,
                status,
                age_after_poll,
            ));
        }
    };
    Ok(output(run, snapshot, snapshot_status, age_after_poll))
}

/// Chooses the error for a snapshot that is gone. Deleting an application deletes its snapshots, so this function
/// checks whether the application still exists.
///
/// Returns `ApplicationNotFound` if the application is DELETING, the error of the lookup if the lookup of the
/// application fails, and otherwise `snapshot_error`.
async fn application_or_snapshot_error(
    client: &Client,
    application: &str,
    snapshot_error: StepError,
) -> StepError {
    match flink::describe_application(client, application).await {
        Ok(described) if *described.detail.application_status() == ApplicationStatus::Deleting => {
            error::application_deleting(application)
        }
        Ok(_) => snapshot_error,
        Err(application_error) => application_error,
    }
}

fn output(
    run: Run,
    snapshot: RunSnapshot,
    snapshot_status: SnapshotStatus,
    age_seconds: u64,
) -> DescribeSnapshotOutput {
    DescribeSnapshotOutput {
        wait_seconds: wait_seconds(age_seconds, run.input.poll_interval_seconds.get()),
        run,
        snapshot,
        snapshot_status,
    }
}

/// The age of the snapshot in seconds. It counts from the earlier of two times: the service's creation timestamp, and
/// the time at which the service accepted the request. A timestamp in the future could otherwise keep the run from ever
/// timing out. The age is 0 if both times are in the future.
fn age_seconds(snapshot: &RunSnapshot, now: Timestamp) -> u64 {
    let created_at = snapshot.created_at.unwrap_or(snapshot.accepted_at);
    let since = created_at.min(snapshot.accepted_at);
    u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)
}
