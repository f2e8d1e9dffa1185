//! What was done -> the audit record.

use contract::{
    ApplicationName, AuditRecord, ExecutionStatusDetail, FailedStatus, Mode, Outcome, RunInput,
    RunSummary,
};
use jiff::Timestamp;
use serde_json::Value;
use step::single_line;

use crate::failure::LastWords;

/// The name under which a run is recorded whose input names no application, or not the stack's.
pub(crate) const UNKNOWN: &str = "(unknown)";

/// The record of a run that has come to its last state.
pub(crate) fn of_run(done: RunSummary, redrive_count: Option<u32>, now: Timestamp) -> AuditRecord {
    let outcome = outcome(&done);
    let mut record = blank(
        done.run.input.application_name.as_str(),
        done.run.run_id,
        &done.run.execution_arn,
        outcome,
        now.as_millisecond(),
    );
    record.redrive_count = redrive_count;
    fill(&mut record, done);
    record
}

/// How a run that has come to its last state has ended.
fn outcome(done: &RunSummary) -> Outcome {
    let held_back = done.held_back.as_ref();
    let failed = done
        .progress
        .as_ref()
        .is_some_and(|progress| progress.failed_count > 0);
    if done.run.input.mode == Mode::Plan {
        Outcome::Planned
    } else if done.skip_reason.is_some() {
        Outcome::Skipped
    } else if failed || held_back.is_some_and(|held_back| !held_back.cause.is_harmless()) {
        Outcome::PruneIncomplete
    } else {
        Outcome::Succeeded
    }
}

/// The record of an execution that ended without coming to its last state, or in it.
pub(crate) fn of_failure(detail: &ExecutionStatusDetail, words: LastWords) -> AuditRecord {
    let given = words.given.as_deref();
    let done: Option<RunSummary> = given.and_then(|given| serde_json::from_str(given).ok());
    let asked: Option<Value> = detail
        .input
        .as_deref()
        .or(given)
        .and_then(|input| serde_json::from_str(input).ok());
    let application = done.as_ref().map_or_else(
        || asked.as_ref().and_then(usable_name),
        |done| Some(done.run.input.application_name.clone()),
    );
    // The state's own run id, if there is one: the event's start may be rounded otherwise.
    let run_id = done
        .as_ref()
        .map_or(detail.start_date, |done| done.run.run_id);
    let outcome = match detail.status {
        FailedStatus::Failed => Outcome::Failed,
        FailedStatus::TimedOut => Outcome::TimedOut,
        FailedStatus::Aborted => Outcome::Aborted,
    };
    let mut record = blank(
        application
            .as_ref()
            .map_or(UNKNOWN, ApplicationName::as_str),
        run_id,
        &detail.execution_arn,
        outcome,
        detail.stop_date,
    );
    record.redrive_count = words.redrive_count.or(detail.redrive_count);
    record.mode = asked
        .and_then(|asked| serde_json::from_value::<RunInput>(asked).ok())
        .filter(|asked| asked.refuse_unknown_fields().is_ok())
        .map(|asked| asked.mode);
    if let Some(done) = done {
        fill(&mut record, done);
    }
    record.failed_state = words.state.as_deref().map(single_line);
    let (error, cause) = words.end.unwrap_or_default();
    record.error_name = told(error.as_deref())
        .or(told(detail.error.as_deref()))
        .map(single_line);
    record.error_message = told(cause.as_deref())
        .or(told(detail.cause.as_deref()))
        .map(said);
    record
}

/// The application of an input that need not be valid otherwise.
fn usable_name(input: &Value) -> Option<ApplicationName> {
    let name = input.get("application_name")?.as_str()?;
    ApplicationName::try_from(name.to_owned()).ok()
}

/// What a service leaves empty it does not tell.
fn told(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// A cause in words: a Lambda's is JSON with its `errorMessage`.
fn said(cause: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(cause).ok();
    let message = parsed
        .as_ref()
        .and_then(|parsed| parsed.get("errorMessage")?.as_str());
    single_line(told(message).unwrap_or(cause))
}

/// A record with nothing in it that may be unknown.
fn blank(
    app_name: &str,
    run_id: i64,
    execution_arn: &str,
    outcome: Outcome,
    finished_at: i64,
) -> AuditRecord {
    AuditRecord {
        app_name: app_name.to_owned(),
        snapshot_manager_run_id: run_id,
        outcome,
        mode: None,
        execution_arn: single_line(execution_arn),
        started_at: run_id,
        finished_at,
        redrive_count: None,
        new_snapshot_name: None,
        new_snapshot_create_time: None,
        flink_app_version_id: None,
        snapshot_seconds: None,
        skip_reason: None,
        snapshots_deleted: None,
        snapshots_deleted_count: None,
        snapshots_failed_to_be_deleted: None,
        snapshots_failed_to_be_deleted_count: None,
        held_back: None,
        snapshots_ready: None,
        snapshots_total: None,
        newest_ready_snapshot_create_time: None,
        plan: None,
        deletions_planned: None,
        failed_state: None,
        error_name: None,
        error_message: None,
        measured: None,
        notified: None,
        expires_at: None,
    }
}

/// What the run had done.
fn fill(record: &mut AuditRecord, done: RunSummary) {
    record.mode = Some(done.run.input.mode);
    record.skip_reason = done.skip_reason;
    if let Some(snapshot) = done.snapshot {
        record.new_snapshot_name = Some(snapshot.name);
        record.new_snapshot_create_time = snapshot.created_at;
        record.flink_app_version_id = snapshot.application_version_id.map(|id| id.to_string());
        record.snapshot_seconds = snapshot.seconds;
    }
    record.held_back = done.held_back;
    record.snapshots_ready = done.snapshots_ready;
    record.snapshots_total = done.snapshots_total;
    record.newest_ready_snapshot_create_time = done.newest_ready_at;
    if done.run.input.mode == Mode::Plan {
        record.plan = done.progress.is_some().then_some(done.verdicts);
        record.deletions_planned = done.deletions_wanted;
    } else if let Some(mut progress) = done.progress {
        for failed in &mut progress.failed {
            failed.reason = single_line(&failed.reason);
        }
        record.snapshots_deleted = Some(progress.deleted);
        record.snapshots_deleted_count = Some(progress.deleted_count);
        record.snapshots_failed_to_be_deleted = Some(progress.failed);
        record.snapshots_failed_to_be_deleted_count = Some(progress.failed_count);
    }
}
