//! The path from the input through the calls to the output: write, announce, mark.

use contract::{
    AuditRecord, ExecutionStatusChange, NotifyOn, RecordAndNotifyInput, RecordAndNotifyOutput,
    Recorded, RunInput, RunSummary,
};
use jiff::Timestamp;
use serde_json::Value;
use step::StepError;

use crate::clients::Clients;
use crate::config::Config;
use crate::failure::{FailureDetails, failure_details};
use crate::row::Mark;
use crate::table::{self, Written};
use crate::{error, metrics, record, topic};

/// Writes the audit record of a run, announces it, and marks it as announced, in this order.
///
/// `input` is a [`RecordAndNotifyInput`] from the state machine, a bare [`RunSummary`] from the definition of
/// release 0.1.0, or an [`ExecutionStatusChange`] from the EventBridge rule. `print` gets the line of metrics.
///
/// # Errors
/// Returns one of [`crate::ERRORS`]. If the history of a failed execution cannot be read, the run is recorded
/// and announced with what the event says, and the step fails after that.
pub async fn handle(
    clients: &Clients,
    config: &Result<Config, String>,
    input: Value,
    now: Timestamp,
    print: impl Fn(&str),
) -> Result<RecordAndNotifyOutput, StepError> {
    let config = config.as_ref().map_err(|fact| error::misconfigured(fact))?;
    let EndedRun {
        mut record,
        notify_on,
        history_error,
    } = if input.get("detail-type").is_some() {
        failed_execution(&clients.sfn, &input).await?
    } else {
        completed_run(&input, now)?
    };
    if let Some(own) = &config.application_name
        && *own != record.app_name
    {
        record::UNKNOWN.clone_into(&mut record.app_name);
    }
    record.expires_at = config
        .record_retention_days
        .map(|days| record.finished_at / 1_000 + i64::from(days) * 86_400);
    let span = tracing::Span::current();
    span.record("application", &record.app_name);
    span.record("run_id", record.snapshot_manager_run_id);
    span.record("snapshot_name", record.new_snapshot_name.as_deref());
    tracing::info!(
        outcome = record.outcome.as_str(),
        failed_state = record.failed_state,
        "recording"
    );

    let written = table::write(&clients.dynamodb, &config.table_name, &record).await?;
    let (recorded, message_id) = match written {
        Written::Now(mark) => {
            let message_id =
                announce_and_mark(clients, config, &record, mark, notify_on, print).await?;
            (Recorded::Written, message_id)
        }
        Written::Superseded(later) => {
            // The invocation that wrote the later record may have ended before it announced it.
            if let Some(later) = later
                && matches!(later.mark, Mark::FailureAnnounced | Mark::Absent)
            {
                let table::LaterRecord { record, mark } = *later;
                announce_and_mark(clients, config, &record, mark, notify_on, print).await?;
            }
            (Recorded::Superseded, None)
        }
    };
    if let Some(error) = history_error {
        return Err(error);
    }
    Ok(RecordAndNotifyOutput {
        app_name: record.app_name,
        snapshot_manager_run_id: record.snapshot_manager_run_id,
        outcome: record.outcome,
        recorded,
        message_id,
    })
}

/// A run that ended, in its last state or before.
struct EndedRun {
    record: AuditRecord,
    notify_on: NotifyOn,
    /// Why the history of a failed execution could not be read, if that is so.
    history_error: Option<StepError>,
}

/// The run of the state machine's last state.
fn completed_run(input: &Value, now: Timestamp) -> Result<EndedRun, StepError> {
    let (redrive_count, summary) = if input.get("done").is_some() {
        let input: RecordAndNotifyInput = contract::parse(input).map_err(StepError::unexpected)?;
        (Some(input.redrive_count), input.done)
    } else {
        let summary: RunSummary = contract::parse(input).map_err(StepError::unexpected)?;
        (None, summary)
    };
    Ok(EndedRun {
        notify_on: summary.run.input.notify_on,
        record: record::of_run(summary, redrive_count, now),
        history_error: None,
    })
}

/// The run of an execution that failed, timed out or was stopped, from the event and the history.
async fn failed_execution(sfn: &aws_sdk_sfn::Client, input: &Value) -> Result<EndedRun, StepError> {
    let event: ExecutionStatusChange = contract::parse(input).map_err(StepError::unexpected)?;
    let (details, history_error) = match failure_details(sfn, &event.detail).await {
        Ok(details) => (details, None),
        Err(error) => (FailureDetails::default(), Some(error)),
    };
    let run_input = event.detail.input.as_deref();
    let run_input: Option<RunInput> = run_input.and_then(|input| serde_json::from_str(input).ok());
    Ok(EndedRun {
        notify_on: run_input.map_or(NotifyOn::All, |input| input.notify_on),
        record: record::of_failure(&event.detail, details),
        history_error,
    })
}

/// Announces the record if the run is one to announce, prints its metrics, and marks it, unless `mark` says
/// that this is done. Returns the message id of the announcement.
async fn announce_and_mark(
    clients: &Clients,
    config: &Config,
    record: &AuditRecord,
    mark: Mark,
    notify_on: NotifyOn,
    print: impl Fn(&str),
) -> Result<Option<String>, StepError> {
    // Who heard of a failure also hears that it is over.
    let is_silent = notify_on == NotifyOn::Problems
        && !record.outcome.is_problem()
        && record.warnings.is_empty()
        && mark != Mark::FailureAnnounced;
    let message_id = match mark {
        Mark::Announced(message_id) => return Ok(Some(message_id)),
        Mark::Printed if is_silent => return Ok(None),
        _ if is_silent => None,
        _ => Some(topic::announce(&clients.sns, &config.topic_arn, record).await?),
    };
    // Before the mark, because nothing is printed for a marked record: its metrics would be lost.
    print(&metrics::embedded(record).to_string());
    let table_name = &config.table_name;
    let marked = table::mark(&clients.dynamodb, table_name, record, message_id.as_deref()).await;
    // An error here would repeat the step, and with it the notification.
    if let Err(error) = marked {
        tracing::error!(error = error.fact, "the record is not marked");
    }
    Ok(message_id)
}
