//! The shapes that pass between the states of the machine, the names of its errors, and the audit
//! record: everything that one function promises another, and nothing that talks to AWS.
//!
//! The run input and its policy reject unknown fields, because a misspelt setting must not be
//! ignored. What passes between states ignores unknown fields and defaults new ones, because a
//! redrive up to 14 days later hands today's payload to tomorrow's code.

mod bounded;
mod error_name;
#[cfg(feature = "hostile")]
pub mod hostile;
mod record;
mod run;
mod steps;

pub use bounded::Bounded;
pub use error_name::{Cure, ErrorName, redrive_command};
pub use record::{AuditRecord, Notified, Outcome};
pub use run::{
    ApplicationName, KeepNames, KeepWithin, MANAGED_PREFIX, Mode, NO_RULE, NotifyOn, Retention,
    Run, RunInput, Scope, TimeZoneName, is_managed, is_snapshot_name,
};
pub use steps::{
    Action, CreateSnapshotInput, CreateSnapshotOutput, DeletedSnapshot, DescribeSnapshotInput,
    DescribeSnapshotOutput, DoomedSnapshot, ExecutionStatusChange, ExecutionStatusDetail,
    FailedDeletion, FailedStatus, HeldBack, HeldBackCause, Progress, PruneSnapshotsInput,
    PruneSnapshotsOutput, Pruning, RecordAndNotifyInput, RecordAndNotifyOutput, Recorded,
    RunSnapshot, SnapshotCreation, SnapshotStatus, Verdict, wait_seconds,
};
