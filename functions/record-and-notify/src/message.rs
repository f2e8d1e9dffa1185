//! The audit record -> what people and programs are told.

use std::fmt::Write;

use contract::{AuditRecord, ErrorName, redrive_command};
use serde_json::json;
use step::single_line;

/// SNS takes subjects of fewer than 100 characters.
const SUBJECT_LENGTH: usize = 99;

/// A notification as SNS takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// For `MessageStructure` json: the record for programs, texts for people.
    pub(crate) body: String,
}

pub(crate) fn message(record: &AuditRecord) -> Message {
    let headline = headline(record);
    Message {
        subject: shortened(&headline, SUBJECT_LENGTH),
        body: json!({
            "default": json!(record).to_string(),
            "email": email(record, &headline),
            "sms": shortened(&headline, 140),
        })
        .to_string(),
    }
}

/// Application, outcome, and where it failed.
fn headline(record: &AuditRecord) -> String {
    let mut line = format!("{}: {}", record.app_name, record.outcome.as_str());
    if let Some(state) = &record.failed_state {
        let _ = write!(line, " at {state}");
    }
    if let Some(error) = &record.error_name {
        let _ = write!(line, " with {error}");
    }
    line
}

fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length - 3).collect();
    format!("{kept}...")
}

/// The fact, the cure, the command, and where to look. Each line begins with words of ours, and has in
/// it nothing that ends it: whoever may name a snapshot or stop an execution writes none.
fn email(record: &AuditRecord, headline: &str) -> String {
    let line = |text: String| vec![text];
    let said = |what: &str, text: Option<&String>| text.map(|text| vec![format!("{what}: {text}")]);
    let held_back = record.held_back.as_ref().map(|held| &held.message);
    let paragraphs = [
        Some(line(headline.to_owned())),
        said("Skipped", record.skip_reason.as_ref()),
        snapshot(record).map(line),
        deletions(record),
        said("Held back", held_back),
        said("Cause", record.error_message.as_ref()),
        cure(record).map(line),
        Some(line(format!(
            "Execution: {}",
            console_link(&record.execution_arn)
        ))),
        Some(line(format!(
            "Record: app_name {}, snapshot_manager_run_id {}",
            record.app_name, record.snapshot_manager_run_id
        ))),
    ];
    let paragraphs: Vec<String> = paragraphs
        .into_iter()
        .flatten()
        .map(|lines| {
            let lines: Vec<String> = lines.iter().map(|line| single_line(line)).collect();
            lines.join("\n")
        })
        .collect();
    paragraphs.join("\n\n")
}

fn snapshot(record: &AuditRecord) -> Option<String> {
    let name = record.new_snapshot_name.as_ref()?;
    let version = record
        .flink_app_version_id
        .as_ref()
        .map_or_else(String::new, |id| format!(" of application version {id}"));
    Some(match record.snapshot_seconds {
        Some(seconds) => format!("Snapshot {name}{version} was READY within {seconds} s."),
        None => format!("Snapshot {name}{version} was begun and not seen READY."),
    })
}

fn deletions(record: &AuditRecord) -> Option<Vec<String>> {
    let mut lines = vec![if let Some(wanted) = record.deletions_planned {
        format!("The plan would delete {wanted} snapshots.")
    } else {
        format!("Deleted {} snapshots.", record.snapshots_deleted_count?)
    }];
    if let Some(failed @ 1..) = record.snapshots_failed_to_be_deleted_count {
        let _ = write!(lines[0], " {failed} could not be deleted:");
        let named = record.snapshots_failed_to_be_deleted.iter().flatten();
        lines.extend(
            named
                .take(10)
                .map(|failed| format!("- {}: {}", failed.snapshot_name, failed.reason)),
        );
    }
    if let (Some(ready), Some(total)) = (record.snapshots_ready, record.snapshots_total) {
        let newest = record
            .newest_ready_snapshot_create_time
            .as_ref()
            .map_or_else(String::new, |time| {
                format!("; the newest READY one is of {time}")
            });
        lines.push(format!(
            "The application has {ready} READY snapshots, {total} in all{newest}."
        ));
    }
    Some(lines)
}

/// The cure of an execution that ended badly, unless its message has it, as those with one of our
/// names do when they are there and whole.
fn cure(record: &AuditRecord) -> Option<String> {
    if !record.outcome.is_failed_execution() {
        return None;
    }
    let execution_arn = &record.execution_arn;
    let ours = ErrorName::ALL
        .into_iter()
        .find(|ours| record.error_name.as_deref() == Some(ours.as_str()));
    let message = record.error_message.as_deref().unwrap_or_default();
    match ours {
        Some(_) if message.contains("Command: aws stepfunctions ") => None,
        Some(name) => Some(format!(
            "{} Command: {}",
            name.instructions(),
            name.command(execution_arn, None)
        )),
        None => Some(format!(
            "Once the cause is gone, redrive it: {}",
            redrive_command(execution_arn)
        )),
    }
}

/// The execution's page in the console of its partition.
fn console_link(execution_arn: &str) -> String {
    let mut parts = execution_arn.split(':').skip(1);
    let partition = parts.next().unwrap_or_default();
    let region = parts.nth(1).unwrap_or_default();
    let host = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!(
        "https://{region}.{host}/states/home?region={region}#/v2/executions/details/{execution_arn}"
    )
}
