//! Takes the run's snapshot, once, however often the step is repeated.
//!
//! It validates the run input, looks whether an earlier try has already begun this run's snapshot,
//! looks whether the application can give one, and asks for it. A refused or lost request is
//! followed by a second look, since the request may have been carried out all the same.
//!
//! # Errors
//! Those of [`ERRORS`].

mod application;
mod error;
mod handler;

use contract::ErrorName;

pub use handler::handle;

/// The names of the errors that this function fails with.
pub const ERRORS: [ErrorName; 9] = [
    ErrorName::InvalidInput,
    ErrorName::ApplicationNotFound,
    ErrorName::SnapshotsDisabled,
    ErrorName::SnapshotLimitExceeded,
    ErrorName::ApplicationBusy,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs, on the application.
pub const IAM_ACTIONS: [&str; 4] = [
    "kinesisanalytics:CreateApplicationSnapshot",
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
    "kinesisanalytics:ListApplicationSnapshots",
];
