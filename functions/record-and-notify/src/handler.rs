//! Input -> record -> row -> message -> metrics -> mark.

use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use contract::{
    AuditRecord, ExecutionStatusChange, NotifyOn, RecordAndNotifyInput, RecordAndNotifyOutput,
    Recorded, RunInput, RunSummary,
};
use jiff::Timestamp;
use serde_json::Value;
use step::{CallError, StepError};

use crate::config::Config;
use crate::failure::{LastWords, last_words};
use crate::message::message;
use crate::table::{self, Told, Written};
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

/// Records a run and announces it. `input` is a [`RecordAndNotifyInput`], the bare [`RunSummary`] that the
/// definition of release 0.1.0 gives, or an [`ExecutionStatusChange`]. The line of metrics goes to `print`.
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
    let Heard {
        mut record,
        notify_on,
        history,
    } = hear(clients, &input, now).await?;
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
        Written::Now(told) => {
            let message_id = tell(clients, config, &record, told, notify_on, print).await?;
            (Recorded::Written, message_id)
        }
        Written::Superseded(later) => {
            // Whoever wrote it may have ended before it could tell.
            if let Some((later, Told::Nothing)) = later {
                tell(clients, config, &later, Told::Nothing, notify_on, print).await?;
            }
            (Recorded::Superseded, None)
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

/// What an invocation is about.
struct Heard {
    record: AuditRecord,
    notify_on: NotifyOn,
    /// Why the history of a failed execution could not be read, if it could not.
    history: Result<(), StepError>,
}

async fn hear(clients: &Clients, input: &Value, now: Timestamp) -> Result<Heard, StepError> {
    if input.get("detail-type").is_some() {
        let event: ExecutionStatusChange = contract::parse(input).map_err(StepError::unexpected)?;
        let (words, history) = match last_words(&clients.sfn, &event.detail).await {
            Ok(words) => (words, Ok(())),
            Err(error) => (LastWords::default(), Err(error)),
        };
        let asked = event.detail.input.as_deref();
        let asked: Option<RunInput> = asked.and_then(|input| serde_json::from_str(input).ok());
        return Ok(Heard {
            record: record::of_failure(&event.detail, words),
            notify_on: asked.map_or(NotifyOn::All, |asked| asked.notify_on),
            history,
        });
    }
    let (redrive_count, done) = if input.get("done").is_some() {
        let input: RecordAndNotifyInput = contract::parse(input).map_err(StepError::unexpected)?;
        (Some(input.redrive_count), input.done)
    } else {
        let done: RunSummary = contract::parse(input).map_err(StepError::unexpected)?;
        (None, done)
    };
    let notify_on = done.run.input.notify_on;
    Ok(Heard {
        record: record::of_run(done, redrive_count, now),
        notify_on,
        history: Ok(()),
    })
}

/// Announces the record, or only writes its metrics if the run is not one to announce, unless that was
/// done before. The id of the announcement.
async fn tell(
    clients: &Clients,
    config: &Config,
    record: &AuditRecord,
    told: Told,
    notify_on: NotifyOn,
    print: impl Fn(&str),
) -> Result<Option<String>, StepError> {
    let is_silent = notify_on == NotifyOn::Problems && !record.outcome.is_problem();
    let message_id = match told {
        Told::Announced(message_id) => return Ok(Some(message_id)),
        Told::Measured if is_silent => return Ok(None),
        _ if is_silent => None,
        _ => Some(announce(clients, config, record).await?),
    };
    // Before the mark: what is marked is not told again, and its metrics would be lost.
    print(&metrics::embedded(record).to_string());
    let table_name = &config.table_name;
    let marked = table::mark(&clients.dynamodb, table_name, record, message_id.as_deref()).await;
    // To fail here would tell of the run again.
    if let Err(error) = marked {
        tracing::error!(error = error.fact, "told, but the record is not marked");
    }
    Ok(message_id)
}

async fn announce(
    clients: &Clients,
    config: &Config,
    record: &AuditRecord,
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
        .map_err(|error| error::publish(CallError::of("Publish", &error), &config.topic_arn))?;
    Ok(published.message_id.unwrap_or_default())
}
