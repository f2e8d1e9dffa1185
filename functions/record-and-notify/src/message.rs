//! Builds the notification of a record, for people and for programs.

use std::fmt::Write;

use contract::{Action, AuditRecord, ErrorName, redrive_command};
use serde_json::json;
use step::bounded_line;

/// The maximum length of a subject in characters. SNS requires fewer than 100.
const MAX_SUBJECT: usize = 99;

/// The maximum length of the text for SMS in characters. A text of this length fits into one SMS.
const MAX_SMS: usize = 140;

/// A headline keeps at least this many characters of the application's name.
const MIN_NAME_LENGTH: usize = 20;

/// The maximum number of failed deletions that an e-mail lists.
const MAX_LISTED_FAILED: usize = 10;

/// The maximum number of planned deletions that an e-mail lists.
const MAX_LISTED_PLANNED: usize = 20;

/// A notification in the form that the SNS operation `Publish` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// The body for the `MessageStructure` `json`. It has the record as JSON for programs, and one text for e-mail and
    /// one for SMS.
    pub(crate) body: String,
}

pub(crate) fn message(record: &AuditRecord) -> Message {
    Message {
        subject: headline(record, MAX_SUBJECT),
        body: json!({
            "default": json!(record).to_string(),
            "email": email(record, &headline(record, usize::MAX)),
            "sms": headline(record, MAX_SMS),
        })
        .to_string(),
    }
}

/// One line of at most `max_length` characters: the application's name, the outcome, the state and the error of a
/// failure, and the number of warnings. If the line is too long, the application's name is shortened first. The outcome
/// is never shortened.
fn headline(record: &AuditRecord, max_length: usize) -> String {
    let mut end = format!(": {}", record.outcome.as_str());
    if let Some(state) = &record.failed_state {
        let _ = write!(end, " at {state}");
    }
    if let Some(error) = &record.error_name {
        let _ = write!(end, " with {error}");
    }
    if let Ok(count @ 1..) = u32::try_from(record.warnings.len()) {
        let _ = write!(end, ", {}", pluralize(count, "warning"));
    }
    let name_length = record.app_name.chars().count();
    let end = truncate(&end, max_length - name_length.min(MIN_NAME_LENGTH));
    let name = truncate(&record.app_name, max_length - end.chars().count());
    name + &end
}

fn truncate(text: &str, max_length: usize) -> String {
    if text.chars().count() <= max_length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_length - 3).collect();
    format!("{kept}...")
}

/// For example `1 snapshot` or `2 snapshots`.
fn pluralize(count: u32, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// The text of the e-mail: what happened, the remedy with its command, and the link to the execution.
///
/// Text from outside, such as the cause of a stopped execution, must not look like a line that this function writes. So
/// each line passes [`bounded_line`], and each line except the headline begins with fixed text. The headline
/// begins with the application's name, which cannot contain a space or a colon.
fn email(record: &AuditRecord, headline: &str) -> String {
    let labelled = |label: &str, text: Option<&String>| Some(vec![format!("{label}: {}", text?)]);
    let held_back = record.held_back.as_ref().map(|held| &held.message);
    let console_link = console_link(&record.execution_arn);
    let paragraphs: [Option<Vec<String>>; 10] = [
        Some(vec![headline.to_owned()]),
        labelled("Skipped", record.skip_reason.as_ref()),
        snapshot(record).map(|line| vec![line]),
        deletions(record),
        labelled("Held back", held_back),
        warnings(record),
        labelled("Cause", record.error_message.as_ref()),
        remedy(record).map(|line| vec![line]),
        Some(vec![format!("Execution: {console_link}")]),
        Some(vec![format!(
            "Record: app_name {}, snapshot_manager_run_id {}",
            record.app_name, record.snapshot_manager_run_id
        )]),
    ];
    let paragraphs: Vec<String> = paragraphs
        .into_iter()
        .flatten()
        .map(|lines| {
            let lines: Vec<String> = lines.iter().map(|line| bounded_line(line)).collect();
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
        None => format!(
            "Snapshot {name}{version} was started. The run ended before the snapshot was READY."
        ),
    })
}

fn warnings(record: &AuditRecord) -> Option<Vec<String>> {
    let lines = record.warnings.iter();
    let lines: Vec<String> = lines.map(|warning| format!("Warning: {warning}")).collect();
    (!lines.is_empty()).then_some(lines)
}

fn deletions(record: &AuditRecord) -> Option<Vec<String>> {
    let mut lines = vec![if let Some(planned) = record.deletions_planned {
        format!("The plan would delete {}.", pluralize(planned, "snapshot"))
    } else {
        let deleted = pluralize(record.snapshots_deleted_count?, "snapshot");
        format!("Deleted {deleted}.")
    }];
    if let (Some(planned), Some(plan)) = (record.deletions_planned, &record.plan) {
        let doomed = plan.iter().filter(|it| it.action == Action::Delete);
        let doomed = doomed.take(MAX_LISTED_PLANNED);
        lines.extend(doomed.map(|it| format!("- {}: {}", it.snapshot_name, it.reasons.join("; "))));
        let more = (planned as usize).saturating_sub(lines.len() - 1);
        lines.extend((more > 0).then(|| format!("- and {more} more, see the record")));
    }
    if let Some(failed @ 1..) = record.snapshots_failed_to_be_deleted_count {
        let _ = write!(lines[0], " {failed} could not be deleted:");
        let failures = record.snapshots_failed_to_be_deleted.iter().flatten();
        lines.extend(
            failures
                .take(MAX_LISTED_FAILED)
                .map(|failed| format!("- {}: {}", failed.snapshot_name, failed.reason)),
        );
    }
    if let (Some(ready), Some(total)) = (record.snapshots_ready, record.snapshots_total) {
        let newest = record
            .newest_ready_snapshot_create_time
            .map_or_else(String::new, |time| {
                format!(" The newest READY snapshot was created at {time}.")
            });
        lines.push(format!(
            "The application has {}, {total} in total.{newest}",
            pluralize(ready, "READY snapshot")
        ));
    }
    Some(lines)
}

/// The remedy for a failed execution, or `None` if the error message contains the remedy already. A complete message of
/// an error in [`ErrorName`] contains it. If the message is absent or truncated, the remedy is added here.
fn remedy(record: &AuditRecord) -> Option<String> {
    if !record.outcome.is_failed_execution() {
        return None;
    }
    let execution_arn = &record.execution_arn;
    let error_name = ErrorName::ALL
        .into_iter()
        .find(|name| record.error_name.as_deref() == Some(name.as_str()));
    let message = record.error_message.as_deref().unwrap_or_default();
    match error_name {
        Some(_) if message.contains("Command: aws stepfunctions ") => None,
        Some(name) => Some(format!(
            "{} Command: {}",
            name.instructions(),
            name.command(execution_arn, None)
        )),
        None => Some(format!(
            "Remove the cause, then redrive the execution: {}",
            redrive_command(execution_arn)
        )),
    }
}

/// The link to the execution's page in the console of its AWS partition.
fn console_link(execution_arn: &str) -> String {
    let mut parts = execution_arn.split(':').skip(1);
    let partition = parts.next().unwrap_or_default();
    let region = parts.nth(1).unwrap_or_default();
    let host = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        "aws-eusc" => "console.amazonaws-eusc.eu",
        _ => "console.aws.amazon.com",
    };
    format!(
        "https://{region}.{host}/states/home?region={region}#/v2/executions/details/{execution_arn}"
    )
}
