//! Deletes the batch that the step before it fixed, lists what is left, and plans the next batch.
//!
//! The machine enters the state again while the batch is not empty. A step that is repeated finds
//! its batch deleted already and counts the same, so the totals are exact and the brake holds.
//!
//! A plan is good for a minute. A batch that is entered later is only looked for: what of it is gone is
//! counted, and the next batch is planned from the listing as it is then.
//!
//! # Errors
//! Those of [`ERRORS`]. A snapshot that cannot be deleted is not an error of the step: it is
//! reported by name and reason, and the run ends `PRUNE_INCOMPLETE`.

mod application;
mod decision;
mod deletion;
mod gate;
mod handler;
mod listing;
mod own_snapshot;
mod payload;
mod progress;
mod sighting;

use contract::ErrorName;

pub use handler::handle;

/// The names of the errors that this function fails with.
pub const ERRORS: [ErrorName; 7] = [
    ErrorName::InvalidInput,
    ErrorName::ApplicationNotFound,
    ErrorName::ApplicationBusy,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs, on the application.
pub const IAM_ACTIONS: [&str; 4] = [
    "kinesisanalytics:DeleteApplicationSnapshot",
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
    "kinesisanalytics:ListApplicationSnapshots",
];
