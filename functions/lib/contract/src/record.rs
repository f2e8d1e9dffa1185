//! The audit record: one row of the table for each run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeletedSnapshot, FailedDeletion, HeldBack, Mode, Verdict};

/// One run, as the table keeps it. Table, keys and the first attributes are named as the original
/// Python sample named them, so its history stays readable. What is not known is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Partition key: the application, or `(unknown)` when the input named none that can be, or another
    /// than the stack's.
    pub app_name: String,
    /// Sort key: the start of the execution in epoch milliseconds.
    pub snapshot_manager_run_id: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// RUN, PRUNE or PLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The execution in Step Functions.
    pub execution_arn: String,
    /// Epoch milliseconds.
    pub started_at: i64,
    /// Epoch milliseconds: when the record was made, or when a failed execution stopped.
    pub finished_at: i64,
    /// How often the execution was redriven before this end; not known of a run that release 0.1.0 began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_count: Option<u32>,
    /// This run's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_snapshot_name: Option<String>,
    /// The service's creation timestamp of it, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_snapshot_create_time: Option<String>,
    /// The version of the application that it was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flink_app_version_id: Option<String>,
    /// Its age in seconds when it was first seen READY: the longest that it can have taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_seconds: Option<u64>,
    /// Why no snapshot was taken, when `SKIPPED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// The first 100 deleted snapshots, with reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted: Option<Vec<DeletedSnapshot>>,
    /// How many were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted_count: Option<u32>,
    /// Those that could not be deleted, with reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted: Option<Vec<FailedDeletion>>,
    /// How many could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted_count: Option<u32>,
    /// Deletions that the plan wanted and that were not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// READY snapshots after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_ready: Option<u32>,
    /// All snapshots after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_total: Option<u32>,
    /// The creation timestamp of the newest READY snapshot after the run, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_ready_snapshot_create_time: Option<String>,
    /// The plan, newest snapshot first, at most 200, when `PLANNED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Verdict>>,
    /// How many deletions the plan wants, when `PLANNED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions_planned: Option<u32>,
    /// The state that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_state: Option<String>,
    /// One of the documented names, or one of AWS's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// The fact, the cure, and the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The outcome whose metrics are in the log although nobody wanted an announcement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Outcome>,
    /// The announcement of this run, once the topic has accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified: Option<Notified>,
    /// When DynamoDB may drop the row, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

impl AuditRecord {
    /// The attributes that a record may lack.
    pub const OPTIONAL: [&str; 23] = [
        "redrive_count",
        "mode",
        "new_snapshot_name",
        "new_snapshot_create_time",
        "flink_app_version_id",
        "snapshot_seconds",
        "skip_reason",
        "snapshots_deleted",
        "snapshots_deleted_count",
        "snapshots_failed_to_be_deleted",
        "snapshots_failed_to_be_deleted_count",
        "held_back",
        "snapshots_ready",
        "snapshots_total",
        "newest_ready_snapshot_create_time",
        "plan",
        "deletions_planned",
        "failed_state",
        "error_name",
        "error_message",
        "measured",
        "notified",
        "expires_at",
    ];
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Outcome {
    /// The snapshot is READY, and everything that the policy does not keep is deleted.
    Succeeded,
    /// The snapshot, if one was wanted, is READY; deletions were held back or failed.
    PruneIncomplete,
    /// The application was not running.
    Skipped,
    /// The plan is made, nothing else.
    Planned,
    /// A step failed.
    Failed,
    /// The execution took longer than the machine allows.
    TimedOut,
    /// Somebody stopped the execution.
    Aborted,
}

impl Outcome {
    /// Whether the execution came to its end without coming to the end of its last state, so that the
    /// event of Step Functions tells of it.
    #[must_use]
    pub const fn is_failed_execution(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Aborted)
    }

    /// Whether somebody should look.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(
            self,
            Self::PruneIncomplete | Self::Failed | Self::TimedOut | Self::Aborted
        )
    }

    /// The outcome as the record has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::PruneIncomplete => "PRUNE_INCOMPLETE",
            Self::Skipped => "SKIPPED",
            Self::Planned => "PLANNED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// An announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notified {
    /// The outcome that was announced.
    pub outcome: Outcome,
    /// The `finished_at` that was announced.
    pub finished_at: i64,
    /// SNS's id of the message.
    pub message_id: String,
}
