//! Deletes the batch in its input, lists what is left, and plans the next batch.
//!
//! The state machine enters the state again while the batch is not empty. A step that is repeated finds
//! its batch deleted already and counts the same, so the totals are exact and the brake holds.
//!
//! A plan is valid for a minute. If a batch starts later, nothing of it is deleted. The step counts which of
//! its snapshots are gone, and plans the next batch from the current listing.
//!
//! - `handler`: the path from the input over the calls to the output.
//! - `deletion`, `sighting` and `progress`: one batch, whether its snapshots still exist, and the counts.
//! - `listing`, `application` and `own_snapshot`: what the service says before the next plan.
//! - `gate`, `decision` and `warnings`: what may be deleted, what is deleted next, and what needs a person.
//! - `payload`: what fits into a payload.
//!
//! # Errors
//! Returns one of [`ERRORS`]. A snapshot that cannot be deleted does not fail the step. It is reported with
//! its name and the reason, and the run ends `PRUNE_INCOMPLETE`.

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
mod warnings;

use contract::ErrorName;

pub use handler::handle;

/// The errors that this function returns.
pub const ERRORS: [ErrorName; 9] = [
    ErrorName::InvalidInput,
    ErrorName::ApplicationNotFound,
    ErrorName::ApplicationBusy,
    ErrorName::SnapshotsUnsupported,
    ErrorName::EnhancedSnapshotsUnsupported,
    ErrorName::AccessDenied,
    ErrorName::Throttled,
    ErrorName::ServiceUnavailable,
    ErrorName::Unexpected,
];

/// The IAM actions that this function needs on the application.
pub const IAM_ACTIONS: [&str; 4] = [
    "kinesisanalytics:DeleteApplicationSnapshot",
    "kinesisanalytics:DescribeApplication",
    "kinesisanalytics:DescribeApplicationSnapshot",
    "kinesisanalytics:ListApplicationSnapshots",
];
