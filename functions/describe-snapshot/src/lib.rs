//! Describes the run's snapshot once, and returns how long to wait before the next poll.
//!
//! The function checks the snapshot's status before its age. If the run timed out and the snapshot has become READY
//! since, a redrive therefore succeeds. If the snapshot is FAILED and the run has an attempt left, the function returns
//! `FAILED`, and the state machine goes back to `CreateSnapshot`.
//!
//! # Errors
//! Returns one of [`ERRORS`].

mod error;
mod handler;

use contract::ErrorName;

pub use handler::handle;

/// The errors that this function returns.
pub const ERRORS: [ErrorName; 10] = [
    ErrorName::SnapshotFailed,
    ErrorName::SnapshotTimedOut,
    ErrorName::SnapshotNotFound,
    ErrorName::ApplicationNotFound,
    ErrorName::SnapshotsUnsupported,
    ErrorName::ApplicationBusy,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs on the application.
pub const IAM_ACTIONS: [&str; 2] = [
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
];
