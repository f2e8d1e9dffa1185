//! What each state is given and what it hands on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Outcome, Run, RunInput};

/// `CreateSnapshot` is given the execution's input and scalars of the context object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotInput {
    /// `$$.Execution.Id`.
    pub execution_arn: String,
    /// `$$.Execution.StartTime`, RFC 3339.
    pub execution_started_at: String,
    /// `$`, not yet validated, so that a bad one is answered with `InvalidInput`.
    #[schemars(with = "RunInput")]
    pub input: serde_json::Value,
    /// As in [`Run`]: a constant of the definition.
    #[serde(default = "crate::run::first_definition")]
    pub definition: u32,
}

/// `CreateSnapshot` hands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotOutput {
    /// Which run.
    pub run: Run,
    /// Where `IsSnapshotStarted` goes.
    pub snapshot_creation: SnapshotCreation,
    /// Why no snapshot was taken, when `SKIPPED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// This run's snapshot, when `STARTED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// How long to wait before the first look, 1 to 300.
    pub wait_seconds: u32,
}

/// What became of the wish for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum SnapshotCreation {
    /// The service accepted it, now or at an earlier try of this step.
    Started,
    /// The application does not run, so there is nothing to take a snapshot of.
    Skipped,
    /// The mode takes none.
    NotWanted,
}

/// This run's own snapshot, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSnapshot {
    /// The name of the snapshot.
    pub name: String,
    /// When this system first knew that it exists, RFC 3339.
    pub accepted_at: String,
    /// The service's `SnapshotCreationTimestamp`, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The version of the application that it was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_version_id: Option<i64>,
    /// Its age in seconds when it was first seen READY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// `DescribeSnapshot` is given the output of `CreateSnapshot`, or its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotInput {
    /// Which run.
    pub run: Run,
    /// The snapshot to look at.
    pub snapshot: RunSnapshot,
}

/// `DescribeSnapshot` hands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotOutput {
    /// Which run.
    pub run: Run,
    /// With what this look has added.
    pub snapshot: RunSnapshot,
    /// Where `IsSnapshotReady` goes.
    pub snapshot_status: SnapshotStatus,
    /// How long to wait before the next look, 1 to 300.
    pub wait_seconds: u32,
}

/// The two statuses that do not end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "as AWS writes them")]
pub enum SnapshotStatus {
    Creating,
    Ready,
}

/// `PruneSnapshots` is given the output of the step before it, or its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsInput {
    /// Which run.
    pub run: Run,
    /// This run's snapshot; absent in the modes that take none.
    #[serde(default)]
    pub snapshot: Option<RunSnapshot>,
    /// What to delete now. Fixed before the step begins, so that a repeat deletes no more.
    #[serde(default)]
    pub batch: Vec<DoomedSnapshot>,
    /// The time of the listing that the batch was planned from, RFC 3339. Nothing of an older plan is
    /// deleted, nor of one without a time.
    #[serde(default)]
    pub planned_at: Option<String>,
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
    pub created_at: String,
    /// The version of the application that it was taken of.
    pub application_version_id: i64,
    /// Why it goes.
    pub reason: String,
    /// Whether its deletion was tried before and has not been seen to take effect. The second try is the
    /// last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
}

/// The deletions of a run so far. Counts are exact; lists are bounded, since a state's payload is,
/// and what they leave out is in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// How many are deleted or on their way out.
    #[serde(default)]
    pub deleted_count: u32,
    /// The first 100 of them.
    #[serde(default)]
    pub deleted: Vec<DeletedSnapshot>,
    /// How many could not be deleted.
    #[serde(default)]
    pub failed_count: u32,
    /// The first 100 of those; all of them while pruning goes on, since it ends at more than 50.
    #[serde(default)]
    pub failed: Vec<FailedDeletion>,
    /// As `tried` of a [`DoomedSnapshot`], in the payloads of release 0.1.0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// How many batches in a row were throttled as a whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled_batches: u32,
    /// When the run first waited for its own snapshot to be READY in the listing, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A snapshot that is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeletedSnapshot {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// RFC 3339.
    pub created_at: String,
    /// The version of the application that it was taken of.
    pub application_version_id: i64,
    /// Why the policy did not keep it.
    pub reason: String,
}

/// A snapshot that was to be deleted and is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedDeletion {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// The service's code and message.
    pub reason: String,
}

