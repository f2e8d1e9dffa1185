//! Starts the run's snapshot, at most once, however often the step is repeated. If a snapshot has FAILED, it starts
//! the next one, up to `snapshot_attempts`.
//!
//! It validates the run input, checks which of this run's snapshots exist, checks whether the application is
//! RUNNING, and requests the snapshot. After a refused or lost request it checks again, since the service may have
//! carried out the request. Only then does it look for the reason of the refusal.
//!
//! If the application is busy, the answer is `BUSY` with a wait, and the state machine enters the state again. Its
//! input is the execution's, so nothing needs to be remembered.
//!
//! # Errors
//! Returns one of [`ERRORS`].

mod error;
mod handler;

use contract::ErrorName;

pub use handler::handle;

/// The errors that this function returns.
pub const ERRORS: [ErrorName; 13] = [
    ErrorName::InvalidInput,
    ErrorName::ApplicationNotFound,
    ErrorName::SnapshotsDisabled,
    ErrorName::SnapshotsUnsupported,
    ErrorName::EnhancedSnapshotsUnsupported,
    ErrorName::SnapshotLimitExceeded,
    ErrorName::SnapshotNameTaken,
    ErrorName::SnapshotFailed,
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
