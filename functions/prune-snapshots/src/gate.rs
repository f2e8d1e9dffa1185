//! The gate and the brake: when nothing is deleted, whatever the plan wants.

use contract::{HeldBackCause, Retention, Run, managed_run_id};
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};

use crate::application::{Application, Restore};
use crate::own_snapshot::{DescribedStatus, OwnSnapshot};

/// A snapshot whose creation time is further in the future than this does not count as a later run's. No
/// clock is that wrong, and such a snapshot would hold back the deletions of every run.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// Why nothing may be deleted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) cause: HeldBackCause,
    /// The fact, and what to do about it.
    pub(crate) message: String,
}

/// How the run's own snapshot compares with the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is READY, and no later run has a READY snapshot.
    Newest,
    /// A later run has a READY snapshot, and prunes. Not a problem.
    LeftToLaterRun(Hold),
    /// It is READY, but the listing does not show that yet.
    NotListedYet(Hold),
    /// It is READY, but the listing has no creation time to compare with.
    WithoutCreationTime(Hold),
    /// It is not READY or does not exist. A problem even if the plan wants nothing.
    Missing(Hold),
}

/// Why the application's state allows no deletion now, if that is so.
pub(crate) fn application_gate(application: &Application) -> Option<Hold> {
    let name = &application.name;
    if application.status != "RUNNING" {
        return Some(Hold {
            cause: HeldBackCause::ApplicationNotRunning,
            message: format!(
                "The application {name} is {}, not RUNNING, so it may need a snapshot to start \
                 again. The next run prunes, or start one with mode PRUNE when the application is \
                 RUNNING.",
                application.status
            ),
        });
    }
    if application.restore == Restore::UnknownSnapshot {
        return Some(Hold {
            cause: HeldBackCause::RestorePointUnknown,
            message: format!(
                "The application {name} restores from a snapshot that its configuration does not \
                 name, so the snapshot cannot be protected. Name it in the restore configuration, or \
                 let the application restore from its latest snapshot."
            ),
        });
    }
    None
}

/// Why the policy allows no deletion, if that is so.
pub(crate) fn policy_gate(run: &Run) -> Option<Hold> {
    let field = run.input.retention.unknown.keys().next()?;
    Some(Hold {
        cause: HeldBackCause::PolicyUnknown,
        message: format!(
            "This release does not know the policy's field {field}, so it cannot tell what the \
             policy keeps. A newer release started this run. The next run prunes."
        ),
    })
}

/// Only a run whose own snapshot is READY may prune, and only if no later run has a READY snapshot.
pub(crate) fn standing(
    run: &Run,
    own: &OwnSnapshot,
    listing: &[Snapshot],
    now: Timestamp,
) -> Standing {
    let not_ready = |message: String| Hold {
        cause: HeldBackCause::SnapshotNotReady,
        message,
    };
    let name = &own.name;
    let listed = listing
        .iter()
        .find(|snapshot| snapshot.name == *name && snapshot.status == Status::Ready);
    let created_at = match listed {
        Some(listed) => listed.created_at,
        None => own.created_at,
    };
    if let Some(later) = created_at.and_then(|at| later_run(run, at, listing, now)) {
        return left_to_later_run(later);
    }
    match (listed, &own.described) {
        (Some(_), _) if created_at.is_some() => Standing::Newest,
        (Some(_), _) => Standing::WithoutCreationTime(not_ready(format!(
            "This run's snapshot {name} is listed without a creation time, so it cannot be compared \
             with the others. The next run prunes."
        ))),
        (None, Some(DescribedStatus::Ready)) => Standing::NotListedYet(not_ready(format!(
            "This run's snapshot {name} is READY, but the listing does not show it. The next run \
             prunes."
        ))),
        (None, Some(DescribedStatus::NotReady(status))) => Standing::Missing(not_ready(format!(
            "This run's snapshot {name} was READY and now is {status}: somebody, or another program, \
             deleted it. Find out who deletes snapshots (CloudTrail has DeleteApplicationSnapshot). \
             The next run prunes."
        ))),
        (None, None) => Standing::Missing(not_ready(format!(
            "This run's snapshot {name} is not READY in the listing. The next run prunes."
        ))),
    }
}

/// A run that takes no snapshot leaves pruning to a later run that took one. The later run's policy may
/// differ, so a late redrive deletes nothing by an old policy.
pub(crate) fn standing_without_own(run: &Run, listing: &[Snapshot], now: Timestamp) -> Standing {
    let started_at = Timestamp::from_millisecond(run.run_id).unwrap_or(Timestamp::MIN);
    later_run(run, started_at, listing, now).map_or(Standing::Newest, left_to_later_run)
}

fn left_to_later_run(later: &str) -> Standing {
    Standing::LeftToLaterRun(Hold {
        cause: HeldBackCause::LeftToLaterRun,
        message: format!("The newer snapshot {later} is READY: its run prunes."),
    })
}

/// The name of a READY snapshot that a later run took, no earlier than `created_at`.
fn later_run<'a>(
    run: &Run,
    created_at: Timestamp,
    listing: &'a [Snapshot],
    now: Timestamp,
) -> Option<&'a str> {
    let is_later = |snapshot: &&Snapshot| {
        snapshot.status == Status::Ready
            && managed_run_id(&snapshot.name).is_some_and(|id| id > run.run_id)
            && snapshot
                .created_at
                .is_some_and(|at| at >= created_at && at.duration_since(now) < MAX_CLOCK_SKEW)
    };
    let later = listing.iter().find(is_later);
    later.map(|snapshot| snapshot.name.as_str())
}

/// The READY snapshots that the brake compares. It counts no FAILED ones, because they have nothing to protect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadySnapshots {
    /// Deletions of the run so far, failed ones included.
    pub(crate) attempted: u32,
    /// Deletions that the plan still wants.
    pub(crate) wanted: u32,
    /// All in scope, the deleted ones included.
    pub(crate) total: u32,
}

/// Why the plan has too many deletions for this run, if it has.
pub(crate) fn brake(policy: &Retention, ready: ReadySnapshots) -> Option<Hold> {
    let allowed = policy.max_deletions(ready.total);
    let ReadySnapshots {
        attempted, wanted, ..
    } = ready;
    let deletions = attempted.saturating_add(wanted);
    (wanted > 0 && deletions > allowed).then(|| {
        let already = match attempted {
            0 => String::new(),
            attempted => format!(" in addition to {attempted} earlier in this run"),
        };
        let limit = match policy.max_deletions_per_run {
            Some(_) => format!("max_deletions_per_run is {allowed}"),
            None => format!(
                "without max_deletions_per_run a run deletes at most {allowed} of {}",
                ready.total
            ),
        };
        let acknowledged = with_room(deletions);
        Hold {
            cause: HeldBackCause::MaxDeletionsPerRun,
            message: format!(
                "The plan wants to delete {wanted} READY snapshots{already}; {limit}, so none of them \
                 is deleted. Check the plan (mode PLAN). If it is right, start one execution with mode \
                 PRUNE and retention.max_deletions_per_run {acknowledged}, which leaves room for a few \
                 more runs until then."
            ),
        }
    })
}

/// The number that acknowledges a plan with this many deletions. It is a tenth larger, and at least by 5, so that
/// it still does after a day of runs.
fn with_room(deletions: u32) -> u32 {
    deletions.saturating_add(deletions.div_ceil(10).max(5))
}
