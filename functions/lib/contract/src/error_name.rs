//! The error names. The retriers of the state machine, alarms and scripts match them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Mode, NotifyOn, RunInput};

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

    /// What a person does about an error on an event, up to its replay: an execution that has ended is not redriven for it.
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
                instructions: "Correct the name (ListApplications shows all names) and start a new execution. If the application existed before, find out who deleted it (CloudTrail shows DeleteApplication).",
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
                instructions: "Name an application with a Flink runtime and start a new execution.",
            },
            Self::EnhancedSnapshotsUnsupported => ErrorDoc {
                name: "EnhancedSnapshotsUnsupported",
                is_retryable: false,
                next_step: NextStep::Redrive,
                summary: "The application has enhanced snapshots (`SnapshotMode` `ENHANCED_SNAPSHOTS`), which have other operations and names. This release works with `APPLICATION_SNAPSHOTS_LEGACY` only.",
                instructions: "Disable the schedule of this application. If the change to enhanced snapshots was its last update, RollbackApplication takes the change back: it restarts the job from the latest successful snapshot. After that, redrive. Otherwise this release has no remedy.",
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
                instructions: "The row is of an execution that started in the same millisecond, or of another program. What the run did is done: only its record and its notification are missing. Start a new execution only if you need a recorded run.",
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

    /// The command of the next step, for a person to copy. `input` is the failed run's, if it was valid.
    #[must_use]
    pub fn command(self, execution_arn: &str, input: Option<&RunInput>) -> String {
        if self.next_step() == NextStep::Redrive {
            return redrive_command(execution_arn);
        }
        let input = match self {
            Self::InvalidInput
            | Self::ApplicationNotFound
            | Self::SnapshotNameTaken
            | Self::SnapshotsUnsupported => None,
            // Nobody has seen what a PRUNE would delete. The plan must be announced to be seen.
            Self::SnapshotLimitExceeded => input.cloned().map(|input| RunInput {
                mode: Mode::Plan,
                notify_on: NotifyOn::All,
                snapshot_name: None,
                ..input
            }),
            // The failed run may have taken the name.
            _ => input.filter(|it| it.snapshot_name.is_none()).cloned(),
        };
        let input = input
            .and_then(|input| serde_json::to_string(&input).ok())
            .unwrap_or_else(|| "<the run input>".to_owned());
        let machine = state_machine_arn(execution_arn);
        let start = step_functions_command("start-execution --state-machine-arn", &machine);
        format!("{start} --input '{input}'")
    }
}

/// The command that redrives an execution.
#[must_use]
pub fn redrive_command(execution_arn: &str) -> String {
    step_functions_command("redrive-execution --execution-arn", execution_arn)
}

/// A command about what `arn` names. It has the Region of the ARN, because the shell of the person who copies it
/// may be set to another one.
fn step_functions_command(command: &str, arn: &str) -> String {
    let region = arn.split(':').nth(3).filter(|region| !region.is_empty());
    let region = region.map_or_else(String::new, |region| format!(" --region {region}"));
    format!("aws stepfunctions {command} {arn}{region}")
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

    #[test]
    fn every_name_says_what_has_happened_and_what_a_person_does() {
        for name in ErrorName::ALL {
            for text in [name.summary(), name.instructions()] {
                assert!(text.len() > 20 && text.ends_with('.'), "{name}: {text}");
            }
        }
    }

    const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:run-7";

    #[test]
    fn every_command_names_the_execution_or_its_state_machine_and_their_region() {
        for (partition, region) in [
            ("aws", "eu-central-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
        ] {
            let arn = |kind: &str| format!("arn:{partition}:states:{region}:123456789012:{kind}");
            let execution = arn("execution:snapshots:run-7");
            let machine = arn("stateMachine:snapshots");
            let redrive = format!(
                "aws stepfunctions redrive-execution --execution-arn {execution} --region {region}"
            );
            let start = format!(
                "aws stepfunctions start-execution --state-machine-arn {machine} --region {region} --input '"
            );
            assert_eq!(redrive_command(&execution), redrive);
            let input: RunInput = serde_json::from_str(r#"{"application_name":"orders"}"#).unwrap();
            for name in ErrorName::ALL {
                for input in [None, Some(&input)] {
                    let command = name.command(&execution, input);
                    match name.next_step() {
                        NextStep::Redrive => assert_eq!(command, redrive, "{name}"),
                        NextStep::NewExecution => assert!(command.starts_with(&start), "{command}"),
                    }
                }
                // A command without a Region would ask another one.
                assert!(!name.instructions().contains("`aws "), "{name}");
            }
        }
    }

    #[test]
    fn a_command_about_what_is_no_arn_names_no_region() {
        for arn in ["", "run-7", "arn:aws:states::123456789012:execution:m:n"] {
            let command = format!("aws stepfunctions redrive-execution --execution-arn {arn}");
            assert_eq!(redrive_command(arn), command);
        }
    }

    #[test]
    fn a_full_quota_asks_for_an_announced_plan_and_leaves_the_policy_and_its_brake_as_they_are() {
        let failed: RunInput = serde_json::from_str(
            r#"{
                "application_name":"orders","retention":{"keep_last":7},"notify_on":"PROBLEMS",
                "snapshot_name":"before-upgrade"
            }"#,
        )
        .unwrap();
        let command = ErrorName::SnapshotLimitExceeded.command(EXECUTION, Some(&failed));
        let machine = "arn:aws:states:eu-central-1:123456789012:stateMachine:snapshots";
        let start = format!(
            "aws stepfunctions start-execution --state-machine-arn {machine} --region eu-central-1 --input '"
        );
        let started: RunInput = serde_json::from_str(
            command
                .strip_prefix(&start)
                .unwrap()
                .strip_suffix('\'')
                .unwrap(),
        )
        .unwrap();
        assert_eq!(
            started,
            RunInput {
                mode: Mode::Plan,
                notify_on: NotifyOn::All,
                snapshot_name: None,
                ..failed
            }
        );
        assert_eq!(started.retention.max_deletions_per_run, None);
        let instructions = ErrorName::SnapshotLimitExceeded.instructions();
        let (plan, prune) = instructions.split_once("mode PRUNE").unwrap();
        assert!(plan.contains("mode PLAN"), "{instructions}");
        assert!(prune.contains("max_deletions_per_run"), "{instructions}");
    }

    #[test]
    fn a_new_execution_needs_another_name_than_the_failed_one_gave_its_snapshot() {
        let input = |name: &str| -> RunInput {
            serde_json::from_str(&format!(r#"{{"application_name":"orders"{name}}}"#)).unwrap()
        };
        let (named, unnamed) = (input(r#","snapshot_name":"before-upgrade""#), input(""));
        for error in [
            ErrorName::SnapshotNameTaken,
            ErrorName::SnapshotFailed,
            ErrorName::RecordConflict,
        ] {
            let command = error.command(EXECUTION, Some(&named));
            assert!(command.ends_with("'<the run input>'"), "{command}");
        }
        // With these, the failed run's input cannot succeed.
        for error in [
            ErrorName::InvalidInput,
            ErrorName::ApplicationNotFound,
            ErrorName::SnapshotNameTaken,
            ErrorName::SnapshotsUnsupported,
        ] {
            let command = error.command(EXECUTION, Some(&unnamed));
            assert!(command.ends_with("'<the run input>'"), "{command}");
        }
        let command = ErrorName::SnapshotFailed.command(EXECUTION, Some(&unnamed));
        assert!(
            command.contains(r#""application_name":"orders""#),
            "{command}"
        );
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
