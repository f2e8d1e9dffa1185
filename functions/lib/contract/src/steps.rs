//! What the steps get and pass on, except `PruneSnapshots`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{HeldBack, Outcome, Progress, Run, RunInput, Verdict};

/// `CreateSnapshot` gets values of the context object, so it gets the same however often it is entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotInput {
    /// `$$.Execution.Id`.
    pub execution_arn: String,
    /// `$$.Execution.StartTime`, RFC 3339.
    #[schemars(with = "String")]
    pub execution_started_at: Timestamp,
    /// `$$.Execution.Input`, not yet validated, so that the step can fail with `InvalidInput`.
    #[schemars(with = "RunInput")]
    pub input: serde_json::Value,
    /// The number of the definition, a constant in it, as in `Run`.
    #[serde(default = "crate::run::first_definition")]
    pub definition: u32,
}

/// `CreateSnapshot` passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotOutput {
    /// The run.
    pub run: Run,
    /// Where `IsSnapshotStarted` goes.
    pub snapshot_creation: SnapshotCreation,
    /// If `SKIPPED`: why no snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// If `SKIPPED`: what needs attention, as in `PruneSnapshotsOutput`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// If `STARTED`: this run's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// The wait in seconds, 1 to 300: before the first poll, or if `BUSY`, before the next attempt.
    pub wait_seconds: u32,
}

/// Whether the run takes a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum SnapshotCreation {
    /// The service has accepted the request, now or at an earlier attempt of this step.
    Started,
    /// The application cannot give a snapshot now. The state is entered again after a wait. Only for a definition
    /// that knows this answer.
    Busy,
    /// The application is not running, or the snapshot of another run is still CREATING.
    Skipped,
    /// The mode takes no snapshot.
    NotWanted,
}

/// This run's own snapshot, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSnapshot {
    /// The name of the snapshot.
    pub name: String,
    /// When this system first knew that the snapshot exists, RFC 3339.
    #[schemars(with = "String")]
    pub accepted_at: Timestamp,
    /// The service's `SnapshotCreationTimestamp`, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// The application version that the snapshot was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_version_id: Option<i64>,
    /// The age of the snapshot in seconds when it was first seen READY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// `DescribeSnapshot` gets the output of `CreateSnapshot`, or its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotInput {
    /// The run.
    pub run: Run,
    /// The snapshot to poll.
    pub snapshot: RunSnapshot,
}

/// `DescribeSnapshot` passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotOutput {
    /// The run.
    pub run: Run,
    /// The snapshot, with what this poll has added.
    pub snapshot: RunSnapshot,
    /// Where `IsSnapshotReady` goes.
    pub snapshot_status: SnapshotStatus,
    /// The wait before the next poll in seconds, 1 to 300.
    pub wait_seconds: u32,
}

/// The statuses of a snapshot with which a run goes on. With `FAILED` it goes on to its next snapshot, if it has one left
/// and the definition knows this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "as AWS writes them")]
pub enum SnapshotStatus {
    Creating,
    Ready,
    Failed,
}

/// `RecordAndNotify` gets what the run has done, and a value of the context object. As the target of the failure
/// rule it gets an `ExecutionStatusChange` instead. The definition of release 0.1.0 gives a bare `RunSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyInput {
    /// `$$.Execution.RedriveCount`.
    pub redrive_count: u32,
    /// `$`.
    pub done: RunSummary,
}

/// What a run has done: the output of `CreateSnapshot` if the run is skipped, otherwise of `PruneSnapshots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    /// The run.
    pub run: Run,
    /// As in `CreateSnapshotOutput`.
    #[serde(default)]
    pub skip_reason: Option<String>,
    /// As in `CreateSnapshotOutput`.
    #[serde(default)]
    pub snapshot: Option<RunSnapshot>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub deletions_wanted: Option<u32>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub held_back: Option<HeldBack>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub snapshots_ready: Option<u32>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub snapshots_total: Option<u32>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub newest_ready_at: Option<Timestamp>,
    /// As in `PruneSnapshotsOutput`.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// As in `PruneSnapshotsOutput`, and as in `CreateSnapshotOutput`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The output of `RecordAndNotify`, and so of the execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyOutput {
    /// The table's partition key.
    pub app_name: String,
    /// The table's sort key.
    pub snapshot_manager_run_id: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// Whether the record was written.
    pub recorded: Recorded,
    /// The message id of the notification. Absent if this run is not announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Whether the record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Recorded {
    /// The row has this record.
    Written,
    /// The row has a later end of this execution, so this one was neither written nor announced.
    Superseded,
}
