//! Writes the audit record of a run to the table, then publishes the notification to the topic, then marks the row as
//! notified.
//!
//! The function has two callers:
//!
//! - The last state of the state machine passes what the run has done.
//! - The EventBridge rule for "Step Functions Execution Status Change" passes the event of an execution that failed,
//!   timed out or was stopped. The function reads the rest from the execution's history.
//!
//! A record is written only if its row does not exist yet, or if the row belongs to the same execution and does not
//! have a later record. So a late event overwrites nothing, and a duplicate event sends no second notification.
//!
//! The function also prints the [`metrics`] of each run to the log, even if the run's input asks for no notification.
//!
//! - `handler`: one invocation from input to output.
//! - `record`: builds the audit record of a run.
//! - `failure`: reads from the history of an execution why it failed.
//! - `table`: the two updates of the row, which write the record and the mark.
//! - `row`: reads a row.
//! - `topic` and `message`: publish and build the notification.
//! - `clients` and `config`: the AWS clients and the settings.
//!
//! # Errors
//! Returns one of [`ERRORS`].

mod clients;
mod config;
mod error;
mod failure;
mod handler;
mod message;
pub mod metrics;
mod record;
mod row;
mod table;
mod topic;

use contract::ErrorName;

pub use clients::Clients;
pub use config::Config;
pub use handler::handle;

/// The errors that this function returns.
pub const ERRORS: [ErrorName; 8] = [
    ErrorName::TableNotFound,
    ErrorName::TopicNotFound,
    ErrorName::RecordConflict,
    ErrorName::Misconfigured,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs on the table, on the topic, and on the executions of the state machine, in
/// this order.
pub const IAM_ACTIONS: [&str; 3] = [
    "dynamodb:UpdateItem",
    "sns:Publish",
    "states:GetExecutionHistory",
];
