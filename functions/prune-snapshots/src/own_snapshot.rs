//! This run's own snapshot, as it is when the run prunes.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{Mode, Run, RunSnapshot};
use flink::Lookup;
use jiff::Timestamp;
use retention::{Snapshot, Status};
use step::StepError;

/// This run's own snapshot, which was READY before the run began to prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnSnapshot {
    pub(crate) name: String,
    /// The creation time that the step `DescribeSnapshot` got.
    pub(crate) created_at: Option<Timestamp>,
    /// `None` if the listing shows it as READY.
    pub(crate) described: Option<DescribedStatus>,
}

/// What `DescribeApplicationSnapshot` says about a snapshot that the listing does not show as READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DescribedStatus {
    /// It is READY: the listing is out of date.
    Ready,
    /// It has this status, or is "gone".
    NotReady(String),
}

/// This run's own snapshot, if its mode takes one. If the listing does not show it as READY, the service is
/// asked for it by name: somebody may have deleted it, or the listing is out of date.
pub(crate) async fn find(
    flink: &Client,
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
        Some(describe(flink, run, &name).await?)
    };
    Ok(Some(OwnSnapshot {
        name,
        created_at,
        described,
    }))
}

async fn describe(
    flink: &Client,
    run: &Run,
    snapshot_name: &str,
) -> Result<DescribedStatus, StepError> {
    let application = run.input.application_name.as_str();
    let lookup = flink::describe_snapshot(flink, application, snapshot_name).await?;
    Ok(match lookup {
        Lookup::NotFound(_) => DescribedStatus::NotReady("gone".to_owned()),
        Lookup::Found(own) => match own.snapshot_status.as_str() {
            "READY" => DescribedStatus::Ready,
            status => DescribedStatus::NotReady(status.to_owned()),
        },
    })
}
