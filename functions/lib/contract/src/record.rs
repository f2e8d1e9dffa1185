//! The audit record: the row of a run in the DynamoDB table.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parse::time_or_absent;
use crate::{DeletedSnapshot, FailedDeletion, HeldBack, Mode, Verdict};

/// The record of one run in the table. The table, its keys and the attributes that the original Python sample wrote
/// keep the sample's names, so the rows that the sample wrote remain readable. An attribute without a known value is
/// absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Partition key: the name of the application, or `(unknown)` if the input does not name the stack's application.
    pub app_name: String,
    /// Sort key: the run id, which is the start time of the execution in epoch milliseconds.
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
    /// When the run ended, in epoch milliseconds: when the execution failed, timed out or was stopped, or otherwise
    /// when the last state made the record.
    pub finished_at: i64,
    /// How many times the execution was redriven before this outcome. May be absent if release 0.1.0 started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_count: Option<u32>,
    /// The name of this run's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_snapshot_name: Option<String>,
    /// The creation timestamp that the service reports for this run's snapshot, RFC 3339.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "time_or_absent"
    )]
    #[schemars(with = "Option<String>")]
    pub new_snapshot_create_time: Option<Timestamp>,
    /// The `ApplicationVersionId` of the application when this run's snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flink_app_version_id: Option<String>,
    /// The age of this run's snapshot in seconds at the first poll that found it READY. The snapshot took at most this
    /// long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_seconds: Option<u64>,
    /// If the outcome is `SKIPPED`: why the run took no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// The first 100 snapshots that the run deleted, each with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted: Option<Vec<DeletedSnapshot>>,
    /// How many snapshots the run deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_deleted_count: Option<u32>,
    /// The first 100 snapshots that the run could not delete, each with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted: Option<Vec<FailedDeletion>>,
    /// How many snapshots the run could not delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_failed_to_be_deleted_count: Option<u32>,
    /// Set if something prevented deletions of the plan, or if the run's own snapshot is gone. `cause` and `message`
    /// say why, and `deletions_wanted` is the number of deletions that were not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
    /// At most 20 sentences about snapshots that need attention: the snapshot from which the application restores or a
    /// snapshot in `keep_names` is missing, DELETING or FAILED, or a later run may delete the snapshot to which this
    /// run gave its `snapshot_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How many READY snapshots the application had after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_ready: Option<u32>,
    /// How many snapshots of any status the application had after the run.
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
    /// If the outcome is `PLANNED`: the plan for at most 200 snapshots. The deletions come first, then the other
    /// snapshots, both from the newest snapshot to the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Verdict>>,
    /// If the outcome is `PLANNED`: how many deletions the plan has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions_planned: Option<u32>,
    /// The state of the state machine that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_state: Option<String>,
    /// The name of the error: one of the names in the table of errors, or a name of AWS's own, such as
    /// `States.Timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// What happened and, unless the error is one of AWS's own, what to do about it and the command to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The outcome, if the run's metrics were logged but no notification was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Outcome>,
    /// The notification of this run, after SNS accepted it: `outcome`, `finished_at` and `message_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified: Option<Notified>,
    /// When DynamoDB may delete the row, in epoch seconds. Absent if rows are kept forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

impl AuditRecord {
    /// The names of the optional attributes.
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
    /// The run's snapshot is READY, if the mode takes a snapshot. The run made all deletions of its plan, had none to
    /// make, or left them to a later run.
    Succeeded,
    /// The run did not make all deletions of its plan, or its own snapshot is gone.
    PruneIncomplete,
    /// The run took no snapshot, because the application was not running or because the snapshot of another run was
    /// still CREATING.
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
    /// Whether the execution failed, timed out or was stopped. Only then does Step Functions send the event that the
    /// failure rule matches.
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

    /// The outcome as it is written in the record.
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

/// The notification of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notified {
    /// The outcome in the notification.
    pub outcome: Outcome,
    /// The `finished_at` in the notification.
    pub finished_at: i64,
    /// The message id that SNS returned.
    pub message_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_name_in_the_record_and_tells_whether_it_is_a_problem_or_a_failed_execution()
     {
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
