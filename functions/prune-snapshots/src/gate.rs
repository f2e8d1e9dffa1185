//! When not to delete, whatever the plan wants: the gate and the brake.

use contract::{HeldBackCause, Run, managed_run_id};
use jiff::{SignedDuration, Timestamp};
use retention::{Snapshot, Status};

use crate::application::{Application, Restore};
use crate::own_snapshot::{ByName, Own};

/// A creation time later than this from now is not believed: no clock is wrong by so much, and a
/// snapshot of the future would otherwise pass for a later run's for ever.
const CLOCKS_AGREE_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// Why nothing may be deleted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) cause: HeldBackCause,
    /// The fact and what to do about it.
    pub(crate) message: String,
}

/// How the run's own snapshot stands in the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// READY, and no later run has one.
    Newest,
    /// READY or gone, and a later run prunes in its turn. Not a problem.
    LeftToLaterRun(Hold),
    /// The listing is behind: it will show it READY soon.
    NotListedYet(Hold),
    /// READY, and without a creation time, so that it cannot be compared with the others.
    Incomparable(Hold),
    /// It is gone: a problem, whatever the plan wants.
    Problem(Hold),
}

/// Why the application's state forbids every deletion now, if it does.
pub(crate) fn application_gate(application: &Application) -> Option<Hold> {
    let name = &application.name;
    if application.status != "RUNNING" {
        return Some(Hold {
            cause: HeldBackCause::ApplicationNotRunning,
            message: format!(
                "The application {name} is {}, not RUNNING, so it may need a snapshot to come \
                 back. The next run prunes, or start one with mode PRUNE when it is RUNNING.",
                application.status
            ),
        });
    }
    if application.restore == Restore::Unnamed {
        return Some(Hold {
            cause: HeldBackCause::RestorePointUnknown,
            message: format!(
                "The application {name} restores from a snapshot that its configuration does not \
                 name, so none can be protected. Name it in the restore configuration, or let it \
                 restore from the latest."
            ),
        });
    }
    None
}

/// Why the policy forbids every deletion, if it does.
pub(crate) fn policy_gate(run: &Run) -> Option<Hold> {
    let field = run.input.retention.unknown.keys().next()?;
    Some(Hold {
        cause: HeldBackCause::PolicyUnknown,
        message: format!(
            "This release does not know the policy's field {field}, so it cannot tell what the \
             policy keeps. A newer release began this run: the next run prunes."
        ),
    })
}

/// How the run's own snapshot stands: only a run whose snapshot is READY and that no later run has
/// overtaken may prune.
pub(crate) fn standing(run: &Run, own: &Own, listing: &[Snapshot], now: Timestamp) -> Standing {
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
        return left_to(later);
    }
    match (listed, &own.by_name) {
        (Some(_), _) if created_at.is_some() => Standing::Newest,
        (Some(_), _) => Standing::Incomparable(not_ready(format!(
            "This run's snapshot {name} is listed without a creation time, so it cannot be compared \
             with the others. The next run prunes."
        ))),
        (None, Some(ByName::Ready)) => Standing::NotListedYet(not_ready(format!(
            "This run's snapshot {name} is READY, but the listing does not show it. The next run \
             prunes."
        ))),
        (None, Some(ByName::NotReady(status))) => Standing::Problem(not_ready(format!(
            "This run's snapshot {name} was READY and now is {status}: somebody, or another program, \
             deleted it. Find out who deletes snapshots (CloudTrail has DeleteApplicationSnapshot). \
             The next run prunes."
        ))),
        (None, None) => Standing::Problem(not_ready(format!(
            "This run's snapshot {name} is not READY in the listing. The next run prunes."
        ))),
    }
}

/// How a run stands that takes no snapshot: it leaves pruning to a run that has taken one since this one
/// began, whose policy may be another. So a late redrive deletes nothing by a policy of the past.
pub(crate) fn standing_without_own(run: &Run, listing: &[Snapshot], now: Timestamp) -> Standing {
    let began = Timestamp::from_millisecond(run.run_id).unwrap_or(Timestamp::MIN);
    later_run(run, began, listing, now).map_or(Standing::Newest, left_to)
}

fn left_to(later: &str) -> Standing {
    Standing::LeftToLaterRun(Hold {
        cause: HeldBackCause::LeftToLaterRun,
        message: format!("The newer snapshot {later} is READY: its run prunes."),
    })
}

/// The READY snapshot of a run that began later, and took it no earlier than `created_at`.
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
                .is_some_and(|at| at >= created_at && at.duration_since(now) < CLOCKS_AGREE_WITHIN)
    };
    let later = listing.iter().find(is_later);
    later.map(|snapshot| snapshot.name.as_str())
}

/// Why the plan is too large for this run, if it is. `begun` counts the deletions of the run so
/// far, failed ones included.
pub(crate) fn brake(run: &Run, begun: u32, wanted: u32) -> Option<Hold> {
    let allowed = run.input.retention.max_deletions_per_run.get();
    let total = begun.saturating_add(wanted);
    (total > allowed).then(|| {
        let already = match begun {
            0 => String::new(),
            begun => format!(", after {begun}"),
        };
        Hold {
            cause: HeldBackCause::MaxDeletionsPerRun,
            message: format!(
                "The plan wants to delete {wanted} snapshots{already}; max_deletions_per_run is \
                 {allowed}, so it deleted none of them. Look at the plan (mode PLAN); if it is \
                 right, start one execution with mode PRUNE and retention.max_deletions_per_run \
                 {total}."
            ),
        }
    })
}