/// `PruneSnapshots` hands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PruneSnapshotsOutput {
    /// Which run.
    pub run: Run,
    /// As in the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// Where `IsPruningDone` goes.
    pub pruning: Pruning,
    /// What the next entry of the state deletes, or only looks for when `WAIT`: at most 250; empty when
    /// done.
    pub batch: Vec<DoomedSnapshot>,
    /// As in the input; absent when the next entry deletes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<String>,
    /// How long to wait before the next entry when `WAIT`, 1 to 300.
    pub wait_seconds: u32,
    /// The totals, this batch included.
    pub progress: Progress,
    /// How many deletions the last plan wants.
    pub deletions_wanted: u32,
    /// What the plan wanted and did not get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// READY snapshots in the last listing.
    pub snapshots_ready: u32,
    /// All snapshots in the last listing, DELETING ones included.
    pub snapshots_total: u32,
    /// The creation timestamp of the newest READY snapshot that has one, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_ready_at: Option<String>,
    /// The last listing's verdicts, newest snapshot first, at most 200; empty while a batch follows.
    pub verdicts: Vec<Verdict>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Pruning {
    /// The next batch, at once.
    Continue,
    /// Another look, after a wait. Answered only if the definition knows it.
    Wait,
    /// Nothing more to delete.
    Done,
}

/// Deletions that the plan wanted and that were not begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldBack {
    /// What held them back.
    pub cause: HeldBackCause,
    /// How many.
    pub deletions_wanted: u32,
    /// The fact and what to do about it.
    pub message: String,
}

/// What held them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum HeldBackCause {
    /// The application is not RUNNING, so a snapshot may be needed to bring it back.
    ApplicationNotRunning,
    /// This run's own snapshot is gone, or is not READY in the listing.
    SnapshotNotReady,
    /// A newer run has a READY snapshot and prunes in its turn. Not a problem.
    LeftToLaterRun,
    /// The application restores from a snapshot of its own choice, but does not say which.
    RestorePointUnknown,
    /// The brake.
    MaxDeletionsPerRun,
    /// Too many deletions failed to go on.
    TooManyFailures,
    /// The policy has a rule of a newer release, so nobody knows what it keeps.
    PolicyUnknown,
}

impl HeldBackCause {
    /// Whether the run counts as pruned all the same.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::LeftToLaterRun)
    }
}

/// What becomes of one snapshot, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The name of the snapshot.
    pub snapshot_name: String,
    /// What becomes of it.
    pub action: Action,
    /// Every reason, the strongest first.
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
    /// It is not this system's to judge: not managed, or CREATING or DELETING.
    Ignore,
}

/// `RecordAndNotify` is given what the run has done, and scalars of the context object. As the target of
/// the failure rule it is given an [`ExecutionStatusChange`] instead. The definition of release 0.1.0
/// gave a bare [`RunSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyInput {
    /// `$$.Execution.RedriveCount`.
    pub redrive_count: u32,
    /// `$`.
    pub done: RunSummary,
}

/// What a run has done: the output of `CreateSnapshot` (skipped) or of `PruneSnapshots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    /// Which run.
    pub run: Run,
    /// As in [`CreateSnapshotOutput`].
    #[serde(default)]
    pub skip_reason: Option<String>,
    /// As in [`CreateSnapshotOutput`].
    #[serde(default)]
    pub snapshot: Option<RunSnapshot>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub progress: Option<Progress>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub deletions_wanted: Option<u32>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub held_back: Option<HeldBack>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub snapshots_ready: Option<u32>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub snapshots_total: Option<u32>,
    /// The creation timestamp of the newest READY snapshot that has one, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_ready_at: Option<String>,
    /// As in [`PruneSnapshotsOutput`].
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
}

/// The execution's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyOutput {
    /// The table's partition key.
    pub app_name: String,
    /// The table's sort key.
    pub snapshot_manager_run_id: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// What became of the record.
    pub recorded: Recorded,
    /// The notification's message id; absent when this run is not one to announce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// What became of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Recorded {
    /// The row now says this.
    Written,
    /// The row already says something later of this execution, so this was neither written nor
    /// announced.
    Superseded,
}

/// The part of an EventBridge event "Step Functions Execution Status Change" that is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionStatusChange {
    /// "Step Functions Execution Status Change".
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// What happened to which execution.
    pub detail: ExecutionStatusDetail,
}

/// What happened to which execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatusDetail {
    /// The execution.
    pub execution_arn: String,
    /// How it ended.
    pub status: FailedStatus,
    /// Epoch milliseconds.
    pub start_date: i64,
    /// Epoch milliseconds.
    pub stop_date: i64,
    /// How often the execution was redriven before this end, if the service tells it.
    #[serde(default)]
    pub redrive_count: Option<u32>,
    /// The execution's input as text; left out by EventBridge when it is too large.
    #[serde(default)]
    pub input: Option<String>,
    /// The error's name, if the service tells it.
    #[serde(default)]
    pub error: Option<String>,
    /// The error's cause, if the service tells it.
    #[serde(default)]
    pub cause: Option<String>,
}

/// The ends of an execution that the machine cannot report itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "as AWS writes them")]
pub enum FailedStatus {
    Failed,
    TimedOut,
    Aborted,
}
