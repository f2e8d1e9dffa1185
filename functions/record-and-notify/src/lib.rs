//! Writes the audit record of a run, then announces it, then marks the record as announced.
//!
//! As the machine's last state it is given what the run has done. As the target of the rule on
//! "Step Functions Execution Status Change" it is given the end of an execution that could not
//! report itself, and reads the rest from the execution's history.
//!
//! A record is written only if the row is new, or of the same execution and not later. So a late or
//! repeated event overwrites nothing, and what it does not overwrite it does not announce.
//!
//! What is announced, or would be if the run wanted it, is also written to the log as [`metrics`].
//!
//! # Errors
//! Those of [`ERRORS`].

mod config;
mod error;
mod failure;
mod handler;
mod message;
pub mod metrics;
mod record;
mod table;

use contract::ErrorName;

pub use config::Config;
pub use handler::{Clients, handle};

/// The names of the errors that this function fails with.
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

/// The IAM actions that this function needs: on the table, on the topic, on the machine's
/// executions.
pub const IAM_ACTIONS: [&str; 3] = [
    "dynamodb:UpdateItem",
    "sns:Publish",
    "states:GetExecutionHistory",
];
