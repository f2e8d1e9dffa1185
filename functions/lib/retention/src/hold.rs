//! What holds a whole plan back: a later run, and the brake.

use contract::{HeldBack, HeldBackCause, Retention, managed_run_id};
use jiff::{SignedDuration, Timestamp};

use crate::{Snapshot, Status};

/// A snapshot whose creation time is further in the future than this does not count as a later run's. Such a
/// snapshot would hold back the deletions of every run.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// Why nothing may be deleted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What holds the plan back.
    pub cause: HeldBackCause,
    /// The fact, and what to do about it.
    pub message: String,
}

impl Hold {
    /// The same for the record. `deletions_wanted` is the number of deletions that are held back.
    #[must_use]
    pub fn held_back(self, deletions_wanted: u32) -> HeldBack {
        HeldBack {
            cause: self.cause,
            deletions_wanted,
            message: self.message,
        }
    }
}

/// Leaves pruning to a later run, whose READY snapshot was created after `created_at` and not in the future.
/// `last_id` is the last number that a snapshot of this run can have in its name.
#[must_use]
pub fn later_run(
    last_id: i64,
    created_at: Timestamp,
    listing: &[Snapshot],
    now: Timestamp,
) -> Option<Hold> {
    let is_later = |snapshot: &&Snapshot| {
        snapshot.status == Status::Ready
            && managed_run_id(&snapshot.name).is_some_and(|id| id > last_id)
            && snapshot
                .created_at
                .is_some_and(|at| at > created_at && at.duration_since(now) < MAX_CLOCK_SKEW)
    };
    let later = listing.iter().find(is_later)?;
    Some(Hold {
        cause: HeldBackCause::LeftToLaterRun,
        message: format!(
            "The newer snapshot {} is READY: its run prunes.",
            later.name
        ),
    })
}

/// The READY snapshots that the brake compares. It counts no FAILED ones, because they have nothing to protect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadySnapshots {
    /// Deletions of the run so far, failed ones included.
    pub attempted: u32,
    /// Deletions that the plan still wants.
    pub wanted: u32,
    /// All in scope, the deleted ones included.
    pub total: u32,
    /// Those of them that were created in the last 24 hours and are not deleted.
    pub of_last_day: u32,
}

/// Why the plan has too many deletions for this run, if it has.
#[must_use]
pub fn brake(policy: &Retention, ready: ReadySnapshots) -> Option<Hold> {
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
                "without max_deletions_per_run the limit is {allowed} of {}",
                ready.total
            ),
        };
        let acknowledged = with_room(deletions, ready.of_last_day);
        Hold {
            cause: HeldBackCause::MaxDeletionsPerRun,
            message: format!(
                "The plan wants to delete {wanted} READY snapshots{already}; {limit}, so none of them \
                 is deleted. Check the plan (mode PLAN). If it is right, start one execution with mode \
                 PRUNE and retention.max_deletions_per_run {acknowledged}. Leave the rest of the policy as it \
                 is. The number has room for another day of runs like the last one."
            ),
        }
    })
}

/// The `max_deletions_per_run` that allows this plan, with room for the deletions that another day of runs adds. Each run
/// can add a deletion, and the schedule can take one snapshot more than in the last day. The number is
/// larger by at least a tenth and at least 5.
fn with_room(deletions: u32, of_last_day: u32) -> u32 {
    let room = deletions.div_ceil(10).max(5);
    deletions.saturating_add(room.max(of_last_day.saturating_add(1)))
}
