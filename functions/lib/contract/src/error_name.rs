//! The error names. The retriers of the state machine, alarms and scripts match them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a step failed: `errorType` of the Lambda, `Error` of the execution, `ErrorEquals` of a retrier.
/// Renaming one is a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(
    missing_docs,
    reason = "ErrorName::summary says it, and resources/docs/reference.md prints it"
)]
pub enum ErrorName {
    ApplicationBusy,
    Throttled,
    ServiceUnavailable,
    InvalidInput,
    ApplicationNotFound,
    SnapshotsDisabled,
    SnapshotsUnsupported,
    EnhancedSnapshotsUnsupported,
    SnapshotLimitExceeded,
    SnapshotNameTaken,
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

/// What resumes or replaces a failed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Redrive the execution after the cause is removed: it resumes at the step that failed.
    Redrive,
    /// Start a new execution: the input or the snapshot of this one cannot get better.
    NewExecution,
}

/// What is documented of an error.
struct ErrorDoc {
    name: &'static str,
    is_retryable: bool,
    next_step: NextStep,
    summary: &'static str,
    instructions: &'static str,
}

impl ErrorName {
    /// Every name, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::ApplicationBusy,
        Self::Throttled,
        Self::ServiceUnavailable,
        Self::InvalidInput,
        Self::ApplicationNotFound,
        Self::SnapshotsDisabled,
        Self::SnapshotsUnsupported,
        Self::EnhancedSnapshotsUnsupported,
        Self::SnapshotLimitExceeded,
        Self::SnapshotNameTaken,
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
        self.doc().name
    }

    /// Whether the state machine retries the step.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        self.doc().is_retryable
    }

    /// What resumes or replaces the run.
    #[must_use]
    pub const fn next_step(self) -> NextStep {
        self.doc().next_step
    }

    /// What has happened, in general.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.doc().summary
    }

    /// What a person does, up to the redrive or the new execution.
    #[must_use]
    pub const fn instructions(self) -> &'static str {
        self.doc().instructions
    }

    /// The instructions if the step failed on an event. They name the replay, because a redrive does not handle the event.
    #[must_use]
    pub fn replay_instructions(self) -> String {
        let instructions = self.instructions().replace("redrive", "replay the event");
        instructions.replace("Redrive", "Replay the event")
    }

    #[allow(clippy::too_many_lines, reason = "it is a table")]
    const fn doc(self) -> ErrorDoc {
        match self {
            Self::ApplicationBusy => ErrorDoc {
                name: "ApplicationBusy",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The application was still busy when the run stopped waiting: starting, updating, scaling, rolling back, in maintenance, or taking another snapshot.",
                instructions: "Wait until the application is RUNNING and no snapshot is CREATING, then redrive.",
            },
            Self::Throttled => ErrorDoc {
                name: "Throttled",
                is_retryable: true,
                next_step: NextStep::Redrive,
                summary: "The service refused calls because there were too many.",
                instructions: "Find out what else calls the service that often, then redrive.",
            },
            Self::ServiceUnavailable => ErrorDoc {
                name: "ServiceUnavailable",
                is_retryable: true,
                next_step: NextStep::Redrive,
                summary: "The service answered with a server error, too late, or not at all.",
                instructions: "Redrive when the service has recovered; see the AWS Health Dashboard.",
            },
            Self::InvalidInput => ErrorDoc {
                name: "InvalidInput",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "The execution's input is invalid.",
                instructions: "Correct the named field and start a new execution.",
            },
            Self::ApplicationNotFound => ErrorDoc {
                name: "ApplicationNotFound",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "There is no such application in this account and Region.",
                instructions: "If the stack's parameter ApplicationName is wrong, correct it (ListApplications shows all names), deploy, and start a new execution. If the application existed before, find out who deleted it (CloudTrail shows DeleteApplication).",
            },
            Self::SnapshotsDisabled => ErrorDoc {
                name: "SnapshotsDisabled",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "Snapshots are turned off in the application's configuration.",
                instructions: "Turn them on (`ApplicationSnapshotConfigurationUpdate`, `SnapshotsEnabledUpdate` true), then redrive.",
            },
            Self::SnapshotsUnsupported => ErrorDoc {
                name: "SnapshotsUnsupported",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "The application cannot take snapshots. SQL and Studio applications cannot.",
                instructions: "Set the stack's parameter ApplicationName to an application with a Flink runtime, deploy, and start a new execution.",
            },
            Self::EnhancedSnapshotsUnsupported => ErrorDoc {
                name: "EnhancedSnapshotsUnsupported",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The application has enhanced snapshots (`SnapshotMode` `ENHANCED_SNAPSHOTS`), which have other operations and names. This release works with `APPLICATION_SNAPSHOTS_LEGACY` only.",
                instructions: "Set the stack's parameter ScheduleState to DISABLED. If the change to enhanced snapshots was the last update, call RollbackApplication, which restarts the job from the latest successful snapshot. Then redrive, and set ScheduleState to ENABLED. Otherwise this release has no remedy.",
            },
            Self::SnapshotLimitExceeded => ErrorDoc {
                name: "SnapshotLimitExceeded",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "The application has as many snapshots as its quota allows, by default 1,000.",
                instructions: "Start one execution with mode PLAN: it deletes nothing and reports the number of planned deletions. If the plan is right, start one execution with mode PRUNE. Set retention.max_deletions_per_run to the number in the plan's held_back.message. If it names no number, leave max_deletions_per_run out. After that, a RUN works again. Snapshots that the service or a person took count towards the quota too. With scope MANAGED no run deletes them: delete those that you no longer need, but not the restore point.",
            },
            Self::SnapshotNameTaken => ErrorDoc {
                name: "SnapshotNameTaken",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "A snapshot with the name in snapshot_name already exists. It is older than this run. Nothing was changed.",
                instructions: "Choose another snapshot_name and start a new execution.",
            },
            Self::SnapshotFailed => ErrorDoc {
                name: "SnapshotFailed",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "Every snapshot that the run started, up to snapshot_attempts, ended FAILED.",
                instructions: "Look for failed checkpoints, backpressure and sink permissions in the application's log, then start a new execution. If the input has a snapshot_name, choose another one: the failed snapshot has this name.",
            },
            Self::SnapshotTimedOut => ErrorDoc {
                name: "SnapshotTimedOut",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The snapshot was still CREATING at the age of ready_timeout_seconds.",
                instructions: "Redrive when the snapshot is READY or FAILED: the step checks the status before the age. If it stays CREATING, look at the duration of checkpoints and at backpressure. Do not stop the application meanwhile.",
            },
            Self::SnapshotNotFound => ErrorDoc {
                name: "SnapshotNotFound",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "This run's snapshot is gone: somebody, or another run, deleted it.",
                instructions: "Find out who deletes snapshots (CloudTrail shows DeleteApplicationSnapshot), then start a new execution.",
            },
            Self::AccessDenied => ErrorDoc {
                name: "AccessDenied",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The function's role, a resource policy or a key does not allow the call.",
                instructions: "If the input names another application than the stack's, start a new execution with the right name. Otherwise allow the named action for the function's role (on a key: set the parameter ApplicationKeyArn or TableKeyArn), then redrive.",
            },
            Self::TableNotFound => ErrorDoc {
                name: "TableNotFound",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The table of audit records does not exist.",
                instructions: "Create the table, or correct the parameter TableName (the variable TABLE_NAME of record-and-notify), then redrive.",
            },
            Self::TopicNotFound => ErrorDoc {
                name: "TopicNotFound",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The topic for notifications does not exist. The audit record is written.",
                instructions: "Create the topic, or correct the parameter RunTopicArn (the variable TOPIC_ARN of record-and-notify), then redrive.",
            },
            Self::RecordConflict => ErrorDoc {
                name: "RecordConflict",
                is_retryable: false,
                next_step: NextStep::NewExecution,
                summary: "The audit record of this application and run id belongs to another execution. Nothing was overwritten.",
                instructions: "The row is of an execution that started in the same millisecond, or of another program. Only the record and the notification of this run are missing, and neither a redrive nor a replay of its event can make them. Start a new execution only if you need a recorded run.",
            },
            Self::Misconfigured => ErrorDoc {
                name: "Misconfigured",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "A setting in the function's environment is missing or malformed.",
                instructions: "Set the named variables of the function, then redrive.",
            },
            Self::Unexpected => ErrorDoc {
                name: "Unexpected",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The error is not in this table. The message has the service's code and text.",
                instructions: "Read the message and the function's log, remove the cause, then redrive.",
            },
        }
    }
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

    #[test]
    fn every_name_says_what_has_happened_and_what_a_person_does() {
        for name in ErrorName::ALL {
            for text in [name.summary(), name.instructions()] {
                assert!(text.len() > 20 && text.ends_with('.'), "{name}: {text}");
            }
        }
    }

    #[test]
    fn what_the_state_machine_retries_is_redriven_by_hand() {
        let retried = ErrorName::ALL.map(|name| name.is_retryable().then_some(name));
        let retried: Vec<ErrorName> = retried.into_iter().flatten().collect();
        assert_eq!(
            retried,
            [ErrorName::Throttled, ErrorName::ServiceUnavailable]
        );
        for name in retried {
            assert_eq!(name.next_step(), NextStep::Redrive, "{name}");
        }
    }
}
