//! Deletes one batch.

use std::time::Duration;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::primitives::DateTime;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus;
use contract::{DoomedSnapshot, ErrorName};
use futures::StreamExt;
use jiff::Timestamp;
use shell::{Refusal, StepError};
use tokio::time::Instant;

/// No delete is begun later than this after the first; what is left goes into the next batch. With
/// the listing that follows, the invocation ends within 30 s.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);

/// How many deletes are under way at once.
const CONCURRENCY: usize = 4;

/// What became of one snapshot of the batch.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Deleted now or before, or on its way out.
    Deleted,
    /// Not begun in time: the next plan wants it again.
    OutOfTime,
    /// Too many calls: the next plan wants it again.
    Throttled(StepError),
    /// The service has no answer, or is busy.
    Unanswered(StepError),
    /// Refused for a reason that a repeat does not remove.
    Refused(StepError),
}

/// Deletes the batch; the fates are in its order.
pub(crate) async fn delete_all(
    flink: &Client,
    application: &str,
    batch: &[DoomedSnapshot],
) -> Vec<Fate> {
    let end = Instant::now() + BEGIN_WITHIN;
    futures::stream::iter(batch)
        .map(|doomed| async move {
            if Instant::now() >= end {
                return Fate::OutOfTime;
            }
            delete(flink, application, doomed).await
        })
        .buffered(CONCURRENCY)
        .collect()
        .await
}

async fn delete(flink: &Client, application: &str, doomed: &DoomedSnapshot) -> Fate {
    let name = &doomed.snapshot_name;
    let created_at = doomed.created_at.parse::<Timestamp>().ok();
    let Some(created_at) = created_at.and_then(|at| DateTime::from_nanos(at.as_nanosecond()).ok())
    else {
        return Fate::Refused(StepError::unexpected(format!(
            "The timestamp {:?} of {name} is not RFC 3339.",
            doomed.created_at
        )));
    };
    let answer = flink
        .delete_application_snapshot()
        .application_name(application)
        .snapshot_name(name)
        .snapshot_creation_timestamp(created_at)
        .send()
        .await;
    let Err(error) = answer else {
        tracing::info!(deleted = name, reason = doomed.reason, "snapshot deleted");
        return Fate::Deleted;
    };
    let refusal = Refusal::of("DeleteApplicationSnapshot", &error);
    tracing::warn!(not_deleted = name, refusal = %refusal.words);
    if refusal.is_gone() {
        return Fate::Deleted;
    }
    let error_name = refusal.flink_name();
    if error_name == ErrorName::Throttled {
        return Fate::Throttled(refusal.into_error(error_name));
    }
    // An earlier try may have begun this deletion, and the service then refuses a second one.
    match is_leaving(flink, application, name).await {
        Ok(true) => Fate::Deleted,
        Ok(false) if error_name.is_retryable() => Fate::Unanswered(refusal.into_error(error_name)),
        Ok(false) => Fate::Refused(refusal.into_error(error_name)),
        Err(error) if error.name.is_retryable() => Fate::Unanswered(error),
        Err(error) => Fate::Refused(error),
    }
}

/// Whether the snapshot is DELETING or gone.
async fn is_leaving(
    flink: &Client,
    application: &str,
    snapshot_name: &str,
) -> Result<bool, StepError> {
    let answer = flink
        .describe_application_snapshot()
        .application_name(application)
        .snapshot_name(snapshot_name)
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer
            .snapshot_details
            .is_some_and(|details| details.snapshot_status == SnapshotStatus::Deleting)),
        Err(error) => {
            let refusal = Refusal::of("DescribeApplicationSnapshot", &error);
            if refusal.is_gone() {
                Ok(true)
            } else {
                Err(refusal.into_flink_error(ErrorName::SnapshotNotFound))
            }
        }
    }
}
