//! Input -> calls -> output.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{
    ErrorName, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, Run, is_snapshot_name,
};
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};
use step::StepError;
use tokio::time::Instant;

use crate::application;
use crate::decision::{Next, decide, due};
use crate::deletion;
use crate::listing;
use crate::own_snapshot::{self, ByName};
use crate::payload::{named, number};
use crate::progress::count;
use crate::sighting;

/// Deletes the input's batch if its plan is fresh, lists, and decides what comes next.
///
/// # Errors
/// As the crate's documentation lists them.
pub async fn handle(
    flink: &Client,
    input: PruneSnapshotsInput,
    now: Timestamp,
) -> Result<PruneSnapshotsOutput, StepError> {
    let begun = Instant::now();
    let PruneSnapshotsInput {
        run,
        snapshot,
        mut batch,
        planned_at,
        progress,
    } = input;
    // The service has no snapshot of another name.
    batch.retain(|doomed| is_snapshot_name(&doomed.snapshot_name));
    let zone = retention::time_zone(&run.input.retention.timezone)
        .map_err(|fact| StepError::new(ErrorName::InvalidInput, format!("{fact}.")))?;
    let application = application::describe(flink, &run).await?;

    let planned_at = planned_at.and_then(|at| at.parse().ok());
    let passed = || SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::ZERO);
    let due = due(&batch, planned_at, &application, now + passed());
    let fates = deletion::delete_all(flink, &application.name, &batch, &due).await;

    let listed_at = now + passed();
    let listing = listing::list(flink, &application.name).await?;
    let batch = sighting::look_at(flink, &application.name, batch, fates, &listing).await;
    let mut tally = count(progress, batch)?;
    let own = own_snapshot::find(flink, &run, snapshot.as_ref(), &listing).await?;
    let decision = decide(
        &listing,
        &application,
        &run,
        own.as_ref(),
        &tally,
        (&zone, listed_at),
    );

    let (pruning, batch, planned_at) = match decision.next {
        Next::Delete(batch) => (Pruning::Continue, batch, Some(listed_at.to_string())),
        Next::Look => {
            let pruning = if run.can_wait_before_pruning() {
                Pruning::Wait
            } else {
                Pruning::Continue
            };
            let mut batch = std::mem::take(&mut tally.unseen);
            batch.append(&mut tally.tried);
            batch.append(&mut tally.untried);
            (pruning, batch, None)
        }
        Next::Nothing => (Pruning::Done, Vec::new(), None),
    };
    let is_behind = own.is_some_and(|own| own.by_name == Some(ByName::Ready));
    let mut progress = tally.before(&batch);
    progress.waiting_since = (pruning == Pruning::Wait && is_behind)
        .then(|| progress.waiting_since.unwrap_or(listed_at.to_string()));
    tracing::info!(
        wanted = decision.wanted,
        next = ?pruning,
        batch = batch.len(),
        deleted = progress.deleted_count,
        failed = progress.failed_count,
        held_back = decision.held_back.as_ref().map(|held| held.message.as_str()),
        "planned"
    );
    Ok(PruneSnapshotsOutput {
        wait_seconds: wait_seconds(&run, progress.throttled_batches),
        run,
        snapshot,
        pruning,
        batch,
        planned_at,
        progress,
        deletions_wanted: decision.wanted,
        held_back: decision.held_back,
        snapshots_ready: number(ready(&listing).count()),
        snapshots_total: number(listing.len()),
        newest_ready_at: ready(&listing)
            .filter_map(|snapshot| snapshot.created_at)
            .max()
            .map(step::for_people),
        verdicts: match pruning {
            Pruning::Continue | Pruning::Wait => Vec::new(),
            Pruning::Done => named(decision.verdicts),
        },
    })
}

/// The poll interval, doubled for each throttled batch after the first, at most 300.
fn wait_seconds(run: &Run, throttled_batches: u32) -> u32 {
    let doublings = throttled_batches.saturating_sub(1).min(9);
    (run.input.poll_interval_seconds.get() << doublings).min(300)
}

fn ready(listing: &[Snapshot]) -> impl Iterator<Item = &Snapshot> {
    let is_ready = |snapshot: &&Snapshot| snapshot.status == Status::Ready;
    listing.iter().filter(is_ready)
}
