//! This run's own snapshot, as it is found when the run prunes.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{Mode, Run, RunSnapshot};
use flink::Lookup;
use jiff::Timestamp;
use retention::{Snapshot, Status};
use step::StepError;

/// This run's own snapshot, which was READY when the run came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) name: String,
    /// As `DescribeSnapshot` saw it.
    pub(crate) created_at: Option<Timestamp>,
    /// What the service says of it by name, asked because the listing does not show it READY.
    pub(crate) by_name: Option<ByName>,
}

/// What the service says of a snapshot that the listing does not show READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByName {
    /// It is READY, and the listing is behind.
    Ready,
    /// It has this status, or is gone.
    NotReady(String),
}

/// This run's own snapshot, if its mode takes one. It is asked for by name if the listing does not show it
/// READY: somebody may have deleted it, or the listing is behind.
pub(crate) async fn find(
    flink: &Client,
    run: &Run,
    snapshot: Option<&RunSnapshot>,
    listing: &[Snapshot],
) -> Result<Option<Own>, StepError> {
    if run.input.mode != Mode::Run {
        return Ok(None);
    }
    let name = snapshot.map_or_else(|| run.snapshot_name(), |snapshot| snapshot.name.clone());
    let created_at = snapshot.and_then(|snapshot| {
        let time = snapshot
            .created_at
            .as_ref()
            .unwrap_or(&snapshot.accepted_at);
        time.parse().ok()
    });
    let is_ready = |it: &Snapshot| it.name == name && it.status == Status::Ready;
    let by_name = if listing.iter().any(is_ready) {
        None
    } else {
        Some(look(flink, run, &name).await?)
    };
    Ok(Some(Own {
        name,
        created_at,
        by_name,
    }))
}

async fn look(flink: &Client, run: &Run, snapshot_name: &str) -> Result<ByName, StepError> {
    let application = run.input.application_name.as_str();
    let lookup = flink::describe_snapshot(flink, application, snapshot_name).await?;
    Ok(match lookup {
        Lookup::NotFound(_) => ByName::NotReady("gone".to_owned()),
        Lookup::Found(own) => match own.snapshot_status.as_str() {
            "READY" => ByName::Ready,
            status => ByName::NotReady(status.to_owned()),
        },
    })
}
