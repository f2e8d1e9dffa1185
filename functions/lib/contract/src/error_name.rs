//! The names of the errors. A state machine's `Retry`, alarms and people's scripts match on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Bounded, Mode, Retention, RunInput};

/// Why a step failed: `errorType` of the Lambda, `Error` of the execution, `ErrorEquals` of a
/// `Retry`. Renaming one is a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(
    missing_docs,
    reason = "ErrorName::cause says it, and resources/docs/reference.md prints it"
)]
pub enum ErrorName {
    ApplicationBusy,
    Throttled,
    ServiceUnavailable,
    InvalidInput,
    ApplicationNotFound,
    SnapshotsDisabled,
    SnapshotLimitExceeded,
    SnapshotFailed,
    SnapshotTimedOut,
    SnapshotNotFound,
    AccessDenied,
    TableNotFound,
    TopicNotFound,
    RecordConflict,
    Misconfigured,
    Unexpected,
}

/// What carries a failed run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// Redrive the execution once the cause is gone: it goes on at the step that failed.
    Redrive,
    /// Start a new execution: this one's input or snapshot cannot get better.
    NewExecution,
}

impl ErrorName {
    /// Every name, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::ApplicationBusy,
        Self::Throttled,
        Self::ServiceUnavailable,
        Self::InvalidInput,
        Self::ApplicationNotFound,
        Self::SnapshotsDisabled,
        Self::SnapshotLimitExceeded,
        Self::SnapshotFailed,
        Self::SnapshotTimedOut,
        Self::SnapshotNotFound,
        Self::AccessDenied,
        Self::TableNotFound,
        Self::TopicNotFound,
        Self::RecordConflict,
        Self::Misconfigured,
        Self::Unexpected,
    ];

    /// The name as `ErrorEquals` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Whether the state machine tries the step again by itself.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::ApplicationBusy | Self::Throttled | Self::ServiceUnavailable
        )
    }

    /// What carries the run on.
    #[must_use]
    pub const fn cure(self) -> Cure {
        self.row().1
    }

    /// What has happened, in general.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        self.row().2
    }

    /// What a person does before the redrive or the new execution.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.row().3
    }

    /// Name, cure, cause, remedy.
    const fn row(self) -> (&'static str, Cure, &'static str, &'static str) {
        use Cure::{NewExecution, Redrive};
        match self {
            Self::ApplicationBusy => (
                "ApplicationBusy",
                Redrive,
                "The application is starting, updating or scaling, or another snapshot is being taken.",
                "Wait until the application is RUNNING and no snapshot is CREATING, then redrive.",
            ),
            Self::Throttled => (
                "Throttled",
                Redrive,
                "The service refused calls because there were too many.",
                "Find what else calls the service so often, then redrive.",
            ),
            Self::ServiceUnavailable => (
                "ServiceUnavailable",
                Redrive,
                "The service answered with a server error, not in time, or not at all.",
                "Redrive when the service is well again; the AWS Health Dashboard tells.",
            ),
            Self::InvalidInput => (
                "InvalidInput",
                NewExecution,
                "The execution's input is not what a run needs. Nothing was changed.",
                "Correct the named field and start a new execution.",
            ),
            Self::ApplicationNotFound => (
                "ApplicationNotFound",
                NewExecution,
                "There is no such application in this account and Region.",
                "Correct the name (see `aws kinesisanalyticsv2 list-applications`) and start a new execution.",
            ),
            Self::SnapshotsDisabled => (
                "SnapshotsDisabled",
                Redrive,
                "Snapshots are turned off in the application's configuration.",
                "Turn them on (`ApplicationSnapshotConfigurationUpdate`, `SnapshotsEnabledUpdate` true), then redrive.",
            ),
            Self::SnapshotLimitExceeded => (
                "SnapshotLimitExceeded",
                NewExecution,
                "The application has as many snapshots as its quota allows, by default 1,000.",
                "Start one execution with mode PRUNE and a max_deletions_per_run that acknowledges the number; a RUN works after it. Snapshots made by the service or by hand count too and are yours to delete.",
            ),
            Self::SnapshotFailed => (
                "SnapshotFailed",
                NewExecution,
                "Flink could not complete the snapshot.",
                "Look for failed checkpoints, backpressure and sink permissions in the application's log, then start a new execution.",
            ),
            Self::SnapshotTimedOut => (
                "SnapshotTimedOut",
                Redrive,
                "The snapshot was still CREATING at the age of ready_timeout_seconds.",
                "Redrive when the snapshot is READY; the step looks once more before it judges the age. Do not stop the application meanwhile.",
            ),
            Self::SnapshotNotFound => (
                "SnapshotNotFound",
                NewExecution,
                "This run's snapshot is gone: somebody, or another program, deleted it.",
                "Find out who deletes snapshots (CloudTrail has DeleteApplicationSnapshot), then start a new execution.",
            ),
            Self::AccessDenied => (
                "AccessDenied",
                Redrive,
                "The function's role, a resource policy or a key does not allow the call.",
                "Allow the named action for the function's role, then redrive.",
            ),
            Self::TableNotFound => (
                "TableNotFound",
                Redrive,
                "The table of audit records is not there.",
                "Create the table or correct TABLE_NAME of record-and-notify, then redrive.",
            ),
            Self::TopicNotFound => (
                "TopicNotFound",
                Redrive,
                "The topic for notifications is not there. The audit record is written.",
                "Create the topic or correct TOPIC_ARN of record-and-notify, then redrive.",
            ),
            Self::RecordConflict => (
                "RecordConflict",
                NewExecution,
                "The audit record of this application and run id belongs to another execution. Nothing was overwritten.",
                "Two executions began in the same millisecond; start a new one if this run's record matters.",
            ),
            Self::Misconfigured => (
                "Misconfigured",
                Redrive,
                "The function's environment lacks a setting or has a malformed one.",
                "Set the named variables of the function, then redrive.",
            ),
            Self::Unexpected => (
                "Unexpected",
                Redrive,
                "Something that this system has no name for; the message has the service's own code and words.",
                "Read the message and the function's log, remove the cause, then redrive.",
            ),
        }
    }
}

