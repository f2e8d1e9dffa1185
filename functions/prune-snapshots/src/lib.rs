//! Deletes the batch of snapshots in its input, lists the remaining snapshots, and plans the next batch.
//!
//! The state machine enters the state again until the function returns `DONE`. If a step is repeated, it finds that the
//! snapshots of its batch are deleted already, and counts them as the first invocation did. So the totals are exact,
//! and the brake, which limits how many snapshots a run deletes, counts no deletion twice.
//!
//! A plan is valid for a minute. If the step starts later than that, it deletes no snapshot of the batch. It counts
//! which of them are gone, and plans the next batch from the current listing.
//!
//! - `handler`: one invocation from input to output.
//! - `deletion`: the delete calls of one batch.
//! - `confirmation`: whether each snapshot of the batch still exists after that.
//! - `progress`: the counts of deleted and failed snapshots.
//! - `listing`, `application` and `own_snapshot`: the data from the service that the next plan needs.
//! - `gate`: the conditions under which nothing may be deleted.
//! - `decision`: what the run deletes next.
//! - `warnings`: what needs attention although the run does not fail.
//! - `payload`: the limits that keep the output within the size of a state's payload.
//!
//! # Errors
//! Returns one of [`ERRORS`]. A snapshot that cannot be deleted does not fail the step. The output lists its name with
//! the reason, and the run ends `PRUNE_INCOMPLETE`.

mod application;
mod confirmation;
mod decision;
mod deletion;
mod gate;
mod handler;
mod listing;
mod own_snapshot;
mod payload;
mod progress;
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
