//! The path from the input through the call to the output.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus as ServiceStatus;
use contract::{
    DescribeSnapshotInput, DescribeSnapshotOutput, ErrorName, RunSnapshot, SnapshotStatus,
};
use flink::Lookup;
use jiff::Timestamp;
use step::StepError;

use crate::error;

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
    let details = match flink::describe_snapshot(flink, application, &snapshot.name).await? {
        Lookup::Found(details) => details,
        Lookup::NotFound(error) => return Err(error.into_step_error(ErrorName::SnapshotNotFound)),
    };

    let created_at = details
        .snapshot_creation_timestamp
        .as_ref()
        .and_then(step::timestamp);
    let mut snapshot = RunSnapshot {
        created_at: created_at.map(step::rfc3339_millis).or(snapshot.created_at),
        application_version_id: Some(details.application_version_id),
        ..snapshot
    };
    let age_seconds = age_seconds(&snapshot, now)?;
    let status = details.snapshot_status;
    tracing::info!(status = status.as_str(), age_seconds, "snapshot polled");

    let snapshot_status = match status {
        ServiceStatus::Ready => {
            snapshot.seconds = Some(age_seconds);
            SnapshotStatus::Ready
        }
        ServiceStatus::Failed => return Err(error::failed(&run, &snapshot.name)),
        ServiceStatus::Deleting => return Err(error::deleting(&run, &snapshot.name)),
        // CREATING or an unknown status: it can still become READY.
        _ if age_seconds < u64::from(run.input.ready_timeout_seconds.get()) => {
            SnapshotStatus::Creating
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

/// The age since the service's creation timestamp or since the creation was accepted, whichever is earlier:
/// with a timestamp in the future the run would never time out. At least 0, whichever clock is behind.
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

/// Seconds until the next poll of a snapshot of this age: a quarter of the age, at least the poll
/// interval, at most 300. So a slow snapshot costs few state transitions.
#[must_use]
pub fn wait_seconds(age_seconds: u64, poll_interval_seconds: u32) -> u32 {
    u32::try_from(age_seconds / 4)
        .unwrap_or(u32::MAX)
        .clamp(poll_interval_seconds, 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_age_of_the_snapshot_between_the_poll_interval_and_300() {
        for (age, poll, wait) in [
            (0, 15, 15),
            (60, 15, 15),
            (64, 15, 16),
            (3_600, 15, 300),
            (u64::MAX, 15, 300),
            (0, 300, 300),
            (7, 1, 1),
            (8, 1, 2),
        ] {
            assert_eq!(
                wait_seconds(age, poll),
                wait,
                "age {age}, poll interval {poll}"
            );
        }
    }
}
