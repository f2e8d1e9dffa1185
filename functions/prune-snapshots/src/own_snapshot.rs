//! Finds out whether this run's own snapshot still exists and is READY when the run prunes.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{Mode, Run, RunSnapshot};
use flink::Lookup;
use jiff::Timestamp;
use retention::{Snapshot, Status};
use step::StepError;

/// This run's own snapshot. It was READY before the run began to prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnSnapshot {
    pub(crate) name: String,
    /// The creation time according to the step `DescribeSnapshot` or, if the service gave none, the time at which the
    /// service accepted the creation. `None` if the payload does not contain the snapshot.
    pub(crate) created_at: Option<Timestamp>,
    /// The result of the lookup by name. `None` if the listing shows the snapshot as READY, so that there was no
    /// lookup.
    pub(crate) described: Option<DescribedStatus>,
}

/// The status that a lookup by name returns for a snapshot that the listing does not show as READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DescribedStatus {
    /// READY. The listing is out of date.
    Ready,
    /// A status other than READY, or [`GONE`] if the snapshot does not exist.
    NotReady(String),
}

/// The status of a snapshot that does not exist.
pub(crate) const GONE: &str = "gone";

/// Returns this run's own snapshot, or `None` in a mode that takes no snapshot.
///
/// If the listing does not show the snapshot as READY, somebody may have deleted it, or the listing may be out of date.
/// In this case the snapshot is looked up by name.
pub(crate) async fn check(
    client: &Client,
    run: &Run,
    snapshot: Option<&RunSnapshot>,
    listing: &[Snapshot],
) -> Result<Option<OwnSnapshot>, StepError> {
    if run.input.mode != Mode::Run {
        return Ok(None);
    }
    let name = snapshot.map_or_else(|| run.snapshot_name(), |snapshot| snapshot.name.clone());
    let created_at = snapshot.map(|snapshot| snapshot.created_at.unwrap_or(snapshot.accepted_at));
    let is_ready = |it: &Snapshot| it.name == name && it.status == Status::Ready;
    let described = if listing.iter().any(is_ready) {
        None
    } else {
        Some(describe(client, run, &name).await?)
    };
    Ok(Some(OwnSnapshot {
        name,
        created_at,
        described,
    }))
}

async fn describe(
    client: &Client,
    run: &Run,
    snapshot_name: &str,
) -> Result<DescribedStatus, StepError> {
    let application = run.input.application_name.as_str();
    let lookup = flink::describe_snapshot(client, application, snapshot_name).await?;
    Ok(match lookup {
        Lookup::NotFound(_) => DescribedStatus::NotReady(GONE.to_owned()),
        Lookup::Found(own) => match own.snapshot_status.as_str() {
            "READY" => DescribedStatus::Ready,
            status => DescribedStatus::NotReady(status.to_owned()),
        },
    })
}
