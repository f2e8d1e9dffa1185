//! The event of an execution that does not succeed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fields that are read of an EventBridge event "Step Functions Execution Status Change".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionStatusChange {
    /// "Step Functions Execution Status Change".
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// What happened to which execution.
    pub detail: ExecutionStatusDetail,
}

/// What happened to which execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatusDetail {
    /// The ARN of the execution.
    pub execution_arn: String,
    /// How the execution ended.
    pub status: FailedStatus,
    /// Epoch milliseconds.
    pub start_date: i64,
    /// Epoch milliseconds.
    pub stop_date: i64,
    /// How many times the execution was redriven before this end, if the service says so.
    #[serde(default)]
    pub redrive_count: Option<u32>,
    /// The execution's input as text. EventBridge leaves it out when it is too large.
    #[serde(default)]
    pub input: Option<String>,
    /// The error's name, if the service gives it.
    #[serde(default)]
    pub error: Option<String>,
    /// The error's cause, if the service gives it.
    #[serde(default)]
    pub cause: Option<String>,
}

/// The ends of an execution that the state machine cannot record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "as AWS writes them")]
pub enum FailedStatus {
    Failed,
    TimedOut,
    Aborted,
}
