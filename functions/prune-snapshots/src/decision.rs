//! What is deleted next, what waits, and what is held back: a function of the listing, the application,
//! the run, and what the run has done so far. No AWS, no clock.

use std::collections::{HashMap, HashSet};

use contract::{DoomedSnapshot, HeldBack, HeldBackCause, Mode, Run, Verdict};
use flink::ApplicationState;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use retention::{
    Hold, Protected, ReadySnapshots, Snapshot, Status, brake, doomed_names, is_in_scope, plan,
    with_own,
};

use crate::application::Application;
use crate::gate::{self, OwnSnapshotGate};
use crate::own_snapshot::OwnSnapshot;
use crate::payload::{MAX_BATCH, to_count};
use crate::progress::Tally;

/// How long a plan is valid. A batch that starts later, after a redrive or a long backoff, is not deleted
/// but planned again.
const PLAN_VALID_FOR: SignedDuration = SignedDuration::from_mins(1);

/// How long a run waits until the listing shows its own snapshot as READY. It waits at least one poll
/// interval.
const MAX_LISTING_DELAY: SignedDuration = SignedDuration::from_mins(1);

/// A run with more failed deletions than this deletes nothing more.
const MAX_FAILED_DELETIONS: u32 = 50;

/// What the run does next, and why.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) next: Next,
    /// How many deletions the plan wants, including started, unconfirmed ones.
    pub(crate) wanted: u32,
    pub(crate) held_back: Option<HeldBack>,
    /// One for each listed snapshot, newest first.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What the next pass does.
#[derive(Debug)]
pub(crate) enum Next {
    /// It deletes these snapshots.
    Delete(Vec<DoomedSnapshot>),
    /// It deletes nothing, and checks again.
    CheckAgain,
    /// It deletes nothing, and checks again after this many seconds, because the application is busy.
    WaitForApplication(u32),
    /// There is none: pruning is done.
    Done,
}

/// The names in the batch that may be deleted now. If the plan is still valid and the application's state
/// allows deletions, these are all except the restore point; otherwise none.
pub(crate) fn deletable<'a>(
    batch: &'a [DoomedSnapshot],
    planned_at: Option<Timestamp>,
    application: &Application,
    now: Timestamp,
) -> HashSet<&'a str> {
    let is_valid = planned_at.is_some_and(|at| now.duration_since(at).abs() <= PLAN_VALID_FOR);
    if !is_valid || gate::application_gate(application).is_some() {
        return HashSet::new();
    }
    let names = batch.iter().map(|doomed| doomed.snapshot_name.as_str());
    let restore_point = application.restore.name();
    names.filter(|name| Some(*name) != restore_point).collect()
}

/// Decides by the listing and the application as they are now. `own` is the run's own snapshot, if its
/// mode takes one.
pub(crate) fn decide(
    listing: &[Snapshot],
    application: &Application,
    run: &Run,
    own: Option<&OwnSnapshot>,
    tally: &Tally,
    zone: &TimeZone,
    now: Timestamp,
) -> Decision {
    let verdicts = verdicts(listing, application, run, own, zone, now);
    let to_delete: HashSet<&str> = doomed_names(&verdicts)
        .filter(|name| !tally.counted.contains(*name))
        .collect();
    let pending = tally.pending.iter().map(|doomed| &doomed.snapshot_name);
    let only_pending = pending
        .filter(|name| !to_delete.contains(name.as_str()))
        .count();
    let wanted = to_count(to_delete.len() + only_pending);
    // Failed snapshots whose names were cut from the list are still listed, so the plan wants them again.
    let not_counted_yet = wanted.saturating_sub(tally.failures_without_name);
    let own_snapshot_gate = match own {
        Some(own) => gate::own_snapshot_gate(run, own, listing, now),
        None => gate::gate_without_own_snapshot(run, listing, now),
    };

    if let OwnSnapshotGate::NotListedYet(_) = own_snapshot_gate
        && run.definition_handles_wait()
        && can_still_wait(tally.progress.waiting_since, now)
    {
        return Decision {
            next: Next::CheckAgain,
            wanted: not_counted_yet,
            held_back: None,
            verdicts,
        };
    }
    let ready = ready_snapshots(listing, run, &to_delete, tally, now);
    let hold = hold(application, run, own_snapshot_gate, tally, wanted, ready);
    let next = if !tally.pending.is_empty() || tally.is_batch_throttled {
        Next::CheckAgain
    } else if let Some(seconds) = wait_for_application(application, run, hold.as_ref(), tally, now)
    {
        Next::WaitForApplication(seconds)
    } else if hold.is_some() || to_delete.is_empty() || run.input.mode == Mode::Plan {
        Next::Done
    } else {
        Next::Delete(next_batch(listing, &verdicts, &to_delete, &tally.to_retry))
    };
    Decision {
        next,
        wanted: not_counted_yet,
        held_back: hold.map(|hold| hold.held_back(not_counted_yet)),
        verdicts,
    }
}

