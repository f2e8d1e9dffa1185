//! The shapes that pass between the states of the machine, the names of its errors, and the audit
//! record: everything that one function promises another, and nothing that talks to AWS.
//!
//! Where a run begins, unknown fields of its input and policy are refused, because a misspelt setting
//! must not be ignored. What passes between states ignores unknown fields and defaults new ones, because
//! a redrive up to 14 days later hands today's payload to tomorrow's code, and a stack that goes back to
//! an older release hands tomorrow's payload to today's.

mod bounded;
mod error_name;
mod parse;
mod record;
mod run;
mod steps;

pub use bounded::Bounded;
pub use error_name::{Cure, ErrorName, redrive_command};
pub use parse::parse;
pub use record::{AuditRecord, Notified, Outcome};
pub use run::{
    ApplicationName, KeepNames, KeepWithin, MANAGED_PREFIX, Mode, NO_RULE, NotifyOn, Retention,
    Run, RunInput, Scope, TimeZoneName, UnknownFields, is_managed, is_snapshot_name,
    managed_run_id,
};
pub use steps::{
    Action, CreateSnapshotInput, CreateSnapshotOutput, DeletedSnapshot, DescribeSnapshotInput,
    DescribeSnapshotOutput, DoomedSnapshot, ExecutionStatusChange, ExecutionStatusDetail,
    FailedDeletion, FailedStatus, HeldBack, HeldBackCause, Progress, PruneSnapshotsInput,
    PruneSnapshotsOutput, Pruning, RecordAndNotifyInput, RecordAndNotifyOutput, Recorded,
    RunSnapshot, RunSummary, SnapshotCreation, SnapshotStatus, Verdict,
};
