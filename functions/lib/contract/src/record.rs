//! The audit record: one row of the table for each run.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{DeletedSnapshot, FailedDeletion, HeldBack, Mode, Verdict};

/// One run in the table. The table, its keys and the first attributes have the names that the original Python
/// sample gave them, so the sample's history remains readable. An unknown value is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Partition key: the application, or `(unknown)` if the input does not name the stack's application.
    pub app_name: String,
    /// Sort key: the start time of the execution in epoch milliseconds.
    pub snapshot_manager_run_id: i64,
    /// How the run ended.
    pub outcome: Outcome,
    /// `RUN`, `PRUNE` or `PLAN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The ARN of the execution.
    pub execution_arn: String,
    /// The start time of the execution in epoch milliseconds.
    pub started_at: i64,
    /// When the record was made or, if the execution failed, when it stopped, in epoch milliseconds.
    pub finished_at: i64,
    /// How many times the execution was redriven before this end. May be absent for a run that release 0.1.0 started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_count: Option<u32>,
    /// The name of this run's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_snapshot_name: Option<String>,
    /// The creation timestamp of this run's snapshot as the service gives it, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub new_snapshot_create_time: Option<Timestamp>,
    /// The application version that this run's snapshot was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flink_app_version_id: Option<String>,
    /// The age of this run's snapshot in seconds when it was first seen READY: it took at most this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_seconds: Option<u64>,
    /// If `SKIPPED`: why no snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// The first 100 deleted snapshots, with reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted: Option<Vec<DeletedSnapshot>>,
    /// The number of deleted snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted_count: Option<u32>,
    /// The first 100 snapshots that could not be deleted, with reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted: Option<Vec<FailedDeletion>>,
    /// The number of snapshots that could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted_count: Option<u32>,
    /// Deletions that the plan wanted and the run did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// Snapshots that need attention: the restore point of the application or a snapshot in `keep_names` if it is not
    /// listed, DELETING or FAILED, and the run's own one if a later run may delete it in spite of its `snapshot_name`. At
    /// most 20 sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The number of READY snapshots after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_ready: Option<u32>,
    /// The number of all snapshots after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_total: Option<u32>,
    /// The creation timestamp of the newest READY snapshot after the run, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub newest_ready_snapshot_create_time: Option<Timestamp>,
    /// If `PLANNED`: the plan, at most 200 snapshots. Deletions come first, then the others, each from the newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Verdict>>,
    /// If `PLANNED`: the number of deletions in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions_planned: Option<u32>,
    /// The state that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_state: Option<String>,
    /// The error's name: one of the documented ones, or one of AWS's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// The fact, what to do, and the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Set if the metrics of the run are in the log without a notification: its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Outcome>,
    /// The announcement of this run, after the topic has accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified: Option<Notified>,
    /// When DynamoDB may delete the row, in epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

impl AuditRecord {
    /// The optional attributes.
    pub const OPTIONAL: [&str; 24] = [
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
        "warnings",
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
    /// The run's snapshot, if its mode takes one, is READY. The run made its deletions, had none, or left them to a later
    /// run.
    Succeeded,
    /// Deletions were held back or failed, or the run's own snapshot is gone.
    PruneIncomplete,
    /// The application was not running, or the snapshot of another run was still CREATING.
    Skipped,
    /// The run made the plan and did nothing else.
    Planned,
    /// A step failed.
    Failed,
    /// The execution took longer than the state machine allows.
    TimedOut,
    /// Somebody stopped the execution.
    Aborted,
}

impl Outcome {
    /// Whether the execution failed, timed out or was stopped. Step Functions then sends an event.
    #[must_use]
    pub const fn is_failed_execution(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Aborted)
    }

    /// Whether somebody should look at the run.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(
            self,
            Self::PruneIncomplete | Self::Failed | Self::TimedOut | Self::Aborted
        )
    }

    /// The outcome as in the record.
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

/// The announcement of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notified {
    /// The announced outcome.
    pub outcome: Outcome,
    /// The announced `finished_at`.
    pub finished_at: i64,
    /// The message id that SNS gave.
    pub message_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_named_as_in_the_record_and_says_whether_somebody_should_look() {
        for (outcome, name, is_problem, is_failed_execution) in [
            (Outcome::Succeeded, "SUCCEEDED", false, false),
            (Outcome::PruneIncomplete, "PRUNE_INCOMPLETE", true, false),
            (Outcome::Skipped, "SKIPPED", false, false),
            (Outcome::Planned, "PLANNED", false, false),
            (Outcome::Failed, "FAILED", true, true),
            (Outcome::TimedOut, "TIMED_OUT", true, true),
            (Outcome::Aborted, "ABORTED", true, true),
        ] {
            assert_eq!(outcome.as_str(), name);
            assert_eq!(serde_json::to_value(outcome).unwrap(), name);
            assert_eq!(outcome.is_problem(), is_problem, "{name}");
            assert_eq!(outcome.is_failed_execution(), is_failed_execution, "{name}");
        }
    }
}
