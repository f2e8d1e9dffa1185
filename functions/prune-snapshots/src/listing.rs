//! Lists all snapshots of the application. An incomplete listing is an error.

use std::collections::HashSet;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotDetails;
use contract::ErrorName;
use retention::{Snapshot, Status};
use step::{CallError, StepError};

/// The largest page size that the service accepts.
const PAGE_SIZE: i32 = 50;

/// Lists all snapshots of the application. Each snapshot occurs once in the result.
///
/// A plan that is made from an incomplete listing could delete a snapshot that the complete plan keeps. So if a page
/// cannot be read, or if a `NextToken` occurs twice, the whole listing fails. If a `NextToken` has expired, the listing
/// restarts from the first page, but only once.
pub(crate) async fn list(client: &Client, application: &str) -> Result<Vec<Snapshot>, StepError> {
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let mut next_token: Option<String> = None;
    let mut seen_tokens = HashSet::new();
    let mut is_restarted = false;
    loop {
        let page = client
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
                if !seen_tokens.insert(token.clone()) {
                    return Err(StepError::unexpected(
                        "ListApplicationSnapshots: the service returned the same NextToken twice.",
                    ));
                }
            }
            Err(error) => {
                let error = CallError::of("ListApplicationSnapshots", &error);
                let is_expired =
                    next_token.is_some() && error.code() == Some("InvalidArgumentException");
                if !is_expired || is_restarted {
                    return Err(flink::step_error(error, ErrorName::ApplicationNotFound));
                }
                tracing::warn!(error = %error.message, "the NextToken is invalid; restarting the listing");
                is_restarted = true;
                snapshots.clear();
                seen_tokens.clear();
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
        runtime: details
            .runtime_environment
            .map(|runtime| runtime.as_str().to_owned()),
        name: details.snapshot_name,
    }
}
