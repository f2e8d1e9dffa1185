//! The error names. The retriers of the state machine match the retryable ones. Alarms and scripts may match any.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a step failed. The name is the `errorType` of the function's response, the `Error` of the execution, and a value
/// of `ErrorEquals` in a retrier. Renaming an error is a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(
    missing_docs,
    reason = "ErrorName::summary documents each name, and resources/docs/reference.md prints the summaries"
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

/// What to do with a failed run after its cause is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Redrive the execution. It resumes at the step that failed.
    Redrive,
    /// Start a new execution, because a redrive would meet the same error: it has the same input and the same snapshot.
    NewExecution,
}

/// The properties of an error.
struct Properties {
    name: &'static str,
    is_retryable: bool,
    remedy: Remedy,
    summary: &'static str,
    instructions: Instructions,
}

/// The instructions for a failed execution, and those for an event of a failed execution that could not be handled.
struct Instructions {
    for_execution: &'static str,
    for_event: &'static str,
}

impl Instructions {
    /// The same text for the execution and the event.
    const fn same_for_both(text: &'static str) -> Self {
        Self {
            for_execution: text,
            for_event: text,
        }
    }
}

/// Instructions that differ only in one clause: redrive the execution, or replay the event.
macro_rules! redrive_or_replay {
    ($before:literal, $after:literal) => {
        Instructions {
            for_execution: concat!($before, "redrive the execution", $after),
            for_event: concat!($before, "replay the event", $after),
        }
    };
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

    /// The name as in `ErrorEquals`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.properties().name
    }

    /// Whether the state machine retries the step.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        self.properties().is_retryable
    }

    /// What to do with the failed run after the cause is removed.
    #[must_use]
    pub const fn remedy(self) -> Remedy {
        self.properties().remedy
    }

    /// What happened, in one or two sentences without the details of a run.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.properties().summary
    }

    /// What a person does about a failed execution, from the cause to the redrive or the new execution.
    #[must_use]
    pub const fn instructions(self) -> &'static str {
        self.properties().instructions.for_execution
    }

    /// What a person does about an event that could not be handled. The last step is to replay the event, because a
    /// redrive of the execution does not handle the event.
    #[must_use]
    pub const fn replay_instructions(self) -> &'static str {
        self.properties().instructions.for_event
    }

    #[allow(clippy::too_many_lines, reason = "it is a table")]
    const fn properties(self) -> Properties {
        match self {
            Self::ApplicationBusy => Properties {
                name: "ApplicationBusy",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The application was busy, and the run did not wait any longer. A busy application is starting, updating, scaling, rolling back, in maintenance, or taking another snapshot.",
                instructions: redrive_or_replay!(
                    "Wait until the application is RUNNING and no snapshot is CREATING, then ",
                    "."
                ),
            },
            Self::Throttled => Properties {
                name: "Throttled",
                is_retryable: true,
                remedy: Remedy::Redrive,
                summary: "The service throttled the function's calls.",
                instructions: redrive_or_replay!(
                    "Find out what else calls the service so often, then ",
                    "."
                ),
            },
            Self::ServiceUnavailable => Properties {
                name: "ServiceUnavailable",
                is_retryable: true,
                remedy: Remedy::Redrive,
                summary: "The service answered with a server error, answered too late, or did not answer.",
                instructions: redrive_or_replay!(
                    "Wait until the service has recovered (see the AWS Health Dashboard), then ",
                    "."
                ),
            },
            Self::InvalidInput => Properties {
                name: "InvalidInput",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "The execution's input is invalid.",
                instructions: Instructions::same_for_both(
                    "Correct the field that the message names, and start a new execution.",
                ),
            },
            Self::ApplicationNotFound => Properties {
                name: "ApplicationNotFound",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "The application does not exist in this account and Region.",
                instructions: Instructions::same_for_both(
                    "If the stack's parameter ApplicationName is wrong, correct it (ListApplications shows all names), deploy, and start a new execution. If the application existed before, find out who deleted it (CloudTrail shows DeleteApplication).",
                ),
            },
            Self::SnapshotsDisabled => Properties {
                name: "SnapshotsDisabled",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "Snapshots are turned off in the application's configuration.",
                instructions: redrive_or_replay!(
                    "Turn snapshots on (`ApplicationSnapshotConfigurationUpdate`, `SnapshotsEnabledUpdate` true), then ",
                    "."
                ),
            },
            Self::SnapshotsUnsupported => Properties {
                name: "SnapshotsUnsupported",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "The application cannot take snapshots. SQL and Studio applications cannot.",
                instructions: Instructions::same_for_both(
                    "Set the stack's parameter ApplicationName to an application with a Flink runtime, deploy, and start a new execution.",
                ),
            },
            Self::EnhancedSnapshotsUnsupported => Properties {
                name: "EnhancedSnapshotsUnsupported",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The application uses enhanced snapshots (`SnapshotMode` `ENHANCED_SNAPSHOTS`), which have other operations and names. This release supports only `APPLICATION_SNAPSHOTS_LEGACY`.",
                instructions: redrive_or_replay!(
                    "Set the stack's parameter ScheduleState to DISABLED. If the application was updated again after the change to enhanced snapshots, stop here: this release cannot take snapshots of the application. Otherwise call RollbackApplication (this restarts the job from the latest successful snapshot), ",
                    ", and set ScheduleState to ENABLED."
                ),
            },
            Self::SnapshotLimitExceeded => Properties {
                name: "SnapshotLimitExceeded",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "The application has as many snapshots as its quota allows, by default 1,000.",
                instructions: Instructions::same_for_both(
                    "Start one execution with mode PLAN, which deletes nothing and reports the planned deletions. If the plan is right, start one execution with mode PRUNE. If the plan's held_back.cause is MAX_DELETIONS_PER_RUN, give the PRUNE execution the retention.max_deletions_per_run that held_back.message recommends. As soon as snapshots are deleted, a RUN works again. Snapshots that the service or a person took count towards the quota too, but with scope MANAGED no run deletes such a snapshot. Delete the ones that you no longer need by hand, except the snapshot that the application restores from.",
                ),
            },
            Self::SnapshotNameTaken => Properties {
                name: "SnapshotNameTaken",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "A snapshot with the name in snapshot_name already exists. That snapshot is older than this run, or has no creation timestamp. Nothing was changed.",
                instructions: Instructions::same_for_both(
                    "Choose another snapshot_name and start a new execution.",
                ),
            },
            Self::SnapshotFailed => Properties {
                name: "SnapshotFailed",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "Every snapshot that the run started, up to snapshot_attempts, ended FAILED.",
                instructions: Instructions::same_for_both(
                    "Look for failed checkpoints, backpressure and missing permissions of sinks in the application's log, then start a new execution. If the input has a snapshot_name, choose another one, because the failed snapshot keeps its name.",
                ),
            },
            Self::SnapshotTimedOut => Properties {
                name: "SnapshotTimedOut",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The snapshot was still not READY when its age reached ready_timeout_seconds.",
                instructions: redrive_or_replay!(
                    "Wait until the snapshot is READY or FAILED, then ",
                    ": the step checks the status first, so the age no longer matters. If the snapshot stays CREATING, look for slow checkpoints and backpressure. Do not stop the application while the snapshot is CREATING."
                ),
            },
            Self::SnapshotNotFound => Properties {
                name: "SnapshotNotFound",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "This run's snapshot does not exist any more or is being deleted. Somebody, or another run, deleted it.",
                instructions: Instructions::same_for_both(
                    "Find out who deletes snapshots (CloudTrail shows DeleteApplicationSnapshot), then start a new execution.",
                ),
            },
            Self::AccessDenied => Properties {
                name: "AccessDenied",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The policy of the function's role, a resource policy or a key policy does not allow the call.",
                instructions: redrive_or_replay!(
                    "If the input names an application other than the stack's, start a new execution with the right name. Otherwise allow the function's role the action that the message names (if a key denies it, set the parameter ApplicationKeyArn or TableKeyArn), then ",
                    "."
                ),
            },
            Self::TableNotFound => Properties {
                name: "TableNotFound",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The DynamoDB table for audit records does not exist.",
                instructions: redrive_or_replay!(
                    "Create the table, or correct the parameter TableName (the variable TABLE_NAME of record-and-notify), then ",
                    "."
                ),
            },
            Self::TopicNotFound => Properties {
                name: "TopicNotFound",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "The SNS topic for notifications does not exist. The audit record was written.",
                instructions: redrive_or_replay!(
                    "Create the topic, or correct the parameter RunTopicArn (the variable TOPIC_ARN of record-and-notify), then ",
                    "."
                ),
            },
            Self::RecordConflict => Properties {
                name: "RecordConflict",
                is_retryable: false,
                remedy: Remedy::NewExecution,
                summary: "The audit record of this application and run id belongs to another execution. Nothing was overwritten.",
                instructions: Instructions {
                    for_execution: "Another execution that started in the same millisecond, or another program, wrote the row. Only the record and the notification of this run are missing. A redrive would meet the same error. Start a new execution only if you need a run with a record.",
                    for_event: "Another execution that started in the same millisecond, or another program, wrote the row. Only the record and the notification of this run are missing. A replay would meet the same error. Start a new execution only if you need a run with a record.",
                },
            },
            Self::Misconfigured => Properties {
                name: "Misconfigured",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "A setting in the function's environment is missing or malformed.",
                instructions: redrive_or_replay!(
                    "Set the environment variables that the message names, then ",
                    "."
                ),
            },
            Self::Unexpected => Properties {
                name: "Unexpected",
                is_retryable: false,
                remedy: Remedy::Redrive,
                summary: "An error occurred that has no name of its own. If a service returned it, the message has the service's code and text.",
                instructions: redrive_or_replay!(
                    "Read the message and the function's log, remove the cause, then ",
                    "."
                ),
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
    fn each_name_serializes_as_its_text() {
        for name in ErrorName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
    }

    #[test]
    fn every_name_has_a_summary_and_instructions_in_whole_sentences() {
        for name in ErrorName::ALL {
            for text in [
                name.summary(),
                name.instructions(),
                name.replay_instructions(),
            ] {
                assert!(text.len() > 20 && text.ends_with('.'), "{name}: {text}");
            }
        }
    }

    #[test]
    fn the_remedy_of_each_retried_error_is_a_redrive() {
        let retried = ErrorName::ALL.map(|name| name.is_retryable().then_some(name));
        let retried: Vec<ErrorName> = retried.into_iter().flatten().collect();
        assert_eq!(
            retried,
            [ErrorName::Throttled, ErrorName::ServiceUnavailable]
        );
        for name in retried {
            assert_eq!(name.remedy(), Remedy::Redrive, "{name}");
        }
    }

    #[test]
    fn instructions_mention_only_the_redrive_and_replay_instructions_only_the_replay() {
        for name in ErrorName::ALL {
            for (text, noun, clause) in [
                (name.instructions(), "redrive", "redrive the execution"),
                (name.replay_instructions(), "replay", "replay the event"),
            ] {
                // Each mention is the whole clause, or the noun with its article.
                let lower_case = text.to_lowercase();
                let count = |part: &str| lower_case.matches(part).count();
                let clauses = count(clause);
                assert_eq!(
                    count("redrive") + count("replay"),
                    count(noun),
                    "{name}: {text}"
                );
                assert_eq!(
                    count(noun),
                    clauses + count(&format!("a {noun} would")),
                    "{name}: {text}"
                );
                assert_eq!(
                    clauses,
                    usize::from(name.remedy() == Remedy::Redrive),
                    "{name}: {text}"
                );
            }
        }
    }
}
