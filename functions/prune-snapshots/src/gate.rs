//! The gate: when nothing is deleted, whatever the plan wants.

use contract::{HeldBackCause, Mode, Run, managed_run_id};
use flink::Restore;
use jiff::Timestamp;
use retention::{Hold, Snapshot, Status, later_run};

use crate::application::Application;
use crate::own_snapshot::{DescribedStatus, OwnSnapshot};

/// Whether the run's own snapshot, in the listing, allows deletions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnSnapshotGate {
    /// No later run has a READY snapshot, and the run's own, if it takes one, is READY.
    Open,
    /// A later run has a READY snapshot, and prunes. Not a problem.
    LeftToLaterRun(Hold),
    /// It is READY, but the listing does not show that yet.
    NotListedYet(Hold),
    /// It is not READY, does not exist, or is listed without a creation time. A problem even if the plan wants
    /// nothing.
    Unusable(Hold),
}

/// Why the application allows no deletion now, if that is so.
pub(crate) fn application_gate(application: &Application) -> Option<Hold> {
    let Application { name, status, .. } = application;
    let not_running = (status != "RUNNING").then(|| Hold {
        cause: HeldBackCause::ApplicationNotRunning,
        message: format!(
            "The application {name} is {status}, not RUNNING, so it may need a snapshot to start again. The \
             next run prunes, or start one with mode PRUNE when the application is RUNNING."
        ),
    });
    not_running.or_else(|| restore_gate(application))
}

/// Why the application's restore configuration allows no deletion, if that is so.
pub(crate) fn restore_gate(application: &Application) -> Option<Hold> {
    (application.restore == Restore::UnknownSnapshot).then(|| Hold {
        cause: HeldBackCause::RestorePointUnknown,
        message: format!(
            "The application {} restores from a snapshot that its configuration does not name, so the \
             snapshot cannot be protected. Name it in the restore configuration, or let the application \
             restore from its latest snapshot.",
            application.name
        ),
    })
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
pub(crate) fn own_snapshot_gate(
    run: &Run,
    own: &OwnSnapshot,
    listing: &[Snapshot],
    now: Timestamp,
) -> OwnSnapshotGate {
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
    // An older release may have dropped what says that the run has several attempts.
    let own_id = managed_run_id(name).unwrap_or(run.run_id);
    let last_id = own_id.max(run.last_attempt_id());
    if let Some(hold) = created_at.and_then(|at| later_run(last_id, at, listing, now)) {
        return OwnSnapshotGate::LeftToLaterRun(hold);
    }
    match (listed, &own.described) {
        (Some(_), _) if created_at.is_some() => OwnSnapshotGate::Open,
        (Some(_), _) => OwnSnapshotGate::Unusable(not_ready(format!(
            "This run's snapshot {name} is listed without a creation time, so it cannot be compared \
             with the others. The next run prunes if its own snapshot has one."
        ))),
        (None, Some(DescribedStatus::Ready)) => OwnSnapshotGate::NotListedYet(not_ready(format!(
            "This run's snapshot {name} is READY, but the listing does not show it. The next run \
             prunes."
        ))),
        (None, Some(DescribedStatus::NotReady(status))) => {
            OwnSnapshotGate::Unusable(not_ready(format!(
                "This run's snapshot {name} was READY and now is {status}: somebody, or another run, \
             deleted it. Find out who deletes snapshots (CloudTrail shows DeleteApplicationSnapshot). \
             The next run prunes."
            )))
        }
        (None, None) => OwnSnapshotGate::Unusable(not_ready(format!(
            "This run's snapshot {name} is not READY in the listing. The next run prunes."
        ))),
    }
}

/// A run that takes no snapshot leaves pruning to a later run that took one. The later run's policy may
/// differ, so a late redrive deletes nothing by an old policy. A PLAN says what a RUN that starts now would do.
pub(crate) fn gate_without_own_snapshot(
    run: &Run,
    listing: &[Snapshot],
    now: Timestamp,
) -> OwnSnapshotGate {
    let (last_id, started_at) = if run.input.mode == Mode::Plan {
        (now.as_millisecond(), now)
    } else {
        let started_at = Timestamp::from_millisecond(run.run_id).unwrap_or(Timestamp::MIN);
        (run.last_attempt_id(), started_at)
    };
    let later = later_run(last_id, started_at, listing, now);
    later.map_or(OwnSnapshotGate::Open, OwnSnapshotGate::LeftToLaterRun)
}
