//! The whole list of snapshots, or none.

use std::collections::HashSet;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::{SnapshotDetails, SnapshotStatus};
use contract::{ErrorName, is_snapshot_name};
use shell::{Refusal, StepError};

use crate::retention::{Snapshot, Status};

/// The service's largest page.
const PAGE_SIZE: i32 = 50;

/// Every snapshot of the application, each once. A page that fails, or that leads back to an earlier
/// one, fails the whole, since a plan from a part would delete what the rest protects; a `NextToken`
/// that is no longer accepted begins the listing anew, once.
pub(crate) async fn list(flink: &Client, application: &str) -> Result<Vec<Snapshot>, StepError> {
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let mut next_token: Option<String> = None;
    let mut tokens = HashSet::new();
    let mut restarted = false;
    loop {
        let page = flink
            .list_application_snapshots()
            .application_name(application)
            .limit(PAGE_SIZE)
            .set_next_token(next_token.clone())
            .send()
            .await;
        match page {
            Ok(page) => {
                for listed in page.snapshot_summaries.unwrap_or_default() {
                    snapshots.push(snapshot(listed)?);
                }
                next_token = page.next_token.filter(|token| !token.is_empty());
                let Some(token) = &next_token else { break };
                if !tokens.insert(token.clone()) {
                    return Err(StepError::unexpected(
                        "ListApplicationSnapshots: a NextToken for the second time.",
                    ));
                }
            }
            Err(error) => {
                let refusal = Refusal::of("ListApplicationSnapshots", &error);
                let expired =
                    next_token.is_some() && refusal.code() == Some("InvalidArgumentException");
                if !expired || restarted {
                    return Err(refusal.into_flink_error(ErrorName::ApplicationNotFound));
                }
                tracing::warn!(refusal = %refusal.words, "listing begun anew");
                restarted = true;
                snapshots.clear();
                tokens.clear();
                next_token = None;
            }
        }
    }
    // The order of pages is not documented, so a snapshot may be listed twice.
    snapshots.sort_by(|a, b| a.name.cmp(&b.name));
    snapshots.dedup_by(|again, first| {
        let is_listed = again.name == first.name;
        if is_listed && again != first {
            first.status = Status::Other("(listed twice, and not the same)".to_owned());
        }
        is_listed
    });
    Ok(snapshots)
}

/// # Errors
/// What has no name, which the SDK fills in as an empty one, is not known to be anything else.
fn snapshot(details: SnapshotDetails) -> Result<Snapshot, StepError> {
    if !is_snapshot_name(&details.snapshot_name) {
        return Err(StepError::unexpected(format!(
            "ListApplicationSnapshots: {:?} is no snapshot's name.",
            details.snapshot_name
        )));
    }
    Ok(Snapshot {
        status: match details.snapshot_status {
            SnapshotStatus::Creating => Status::Creating,
            SnapshotStatus::Ready => Status::Ready,
            SnapshotStatus::Deleting => Status::Deleting,
            SnapshotStatus::Failed => Status::Failed,
            other => Status::Other(other.as_str().to_owned()),
        },
        created_at: details
            .snapshot_creation_timestamp
            .as_ref()
            .and_then(shell::timestamp),
        application_version_id: details.application_version_id,
        name: details.snapshot_name,
    })
}
