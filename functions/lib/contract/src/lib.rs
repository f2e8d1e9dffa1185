//! The contract between the functions, the state machine and the outside: the payloads that pass between the states,
//! the run input, the names of the errors, and the audit record. Nothing in this crate calls AWS.
//!
//! - `run` has the run input, `retention` the policy in the run input, and `keep_within` a rule of the policy.
//! - `steps` has the inputs and outputs of the Tasks, and `pruning` those of `PruneSnapshots`.
//! - `record` has the audit record, and `status_change` the event of an execution that did not succeed.
//! - `error_name` has the names of the errors and what to do about them, and `command` the command for it.
//! - `names` has the names of applications, snapshots and time zones, and tells managed snapshots from others.
//! - `parse` reads JSON with errors that name the wrong field. `bounded` has a whole number within limits.
//!
//! The first step of a run refuses unknown fields of the run input and the policy, because a misspelt setting must not
//! be ignored. Payloads between states are more tolerant: unknown fields are ignored, and each new field has a default.
//! A redrive can come up to 14 days after a failure, so an update of the stack in the meantime passes the payload of
//! the old release to the new one. A stack that goes back to an older release passes payloads in the other direction.

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
pub use error_name::{ErrorName, Remedy};
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
