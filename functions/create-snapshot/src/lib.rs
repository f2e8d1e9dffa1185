//! Starts the run's snapshot, at most once, however often the step is repeated.
//!
//! It validates the run input, checks whether an earlier attempt started this run's snapshot, checks
//! whether the application is RUNNING, and requests the snapshot. After a refused or lost request it
//! checks again, since the service may have carried out the request.
//!
//! # Errors
//! Returns one of [`ERRORS`].

mod application;
mod error;
mod handler;

use contract::ErrorName;

pub use handler::handle;

/// The errors that this function returns.
pub const ERRORS: [ErrorName; 10] = [
    ErrorName::InvalidInput,
    ErrorName::ApplicationNotFound,
    ErrorName::SnapshotsDisabled,
    ErrorName::SnapshotLimitExceeded,
    ErrorName::SnapshotNameTaken,
    ErrorName::ApplicationBusy,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs on the application.
pub const IAM_ACTIONS: [&str; 4] = [
    "kinesisanalytics:CreateApplicationSnapshot",
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
    "kinesisanalytics:ListApplicationSnapshots",
];
