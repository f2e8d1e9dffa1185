//! Input -> calls -> output.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{
    DoomedSnapshot, ErrorName, Mode, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, Run,
    RunSnapshot, is_snapshot_name,
};
use jiff::{SignedDuration, Timestamp};
use shell::{Refusal, StepError};
use tokio::time::Instant;

use crate::application::{self, Application};
use crate::decision::{Next, decide, due};
use crate::deletion::{self, Fate};
use crate::gate::{ByName, Own};
use crate::listing;
use crate::payload::{named, number};
use crate::progress::{Seen, count, is_to_be_asked_for};
use crate::retention::{Snapshot, Status};

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
    let zone = shell::time_zone(&run.input.retention.timezone)
        .map_err(|fact| StepError::new(ErrorName::InvalidInput, format!("{fact}.")))?;
    let application = application::describe(flink, &run).await?;

    let planned_at = planned_at.and_then(|at| at.parse().ok());
    let passed = || SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::ZERO);
    let due = due(&batch, planned_at, &application, now + passed());
    let fates = deletion::delete_all(flink, &application.name, &batch, &due).await;

    let listed_at = now + passed();
    let listing = listing::list(flink, &application.name).await?;
    let batch = seen(flink, &application, batch, fates, &listing).await;
    let mut tally = count(progress, batch)?;
    let own = own_snapshot(flink, &run, snapshot.as_ref(), &listing).await?;
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
            .map(shell::for_people),
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

/// The batch with its fates and with how each snapshot is seen: in the listing, or by name where the listing
/// alone does not tell.
async fn seen(
    flink: &Client,
    application: &Application,
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
            !is_going && is_to_be_asked_for(fate, status.is_some(), doomed.tried)
        })
        .map(|(doomed, _)| doomed.snapshot_name.clone())
        .collect();
    let by_name = deletion::look_for(flink, &application.name, asked).await;
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

/// This run's own snapshot, if its mode takes one. It is asked for by name if the listing does not show it
/// READY: somebody may have deleted it, or the listing is behind.
async fn own_snapshot(
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
    let by_name = if ready(listing).any(|snapshot| snapshot.name == name) {
        None
    } else {
        Some(ask(flink, run, &name).await?)
    };
    Ok(Some(Own {
        name,
        created_at,
        by_name,
    }))
}

async fn ask(flink: &Client, run: &Run, snapshot_name: &str) -> Result<ByName, StepError> {
    let answer = flink
        .describe_application_snapshot()
        .application_name(run.input.application_name.as_str())
        .snapshot_name(snapshot_name)
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let details = answer.snapshot_details;
            // The SDK fills in what an answer lacks.
            let own = details.filter(|details| details.snapshot_name == snapshot_name);
            let Some(own) = own else {
                return Err(StepError::unexpected(format!(
                    "DescribeApplicationSnapshot: the answer is not about {snapshot_name}."
                )));
            };
            Ok(match own.snapshot_status.as_str() {
                "READY" => ByName::Ready,
                status => ByName::NotReady(status.to_owned()),
            })
        }
        Err(error) => {
            let refusal = Refusal::of("DescribeApplicationSnapshot", &error);
            if refusal.is_gone() {
                Ok(ByName::NotReady("gone".to_owned()))
            } else {
                Err(refusal.into_flink_error(ErrorName::SnapshotNotFound))
            }
        }
    }
}
