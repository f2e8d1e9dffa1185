//! The input and the output of the state `PruneSnapshots`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{Run, RunSnapshot};

/// The input of one pass of `PruneSnapshots`. A pass deletes the batch in its input, and plans the next batch. The
/// input of the first pass is the output of the state before. The input of every other pass is the output of the pass
/// before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsInput {
    /// The run.
    pub run: Run,
    /// This run's snapshot. Absent in the modes that take no snapshot.
    #[serde(default)]
    pub snapshot: Option<RunSnapshot>,
    /// The snapshots that this pass deletes or, without a recent `planned_at`, only checks for earlier deletions. The
    /// pass before it has planned them, so a retry of this pass cannot delete any other snapshot.
    #[serde(default)]
    pub batch: Vec<DoomedSnapshot>,
    /// When the snapshots were listed for the plan of the batch, RFC 3339. If this time is absent or more than a minute
    /// ago, this pass does not delete the batch.
    #[serde(default, deserialize_with = "time_or_absent")]
    #[schemars(with = "Option<String>")]
    pub planned_at: Option<Timestamp>,
    /// What the run deleted before this batch.
    #[serde(default)]
    pub progress: Progress,
}

/// A snapshot that the plan wants to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoomedSnapshot {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// The listed `SnapshotCreationTimestamp`, RFC 3339 with every digit that the service gave.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The `ApplicationVersionId` of the application when the snapshot was taken.
    pub application_version_id: i64,
    /// Why the plan wants to delete the snapshot.
    pub reason: String,
    /// Whether the run has tried to delete the snapshot before, without a sign that the deletion took effect. If
    /// so, the next attempt is the second and last one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
    /// Whether the deletion is exempt from the deletion limit, because the snapshot was FAILED. Nobody can restore from
    /// a FAILED snapshot, so its deletion loses nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exempt: bool,
}

/// The deletions of a run so far. The counts are exact. The lists are limited, because Step Functions limits the size
/// of a payload. The log has every deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// How many snapshots the run has deleted. A snapshot that is DELETING counts as deleted.
    #[serde(default)]
    pub deleted_count: u32,
    /// The first 100 deleted snapshots.
    #[serde(default)]
    pub deleted: Vec<DeletedSnapshot>,
    /// How many snapshots the run could not delete.
    #[serde(default)]
    pub failed_count: u32,
    /// The first 100 snapshots that the run could not delete. The list is complete while the run still prunes, because
    /// a run with more than 50 failed deletions stops pruning.
    #[serde(default)]
    pub failed: Vec<FailedDeletion>,
    /// How many attempted deletions, successful or not, were `exempt` from the deletion limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exempt_count: u32,
    /// Only in payloads of release 0.1.0: the names of the snapshots that later releases mark with `tried`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// How many batches in a row were throttled completely: the service accepted no deletion.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled_batches: u32,
    /// Since when the run has been waiting for the listing to show its own snapshot as READY, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub waiting_since: Option<Timestamp>,
    /// When the run first found the application busy and waited before its deletions, RFC 3339.
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
    /// The listed `SnapshotCreationTimestamp`, RFC 3339.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The `ApplicationVersionId` of the application when the snapshot was taken.
    pub application_version_id: i64,
    /// Why the plan wanted to delete the snapshot.
    pub reason: String,
}

/// A snapshot that could not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedDeletion {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// Why the deletion failed: usually the code and the message of the service's error.
    pub reason: String,
}

/// The output of one pass of `PruneSnapshots`: the results of its batch, and the plan of the next batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsOutput {
    /// The run.
    pub run: Run,
    /// This run's snapshot, as in the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// The value that `IsPruningDone` reads to choose the next state.
    pub pruning: Pruning,
    /// At most 250 snapshots. If `pruning` is `CONTINUE` and `planned_at` is present, the next pass deletes them.
    /// Otherwise, the next pass only checks whether earlier deletions of these snapshots took effect. Empty if
    /// `pruning` is `DONE`.
    pub batch: Vec<DoomedSnapshot>,
    /// When the snapshots were listed for the plan of the next batch, RFC 3339. Absent if the next pass deletes
    /// nothing.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub planned_at: Option<Timestamp>,
    /// If `pruning` is `WAIT`: the seconds until the next pass, 1 to 300.
    pub wait_seconds: u32,
    /// What the run has deleted so far, including this batch.
    pub progress: Progress,
    /// How many deletions the last plan wants.
    pub deletions_wanted: u32,
    /// Set if something prevents deletions, or if the run's own snapshot is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// How many READY snapshots the last listing has.
    pub snapshots_ready: u32,
    /// How many snapshots of any status the last listing has.
    pub snapshots_total: u32,
    /// The latest creation timestamp of a READY snapshot in the last listing, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub newest_ready_at: Option<Timestamp>,
    /// If `pruning` is `DONE`: at most 200 verdicts of the last plan. The deletions come first, then the other
    /// verdicts, both from the newest snapshot to the oldest. Otherwise empty.
    pub verdicts: Vec<Verdict>,
    /// If `pruning` is `DONE`: at most 20 sentences about what needs a person but does not fail the run. Otherwise
    /// empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What the state machine does after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Pruning {
    /// It starts the next pass at once.
    Continue,
    /// It waits, and then starts the next pass. An execution gets this value only if its definition has a branch for
    /// it.
    Wait,
    /// It goes to the last state, because the run deletes nothing more.
    Done,
}

/// What prevented deletions, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBack {
    /// Why the run did not start these deletions.
    pub cause: HeldBackCause,
    /// How many deletions the plan wanted and the run did not start. Can be 0 if the run's own snapshot is gone.
    pub deletions_wanted: u32,
    /// What happened, and what to do about it.
    pub message: String,
}

/// Why a run did not start deletions that its plan wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum HeldBackCause {
    /// The application was not RUNNING, so it may need a snapshot to start again.
    ApplicationNotRunning,
    /// This run's own snapshot was gone, was not READY in the listing, or was listed without a creation timestamp.
    SnapshotNotReady,
    /// A later run has a READY snapshot, so this run left its deletions to the later run. This is not a problem.
    LeftToLaterRun,
    /// The application restores from a snapshot that its configuration does not name, so that snapshot cannot be
    /// protected.
    RestorePointUnknown,
    /// The plan exceeded the deletion limit, which is `max_deletions_per_run` or its default.
    MaxDeletionsPerRun,
    /// More than 50 deletions of this run failed.
    TooManyFailures,
    /// The policy has a field that a newer release wrote, so this release cannot tell which snapshots the policy keeps.
    PolicyUnknown,
}

impl HeldBackCause {
    /// Whether the outcome of the run is `SUCCEEDED` all the same.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::LeftToLaterRun)
    }
}

/// What a plan decides about one snapshot, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// What the plan decides.
    pub action: Action,
    /// All reasons for the decision, the strongest first.
    pub reasons: Vec<String>,
}

/// What a plan decides about a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Action {
    /// Keep the snapshot, because a rule keeps it or because it is protected.
    Keep,
    /// Delete the snapshot, because nothing keeps it.
    Delete,
    /// Leave the snapshot alone, because it is out of scope, CREATING or DELETING, or because it has an unknown status.
    Ignore,
}
