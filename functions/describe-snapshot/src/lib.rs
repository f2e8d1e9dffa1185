//! Looks at the run's snapshot once, and says how long to wait before the next look.
//!
//! It looks before it judges the age, so a redrive after a timeout goes on when the snapshot has
//! become READY meanwhile.
//!
//! # Errors
//! `SnapshotFailed`, `SnapshotTimedOut`, `SnapshotNotFound`, and those of any AWS call:
//! `ApplicationBusy`, `AccessDenied`, `Throttled`, `ServiceUnavailable`, `Unexpected`.

mod error;
mod handler;

pub use handler::handle;

/// The IAM actions that this function needs, on the application.
pub const IAM_ACTIONS: [&str; 1] = ["kinesisanalytics:DescribeApplicationSnapshot"];
