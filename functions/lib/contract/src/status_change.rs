//! The EventBridge event of an execution that failed, timed out or was stopped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The EventBridge event "Step Functions Execution Status Change", reduced to the fields that `RecordAndNotify` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionStatusChange {
    /// The kind of event: "Step Functions Execution Status Change".
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// The execution, and how it ended.
    pub detail: ExecutionStatusDetail,
}

/// The execution, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatusDetail {
    /// The ARN of the execution.
    pub execution_arn: String,
    /// How the execution ended.
    pub status: FailedStatus,
    /// When the execution started, in epoch milliseconds.
    pub start_date: i64,
    /// When the execution stopped, in epoch milliseconds.
    pub stop_date: i64,
    /// How many times the execution was redriven before it ended. Absent if the service does not report it.
    #[serde(default)]
    pub redrive_count: Option<u32>,
    /// The input of the execution, as text. The service leaves an input out that is too large.
    #[serde(default)]
    pub input: Option<String>,
    /// The name of the error. Absent if the service does not report it.
    #[serde(default)]
    pub error: Option<String>,
    /// The cause of the error. Absent if the service does not report it.
    #[serde(default)]
    pub cause: Option<String>,
}

/// How an execution ended that could not record its own outcome, because its last state did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
#[allow(missing_docs, reason = "the names are AWS's")]
pub enum FailedStatus {
    Failed,
    TimedOut,
    Aborted,
}
