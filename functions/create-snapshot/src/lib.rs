//! Starts the run's snapshot. The function is idempotent: however often the step is repeated, each attempt of the run
//! creates at most one snapshot. If the snapshot of an attempt has FAILED, the function starts the next attempt, up to
//! `snapshot_attempts`.
//!
//! The function does the following, in this order:
//!
//! 1. It validates the run input.
//! 2. It checks which of this run's snapshots exist.
//! 3. It checks whether the application is RUNNING.
//! 4. It requests the snapshot.
//! 5. If the request is refused or its response is lost, it checks again whether the snapshot exists, because the service
//!    may have carried out the request. Only if the snapshot does not exist does it look for the reason of the failure.
//!
//! If the application is busy, the function returns `BUSY` and how long to wait. The state machine waits and then enters
//! this state again. The state's input is the input of the execution, so no data is carried from one visit to the next.
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
