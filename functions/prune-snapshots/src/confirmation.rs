//! Checks whether each snapshot of a batch still exists after the delete calls, in the listing or with a lookup by
//! name.

use std::collections::HashMap;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus;
use contract::DoomedSnapshot;
use flink::Lookup;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};
use step::StepError;

use crate::deletion::DeletionResult;

/// How many lookups by name run concurrently.
const CONCURRENT_LOOKUPS: usize = 8;

/// If two snapshots with one name differ in creation time by more than this, the later one is a different snapshot. A
/// smaller difference can be rounding, because two responses may round the creation time of one snapshot differently.
const MAX_ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// A snapshot of a batch, the result of its delete call, and whether the snapshot still exists.
#[derive(Debug)]
pub(crate) struct CheckedDeletion {
    pub(crate) snapshot: DoomedSnapshot,
    pub(crate) result: DeletionResult,
    pub(crate) existence: Existence,
}

/// Whether a snapshot of a batch still exists after the delete calls, and how that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Existence {
    /// It exists: it is listed, and its status is not DELETING.
    Listed,
    /// It does not exist, or is DELETING.
    Gone,
    /// It exists: it is not listed, but the lookup by name finds it.
    FoundByName,
    /// Unknown: it is not listed, and the lookup by name failed.
    Unknown,
}

impl Existence {
    /// `listed` is the snapshot's status in the listing, and `None` if the snapshot is not listed. `lookup` is the
    /// result of the lookup by name, and `None` if there was no lookup. A snapshot that is listed but not found by name
    /// counts as listed.
    fn of(listed: Option<&Status>, lookup: Option<NameLookup>) -> Self {
        match (listed, lookup) {
            (Some(Status::Deleting), _)
            | (_, Some(NameLookup::Deleting))
            | (None, None | Some(NameLookup::Gone)) => Self::Gone,
            (Some(_), _) => Self::Listed,
            (None, Some(NameLookup::Exists)) => Self::FoundByName,
            (None, Some(NameLookup::Unknown)) => Self::Unknown,
        }
    }
}

/// The result of looking a snapshot up by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NameLookup {
    /// No such snapshot exists.
    Gone,
    /// It is DELETING.
    Deleting,
    /// It exists, and is not DELETING.
    Exists,
    /// The lookup failed.
    Unknown,
}

/// Checks for each snapshot of the batch whether it still exists. `results` are the results of the delete calls, in the
/// order of the batch. If `listing` is not conclusive for a snapshot, the snapshot is looked up by name.
///
/// A snapshot that has the same name but was created later is a different snapshot, and does not count. Such a snapshot
/// occurs if the snapshot of an earlier run was deleted, and a redrive of that run takes a new one with the same name.
pub(crate) async fn check_each(
    client: &Client,
    application: &str,
    batch: Vec<DoomedSnapshot>,
    results: Vec<DeletionResult>,
    listing: &[Snapshot],
) -> Vec<CheckedDeletion> {
    let listed_by_name: HashMap<&str, &Snapshot> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), snapshot))
        .collect();
    let checks: Vec<_> = batch
        .into_iter()
        .zip(results)
        .map(|(snapshot, result)| {
            let listed = listed_by_name.get(snapshot.snapshot_name.as_str());
            let listed = listed.filter(|listed| !is_newer(&snapshot, listed.created_at));
            let status = listed.map(|listed| &listed.status);
            async move {
                let lookup = if needs_lookup(&result, status, snapshot.tried) {
                    let result = look_up(client, application, &snapshot).await;
                    // If the call failed, `CallError::of` has logged the error.
                    Some(result.unwrap_or(NameLookup::Unknown))
                } else {
                    None
                };
                let existence = Existence::of(status, lookup);
                CheckedDeletion {
                    snapshot,
                    result,
                    existence,
                }
            }
        })
        .collect();
    futures::stream::iter(checks)
        .buffered(CONCURRENT_LOOKUPS)
        .collect()
        .await
}

/// Whether the listing is not conclusive, so that the snapshot has to be looked up by name. `listed` is the snapshot's
/// status in the listing.
///
/// - If the service accepted the deletion, a snapshot that is not listed is gone. A snapshot that is still listed is
///   looked up only after the second attempt.
/// - After any other result, a snapshot that is not listed is looked up.
/// - A snapshot that is listed as DELETING is never looked up.
fn needs_lookup(result: &DeletionResult, listed: Option<&Status>, is_second_attempt: bool) -> bool {
    match (result, listed) {
        (_, Some(Status::Deleting)) => false,
        (DeletionResult::AcceptedOrGone, listed) => listed.is_some() && is_second_attempt,
        (_, listed) => listed.is_none(),
    }
}

/// Looks the snapshot up by name. A newer snapshot with the same name does not count.
pub(crate) async fn look_up(
    client: &Client,
    application: &str,
    doomed: &DoomedSnapshot,
) -> Result<NameLookup, StepError> {
    let lookup = flink::describe_snapshot(client, application, &doomed.snapshot_name).await?;
    let Lookup::Found(details) = lookup else {
        return Ok(NameLookup::Gone);
    };
    let created_at = details.snapshot_creation_timestamp.as_ref();
    Ok(if is_newer(doomed, created_at.and_then(step::timestamp)) {
        NameLookup::Gone
    } else if details.snapshot_status == SnapshotStatus::Deleting {
        NameLookup::Deleting
    } else {
        NameLookup::Exists
    })
}

/// Whether a snapshot that has the name of `doomed` and was created at `created_at` is a different, newer snapshot.
fn is_newer(doomed: &DoomedSnapshot, created_at: Option<Timestamp>) -> bool {
    created_at.is_some_and(|at| at.duration_since(doomed.created_at) > MAX_ROUNDING)
}
