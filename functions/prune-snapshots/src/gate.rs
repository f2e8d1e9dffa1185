//! The gate: what holds the deletions of a plan back because of the application, the policy, or the snapshots of this
//! run and of later runs. Two other causes are elsewhere: the deletion limit is `retention::brake`, and too many failed
//! deletions are in `decision`.

use contract::{HeldBackCause, Mode, Run, managed_run_id};
use flink::Restore;
use jiff::Timestamp;
use retention::{Hold, Snapshot, Status, left_to_later_run};

use crate::application::Application;
use crate::own_snapshot::{DescribedStatus, GONE, OwnSnapshot};

/// Whether the listed snapshots of this run and of later runs allow this run to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotGate {
    /// Deletions are allowed. No later run has a READY snapshot. If this run's mode takes a snapshot, that snapshot is
    /// READY.
    Open,
    /// A later run has a READY snapshot and does the pruning. The run does not count as incomplete.
    LeftToLaterRun(Hold),
    /// The own snapshot is READY, but the listing does not show it as READY yet. If the run does not wait for that any
    /// longer, it counts as incomplete even if the plan deletes nothing.
    NotListedYet(Hold),
    /// The own snapshot is not READY, does not exist, or is listed without a creation time. The run counts as
    /// incomplete even if the plan deletes nothing.
    Unusable(Hold),
}

/// Returns why the application allows no deletion now, or `None` if it does.
pub(crate) fn application_gate(application: &Application) -> Option<Hold> {
    let Application { name, status, .. } = application;
    let not_running = (status != "RUNNING").then(|| Hold {
        cause: HeldBackCause::ApplicationNotRunning,
        message: format!(
            "The application {name} is {status}, not RUNNING, so it may need a snapshot to start again. The \
             next run prunes if the application is RUNNING by then. To prune earlier, start an execution with \
             mode PRUNE as soon as the application is RUNNING."
        ),
    });
    not_running.or_else(|| restore_gate(application))
}

/// Returns why the application's restore configuration allows no deletion, or `None` if it does.
pub(crate) fn restore_gate(application: &Application) -> Option<Hold> {
    (application.restore == Restore::UnknownSnapshot).then(|| Hold {
        cause: HeldBackCause::RestorePointUnknown,
        message: format!(
            "The application {} restores from a snapshot that its configuration does not name, so this \
             snapshot cannot be protected from deletion. Name the snapshot in the application's restore \
             configuration, or configure the application to restore from its latest snapshot.",
            application.name
        ),
    })
}

/// Returns why the policy allows no deletion, or `None` if it does.
pub(crate) fn policy_gate(run: &Run) -> Option<Hold> {
    let field = run.input.retention.unknown.keys().next()?;
    Some(Hold {
        cause: HeldBackCause::PolicyUnknown,
        message: format!(
            "The retention policy has the field {field}, which this release does not know, so this \
             release cannot tell what the policy keeps. A newer release started this run. The next run \
             prunes."
        ),
    })
}

/// Checks that the own snapshot of a run of mode RUN is READY, and that no later run has a READY snapshot.
pub(crate) fn own_snapshot_gate(
    run: &Run,
    own: &OwnSnapshot,
    listing: &[Snapshot],
    now: Timestamp,
) -> SnapshotGate {
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
    // If an older release has dropped `snapshot_attempts` from the payload, the number in the own snapshot's name can
    // exceed `last_attempt_id()`.
    let own_id = managed_run_id(name).unwrap_or(run.run_id);
    let last_id = own_id.max(run.last_attempt_id());
    if let Some(hold) = created_at.and_then(|at| left_to_later_run(last_id, at, listing, now)) {
        return SnapshotGate::LeftToLaterRun(hold);
    }
    match (listed, &own.described) {
        (Some(_), _) if created_at.is_some() => SnapshotGate::Open,
        (Some(_), _) => SnapshotGate::Unusable(not_ready(format!(
            "This run's snapshot {name} is listed without a creation time, so its age cannot be compared \
             with that of the other snapshots. The next run prunes if its own snapshot has a creation time."
        ))),
        (None, Some(DescribedStatus::Ready)) => SnapshotGate::NotListedYet(not_ready(format!(
            "This run's snapshot {name} is READY, but the listing does not show it. The next run \
             prunes."
        ))),
        (None, Some(DescribedStatus::NotReady(status))) => {
            let remedy = match status.as_str() {
                GONE | "DELETING" => {
                    "Somebody, or another run, deleted it. Find out who deletes snapshots (CloudTrail \
                     shows DeleteApplicationSnapshot)."
                }
                _ => "No application can restore from a snapshot that is not READY.",
            };
            SnapshotGate::Unusable(not_ready(format!(
                "This run's snapshot {name} was READY and is now {status}. {remedy} The next run prunes."
            )))
        }
        // The listing was not looked at and the snapshot was not looked up: no caller does that.
        (None, None) => SnapshotGate::Unusable(not_ready(format!(
            "This run's snapshot {name} is not READY in the listing. The next run prunes."
        ))),
    }
}

/// Checks for a run of mode PRUNE or PLAN that no later run has a READY snapshot.
///
/// If a later run has one, a PRUNE leaves the pruning to that run. The two policies may differ, and a late redrive must
/// not delete snapshots according to an old policy. A PLAN reports what a RUN that starts now would do, so for a PLAN a
/// later run is one that starts after `now`.
pub(crate) fn gate_without_own_snapshot(
    run: &Run,
    listing: &[Snapshot],
    now: Timestamp,
) -> SnapshotGate {
    let (last_id, started_at) = if run.input.mode == Mode::Plan {
        (now.as_millisecond(), now)
    } else {
        let started_at = Timestamp::from_millisecond(run.run_id).unwrap_or(Timestamp::MIN);
        (run.last_attempt_id(), started_at)
    };
    let later = left_to_later_run(last_id, started_at, listing, now);
    later.map_or(SnapshotGate::Open, SnapshotGate::LeftToLaterRun)
}
