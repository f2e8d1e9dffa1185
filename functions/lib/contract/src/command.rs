//! The command in the message of a failed run: the redrive or the new execution, for a person to copy.

use crate::{ErrorName, Mode, NotifyOn, Remedy, RunInput};

impl ErrorName {
    /// The command that redrives the execution or starts a new one, for a person to copy. `input` is the failed run's
    /// input, or `None` if that input was invalid. If a new execution must not have the same input, the command has the
    /// placeholder `<the run input>`.
    #[must_use]
    pub fn command(self, execution_arn: &str, input: Option<&RunInput>) -> String {
        if self.remedy() == Remedy::Redrive {
            return redrive_command(execution_arn);
        }
        let input = match self {
            Self::InvalidInput
            | Self::ApplicationNotFound
            | Self::SnapshotNameTaken
            | Self::SnapshotsUnsupported => None,
            // A PRUNE would delete snapshots by a plan that nobody has seen, so the command starts a PLAN. The plan
            // reaches a person only in a notification, so every outcome notifies.
            Self::SnapshotLimitExceeded => input.cloned().map(|input| RunInput {
                mode: Mode::Plan,
                notify_on: NotifyOn::All,
                snapshot_name: None,
                ..input
            }),
            // The failed run may have taken a snapshot with the snapshot_name, so the same name would be refused.
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

/// An `aws stepfunctions` command for the execution or state machine `arn`. The command names the Region of the ARN,
/// because the shell of the person who copies the command may be set to another Region.
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

#[cfg(test)]
mod tests {
    use super::*;

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
                    match name.remedy() {
                        Remedy::Redrive => assert_eq!(command, redrive, "{name}"),
                        Remedy::NewExecution => assert!(command.starts_with(&start), "{command}"),
                    }
                }
                // A command in the instructions would have no Region, so it could call another Region.
                assert!(!name.instructions().contains("`aws "), "{name}");
            }
        }
    }

    #[test]
    fn a_command_has_no_region_if_the_arn_has_none() {
        for arn in ["", "run-7", "arn:aws:states::123456789012:execution:m:n"] {
            let command = format!("aws stepfunctions redrive-execution --execution-arn {arn}");
            assert_eq!(redrive_command(arn), command);
        }
    }

    #[test]
    fn the_command_for_a_full_quota_starts_a_plan_that_notifies_under_the_same_policy() {
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
    fn a_command_has_a_placeholder_if_the_failed_runs_input_would_fail_again() {
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
        // A run with the same input would fail with the same error.
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
}
