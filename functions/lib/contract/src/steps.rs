//! The inputs and outputs of the Tasks of the state machine, except those of `PruneSnapshots`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{HeldBack, Outcome, Progress, Run, RunInput, Verdict};

/// The input of `CreateSnapshot`. It has only values of the context object, so it is the same each time the execution
/// enters the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotInput {
    /// `$$.Execution.Id`: the ARN of the execution.
    pub execution_arn: String,
    /// `$$.Execution.StartTime`: when the execution started, RFC 3339.
    #[schemars(with = "String")]
    pub execution_started_at: Timestamp,
    /// `$$.Execution.Input`: the run input. It is any JSON here, so that the step can validate it and fail with
    /// `InvalidInput`.
    #[schemars(with = "RunInput")]
    pub input: serde_json::Value,
    /// The version number of the state machine definition, which the definition passes as a constant. See `Run`.
    #[serde(default = "crate::run::first_definition")]
    pub definition: u32,
}

/// The output of `CreateSnapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSnapshotOutput {
    /// The run.
    pub run: Run,
    /// The value that `IsSnapshotStarted` reads to choose the next state.
    pub snapshot_creation: SnapshotCreation,
    /// If `snapshot_creation` is `SKIPPED`: why the run took no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// If `snapshot_creation` is `SKIPPED`: sentences about what needs a person, as in `PruneSnapshotsOutput`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// If `snapshot_creation` is `STARTED`: this run's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<RunSnapshot>,
    /// The wait in seconds, 1 to 300: before the step runs again if `snapshot_creation` is `BUSY`, before the first
    /// poll of the snapshot if it is `STARTED`.
    pub wait_seconds: u32,
}

/// Whether the run has started its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum SnapshotCreation {
    /// The service has accepted the request, now or when the step ran before.
    Started,
    /// The application is busy and cannot take a snapshot now. The execution enters the state again after a wait. An
    /// execution gets this value only if its definition has a branch for it.
    Busy,
    /// The run takes no snapshot, because the application is not running or because the snapshot of another run is
    /// still CREATING.
    Skipped,
    /// The run takes no snapshot, because its mode is `PRUNE` or `PLAN`.
    NotWanted,
}

/// This run's own snapshot, with the details that are known so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSnapshot {
    /// The name of the snapshot.
    pub name: String,
    /// When `CreateSnapshot` learned that the snapshot exists, RFC 3339: the service accepted its creation, or the step
    /// found that it had already started the snapshot.
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
    /// The `ApplicationVersionId` of the application when the snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_version_id: Option<i64>,
    /// The age of the snapshot in seconds at the first poll that found it READY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// The input of `DescribeSnapshot`, which polls the snapshot once. For the first poll, it is the output of
/// `CreateSnapshot`. For every other poll, it is the output of the poll before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotInput {
    /// The run.
    pub run: Run,
    /// The snapshot to poll.
    pub snapshot: RunSnapshot,
}

/// The output of `DescribeSnapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribeSnapshotOutput {
    /// The run.
    pub run: Run,
    /// The snapshot, with the details that this poll has added.
    pub snapshot: RunSnapshot,
    /// The value that `IsSnapshotReady` reads to choose the next state.
    pub snapshot_status: SnapshotStatus,
    /// The seconds until the next poll, 1 to 300.
    pub wait_seconds: u32,
}

/// The statuses of a snapshot that lead to another state; with any other status, the step fails. After `FAILED`, the
/// run takes another snapshot. `FAILED` occurs only if the run has an attempt left and the definition has a branch for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "the names are AWS's")]
pub enum SnapshotStatus {
    Creating,
    Ready,
    Failed,
}

/// The input of the state `RecordAndNotify`. The function gets an `ExecutionStatusChange` instead if the failure rule
/// of EventBridge invokes it, and a bare `RunSummary` from the definition of release 0.1.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyInput {
    /// `$$.Execution.RedriveCount`: how many times the execution was redriven.
    pub redrive_count: u32,
    /// `$`: what the run has done.
    pub done: RunSummary,
}

/// What a run has done: the output of `CreateSnapshot` if the run is skipped, and otherwise the output of
/// `PruneSnapshots`.
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
    /// As in `PruneSnapshotsOutput` or `CreateSnapshotOutput`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The output of `RecordAndNotify`, which is also the output of the execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordAndNotifyOutput {
    /// The partition key of the record.
    pub app_name: String,
    /// The sort key of the record.
    pub snapshot_manager_run_id: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// Whether this invocation wrote the record.
    pub recorded: Recorded,
    /// The message id of the notification. Absent if no notification is sent for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Whether the invocation wrote the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Recorded {
    /// The invocation wrote the record, so the row has it now.
    Written,
    /// The row already had a later outcome of this execution. The earlier outcome was not written, and no notification
    /// of it was sent.
    Superseded,
}
