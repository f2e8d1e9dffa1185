//! Input -> calls -> output.

use std::collections::{HashMap, HashSet};

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::{
    ApplicationDetail, ApplicationRestoreConfiguration, ApplicationRestoreType as RestoreType,
};
use contract::{
    Action, DeletedSnapshot, DoomedSnapshot, ErrorName, FailedDeletion, HeldBack, HeldBackCause,
    Mode, Progress, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, Run, Verdict,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use shell::{Refusal, StepError, single_line};

use crate::deletion::{self, Fate};
use crate::gate::{self, Application, Restore};
use crate::listing;
use crate::retention::{Protected, Snapshot, Status, plan};

/// The most that one entry of the state deletes. With names of 256 characters a batch of 250 and
/// everything beside it stay within a state's payload of 256 KiB.
const BATCH: usize = 250;

/// The most deleted snapshots that are named in the payload and the record.
const DELETED_NAMED: usize = 100;

/// More failed deletions than this end the pruning.
const FAILURES_BORNE: u32 = 50;

/// The most failed deletions that are named in the payload and the record.
const FAILURES_NAMED: usize = 100;

/// The most verdicts in the payload and the record.
const VERDICTS_NAMED: usize = 200;

/// The most that the verdicts take of the payload, in bytes: names of 256 characters and a dozen
/// reasons each would otherwise fill it.
const VERDICTS_BYTES: usize = 100_000;

/// The longest reason of a failed deletion, in bytes as JSON.
const REASON_LENGTH: usize = 300;

/// Deletes the input's batch, lists, and plans the next.
///
/// # Errors
/// As the crate's documentation lists them.
pub async fn handle(
    flink: &Client,
    input: PruneSnapshotsInput,
    now: Timestamp,
) -> Result<PruneSnapshotsOutput, StepError> {
    let PruneSnapshotsInput {
        run,
        snapshot,
        batch,
        mut progress,
    } = input;
    let zone = shell::time_zone(&run.input.retention.timezone)
        .map_err(|fact| StepError::new(ErrorName::InvalidInput, format!("{fact}.")))?;
    let application = describe(flink, &run).await?;
    let closed = gate::application_gate(&application);

    let restore_point = application.restore.name();
    let batch: Vec<DoomedSnapshot> = batch
        .into_iter()
        .filter(|doomed| Some(doomed.snapshot_name.as_str()) != restore_point)
        .collect();
    let fates = if closed.is_none() {
        deletion::delete_all(flink, &application.name, &batch).await
    } else {
        batch.iter().map(|_| Fate::OutOfTime).collect()
    };

    let snapshots = listing::list(flink, &application.name).await?;
    progress = count(progress, &batch, settled(fates, &batch, &snapshots))?;
    let verdicts = verdicts(&run, &zone, &application, &snapshots, now);
    let given_up: HashSet<&str> = progress
        .failed
        .iter()
        .map(|failed| failed.snapshot_name.as_str())
        .collect();
    let doomed: HashSet<&str> = verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete)
        .map(|verdict| verdict.snapshot_name.as_str())
        .filter(|name| !given_up.contains(name))
        .collect();
    let wanted = number(doomed.len());
    let held_back = hold_back(&run, closed, &snapshots, &progress, wanted);

    let batch = if held_back.is_some() || run.input.mode == Mode::Plan {
        Vec::new()
    } else {
        next_batch(&snapshots, &verdicts, &doomed)
    };
    let pruning = if batch.is_empty() {
        Pruning::Done
    } else {
        Pruning::Continue
    };
    if pruning == Pruning::Done {
        progress = without_answer(progress);
    }
    tracing::info!(
        wanted,
        batch = batch.len(),
        deleted = progress.deleted_count,
        failed = progress.failed_count,
        held_back = held_back.as_ref().map(|held| held.message.as_str()),
        "planned"
    );
    Ok(PruneSnapshotsOutput {
        run,
        snapshot,
        pruning,
        batch,
        progress,
        deletions_wanted: wanted,
        held_back,
        snapshots_ready: number(
            snapshots
                .iter()
                .filter(|s| s.status == Status::Ready)
                .count(),
        ),
        snapshots_total: number(snapshots.len()),
        newest_ready_at: newest_ready_at(&snapshots).map(shell::for_people),
        verdicts: match pruning {
            Pruning::Continue => Vec::new(),
            Pruning::Done => named(verdicts),
        },
    })
}

fn newest_ready_at(snapshots: &[Snapshot]) -> Option<Timestamp> {
    let ready = snapshots.iter().filter(|s| s.status == Status::Ready);
    ready.filter_map(|snapshot| snapshot.created_at).max()
}

