//! The whole list of snapshots, or none.

use std::collections::HashSet;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotDetails;
use contract::ErrorName;
use retention::{Snapshot, Status};
use step::{CallError, StepError};

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
                let listed = page.snapshot_summaries.unwrap_or_default();
                snapshots.extend(listed.into_iter().map(snapshot));
                next_token = page.next_token.filter(|token| !token.is_empty());
                let Some(token) = &next_token else { break };
                if !tokens.insert(token.clone()) {
                    return Err(StepError::unexpected(
                        "ListApplicationSnapshots: a NextToken for the second time.",
                    ));
                }
            }
            Err(error) => {
                let error = CallError::of("ListApplicationSnapshots", &error);
                let expired =
                    next_token.is_some() && error.code() == Some("InvalidArgumentException");
                if !expired || restarted {
                    return Err(flink::step_error(error, ErrorName::ApplicationNotFound));
                }
                tracing::warn!(refusal = %error.message, "listing begun anew");
                restarted = true;
                snapshots.clear();
                tokens.clear();
                next_token = None;
            }
        }
    }
    retention::merge(snapshots)
        .map_err(|fact| StepError::unexpected(format!("ListApplicationSnapshots: {fact}.")))
}

fn snapshot(details: SnapshotDetails) -> Snapshot {
    Snapshot {
        status: Status::from(details.snapshot_status.as_str()),
        created_at: details
            .snapshot_creation_timestamp
            .as_ref()
            .and_then(step::timestamp),
        application_version_id: details.application_version_id,
        name: details.snapshot_name,
    }
}
