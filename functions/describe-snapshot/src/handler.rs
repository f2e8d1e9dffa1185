//! The path from the input through the call to the output.

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

/// Until this age, a missing snapshot counts as CREATING. Whether the service shows a snapshot as soon as it has accepted
/// its creation is not documented.
const MAX_UNSEEN_SECONDS: u64 = 60;

/// Polls the run's snapshot.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    flink: &Client,
    input: DescribeSnapshotInput,
    now: Timestamp,
) -> Result<DescribeSnapshotOutput, StepError> {
    let DescribeSnapshotInput { run, snapshot } = input;
    let application = run.input.application_name.as_str();
    let ready_timeout = u64::from(run.input.ready_timeout_seconds.get());
    let known_age_seconds = age_seconds(&snapshot, now);
    let details = match flink::describe_snapshot(flink, application, &snapshot.name).await {
        Ok(Lookup::Found(details)) => details,
        Ok(Lookup::NotFound(_)) if known_age_seconds < MAX_UNSEEN_SECONDS => {
            tracing::warn!("snapshot not found yet");
            return Ok(output(
                run,
                snapshot,
                SnapshotStatus::Creating,
                known_age_seconds,
            ));
        }
        Ok(Lookup::NotFound(error)) => {
            let error = error.into_step_error(ErrorName::SnapshotNotFound);
            return Err(unless_application_gone(flink, application, error).await);
        }
        Err(error)
            if error.name == ErrorName::ApplicationBusy
                && run.definition_handles_busy_and_failed()
                && known_age_seconds < ready_timeout =>
        {
            tracing::warn!(error = error.fact, "snapshot not polled");
            return Ok(output(
                run,
                snapshot,
                SnapshotStatus::Creating,
                known_age_seconds,
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
    let age_seconds = age_seconds(&snapshot, now);
    let status = details.snapshot_status;
    tracing::info!(status = status.as_str(), age_seconds, "snapshot polled");

    let snapshot_status = match status {
        ServiceStatus::Ready => {
            snapshot.seconds = Some(age_seconds);
            SnapshotStatus::Ready
        }
        ServiceStatus::Failed if run.has_attempt_after(&snapshot.name) => SnapshotStatus::Failed,
        ServiceStatus::Failed => return Err(error::failed(&run, &snapshot.name)),
        ServiceStatus::Deleting => {
            let error = error::deleting(&run, &snapshot.name);
            let application = run.input.application_name.as_str();
            return Err(unless_application_gone(flink, application, error).await);
        }
        // CREATING or an unknown status: it can still become READY.
        _ if age_seconds < ready_timeout => SnapshotStatus::Creating,
        _ => return Err(error::timed_out(&run, &snapshot.name, age_seconds)),
    };
    Ok(output(run, snapshot, snapshot_status, age_seconds))
}

/// `error`, which is about the snapshot, unless the application is DELETING or gone: its snapshots go with it.
async fn unless_application_gone(flink: &Client, application: &str, error: StepError) -> StepError {
    match flink::describe_application(flink, application).await {
        Ok(described) if *described.detail.application_status() == ApplicationStatus::Deleting => {
            error::application_deleting(application)
        }
        Ok(_) => error,
        Err(error) => error,
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

/// The age since the service's creation timestamp or since the creation was accepted, whichever is earlier:
/// with a timestamp in the future the run would never time out. At least 0, whichever clock is behind.
fn age_seconds(snapshot: &RunSnapshot, now: Timestamp) -> u64 {
    let created_at = snapshot.created_at.unwrap_or(snapshot.accepted_at);
    let since = created_at.min(snapshot.accepted_at);
    u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)
}