async fn describe(flink: &Client, run: &Run) -> Result<Application, StepError> {
    let name = run.input.application_name.as_str();
    let application = flink
        .describe_application()
        .application_name(name)
        .send()
        .await
        .map_err(|error| {
            Refusal::of("DescribeApplication", &error)
                .into_flink_error(ErrorName::ApplicationNotFound)
        })?
        .application_detail
        .ok_or_else(|| StepError::unexpected("DescribeApplication: no ApplicationDetail."))?;
    Ok(Application {
        name: name.to_owned(),
        status: application.application_status().as_str().to_owned(),
        version_id: application.application_version_id,
        restore: restore_configuration(&application).map_or(Restore::OwnChoice, restore),
    })
}

fn restore_configuration(
    application: &ApplicationDetail,
) -> Option<&ApplicationRestoreConfiguration> {
    application
        .application_configuration_description
        .as_ref()?
        .run_configuration_description
        .as_ref()?
        .application_restore_configuration_description
        .as_ref()
}

/// A kind of restore that is not known and names no snapshot may restore from any.
fn restore(configuration: &ApplicationRestoreConfiguration) -> Restore {
    match (
        &configuration.snapshot_name,
        &configuration.application_restore_type,
    ) {
        (Some(name), _) => Restore::Named(name.clone()),
        (None, RestoreType::SkipRestoreFromSnapshot | RestoreType::RestoreFromLatestSnapshot) => {
            Restore::OwnChoice
        }
        (None, _) => Restore::Unnamed,
    }
}

/// The fates with what the listing shows: what is gone is deleted, whatever the answer was and whichever try
/// of this step has done it; what is still there is not, and its deletion is tried once more.
fn settled(fates: Vec<Fate>, batch: &[DoomedSnapshot], snapshots: &[Snapshot]) -> Vec<Fate> {
    let remain: HashSet<&str> = snapshots
        .iter()
        .filter(|snapshot| snapshot.status != Status::Deleting)
        .map(|snapshot| snapshot.name.as_str())
        .collect();
    let settle = |(fate, doomed): (Fate, &DoomedSnapshot)| {
        let name = &doomed.snapshot_name;
        match fate {
            _ if !remain.contains(name.as_str()) => Fate::Deleted,
            Fate::Deleted => Fate::Unanswered(StepError::new(
                ErrorName::ServiceUnavailable,
                format!("{name} is still listed after its deletion."),
            )),
            fate => fate,
        }
    };
    fates.into_iter().zip(batch).map(settle).collect()
}

/// The totals with this batch.
///
/// # Errors
/// The function has no right to delete, or the service throttles so much that nothing was done:
/// the state's own retries then slow the run down.
fn count(
    mut progress: Progress,
    batch: &[DoomedSnapshot],
    fates: Vec<Fate>,
) -> Result<Progress, StepError> {
    let mut before = std::mem::take(&mut progress.unanswered);
    let mut throttled = None;
    let mut settled = false;
    for (doomed, fate) in batch.iter().zip(fates) {
        let name = &doomed.snapshot_name;
        let error = match fate {
            Fate::Deleted => {
                settled = true;
                before.retain(|unanswered| unanswered != name);
                progress.deleted_count = progress.deleted_count.saturating_add(1);
                if progress.deleted.len() < DELETED_NAMED {
                    progress.deleted.push(deleted(doomed));
                }
                continue;
            }
            Fate::OutOfTime => continue,
            Fate::Throttled(error) => {
                throttled = Some(error);
                continue;
            }
            Fate::Unanswered(_) if !before.contains(name) => {
                settled = true;
                progress.unanswered.push(name.clone());
                continue;
            }
            Fate::Refused(error) if error.name == ErrorName::AccessDenied => return Err(error),
            Fate::Unanswered(error) | Fate::Refused(error) => error,
        };
        settled = true;
        before.retain(|unanswered| unanswered != name);
        add_failed(&mut progress, name.clone(), reason(&error.fact));
    }
    progress.unanswered.extend(before);
    match throttled {
        Some(error) if !settled => Err(error),
        _ => Ok(progress),
    }
}

fn add_failed(progress: &mut Progress, snapshot_name: String, reason: String) {
    progress.failed_count = progress.failed_count.saturating_add(1);
    if progress.failed.len() < FAILURES_NAMED {
        progress.failed.push(FailedDeletion {
            snapshot_name,
            reason,
        });
    }
}

