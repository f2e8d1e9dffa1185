//! Input -> calls -> output.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus as ServiceStatus;
use contract::{
    DescribeSnapshotInput, DescribeSnapshotOutput, ErrorName, RunSnapshot, SnapshotStatus,
    wait_seconds,
};
use jiff::Timestamp;
use shell::{Refusal, StepError};

use crate::error;

/// Looks at the run's snapshot.
///
/// # Errors
/// As the crate's documentation lists them.
pub async fn handle(
    flink: &Client,
    input: DescribeSnapshotInput,
    now: Timestamp,
) -> Result<DescribeSnapshotOutput, StepError> {
    let DescribeSnapshotInput { run, snapshot } = input;
    let details = flink
        .describe_application_snapshot()
        .application_name(run.input.application_name.as_str())
        .snapshot_name(&snapshot.name)
        .send()
        .await
        .map_err(|error| {
            Refusal::of("DescribeApplicationSnapshot", &error)
                .into_flink_error(ErrorName::SnapshotNotFound)
        })?
        .snapshot_details
        // The SDK fills in what an answer lacks.
        .filter(|details| details.snapshot_name == snapshot.name)
        .ok_or_else(|| {
            StepError::unexpected(format!(
                "DescribeApplicationSnapshot: the answer is not about {}.",
                snapshot.name
            ))
        })?;

    let created_at = details
        .snapshot_creation_timestamp
        .as_ref()
        .and_then(shell::timestamp);
    let snapshot = RunSnapshot {
        created_at: created_at.map(shell::for_people).or(snapshot.created_at),
        application_version_id: Some(details.application_version_id),
        ..snapshot
    };
    let age_seconds = age_seconds(&snapshot, now)?;
    let status = details.snapshot_status;
    tracing::info!(status = status.as_str(), age_seconds, "looked");

    let (snapshot_status, snapshot) = match status {
        ServiceStatus::Ready => {
            let seconds = Some(age_seconds);
            (
                SnapshotStatus::Ready,
                RunSnapshot {
                    seconds,
                    ..snapshot
                },
            )
        }
        ServiceStatus::Failed => return Err(error::failed(&run, &snapshot.name)),
        ServiceStatus::Deleting => return Err(error::deleting(&run, &snapshot.name)),
        // CREATING, and any status that is not known: it may yet become READY.
        _ if age_seconds < u64::from(run.input.ready_timeout_seconds.get()) => {
            (SnapshotStatus::Creating, snapshot)
        }
        _ => return Err(error::timed_out(&run, &snapshot.name, age_seconds)),
    };
    Ok(DescribeSnapshotOutput {
        wait_seconds: wait_seconds(age_seconds, run.input.poll_interval_seconds.get()),
        run,
        snapshot,
        snapshot_status,
    })
}

/// From the service's creation timestamp or from when the creation was accepted, whichever is earlier:
/// a timestamp of the future would make the run wait for ever. Never negative, whichever clock is behind.
fn age_seconds(snapshot: &RunSnapshot, now: Timestamp) -> Result<u64, StepError> {
    let parse = |time: &String| -> Result<Timestamp, StepError> {
        time.parse().map_err(|_| {
            StepError::unexpected(format!("The snapshot's time {time:?} is not RFC 3339."))
        })
    };
    let accepted_at = parse(&snapshot.accepted_at)?;
    let created_at = snapshot.created_at.as_ref().map(parse).transpose()?;
    let since = created_at.map_or(accepted_at, |created_at| created_at.min(accepted_at));
    Ok(u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0))
}
