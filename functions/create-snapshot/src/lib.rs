//! Starts the run's snapshot. A run has up to `snapshot_attempts` attempts, and each attempt has its own snapshot name.
//! If the snapshot of an attempt is FAILED, the function starts the next attempt. The function is idempotent: however
//! often the step is repeated, it creates at most one snapshot for each attempt.
//!
//! An invocation has these steps:
//!
//! 1. Validate the run input.
//! 2. Check which of this run's snapshots exist.
//! 3. Check whether the application is RUNNING.
//! 4. Request the snapshot.
//! 5. If the request was refused or its response was lost, check again whether the snapshot exists, because the service
//!    may have carried out the request. If the snapshot does not exist, find out why the request failed.
//!
//! If the application is busy, the function returns `BUSY` and how long to wait. The state machine waits and then
//! enters this state again. The input of this state is always the input of the execution, so nothing has to be passed
//! from one invocation to the next.
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
