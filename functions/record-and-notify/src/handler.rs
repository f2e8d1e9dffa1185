//! Handles one invocation: writes the record, publishes the notification, and marks the row.

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
use crate::row::NotificationState;
use crate::table::{self, WriteResult};
use crate::{error, metrics, record, topic};

/// Writes the audit record of a run, publishes its notification, and marks its row as notified, in this order.
///
/// `input` is one of the following:
///
/// - a [`RecordAndNotifyInput`] from the state machine;
/// - a [`RunSummary`] from the state machine definition of release 0.1.0;
/// - an [`ExecutionStatusChange`] from the EventBridge rule.
///
/// `print` is called with the line of metrics.
///
/// # Errors
/// Returns one of [`crate::ERRORS`]. If the history of a failed execution cannot be read, the record and the
/// notification contain only what the event says, and the function returns the error after both are done.
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
        run_of_failed_execution(&clients.sfn, &input).await?
    } else {
        completed_run(&input, now)?
    };
    // The function's role may write only rows whose `app_name` is the stack's application or `(unknown)`.
    if let Some(stack_application) = &config.application_name
        && *stack_application != record.app_name
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
        "writing the record"
    );

    let written = table::write(&clients.dynamodb, &config.table_name, &record).await?;
    let (recorded, message_id) = match written {
        WriteResult::Written(notification_state) => {
            let message_id = notify_and_mark(
                clients,
                config,
                &record,
                notification_state,
                notify_on,
                print,
            )
            .await?;
            (Recorded::Written, message_id)
        }
        WriteResult::Superseded(later) => {
            // The invocation that wrote the later record may have ended before it sent the notification.
            if let Some(later) = later
                && matches!(
                    later.notification_state,
                    NotificationState::FailureNotified | NotificationState::Unmarked
                )
            {
                let table::LaterRecord {
                    record,
                    notification_state,
                } = *later;
                notify_and_mark(
                    clients,
                    config,
                    &record,
                    notification_state,
                    notify_on,
                    print,
                )
                .await?;
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

/// A run that ended, whether or not it reached its last state.
struct EndedRun {
    record: AuditRecord,
    notify_on: NotifyOn,
    /// The error, if the history of a failed execution could not be read.
    history_error: Option<StepError>,
}

/// Reads the run from the input of the state machine's last state.
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

/// Reads, from the event and the execution's history, the run of an execution that failed, timed out or was stopped.
async fn run_of_failed_execution(
    sfn: &aws_sdk_sfn::Client,
    input: &Value,
) -> Result<EndedRun, StepError> {
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

/// Publishes the notification if the run's input asks for one, prints the metrics, and marks the row. Skips the steps
/// that are already done according to `notification_state`. Returns the message id if a notification was sent, now or
/// earlier.
async fn notify_and_mark(
    clients: &Clients,
    config: &Config,
    record: &AuditRecord,
    notification_state: NotificationState,
    notify_on: NotifyOn,
    print: impl Fn(&str),
) -> Result<Option<String>, StepError> {
    // Whoever was notified of a failure is also notified when a redrive of the run ends without a problem.
    let is_silent = notify_on == NotifyOn::Problems
        && !record.outcome.is_problem()
        && record.warnings.is_empty()
        && notification_state != NotificationState::FailureNotified;
    let message_id = match notification_state {
        NotificationState::Notified(message_id) => return Ok(Some(message_id)),
        NotificationState::MetricsLogged if is_silent => return Ok(None),
        _ if is_silent => None,
        _ => Some(topic::publish(&clients.sns, &config.topic_arn, record).await?),
    };
    // The metrics have to be printed before the row is marked. A repeated invocation prints nothing for a marked row.
    // So if an invocation marked the row first and ended before it printed the metrics, the metrics would be lost.
    print(&metrics::emf_line(record).to_string());
    let table_name = &config.table_name;
    let marked =
        table::write_mark(&clients.dynamodb, table_name, record, message_id.as_deref()).await;
    // This error is only logged. If the step failed here, its retry would send the notification again.
    if let Err(error) = marked {
        tracing::error!(error = error.fact, "the row could not be marked");
    }
    Ok(message_id)
}
