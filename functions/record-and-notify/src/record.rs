//! Builds the audit record of a run.

use contract::{
    ApplicationName, AuditRecord, ExecutionStatusDetail, FailedStatus, Mode, Outcome, RunInput,
    RunSummary,
};
use jiff::Timestamp;
use serde_json::Value;
use step::bounded_line;

use crate::failure::FailureDetails;

/// The application name in the record of a run whose input names no valid application, or an application that the stack
/// is not for.
pub(crate) const UNKNOWN: &str = "(unknown)";

/// Builds the record of a run that reached its last state.
pub(crate) fn of_run(
    summary: RunSummary,
    redrive_count: Option<u32>,
    now: Timestamp,
) -> AuditRecord {
    let mut record = required_fields(
        summary.run.input.application_name.as_str(),
        summary.run.run_id,
        &summary.run.execution_arn,
        outcome(&summary),
        now.as_millisecond(),
    );
    record.redrive_count = redrive_count;
    add_summary(&mut record, summary);
    record
}

/// The outcome of a run that reached its last state.
fn outcome(summary: &RunSummary) -> Outcome {
    let held_back = summary.held_back.as_ref();
    let has_failures = summary
        .progress
        .as_ref()
        .is_some_and(|progress| progress.failed_count > 0);
    if summary.run.input.mode == Mode::Plan {
        Outcome::Planned
    } else if summary.skip_reason.is_some() {
        Outcome::Skipped
    } else if has_failures || held_back.is_some_and(|held_back| !held_back.cause.is_harmless()) {
        Outcome::PruneIncomplete
    } else {
        Outcome::Succeeded
    }
}

/// Builds the record of an execution that failed, timed out or was stopped.
pub(crate) fn of_failure(event: &ExecutionStatusDetail, details: FailureDetails) -> AuditRecord {
    let state_input = details.state_input.as_deref();
    let summary: Option<RunSummary> =
        state_input.and_then(|input| serde_json::from_str(input).ok());
    let run_input: Option<Value> = event
        .input
        .as_deref()
        .or(state_input)
        .and_then(|input| serde_json::from_str(input).ok());
    let application = summary.as_ref().map_or_else(
        || run_input.as_ref().and_then(application_name),
        |summary| Some(summary.run.input.application_name.clone()),
    );
    // The run id in the state's input comes first, because the start date of the event may be rounded differently.
    let run_id = summary
        .as_ref()
        .map_or(event.start_date, |summary| summary.run.run_id);
    let outcome = match event.status {
        FailedStatus::Failed => Outcome::Failed,
        FailedStatus::TimedOut => Outcome::TimedOut,
        FailedStatus::Aborted => Outcome::Aborted,
    };
    let mut record = required_fields(
        application
            .as_ref()
            .map_or(UNKNOWN, ApplicationName::as_str),
        run_id,
        &event.execution_arn,
        outcome,
        event.stop_date,
    );
    record.redrive_count = details.redrive_count.or(event.redrive_count);
    record.mode = run_input
        .and_then(|input| serde_json::from_value::<RunInput>(input).ok())
        .filter(|input| input.refuse_unknown_fields().is_ok())
        .map(|input| input.mode);
    if let Some(summary) = summary {
        add_summary(&mut record, summary);
    }
    record.failed_state = details.state.as_deref().map(bounded_line);
    let failure = details.failure.unwrap_or_default();
    record.error_name = non_empty(failure.error.as_deref())
        .or(non_empty(event.error.as_deref()))
        .map(bounded_line);
    record.error_message = non_empty(failure.cause.as_deref())
        .or(non_empty(event.cause.as_deref()))
        .map(cause_message);
    record
}

/// The valid application name in an execution's input, whether or not the rest of the input is valid.
fn application_name(input: &Value) -> Option<ApplicationName> {
    let name = input.get("application_name")?.as_str()?;
    ApplicationName::try_from(name.to_owned()).ok()
}

/// The services send an empty string for a value that is absent.
fn non_empty(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// The message in the cause of a failure. If a Lambda function failed, the cause is JSON with an `errorMessage`. Any
/// other cause is the message itself.
fn cause_message(cause: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(cause).ok();
    let message = parsed
        .as_ref()
        .and_then(|parsed| parsed.get("errorMessage")?.as_str());
    bounded_line(non_empty(message).unwrap_or(cause))
}

/// Builds a record with the required fields only.
fn required_fields(
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
        execution_arn: bounded_line(execution_arn),
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
        warnings: Vec::new(),
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

/// Adds to the record what the run has done.
fn add_summary(record: &mut AuditRecord, summary: RunSummary) {
    record.mode = Some(summary.run.input.mode);
    record.skip_reason = summary.skip_reason;
    if let Some(snapshot) = summary.snapshot {
        record.new_snapshot_name = Some(snapshot.name);
        record.new_snapshot_create_time = snapshot.created_at;
        record.flink_app_version_id = snapshot.application_version_id.map(|id| id.to_string());
        record.snapshot_seconds = snapshot.seconds;
    }
    record.held_back = summary.held_back;
    let warnings = summary.warnings.iter();
    record.warnings = warnings.map(|warning| bounded_line(warning)).collect();
    record.snapshots_ready = summary.snapshots_ready;
    record.snapshots_total = summary.snapshots_total;
    record.newest_ready_snapshot_create_time = summary.newest_ready_at;
    if summary.run.input.mode == Mode::Plan {
        record.plan = summary.progress.is_some().then_some(summary.verdicts);
        record.deletions_planned = summary.deletions_wanted;
    } else if let Some(mut progress) = summary.progress {
        for failed in &mut progress.failed {
            failed.reason = bounded_line(&failed.reason);
        }
        record.snapshots_deleted = Some(progress.deleted);
        record.snapshots_deleted_count = Some(progress.deleted_count);
        record.snapshots_failed_to_be_deleted = Some(progress.failed);
        record.snapshots_failed_to_be_deleted_count = Some(progress.failed_count);
    }
}
