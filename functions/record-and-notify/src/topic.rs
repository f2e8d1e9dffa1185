//! Publishes the notification of a record to the topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use contract::AuditRecord;
use step::{CallError, StepError};

use crate::error;
use crate::message::message;

/// Publishes the notification of the record. Returns the message id.
pub(crate) async fn publish(
    sns: &Client,
    topic_arn: &str,
    record: &AuditRecord,
) -> Result<String, StepError> {
    let message = message(record);
    let attribute = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| StepError::unexpected(format!("Publish: {error}.")))
    };
    let published = sns
        .publish()
        .topic_arn(topic_arn)
        .subject(message.subject)
        .message_structure("json")
        .message(message.body)
        .message_attributes("application_name", attribute(&record.app_name)?)
        .message_attributes("outcome", attribute(record.outcome.as_str())?)
        .send()
        .await
        .map_err(|error| error::publish_failed(CallError::of("Publish", &error), topic_arn))?;
    Ok(published.message_id.unwrap_or_default())
}