/// The totals of a pruning that ends: deletions without an answer, or that the listing does not show, have failed
/// as far as anybody knows when they are not tried once more, and the service may carry them out yet.
fn without_answer(mut progress: Progress) -> Progress {
    for snapshot_name in std::mem::take(&mut progress.unanswered) {
        let reason = "Not seen to be deleted, and no second try: it may be deleted yet.";
        add_failed(&mut progress, snapshot_name, reason.to_owned());
    }
    progress
}

fn reason(fact: &str) -> String {
    let mut bytes = 0;
    let short = |c: &char| {
        bytes += match c {
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        bytes <= REASON_LENGTH
    };
    single_line(fact).chars().take_while(short).collect()
}

fn deleted(doomed: &DoomedSnapshot) -> DeletedSnapshot {
    DeletedSnapshot {
        snapshot_name: doomed.snapshot_name.clone(),
        created_at: doomed
            .created_at
            .parse()
            .map_or_else(|_| doomed.created_at.clone(), shell::for_people),
        application_version_id: doomed.application_version_id,
        reason: doomed.reason.clone(),
    }
}

/// One verdict for each listed snapshot. Mode PLAN plans as if this run's own snapshot were READY
/// now.
fn verdicts(
    run: &Run,
    zone: &TimeZone,
    application: &Application,
    snapshots: &[Snapshot],
    now: Timestamp,
) -> Vec<Verdict> {
    let own_name = run.snapshot_name();
    let protected = Protected {
        own: Some(&own_name),
        restore_point: application.restore.name(),
    };
    let policy = &run.input.retention;
    if run.input.mode != Mode::Plan {
        return plan(snapshots, policy, zone, protected, now);
    }
    let own = Snapshot {
        name: own_name.clone(),
        status: Status::Ready,
        created_at: Some(now),
        application_version_id: application.version_id,
    };
    let with_own: Vec<Snapshot> = snapshots.iter().cloned().chain([own]).collect();
    let mut verdicts = plan(&with_own, policy, zone, protected, now);
    verdicts.retain(|verdict| verdict.snapshot_name != own_name);
    verdicts
}

/// Why the plan is not carried out, if it wants anything and is not.
fn hold_back(
    run: &Run,
    closed: Option<(HeldBackCause, String)>,
    snapshots: &[Snapshot],
    progress: &Progress,
    wanted: u32,
) -> Option<HeldBack> {
    if wanted == 0 {
        return None;
    }
    let begun = progress.deleted_count.saturating_add(progress.failed_count);
    let reason = if run.input.mode == Mode::Plan {
        gate::brake(run, begun, wanted)
    } else {
        closed
            .or_else(|| gate::listing_gate(run, snapshots))
            .or_else(|| too_many_failures(progress))
            .or_else(|| gate::brake(run, begun, wanted))
    };
    reason.map(|(cause, message)| HeldBack {
        cause,
        deletions_wanted: wanted,
        message,
    })
}

fn too_many_failures(progress: &Progress) -> Option<(HeldBackCause, String)> {
    let failed = progress.failed_count;
    (failed > FAILURES_BORNE).then(|| {
        let message = format!(
            "{failed} deletions failed, so no more were begun. Look at their reasons; the next run \
             tries them again."
        );
        (HeldBackCause::TooManyFailures, message)
    })
}

/// The oldest of the doomed, with what the delete call needs.
fn next_batch(
    snapshots: &[Snapshot],
    verdicts: &[Verdict],
    doomed: &HashSet<&str>,
) -> Vec<DoomedSnapshot> {
    let by_name: HashMap<&str, &Snapshot> = snapshots
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), snapshot))
        .collect();
    verdicts
        .iter()
        .rev()
        .filter(|verdict| doomed.contains(verdict.snapshot_name.as_str()))
        .filter_map(|verdict| {
            let snapshot = by_name.get(verdict.snapshot_name.as_str())?;
            Some(DoomedSnapshot {
                snapshot_name: snapshot.name.clone(),
                created_at: snapshot.created_at?.to_string(),
                application_version_id: snapshot.application_version_id,
                reason: verdict.reasons.join("; "),
            })
        })
        .take(BATCH)
        .collect()
}

/// As many verdicts as the payload holds; the rest goes to the log.
fn named(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let mut bytes = 0;
    let fit = verdicts.iter().take_while(|verdict| {
        bytes += serde_json::to_vec(verdict).map_or(VERDICTS_BYTES, |json| json.len() + 1);
        bytes <= VERDICTS_BYTES
    });
    let fit = fit.take(VERDICTS_NAMED).count();
    for verdict in verdicts.drain(fit..) {
        tracing::info!(
            judged = verdict.snapshot_name,
            action = ?verdict.action,
            reasons = ?verdict.reasons,
            "verdict"
        );
    }
    verdicts
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
