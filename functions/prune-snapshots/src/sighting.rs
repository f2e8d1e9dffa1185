//! Whether each snapshot of a batch still exists after its deletion, by the listing or by name.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus;
use contract::DoomedSnapshot;
use flink::Lookup;
use futures::StreamExt;
use retention::{Snapshot, Status};
use step::StepError;

use crate::deletion::Fate;

/// How many lookups by name run concurrently.
const CONCURRENT_LOOKUPS: usize = 8;

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
pub(crate) async fn check(
    flink: &Client,
    application: &str,
    batch: Vec<DoomedSnapshot>,
    fates: Vec<Fate>,
    listing: &[Snapshot],
) -> Vec<Sighting> {
    let listed: HashMap<&str, &Status> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), &snapshot.status))
        .collect();
    let to_look_up: BTreeSet<String> = batch
        .iter()
        .zip(&fates)
        .filter(|(doomed, fate)| {
            let status = listed.get(doomed.snapshot_name.as_str());
            let is_deleting = status.is_some_and(|status| **status == Status::Deleting);
            !is_deleting && needs_lookup(fate, status.is_some(), doomed.tried)
        })
        .map(|(doomed, _)| doomed.snapshot_name.clone())
        .collect();
    let by_name = look_up_all(flink, application, to_look_up).await;
    batch
        .into_iter()
        .zip(fates)
        .map(|(snapshot, fate)| {
            let name = snapshot.snapshot_name.as_str();
            let seen = Seen::of(listed.get(name).copied(), by_name.get(name).copied());
            Sighting {
                snapshot,
                fate,
                seen,
            }
        })
        .collect()
}

/// Whether the listing is not conclusive. After an accepted deletion, a snapshot that is not listed is gone,
/// and one that is still listed after the second attempt is looked up. After any other fate, a snapshot that
/// is not listed is looked up.
fn needs_lookup(fate: &Fate, is_listed: bool, is_second_attempt: bool) -> bool {
    match fate {
        Fate::Accepted => is_listed && is_second_attempt,
        _ => !is_listed,
    }
}

async fn look_up_all(
    flink: &Client,
    application: &str,
    names: BTreeSet<String>,
) -> HashMap<String, Presence> {
    let lookups: Vec<_> = names
        .into_iter()
        .map(|name| look_up(flink, application, name))
        .collect();
    futures::stream::iter(lookups)
        .buffered(CONCURRENT_LOOKUPS)
        .collect()
        .await
}

async fn look_up(flink: &Client, application: &str, name: String) -> (String, Presence) {
    let presence = presence(flink, application, &name).await;
    // The error is in the log.
    (name, presence.unwrap_or(Presence::Unknown))
}

/// Looks the snapshot up by name.
pub(crate) async fn presence(
    flink: &Client,
    application: &str,
    snapshot_name: &str,
) -> Result<Presence, StepError> {
    let lookup = flink::describe_snapshot(flink, application, snapshot_name).await?;
    Ok(match lookup {
        Lookup::NotFound(_) => Presence::Gone,
        Lookup::Found(details) if details.snapshot_status == SnapshotStatus::Deleting => {
            Presence::Deleting
        }
        Lookup::Found(_) => Presence::Exists,
    })
}
