//! Input -> record -> row -> message -> metrics -> mark.

use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use contract::{
    AuditRecord, ExecutionStatusChange, Notified, NotifyOn, Outcome, RecordAndNotifyInput,
    RecordAndNotifyOutput, Recorded,
};
use jiff::Timestamp;
use serde_json::Value;
use shell::{Refusal, StepError};

use crate::config::Config;
use crate::failure::{LastWords, last_words};
use crate::message::message;
use crate::table::{self, Written};
use crate::{error, metrics, record};

/// The clients of the three services.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The table's.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The executions'.
    pub sfn: aws_sdk_sfn::Client,
    /// The topic's.
    pub sns: aws_sdk_sns::Client,
}

impl Clients {
    /// Clients of that configuration.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
        }
    }
}

/// Records a run and announces it. `input` is a [`RecordAndNotifyInput`] or an
/// [`ExecutionStatusChange`]. The line of metrics goes to `print`.
///
/// # Errors
/// As the crate's documentation lists them. An execution whose history cannot be read is recorded
/// and announced with what the event tells, and the step fails all the same.
pub async fn handle(
    clients: &Clients,
    config: &Result<Config, String>,
    input: Value,
    now: Timestamp,
    print: impl Fn(&str),
) -> Result<RecordAndNotifyOutput, StepError> {
    let config = config.as_ref().map_err(|fact| error::misconfigured(fact))?;
    let mut history = Ok(());
    let (mut record, notify_on) = if input.get("detail-type").is_some() {
        let event: ExecutionStatusChange = shell::parse(&input).map_err(StepError::unexpected)?;
        let words = match last_words(&clients.sfn, &event.detail).await {
            Ok(words) => words,
            Err(error) => {
                history = Err(error);
                LastWords::default()
            }
        };
        // Whatever the run asked for: this is a problem.
        (record::of_failure(&event.detail, words), NotifyOn::All)
    } else {
        let input: RecordAndNotifyInput = shell::parse(&input).map_err(StepError::unexpected)?;
        let notify_on = input.run.input.notify_on;
        (record::of_run(input, now), notify_on)
    };
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
        Written::Superseded => (Recorded::Superseded, None),
        Written::Now(Some(notified)) if announces(&notified, &record) => {
            (Recorded::Written, Some(notified.message_id))
        }
        Written::Now(_) => {
            let silent = notify_on == NotifyOn::Problems && !record.outcome.is_problem();
            let message_id = if silent {
                print(&metrics::embedded(&record).to_string());
                None
            } else {
                Some(announce(clients, config, &record, print).await?)
            };
            (Recorded::Written, message_id)
        }
    };
    history?;
    Ok(RecordAndNotifyOutput {
        app_name: record.app_name,
        snapshot_manager_run_id: record.snapshot_manager_run_id,
        outcome: record.outcome,
        recorded,
        message_id,
    })
}

/// Whether `notified` is the announcement of this record. An execution ends well only once, but can
/// end badly once after each redrive.
fn announces(notified: &Notified, record: &AuditRecord) -> bool {
    let ends_well = !matches!(
        record.outcome,
        Outcome::Failed | Outcome::TimedOut | Outcome::Aborted
    );
    notified.outcome == record.outcome && (ends_well || notified.finished_at == record.finished_at)
}

/// Publishes, writes the metrics, then marks the record. A mark that is refused is only logged: to
/// fail here would announce the run again.
async fn announce(
    clients: &Clients,
    config: &Config,
    record: &AuditRecord,
    print: impl Fn(&str),
) -> Result<String, StepError> {
    let message = message(record);
    let attribute = |value: &str| -> Result<MessageAttributeValue, BuildError> {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
    };
    let build = |error: BuildError| StepError::unexpected(format!("Publish: {error}."));
    let published = clients
        .sns
        .publish()
        .topic_arn(&config.topic_arn)
        .subject(message.subject)
        .message_structure("json")
        .message(message.body)
        .message_attributes(
            "application_name",
            attribute(&record.app_name).map_err(build)?,
        )
        .message_attributes(
            "outcome",
            attribute(record.outcome.as_str()).map_err(build)?,
        )
        .send()
        .await
        .map_err(|error| error::publish(Refusal::of("Publish", &error), &config.topic_arn))?;
    // Before the mark: what is marked is not told again, and its metrics would be lost.
    print(&metrics::embedded(record).to_string());
    let notified = Notified {
        outcome: record.outcome,
        finished_at: record.finished_at,
        message_id: published.message_id.unwrap_or_default(),
    };
    let marked = table::mark(&clients.dynamodb, &config.table_name, record, &notified).await;
    if let Err(error) = marked {
        tracing::error!(
            error = error.fact,
            "announced, but the record is not marked"
        );
    }
    Ok(notified.message_id)
}
