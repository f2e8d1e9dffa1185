//! Polls the run's snapshot once, and says how long to wait before the next poll.
//!
//! It polls before it checks the age, so a redrive after a timeout resumes if the snapshot is READY by then. If the
//! snapshot has FAILED and the run has an attempt left, the state machine goes back to `CreateSnapshot`.
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
