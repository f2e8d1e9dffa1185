//! What passes between the states of the state machine, the run input, the names of the errors, and the audit record.
//! Nothing here calls AWS.
//!
//! - `run` is the run input, and `retention` the policy in it, with its `keep_within`.
//! - `steps` has what the states pass on, and `pruning` their part about deletions.
//! - `record` is the audit record, and `status_change` the event of an execution that failed.
//! - `error_name` has the errors, and `command` the command that resumes or replaces a failed run.
//! - `names` has the names of applications, snapshots and time zones, and what a name says about a snapshot.
//! - `parse` reads JSON and says where it is wrong. `bounded` is a number with limits.
//!
//! Unknown fields of the run input and the policy are refused where a run starts, because a misspelt setting must not
//! be ignored. Payloads between states ignore unknown fields and have defaults for new ones: a redrive up to 14 days
//! later passes the payload of one release to the next, and a stack that goes back to an older release does the
//! reverse.

mod bounded;
mod command;
mod error_name;
mod keep_within;
mod names;
mod parse;
mod pruning;
mod record;
mod retention;
mod run;
mod status_change;
mod steps;

pub use bounded::Bounded;
pub use command::redrive_command;
pub use error_name::{ErrorName, NextStep};
pub use keep_within::KeepWithin;
pub use names::{
    ApplicationName, KeepNames, MANAGED_PREFIX, SnapshotName, TimeZoneName, is_managed,
    is_snapshot_name, managed_run_id,
};
pub use parse::parse;
pub use pruning::{
    Action, DeletedSnapshot, DoomedSnapshot, FailedDeletion, HeldBack, HeldBackCause, Progress,
    PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, Verdict,
};
pub use record::{AuditRecord, Notified, Outcome};
pub use retention::{NO_RULE, Retention, Scope};
pub use run::{Mode, NotifyOn, Run, RunInput, UnknownFields, wait_seconds};
pub use status_change::{ExecutionStatusChange, ExecutionStatusDetail, FailedStatus};
pub use steps::{
    CreateSnapshotInput, CreateSnapshotOutput, DescribeSnapshotInput, DescribeSnapshotOutput,
    RecordAndNotifyInput, RecordAndNotifyOutput, Recorded, RunSnapshot, RunSummary,
    SnapshotCreation, SnapshotStatus,
};
