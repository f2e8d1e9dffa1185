//! Looks at the run's snapshot once, and says how long to wait before the next look.
//!
//! It looks before it judges the age, so a redrive after a timeout goes on when the snapshot has
//! become READY meanwhile.
//!
//! # Errors
//! Those of [`ERRORS`].

mod error;
mod handler;

use contract::ErrorName;

pub use handler::{handle, wait_seconds};

/// The names of the errors that this function fails with.
pub const ERRORS: [ErrorName; 8] = [
    ErrorName::SnapshotFailed,
    ErrorName::SnapshotTimedOut,
    ErrorName::SnapshotNotFound,
    ErrorName::ApplicationBusy,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs, on the application.
pub const IAM_ACTIONS: [&str; 1] = ["kinesisanalytics:DescribeApplicationSnapshot"];
