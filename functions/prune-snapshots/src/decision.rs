//! Decides which snapshots the run deletes next, whether it waits, and whether anything holds the deletions back. The
//! decision depends only on the arguments: this module calls no service and reads no clock.

use std::collections::{HashMap, HashSet};

use contract::{DoomedSnapshot, HeldBack, HeldBackCause, Mode, Run, Verdict};
use flink::ApplicationState;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use retention::{
    BrakeCounts, Hold, RunProtection, Snapshot, Status, brake, doomed_names, is_in_scope, plan,
    with_own_snapshot,
};

use crate::application::Application;
use crate::gate::{self, SnapshotGate};
use crate::own_snapshot::OwnSnapshot;
use crate::payload::{MAX_BATCH, to_count};
use crate::progress::Tally;

/// How long a plan is valid. If a batch starts later, for example after a redrive, the run deletes no snapshot of
/// the batch and makes a new plan.
const PLAN_VALID_FOR: SignedDuration = SignedDuration::from_mins(1);

/// How long a run waits for the listing to show its own snapshot as READY. If one poll interval is longer
/// than this, the run waits for one poll interval.
const MAX_WAIT_FOR_LISTING: SignedDuration = SignedDuration::from_mins(1);

/// If more deletions than this have failed, the run deletes nothing more.
const MAX_FAILED_DELETIONS: u32 = 50;

/// What the run does next, and why.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) next: Next,
    /// The number of deletions in the plan, including those that are started but not confirmed.
    pub(crate) wanted: u32,
    /// Why the deletions are held back, if they are.
    pub(crate) held_back: Option<HeldBack>,
    /// One verdict for each listed snapshot, newest first.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What follows this pass.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next pass deletes these snapshots.
    Delete(Vec<DoomedSnapshot>),
    /// The next pass deletes nothing. It checks the snapshots of the batch and the listing again.
    CheckAgain,
    /// Like `CheckAgain`, but the next pass starts after this many seconds, because the application is busy.
    WaitForApplication(u32),
    /// There is no next pass. Pruning is done.
    Done,
}

/// Returns the names of the snapshots in the batch that may be deleted now. If the plan is still valid and the
/// application allows deletions, these are all snapshots of the batch except the application's restore point. Otherwise
/// there are none.
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

/// Decides what the run does next. `listing` and `application` are the current ones. `own` is the run's own snapshot,
/// and `None` in a mode that takes no snapshot.
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
    let pending_outside_plan = pending
        .filter(|name| !to_delete.contains(name.as_str()))
        .count();
    let wanted = to_count(to_delete.len() + pending_outside_plan);
    // The plan also contains snapshots whose deletion has failed and whose names the payload does not list. The
    // reported number leaves them out, because they are counted as failed already.
    let reported_wanted = wanted.saturating_sub(tally.failures_without_name);
    let own_snapshot_gate = match own {
        Some(own) => gate::own_snapshot_gate(run, own, listing, now),
        None => gate::gate_without_own_snapshot(run, listing, now),
    };

    if let SnapshotGate::NotListedYet(_) = own_snapshot_gate
        && run.definition_handles_wait()
        && can_still_wait_for_listing(tally.progress.waiting_since, now)
    {
        return Decision {
            next: Next::CheckAgain,
            wanted: reported_wanted,
            held_back: None,
            verdicts,
        };
    }
    let counts = brake_counts(listing, run, &to_delete, tally, now);
    let hold = hold(application, run, own_snapshot_gate, tally, wanted, counts);
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
        wanted: reported_wanted,
        held_back: hold.map(|hold| hold.into_held_back(reported_wanted)),
        verdicts,
    }
}

/// Counts the READY snapshots for the brake.
fn brake_counts(
    listing: &[Snapshot],
    run: &Run,
    to_delete: &HashSet<&str>,
    tally: &Tally,
    now: Timestamp,
) -> BrakeCounts {
    let is_candidate = |snapshot: &&Snapshot| {
        snapshot.status == Status::Ready
            && is_in_scope(&snapshot.name, run.input.retention.scope)
            && !tally.counted.contains(&snapshot.name)
    };
    let candidates = listing.iter().filter(is_candidate);
    let from_last_day = candidates
        .clone()
        .filter(|it| it.is_from_last_day(now))
        .count();
    let listed: HashSet<&str> = candidates.map(|snapshot| snapshot.name.as_str()).collect();
    let count_pending_not_in = |names: &HashSet<&str>| {
        // An exempt snapshot is FAILED, so the brake does not count it.
        let pending = tally.pending.iter().filter(|doomed| !doomed.exempt);
        pending
            .filter(|doomed| !names.contains(doomed.snapshot_name.as_str()))
            .count()
    };
    let attempted = tally.deletions_for_brake();
    let wanted = to_delete.intersection(&listed).count() + count_pending_not_in(to_delete);
    // A PLAN also counts the snapshot that a RUN would take.
    let own = usize::from(run.input.mode == Mode::Plan);
    let total = listed.len() + count_pending_not_in(&listed) + own;
    BrakeCounts {
        attempted,
        wanted: to_count(wanted),
        total: attempted.saturating_add(to_count(total)),
        from_last_day: to_count(from_last_day + own),
    }
}

