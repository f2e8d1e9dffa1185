//! What the history of a failed execution says about the failure.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::HistoryEvent;
use contract::ExecutionStatusDetail;
use step::{CallError, StepError};

use crate::error;

/// The most events on a page. Each can have the data of a state, up to 256 KiB twice, and the function has 128 MB.
const PAGE_SIZE: i32 = 20;

/// How an execution failed. What the history does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureDetails {
    /// The state that the execution entered and did not leave.
    pub(crate) state: Option<String>,
    /// The input of that state, which says what the run had done. When the first state is entered for the first time,
    /// it is the run's own input.
    pub(crate) state_input: Option<String>,
    /// What the execution ended with.
    pub(crate) end: Option<ExecutionEnd>,
    /// How often the execution was redriven before this end.
    pub(crate) redrive_count: Option<u32>,
}

/// What an execution ended with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecutionEnd {
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
}

/// Reads the history backwards, from the end of the execution to the state that failed. If the event does
/// not say how often the execution was redriven, it reads on to the last redrive or to the start.
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
    let mut is_state_found = false;
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| error::call(CallError::of("GetExecutionHistory", &error)))?;
        for entry in &page.events {
            is_state_found = is_state_found || read_failure(&mut details, entry, event.stop_date);
            read_redrive_count(&mut details, entry, event.stop_date);
            if is_state_found && details.redrive_count.is_some() {
                return Ok(details);
            }
        }
    }
    Ok(details)
}

/// Reads one entry, newest first. Returns whether it is the one that says what state failed. Entries after
/// `stop_date` belong to a later redrive.
fn read_failure(details: &mut FailureDetails, entry: &HistoryEvent, stop_date: i64) -> bool {
    let is_after = is_after(entry, stop_date);
    if entry.execution_redriven_event_details.is_some() && is_after {
        // The ends that were read so far are those of the redrive.
        details.end = None;
    } else if let Some(end) = execution_end(entry) {
        // Only the newest end counts: a redriven execution has earlier ones.
        details.end.get_or_insert(end);
    } else if let Some(entered) = &entry.state_entered_event_details
        && !is_after
    {
        details.state = Some(entered.name.clone());
        details.state_input.clone_from(&entered.input);
        return true;
    } else if let Some(exited) = &entry.state_exited_event_details
        && !is_after
    {
        // The execution was stopped between two states.
        details.state_input.clone_from(&exited.output);
        return true;
    }
    false
}

/// Reads from one entry how often the execution was redriven before `stop_date`, unless that is known.
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

/// What the execution ended with, if this entry is an end.
fn execution_end(entry: &HistoryEvent) -> Option<ExecutionEnd> {
    let (error, cause) = if let Some(failed) = &entry.execution_failed_event_details {
        (&failed.error, &failed.cause)
    } else if let Some(aborted) = &entry.execution_aborted_event_details {
        (&aborted.error, &aborted.cause)
    } else {
        let timed_out = entry.execution_timed_out_event_details.as_ref()?;
        (&timed_out.error, &timed_out.cause)
    };
    Some(ExecutionEnd {
        error: error.clone(),
        cause: cause.clone(),
    })
}
