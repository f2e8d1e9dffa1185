//! What `PruneSnapshots` gets and passes on.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{Run, RunSnapshot};

/// `PruneSnapshots` gets the output of the step before it, or its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsInput {
    /// The run.
    pub run: Run,
    /// This run's snapshot. Absent in the modes that take none.
    #[serde(default)]
    pub snapshot: Option<RunSnapshot>,
    /// The snapshots to delete now. Fixed before the step starts, so that a repeat deletes no more.
    #[serde(default)]
    pub batch: Vec<DoomedSnapshot>,
    /// The time of the listing that the batch was planned from, RFC 3339. If it is absent or older than a minute,
    /// nothing of the batch is deleted.
    #[serde(default, deserialize_with = "time_or_absent")]
    #[schemars(with = "Option<String>")]
    pub planned_at: Option<Timestamp>,
    /// The totals before this batch.
    #[serde(default)]
    pub progress: Progress,
}

/// A snapshot that the plan deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoomedSnapshot {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// The listed `SnapshotCreationTimestamp`, RFC 3339 with every digit that the service gave.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The application version that the snapshot was taken of.
    pub application_version_id: i64,
    /// Why the plan deletes it.
    pub reason: String,
    /// Whether an earlier attempt to delete it has not been seen to take effect. The second attempt is the last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
    /// Whether its status was FAILED. The brake does not count it, because such a snapshot has nothing to protect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exempt: bool,
}

/// The deletions of a run so far. Counts are exact. Lists are bounded, as the payload of a state is; the log has
/// the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The number of snapshots that are deleted or DELETING.
    #[serde(default)]
    pub deleted_count: u32,
    /// The first 100 of them.
    #[serde(default)]
    pub deleted: Vec<DeletedSnapshot>,
    /// The number of snapshots that could not be deleted.
    #[serde(default)]
    pub failed_count: u32,
    /// The first 100 of them. While pruning goes on these are all, because it ends at more than 50.
    #[serde(default)]
    pub failed: Vec<FailedDeletion>,
    /// How many of the deleted, and of those that could not be deleted, were `exempt`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exempt_count: u32,
    /// The names of the snapshots whose `tried` is true, in the payloads of release 0.1.0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// The number of batches in a row that were throttled as a whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled_batches: u32,
    /// Since when the run has been waiting for its own snapshot to be READY in the listing, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub waiting_since: Option<Timestamp>,
    /// Since when the run has been waiting for the application to be RUNNING, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub application_busy_since: Option<Timestamp>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A deleted snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSnapshot {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// The listed creation timestamp, RFC 3339.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The application version that the snapshot was taken of.
    pub application_version_id: i64,
    /// Why the plan deleted it.
    pub reason: String,
}

/// A snapshot that could not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedDeletion {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// Why its deletion failed, usually the service's code and message.
    pub reason: String,
}

/// `PruneSnapshots` passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsOutput {
    /// The run.
    pub run: Run,
    /// As in the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// Where `IsPruningDone` goes.
    pub pruning: Pruning,
    /// At most 250 snapshots. If `CONTINUE`, the next pass deletes them. If `WAIT`, it only looks for them. Empty
    /// if `DONE`.
    pub batch: Vec<DoomedSnapshot>,
    /// As in the input. Absent if the next pass deletes nothing.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub planned_at: Option<Timestamp>,
    /// If `WAIT`: the wait before the next pass in seconds, 1 to 300.
    pub wait_seconds: u32,
    /// The totals, including this batch.
    pub progress: Progress,
    /// The number of deletions in the last plan.
    pub deletions_wanted: u32,
    /// Deletions that the plan wanted and the run did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// The number of READY snapshots in the last listing.
    pub snapshots_ready: u32,
    /// The number of all snapshots in the last listing, including DELETING ones.
    pub snapshots_total: u32,
    /// The creation timestamp of the newest READY snapshot that has one, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub newest_ready_at: Option<Timestamp>,
    /// If `DONE`: the verdicts of the last plan, at most 200: the deletions first, each part from the newest snapshot.
    /// Otherwise empty.
    pub verdicts: Vec<Verdict>,
    /// If `DONE`: what is no failure of the run but needs a person, one sentence each, at most 20. Otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Pruning {
    /// The next pass, at once.
    Continue,
    /// The next pass, after a wait. Only for a definition that knows this answer.
    Wait,
    /// Nothing more to delete.
    Done,
}

/// Deletions that the plan wanted and the run did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBack {
    /// What held them back.
    pub cause: HeldBackCause,
    /// The number of these deletions.
    pub deletions_wanted: u32,
    /// The fact and what to do about it.
    pub message: String,
}

/// What held deletions back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum HeldBackCause {
    /// The application is not RUNNING, so it may need a snapshot to come back.
    ApplicationNotRunning,
    /// This run's own snapshot is gone, or is not READY in the listing.
    SnapshotNotReady,
    /// A later run has a READY snapshot, and prunes itself. Not a problem.
    LeftToLaterRun,
    /// The application restores from a snapshot that its configuration does not name.
    RestorePointUnknown,
    /// The brake: the plan deletes more READY snapshots than `max_deletions_per_run` allows.
    MaxDeletionsPerRun,
    /// Too many deletions have failed.
    TooManyFailures,
    /// The policy has a field of a newer release, so this release cannot tell what the policy keeps.
    PolicyUnknown,
}

impl HeldBackCause {
    /// Whether the run still counts as pruned.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::LeftToLaterRun)
    }
}

/// What a plan does with one snapshot, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// What the plan does with it.
    pub action: Action,
    /// All reasons, the strongest first.
    pub reasons: Vec<String>,
}

/// What a plan does with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Action {
    /// A rule or a protection keeps it.
    Keep,
    /// Nothing keeps it.
    Delete,
    /// The plan has no say: the snapshot is not in scope, or is CREATING, DELETING or of an unknown status.
    Ignore,
}
