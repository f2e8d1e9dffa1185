//! Reads from the history of an execution why the execution failed.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::HistoryEvent;
use contract::ExecutionStatusDetail;
use step::{CallError, StepError};

use crate::error;

/// The maximum number of entries on a page of the history. An entry can contain the input and the output of a state,
/// each up to 256 KiB, and the function has 128 MB of memory.
const PAGE_SIZE: i32 = 20;

/// How an execution failed. A field is `None` if the history does not contain its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureDetails {
    /// The name of the state that failed: the execution entered this state and did not leave it.
    pub(crate) state: Option<String>,
    /// The input of that state, which contains what the run has done so far. If `CreateSnapshot` fails before
    /// any wait, this is the input of the execution.
    pub(crate) state_input: Option<String>,
    /// The error and the cause with which the execution ended.
    pub(crate) failure: Option<ExecutionFailure>,
    /// How often the execution had been redriven when it failed.
    pub(crate) redrive_count: Option<u32>,
}

/// The error and the cause with which an execution ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecutionFailure {
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
}

/// Reads the history backwards, from its last entry to the entry that names the failed state. If `event` has no redrive
/// count, reads on to the last redrive before the failure, or to the start of the execution.
pub(crate) async fn failure_details(
    sfn: &Client,
    event: &ExecutionStatusDetail,
) -> Result<FailureDetails, StepError> {
    let mut pages = sfn
        .get_execution_history()
        .execution_arn(&event.execution_arn)
        .reverse_order(true)
        .include_execution_data(true)
        .into_paginator()
        .page_size(PAGE_SIZE)
        .send();
    let mut details = FailureDetails {
        redrive_count: event.redrive_count,
        ..FailureDetails::default()
    };
    let mut is_complete = false;
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| error::call_failed(CallError::of("GetExecutionHistory", &error)))?;
        for entry in &page.events {
            is_complete = is_complete || read_failure(&mut details, entry, event.stop_date);
            read_redrive_count(&mut details, entry, event.stop_date);
            if is_complete && details.redrive_count.is_some() {
                return Ok(details);
            }
        }
    }
    Ok(details)
}

/// Adds to `details` what one entry of the history says about the failure. The entries have to be passed newest first.
/// Returns whether `details` is complete, so that no older entry is needed. Entries after `stop_date` belong to
/// a later redrive.
fn read_failure(details: &mut FailureDetails, entry: &HistoryEvent, stop_date: i64) -> bool {
    let is_after = is_after(entry, stop_date);
    if entry.execution_redriven_event_details.is_some() && is_after {
        // The history is read backwards: the failure that was read before this redrive came after it, so it is not the
        // one that the event reports.
        details.failure = None;
    } else if let Some(failure) = execution_failure(entry) {
        // A redriven execution also has older failures, which do not count.
        details.failure.get_or_insert(failure);
    } else if let Some(entered) = &entry.state_entered_event_details
        && !is_after
    {
        details.state = Some(entered.name.clone());
        details.state_input.clone_from(&entered.input);
        return true;
    } else if let Some(exited) = &entry.state_exited_event_details
        && !is_after
    {
        // The execution was stopped between two states, so no state failed.
        details.state_input.clone_from(&exited.output);
        return true;
    }
    false
}

/// Reads from one entry how often the execution had been redriven at `stop_date`. Does nothing if `details` has the
/// count already.
fn read_redrive_count(details: &mut FailureDetails, entry: &HistoryEvent, stop_date: i64) {
    if details.redrive_count.is_some() || is_after(entry, stop_date) {
        return;
    }
    if let Some(redriven) = &entry.execution_redriven_event_details {
        let count = redriven.redrive_count;
        details.redrive_count = count.and_then(|count| count.try_into().ok());
    } else if entry.execution_started_event_details.is_some() {
        details.redrive_count = Some(0);
    }
}

fn is_after(entry: &HistoryEvent, stop_date: i64) -> bool {
    entry.timestamp.to_millis().is_ok_and(|at| at > stop_date)
}

/// The error and the cause, if this entry says that the execution failed, timed out or was stopped.
fn execution_failure(entry: &HistoryEvent) -> Option<ExecutionFailure> {
    let (error, cause) = if let Some(failed) = &entry.execution_failed_event_details {
        (&failed.error, &failed.cause)
    } else if let Some(aborted) = &entry.execution_aborted_event_details {
        (&aborted.error, &aborted.cause)
    } else {
        let timed_out = entry.execution_timed_out_event_details.as_ref()?;
        (&timed_out.error, &timed_out.cause)
    };
    Some(ExecutionFailure {
        error: error.clone(),
        cause: cause.clone(),
    })
}
