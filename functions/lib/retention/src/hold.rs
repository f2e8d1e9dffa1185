//! [`Hold`], which says why the deletions of a plan are held back, and the two causes that `cargo plan` also checks: a
//! later run does the pruning, or the plan exceeds the deletion limit (the brake).

use contract::{HeldBack, HeldBackCause, Retention, managed_run_id};
use jiff::{SignedDuration, Timestamp};

use crate::{Snapshot, Status};

/// A snapshot whose creation time is further in the future than this does not count as the snapshot of a later run. If
/// it did, it would hold back the deletions of every run until that time.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// Why the deletions of a plan are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What holds the deletions back.
    pub cause: HeldBackCause,
    /// What happened, and what to do about it.
    pub message: String,
}

impl Hold {
    /// Converts the hold for the output and the audit record. `deletions_wanted` is the number of deletions that are
    /// held back.
    #[must_use]
    pub fn into_held_back(self, deletions_wanted: u32) -> HeldBack {
        HeldBack {
            cause: self.cause,
            deletions_wanted,
            message: self.message,
        }
    }
}

/// Returns the hold if `listing` has a READY snapshot of a later run, which then does the pruning.
///
/// The snapshot of a later run has a number above `last_id` in its name, and was created after `created_at` but at most
/// `MAX_CLOCK_SKEW` in the future. `last_id` is the highest number that a snapshot of this run can have in its name.
/// `created_at` is the time at which this run's snapshot was created, or at which the run started.
#[must_use]
pub fn left_to_later_run(
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
            "The snapshot {} of a later run is READY. That run prunes.",
            later.name
        ),
    })
}

/// The numbers from which the brake decides. FAILED snapshots do not count, because nobody can restore from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrakeCounts {
    /// The number of READY snapshots that the run has already deleted or failed to delete.
    pub attempted: u32,
    /// The number of READY snapshots that the plan still deletes.
    pub wanted: u32,
    /// The number of READY snapshots in the scope of the policy, including those that the run has deleted.
    pub total: u32,
    /// The number of READY snapshots in the scope of the policy that were created in the last 24 hours and are not
    /// deleted.
    pub from_last_day: u32,
}

/// Holds back the plan if the run would delete more READY snapshots than the limit. The limit is
/// `max_deletions_per_run` or, without this field, a default that depends on the number of snapshots.
#[must_use]
pub fn brake(policy: &Retention, counts: BrakeCounts) -> Option<Hold> {
    let allowed = policy.max_deletions(counts.total);
    let BrakeCounts {
        attempted, wanted, ..
    } = counts;
    let deletions = attempted.saturating_add(wanted);
    (wanted > 0 && deletions > allowed).then(|| {
        let already = match attempted {
            0 => String::new(),
            attempted => format!(" in addition to {attempted} earlier in this run"),
        };
        let limit = match policy.max_deletions_per_run {
            Some(_) => format!("max_deletions_per_run is {allowed}"),
            None => format!(
                "without max_deletions_per_run the limit is {allowed}, because {} READY snapshots are in scope",
                counts.total
            ),
        };
        let noun = if wanted == 1 { "snapshot" } else { "snapshots" };
        let recommended = with_room(deletions, counts.from_last_day);
        Hold {
            cause: HeldBackCause::MaxDeletionsPerRun,
            message: format!(
                "The plan wants to delete {wanted} READY {noun}{already}; {limit}, so none of them \
                 is deleted. Check the plan (mode PLAN). If the plan is right, start one execution with \
                 mode PRUNE and retention.max_deletions_per_run {recommended}. Do not change the rest of the \
                 policy. This number leaves room for the snapshots of one more day."
            ),
        }
    })
}

/// Returns a `max_deletions_per_run` that allows this plan even if it is carried out a day later. Every run of that day
/// can add one deletion to the plan, and there can be one run more than in the last 24 hours. The result exceeds
/// `deletions` by at least a tenth, and by at least 5.
fn with_room(deletions: u32, from_last_day: u32) -> u32 {
    let room = deletions.div_ceil(10).max(5);
    deletions.saturating_add(room.max(from_last_day.saturating_add(1)))
}
