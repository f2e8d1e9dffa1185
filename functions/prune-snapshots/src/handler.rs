//! Handles one invocation: deletes the batch of the input, lists the snapshots, and decides what the run does next.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{
    ErrorName, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, Run, is_snapshot_name,
};
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};
use step::StepError;
use tokio::time::Instant;

use crate::application;
use crate::confirmation;
use crate::decision::{Next, decide, deletable};
use crate::deletion;
use crate::listing;
use crate::own_snapshot::{self, DescribedStatus};
use crate::payload::{to_count, truncate_verdicts};
use crate::progress::add_batch;
use crate::warnings::warnings;

/// Runs one pass: deletes the batch of the input, lists the remaining snapshots, updates the counts, and plans the next
/// batch. The input of the first pass has no batch, so the first pass only plans.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    client: &Client,
    input: PruneSnapshotsInput,
    now: Timestamp,
) -> Result<PruneSnapshotsOutput, StepError> {
    let started = Instant::now();
    let elapsed = || SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::ZERO);
    let PruneSnapshotsInput {
        run,
        snapshot,
        mut batch,
        planned_at,
        progress,
    } = input;
    // No snapshot can have an invalid name.
    batch.retain(|doomed| is_snapshot_name(&doomed.snapshot_name));
    let zone = retention::time_zone(&run.input.retention.timezone)
        .map_err(|fact| StepError::new(ErrorName::InvalidInput, format!("{fact}.")))?;
    let application = application::describe(client, &run).await?;

    let deletable = deletable(&batch, planned_at, &application, now + elapsed());
    let results = deletion::delete_batch(client, &application.name, &batch, &deletable).await;

    let listed_at = now + elapsed();
    let listing = listing::list(client, &application.name).await?;
    let checked =
        confirmation::check_each(client, &application.name, batch, results, &listing).await;
    let mut tally = add_batch(progress, checked)?;
    let own = own_snapshot::check(client, &run, snapshot.as_ref(), &listing).await?;
    let decision = decide(
        &listing,
        &application,
        &run,
        own.as_ref(),
        &tally,
        &zone,
        listed_at,
    );

    let application_wait = match decision.next {
        Next::WaitForApplication(seconds) => Some(seconds),
        _ => None,
    };
    let (pruning, next_batch, planned_at) = match decision.next {
        Next::Delete(batch) => (Pruning::Continue, batch, Some(listed_at)),
        // Without `planned_at`, the next pass only checks the snapshots of the batch, and deletes none of them.
        Next::CheckAgain => (wait_or_continue(&run), tally.take_unsettled(), None),
        Next::WaitForApplication(_) => (Pruning::Wait, tally.take_unsettled(), None),
        Next::Done => (Pruning::Done, Vec::new(), None),
    };
    let warnings = match pruning {
        Pruning::Continue | Pruning::Wait => Vec::new(),
        // An application that is DELETING loses its snapshots anyway, so a warning about them would not help.
        Pruning::Done if application.status == "DELETING" => Vec::new(),
        Pruning::Done => warnings(&listing, &application, &run.input),
    };
    let mut progress = tally.into_progress(&next_batch);
    let is_listing_behind = own.is_some_and(|own| own.described == Some(DescribedStatus::Ready));
    progress.waiting_since = (pruning == Pruning::Wait && is_listing_behind)
        .then(|| progress.waiting_since.unwrap_or(listed_at));
    if application_wait.is_some() {
        progress.application_busy_since.get_or_insert(listed_at);
    }
    tracing::info!(
        wanted = decision.wanted,
        next = ?pruning,
        batch = next_batch.len(),
        deleted = progress.deleted_count,
        failed = progress.failed_count,
        held_back = decision.held_back.as_ref().map(|held| held.message.as_str()),
        "planned"
    );
    Ok(PruneSnapshotsOutput {
        wait_seconds: application_wait
            .unwrap_or_else(|| seconds_before_next_pass(&run, progress.throttled_batches)),
        run,
        snapshot,
        pruning,
        batch: next_batch,
        planned_at,
        progress,
        deletions_wanted: decision.wanted,
        held_back: decision.held_back,
        snapshots_ready: to_count(ready(&listing).count()),
        snapshots_total: to_count(listing.len()),
        newest_ready_at: ready(&listing)
            .filter_map(|snapshot| snapshot.created_at)
            .max()
            .map(step::rounded_to_millis),
        verdicts: match pruning {
            Pruning::Continue | Pruning::Wait => Vec::new(),
            Pruning::Done => truncate_verdicts(decision.verdicts),
        },
        warnings,
    })
}

/// What follows a pass after which the run only checks again: `Wait` if the execution's state machine definition
/// supports it, otherwise `Continue`.
fn wait_or_continue(run: &Run) -> Pruning {
    if run.definition_handles_wait() {
        Pruning::Wait
    } else {
        Pruning::Continue
    }
}

/// The seconds before the next pass: `poll_interval_seconds`, doubled for each throttled batch after the first,
/// and at most 300.
fn seconds_before_next_pass(run: &Run, throttled_batches: u32) -> u32 {
    let doublings = throttled_batches.saturating_sub(1).min(9);
    (run.input.poll_interval_seconds.get() << doublings).min(300)
}

fn ready(listing: &[Snapshot]) -> impl Iterator<Item = &Snapshot> {
    let is_ready = |snapshot: &&Snapshot| snapshot.status == Status::Ready;
    listing.iter().filter(is_ready)
}
