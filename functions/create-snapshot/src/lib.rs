//! Takes the run's snapshot, once, however often the step is repeated.
//!
//! It validates the run input, looks whether an earlier try has already begun this run's snapshot,
//! looks whether the application can give one, and asks for it. A refused or lost request is
//! followed by a second look, since the request may have been carried out all the same.
//!
//! # Errors
//! `InvalidInput`, `ApplicationNotFound`, `SnapshotsDisabled`, `SnapshotLimitExceeded`,
//! `ApplicationBusy`, and those of any AWS call: `AccessDenied`, `Throttled`, `ServiceUnavailable`,
//! `Unexpected`.

mod application;
mod error;
mod handler;

pub use handler::handle;

/// The IAM actions that this function needs, on the application.
pub const IAM_ACTIONS: [&str; 4] = [
    "kinesisanalytics:CreateApplicationSnapshot",
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
    "kinesisanalytics:ListApplicationSnapshots",
];
