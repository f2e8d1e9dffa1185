//! Whether each snapshot of a batch still exists after its deletion, by the listing or by name.

use std::collections::HashMap;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus;
use contract::DoomedSnapshot;
use flink::Lookup;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};
use step::StepError;

use crate::deletion::Fate;

/// How many lookups by name run concurrently.
const CONCURRENT_LOOKUPS: usize = 8;

/// A snapshot that was created later than another of the same name, by more than this, is a different one.
/// Two responses may round the time of one snapshot differently.
const MAX_ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// A snapshot of a batch after its deletion.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) snapshot: DoomedSnapshot,
    pub(crate) fate: Fate,
    pub(crate) seen: Seen,
}

/// Where a snapshot of a batch is seen after its deletion.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// It is listed, and not DELETING.
    Listed,
    /// It is gone, or DELETING.
    Gone,
    /// It is not listed, but exists by name.
    Unlisted,
    /// It is not listed, and the lookup by name failed.
    Unknown,
}

impl Seen {
    /// `listed` is the status in the listing, if it is listed. `by_name` is the result of the lookup, if
    /// there was one. A listed snapshot that the lookup does not find counts as listed.
    fn of(listed: Option<&Status>, by_name: Option<Presence>) -> Self {
        match (listed, by_name) {
            (Some(Status::Deleting), _)
            | (_, Some(Presence::Deleting))
            | (None, None | Some(Presence::Gone)) => Self::Gone,
            (Some(_), _) => Self::Listed,
            (None, Some(Presence::Exists)) => Self::Unlisted,
            (None, Some(Presence::Unknown)) => Self::Unknown,
        }
    }
}

/// The result of a lookup of a snapshot by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    /// It does not exist.
    Gone,
    /// It is DELETING.
    Deleting,
    /// It exists, and is not DELETING.
    Exists,
    /// The lookup failed.
    Unknown,
}

/// Checks each snapshot of the batch in the listing, and by name where the listing is not conclusive.
/// `fates` are in the order of the batch.
///
/// A snapshot that has the name but was created later is another one: the redrive of an earlier run takes its
/// snapshot again if it has been deleted.
pub(crate) async fn check(
    flink: &Client,
    application: &str,
    batch: Vec<DoomedSnapshot>,
    fates: Vec<Fate>,
    listing: &[Snapshot],
) -> Vec<Sighting> {
    let by_name: HashMap<&str, &Snapshot> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), snapshot))
        .collect();
    let checks: Vec<_> = batch
        .into_iter()
        .zip(fates)
        .map(|(snapshot, fate)| {
            let listed = by_name.get(snapshot.snapshot_name.as_str());
            let listed = listed.filter(|listed| !is_another(&snapshot, listed.created_at));
            let status = listed.map(|listed| &listed.status);
            async move {
                let by_name = if needs_lookup(&fate, status, snapshot.tried) {
                    let presence = presence(flink, application, &snapshot).await;
                    // The error is in the log.
                    Some(presence.unwrap_or(Presence::Unknown))
                } else {
                    None
                };
                let seen = Seen::of(status, by_name);
                Sighting {
                    snapshot,
                    fate,
                    seen,
                }
            }
        })
        .collect();
    futures::stream::iter(checks)
        .buffered(CONCURRENT_LOOKUPS)
        .collect()
        .await
}

/// Whether the listing is not conclusive. After an accepted deletion, a snapshot that is not listed is gone,
/// and one that is still listed after the second attempt is looked up. After any other fate, a snapshot that
/// is not listed is looked up.
fn needs_lookup(fate: &Fate, listed: Option<&Status>, is_second_attempt: bool) -> bool {
    match (fate, listed) {
        (_, Some(Status::Deleting)) => false,
        (Fate::Accepted, listed) => listed.is_some() && is_second_attempt,
        (_, listed) => listed.is_none(),
    }
}

/// Looks the snapshot up by name.
pub(crate) async fn presence(
    flink: &Client,
    application: &str,
    doomed: &DoomedSnapshot,
) -> Result<Presence, StepError> {
    let lookup = flink::describe_snapshot(flink, application, &doomed.snapshot_name).await?;
    let Lookup::Found(details) = lookup else {
        return Ok(Presence::Gone);
    };
    let created_at = details.snapshot_creation_timestamp.as_ref();
    Ok(
        if is_another(doomed, created_at.and_then(step::timestamp)) {
            Presence::Gone
        } else if details.snapshot_status == SnapshotStatus::Deleting {
            Presence::Deleting
        } else {
            Presence::Exists
        },
    )
}

/// Whether the snapshot that has the name now, and was created at this time, is not the one that was to be
/// deleted.
fn is_another(doomed: &DoomedSnapshot, created_at: Option<Timestamp>) -> bool {
    created_at.is_some_and(|at| at.duration_since(doomed.created_at) > MAX_ROUNDING)
}
