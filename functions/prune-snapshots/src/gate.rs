//! When not to delete, whatever the plan wants: the gate and the brake.

use contract::{HeldBackCause, Mode, Run, is_managed};
use jiff::Timestamp;

use crate::retention::{Snapshot, Status};

/// The application, as far as deleting its snapshots is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// As the service writes it.
    pub(crate) status: String,
    /// The version that runs.
    pub(crate) version_id: i64,
    pub(crate) restore: Restore,
}

/// What the application restores from when it starts next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Nothing, or its latest snapshot, which is protected as the newest.
    OwnChoice,
    /// This snapshot.
    Named(String),
    /// A snapshot that the service does not name.
    Unnamed,
}

impl Restore {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::OwnChoice | Self::Unnamed => None,
        }
    }
}

/// Why the application's state forbids every deletion now, if it does.
pub(crate) fn application_gate(application: &Application) -> Option<(HeldBackCause, String)> {
    let name = &application.name;
    if application.status != "RUNNING" {
        return Some((
            HeldBackCause::ApplicationNotRunning,
            format!(
                "The application {name} is {}, not RUNNING, so it may need a snapshot to come \
                 back. The next run prunes, or start one with mode PRUNE when it is RUNNING.",
                application.status
            ),
        ));
    }
    if application.restore == Restore::Unnamed {
        return Some((
            HeldBackCause::RestorePointUnknown,
            format!(
                "The application {name} restores from a snapshot that its configuration does not \
                 name, so none can be protected. Name it in the restore configuration, or let it \
                 restore from the latest."
            ),
        ));
    }
    None
}

/// Why the listing forbids every deletion now, if it does: only a run whose own snapshot is READY
/// and the newest may prune.
pub(crate) fn listing_gate(run: &Run, snapshots: &[Snapshot]) -> Option<(HeldBackCause, String)> {
    if run.input.mode != Mode::Run {
        return None;
    }
    let own_name = run.snapshot_name();
    let own = snapshots
        .iter()
        .find(|snapshot| snapshot.name == own_name && snapshot.status == Status::Ready);
    let Some(own) = own else {
        return Some((
            HeldBackCause::SnapshotNotReady,
            format!(
                "This run's snapshot {own_name} is not READY in the listing. The next run prunes."
            ),
        ));
    };
    let key = |snapshot: &Snapshot| -> (Option<Timestamp>, String) {
        (snapshot.created_at, snapshot.name.clone())
    };
    let newer = snapshots.iter().find(|snapshot| {
        snapshot.status == Status::Ready && is_managed(&snapshot.name) && key(snapshot) > key(own)
    });
    newer.map(|newer| {
        (
            HeldBackCause::LeftToLaterRun,
            format!(
                "The newer snapshot {} is READY: its run prunes.",
                newer.name
            ),
        )
    })
}

/// Why the plan is too large for this run, if it is. `begun` counts the deletions of the run so
/// far, failed ones included.
pub(crate) fn brake(run: &Run, begun: u32, wanted: u32) -> Option<(HeldBackCause, String)> {
    let allowed = run.input.retention.max_deletions_per_run.get();
    let total = begun.saturating_add(wanted);
    (total > allowed).then(|| {
        let already = match begun {
            0 => String::new(),
            begun => format!(", after {begun}"),
        };
        (
            HeldBackCause::MaxDeletionsPerRun,
            format!(
                "The plan wants to delete {wanted} snapshots{already}; max_deletions_per_run is \
                 {allowed}, so it deleted none of them. Look at the plan (mode PLAN); if it is \
                 right, start one execution with mode PRUNE and retention.max_deletions_per_run \
                 {total}."
            ),
        )
    })
}
