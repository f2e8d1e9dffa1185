//! Writes the audit record of a run, then announces it, then marks it as announced. A record is *announced* when
//! the topic has accepted its message.
//!
//! As the last state of the state machine, the function gets what the run has done. As the target of the
//! rule on "Step Functions Execution Status Change", it gets the event of an execution that failed, timed
//! out or was stopped, and reads the rest from the execution's history.
//!
//! A record is written only if the row is new, or if it belongs to the same execution and is not later. So a
//! late or duplicate event overwrites nothing, and is not announced.
//!
//! The [`metrics`] of each run are *printed* to the log, even if its input asks for no announcement.
//!
//! - `handler`: the path from the input over the calls to the output.
//! - `record` and `failure`: the record of a run, and what a failed execution's history says.
//! - `table` and `row`: the two updates of the row, and the row as it was.
//! - `topic` and `message`: the announcement, and its text.
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

/// The IAM actions that this function needs: on the table, the topic, and the executions of the state
/// machine.
pub const IAM_ACTIONS: [&str; 3] = [
    "dynamodb:UpdateItem",
    "sns:Publish",
    "states:GetExecutionHistory",
];