impl ErrorName {
    /// The command that carries the run on, for a person to copy. `input` is the failed run's, if
    /// it was valid.
    #[must_use]
    pub fn command(self, execution_arn: &str, input: Option<&RunInput>) -> String {
        match self.cure() {
            Cure::Redrive => redrive_command(execution_arn),
            Cure::NewExecution => {
                let input = match self {
                    Self::InvalidInput | Self::ApplicationNotFound => None,
                    Self::SnapshotLimitExceeded => input.cloned().map(|input| RunInput {
                        mode: Mode::Prune,
                        retention: Retention {
                            max_deletions_per_run: Bounded::clamped(1_000),
                            ..input.retention
                        },
                        ..input
                    }),
                    _ => input.cloned(),
                };
                let input = input
                    .and_then(|input| serde_json::to_string(&input).ok())
                    .unwrap_or_else(|| "<the corrected input>".to_owned());
                format!(
                    "aws stepfunctions start-execution --state-machine-arn {} --input '{input}'",
                    state_machine_arn(execution_arn)
                )
            }
        }
    }
}

/// The command that redrives an execution.
#[must_use]
pub fn redrive_command(execution_arn: &str) -> String {
    format!("aws stepfunctions redrive-execution --execution-arn {execution_arn}")
}

/// `arn:…:execution:MACHINE:NAME` -> `arn:…:stateMachine:MACHINE`.
fn state_machine_arn(execution_arn: &str) -> String {
    execution_arn
        .rsplit_once(':')
        .map_or(execution_arn, |(machine, _name)| machine)
        .replacen(":execution:", ":stateMachine:", 1)
}

impl std::fmt::Display for ErrorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_is_matched() {
        for name in ErrorName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }

    const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:run-7";

    #[test]
    fn a_redrive_names_the_execution() {
        assert_eq!(
            ErrorName::SnapshotTimedOut.command(EXECUTION, None),
            format!("aws stepfunctions redrive-execution --execution-arn {EXECUTION}")
        );
    }

    #[test]
    fn a_full_quota_is_cured_by_a_prune_of_the_same_application_and_policy() {
        let input =
            serde_json::from_str(r#"{"application_name":"orders","retention":{"keep_last":7}}"#)
                .unwrap();
        let command = ErrorName::SnapshotLimitExceeded.command(EXECUTION, Some(&input));
        let machine = "arn:aws:states:eu-central-1:123456789012:stateMachine:snapshots";
        let start =
            format!("aws stepfunctions start-execution --state-machine-arn {machine} --input '");
        let input: RunInput = serde_json::from_str(
            command
                .strip_prefix(&start)
                .unwrap()
                .strip_suffix('\'')
                .unwrap(),
        )
        .unwrap();
        assert_eq!(input.mode, Mode::Prune);
        assert_eq!(input.application_name.as_str(), "orders");
        assert_eq!(input.retention.keep_last.unwrap().get(), 7);
        assert_eq!(input.retention.max_deletions_per_run.get(), 1_000);
    }

    #[test]
    fn what_the_machine_retries_by_itself_is_redriven_by_hand() {
        for name in ErrorName::ALL {
            assert!(
                !name.is_retryable() || name.cure() == Cure::Redrive,
                "{name}"
            );
        }
    }
}