/// Returns how many seconds the run waits for a busy application before the next pass. `None` if the application is not
/// busy, if something else holds the deletions back, or if the run has waited long enough.
fn wait_for_application(
    application: &Application,
    run: &Run,
    hold: Option<&Hold>,
    tally: &Tally,
    now: Timestamp,
) -> Option<u32> {
    let waits_only_for_application =
        hold.is_some_and(|hold| hold.cause == HeldBackCause::ApplicationNotRunning);
    if !waits_only_for_application || application.state != ApplicationState::Busy {
        return None;
    }
    let since = tally.progress.application_busy_since;
    let waited = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    run.application_wait_seconds(waited.unsigned_abs().as_secs())
}

fn can_still_wait_for_listing(since: Option<Timestamp>, now: Timestamp) -> bool {
    since.is_none_or(|since| now.duration_since(since).abs() < MAX_WAIT_FOR_LISTING)
}

/// Returns why the deletions of the plan are held back, or `None` if they are not. If the plan deletes nothing, a
/// problem with the run's own snapshot is the only possible reason.
fn hold(
    application: &Application,
    run: &Run,
    own_snapshot_gate: SnapshotGate,
    tally: &Tally,
    wanted: u32,
    counts: BrakeCounts,
) -> Option<Hold> {
    let application_gate = || match run.input.mode {
        // A PLAN deletes nothing, so the application need not be RUNNING. An unknown restore point is reported, because
        // an unknown restore point would also hold back the deletions of a RUN.
        Mode::Plan => gate::restore_gate(application),
        Mode::Run | Mode::Prune => gate::application_gate(application),
    };
    let own_snapshot_hold = match own_snapshot_gate {
        SnapshotGate::Unusable(hold) | SnapshotGate::NotListedYet(hold) => return Some(hold),
        SnapshotGate::LeftToLaterRun(hold) => Some(hold),
        SnapshotGate::Open => None,
    };
    if wanted == 0 {
        return None;
    }
    // The application comes last, because a run waits for a busy application only if nothing else holds the deletions
    // back.
    own_snapshot_hold
        .or_else(|| gate::policy_gate(run))
        .or_else(|| too_many_failures(tally.progress.failed_count))
        .or_else(|| brake(&run.input.retention, counts))
        .or_else(application_gate)
}

fn too_many_failures(failed: u32) -> Option<Hold> {
    (failed > MAX_FAILED_DELETIONS).then(|| Hold {
        cause: HeldBackCause::TooManyFailures,
        message: format!(
            "{failed} deletions failed, so the run deleted nothing more. Check the reasons of the failed \
             deletions. The next run tries to delete these snapshots again."
        ),
    })
}

/// Returns one verdict for each listed snapshot. In mode PLAN, the plan is made as if this run had taken a snapshot
/// that is READY now. That snapshot gets no verdict.
fn verdicts(
    listing: &[Snapshot],
    application: &Application,
    run: &Run,
    own: Option<&OwnSnapshot>,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Verdict> {
    let own_name = own.map_or_else(|| run.snapshot_name(), |own| own.name.clone());
    let run_protection = RunProtection {
        own: Some(&own_name),
        restore_point: application.restore.name(),
    };
    let policy = &run.input.retention;
    if run.input.mode != Mode::Plan {
        return plan(listing, policy, zone, run_protection, now);
    }
    let own = Snapshot {
        name: own_name.clone(),
        status: Status::Ready,
        created_at: Some(now),
        application_version_id: application.version_id,
        runtime: Some(application.runtime.clone()),
    };
    let mut verdicts = plan(
        &with_own_snapshot(listing, own),
        policy,
        zone,
        run_protection,
        now,
    );
    verdicts.retain(|verdict| verdict.snapshot_name != own_name);
    verdicts
}

/// Returns the next batch, with the data that the delete calls need. The snapshots to retry come first, then the
/// others. Within each of these two groups, the oldest snapshot comes first.
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
    let to_retry: HashSet<&str> = to_retry
        .iter()
        .map(|doomed| doomed.snapshot_name.as_str())
        .collect();
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