/// What the brake compares.
fn ready_snapshots(
    listing: &[Snapshot],
    run: &Run,
    to_delete: &HashSet<&str>,
    tally: &Tally,
    now: Timestamp,
) -> ReadySnapshots {
    let is_counted = |snapshot: &&Snapshot| {
        snapshot.status == Status::Ready
            && is_in_scope(&snapshot.name, run.input.retention.scope)
            && !tally.counted.contains(&snapshot.name)
    };
    let counted = listing.iter().filter(is_counted);
    let of_last_day = counted.clone().filter(|it| it.is_of_last_day(now)).count();
    let listed: HashSet<&str> = counted.map(|snapshot| snapshot.name.as_str()).collect();
    let pending_outside = |names: &HashSet<&str>| {
        let pending = tally.pending.iter().filter(|doomed| !doomed.exempt);
        pending
            .filter(|doomed| !names.contains(doomed.snapshot_name.as_str()))
            .count()
    };
    let attempted = tally.settled_ready();
    let wanted = to_delete.intersection(&listed).count() + pending_outside(to_delete);
    // A PLAN counts the snapshot that a RUN would take.
    let own = usize::from(run.input.mode == Mode::Plan);
    let total = listed.len() + pending_outside(&listed) + own;
    ReadySnapshots {
        attempted,
        wanted: to_count(wanted),
        total: attempted.saturating_add(to_count(total)),
        of_last_day: to_count(of_last_day + own),
    }
}

/// The wait for a busy application, if nothing else holds the deletions back and the run may still wait.
fn wait_for_application(
    application: &Application,
    run: &Run,
    hold: Option<&Hold>,
    tally: &Tally,
    now: Timestamp,
) -> Option<u32> {
    let is_held_back = hold.is_some_and(|hold| hold.cause == HeldBackCause::ApplicationNotRunning);
    if !is_held_back || application.state != ApplicationState::Busy {
        return None;
    }
    let since = tally.progress.application_busy_since;
    let waited = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    run.application_wait_seconds(waited.unsigned_abs().as_secs())
}

fn can_still_wait(since: Option<Timestamp>, now: Timestamp) -> bool {
    since.is_none_or(|since| now.duration_since(since).abs() < MAX_LISTING_DELAY)
}

/// Why the plan is not carried out, if it is not. If the plan wants nothing, the only possible reason is
/// that something is wrong with the run's own snapshot.
fn hold(
    application: &Application,
    run: &Run,
    own_snapshot_gate: OwnSnapshotGate,
    tally: &Tally,
    wanted: u32,
    ready: ReadySnapshots,
) -> Option<Hold> {
    let application_gate = || match run.input.mode {
        // It needs no RUNNING application. The restore point holds back the next RUN too.
        Mode::Plan => gate::restore_gate(application),
        Mode::Run | Mode::Prune => gate::application_gate(application),
    };
    let own_snapshot_hold = match own_snapshot_gate {
        OwnSnapshotGate::Unusable(hold) | OwnSnapshotGate::NotListedYet(hold) => return Some(hold),
        OwnSnapshotGate::LeftToLaterRun(hold) => Some(hold),
        OwnSnapshotGate::Open => None,
    };
    if wanted == 0 {
        return None;
    }
    // The application's gate comes last: a run waits for it only if nothing else holds the deletions back.
    own_snapshot_hold
        .or_else(|| gate::policy_gate(run))
        .or_else(|| too_many_failures(tally.progress.failed_count))
        .or_else(|| brake(&run.input.retention, ready))
        .or_else(application_gate)
}

fn too_many_failures(failed: u32) -> Option<Hold> {
    (failed > MAX_FAILED_DELETIONS).then(|| Hold {
        cause: HeldBackCause::TooManyFailures,
        message: format!(
            "{failed} deletions failed, so the run deleted nothing more. Check their reasons. The \
             next run tries them again."
        ),
    })
}

/// One verdict for each listed snapshot. Mode PLAN plans as if this run's own snapshot were READY now.
fn verdicts(
    listing: &[Snapshot],
    application: &Application,
    run: &Run,
    own: Option<&OwnSnapshot>,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Verdict> {
    let own_name = own.map_or_else(|| run.snapshot_name(), |own| own.name.clone());
    let protected = Protected {
        own: Some(&own_name),
        restore_point: application.restore.name(),
    };
    let policy = &run.input.retention;
    if run.input.mode != Mode::Plan {
        return plan(listing, policy, zone, protected, now);
    }
    let own = Snapshot {
        name: own_name.clone(),
        status: Status::Ready,
        created_at: Some(now),
        application_version_id: application.version_id,
        runtime: Some(application.runtime.clone()),
    };
    let mut verdicts = plan(&with_own(listing, own), policy, zone, protected, now);
    verdicts.retain(|verdict| verdict.snapshot_name != own_name);
    verdicts
}

/// The next batch, with what the delete call needs: first the snapshots to retry, then the others, each
/// from the oldest.
fn next_batch(
    listing: &[Snapshot],
    verdicts: &[Verdict],
    to_delete: &HashSet<&str>,
    to_retry: &[DoomedSnapshot],
) -> Vec<DoomedSnapshot> {
    let by_name: HashMap<&str, &Snapshot> = listing
        .iter()
        .map(|snapshot| (snapshot.name.as_str(), snapshot))
        .collect();
    let to_retry: HashSet<&str> = to_retry.iter().map(|d| d.snapshot_name.as_str()).collect();
    let oldest_first = verdicts
        .iter()
        .rev()
        .filter(|verdict| to_delete.contains(verdict.snapshot_name.as_str()));
    let mut batch: Vec<DoomedSnapshot> = oldest_first
        .filter_map(|verdict| {
            let snapshot = by_name.get(verdict.snapshot_name.as_str())?;
            Some(DoomedSnapshot {
                snapshot_name: snapshot.name.clone(),
                created_at: snapshot.created_at?,
                application_version_id: snapshot.application_version_id,
                reason: verdict.reasons.join("; "),
                tried: to_retry.contains(snapshot.name.as_str()),
                exempt: snapshot.status == Status::Failed,
            })
        })
        .collect();
    batch.sort_by_key(|doomed| !doomed.tried);
    batch.truncate(MAX_BATCH);
    batch
}
