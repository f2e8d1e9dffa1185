//! How each snapshot of a batch is seen after its deletion: in the listing, or by name.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotStatus;
use contract::DoomedSnapshot;
use flink::Lookup;
use futures::StreamExt;
use retention::{Snapshot, Status};
use step::StepError;

use crate::deletion::Fate;

/// How many snapshots are asked for by name at a time.
const LOOKS: usize = 8;

/// How one snapshot of a batch is seen after it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// It is listed, and not DELETING.
    Listed,
    /// It is gone, or DELETING.
    Gone,
    /// The listing leaves it out, and the service says by name that it is there.
    Unlisted,
    /// The listing leaves it out, and the service did not say.
    Unknown,
}

impl Seen {
    /// From its status in the listing, if it is listed, and from what the service says of it by name, if it
    /// was asked. A listed snapshot of which the service says that there is none counts as listed.
    fn of(listed: Option<&Status>, by_name: Option<Presence>) -> Self {
        match (listed, by_name) {
            (Some(Status::Deleting), _)
            | (_, Some(Presence::Deleting))
            | (None, None | Some(Presence::Gone)) => Self::Gone,
            (Some(_), _) => Self::Listed,
            (None, Some(Presence::There)) => Self::Unlisted,
            (None, Some(Presence::Unknown)) => Self::Unknown,
        }
    }
}

/// What the service says of a snapshot when it is asked for it by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    /// There is no such snapshot.
    Gone,
    /// It is DELETING.
    Deleting,
    /// It is there.
    There,
    /// The service did not say.
    Unknown,
}

/// The batch with its fates and with how each snapshot is seen: in the listing, or by name where the listing
/// alone does not tell.
pub(crate) async fn look_at(
    flink: &Client,
    application: &str,
    batch: Vec<DoomedSnapshot>,
    fates: Vec<Fate>,
    listing: &[Snapshot],
) -> Vec<(DoomedSnapshot, Fate, Seen)> {
    let listed: HashMap<&str, &Status> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), &snapshot.status))
        .collect();
    let asked: BTreeSet<String> = batch
        .iter()
        .zip(&fates)
        .filter(|(doomed, fate)| {
            let status = listed.get(doomed.snapshot_name.as_str());
            let is_going = status.is_some_and(|status| **status == Status::Deleting);
            !is_going && needs_lookup(fate, status.is_some(), doomed.tried)
        })
        .map(|(doomed, _)| doomed.snapshot_name.clone())
        .collect();
    let by_name = look_for(flink, application, asked).await;
    batch
        .into_iter()
        .zip(fates)
        .map(|(doomed, fate)| {
            let name = doomed.snapshot_name.as_str();
            let seen = Seen::of(listed.get(name).copied(), by_name.get(name).copied());
            (doomed, fate, seen)
        })
        .collect()
}

/// Whether the service has to be asked for a snapshot by name. Either it is not listed, and the service did
/// not say just now that it is gone or going; or it said so for the second time, and it is still listed.
fn needs_lookup(fate: &Fate, is_listed: bool, is_second: bool) -> bool {
    match fate {
        Fate::Accepted => is_listed && is_second,
        _ => !is_listed,
    }
}

/// Asks for each of the snapshots by name.
async fn look_for(
    flink: &Client,
    application: &str,
    names: BTreeSet<String>,
) -> HashMap<String, Presence> {
    let looks: Vec<_> = names
        .into_iter()
        .map(|name| look(flink, application, name))
        .collect();
    futures::stream::iter(looks).buffered(LOOKS).collect().await
}

async fn look(flink: &Client, application: &str, name: String) -> (String, Presence) {
    let presence = presence(flink, application, &name).await;
    // The log has the refusal.
    (name, presence.unwrap_or(Presence::Unknown))
}

/// What the service says of the snapshot.
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
        Lookup::Found(_) => Presence::There,
    })
}
