//! What the history of a failed execution tells.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::HistoryEvent;
use contract::ExecutionStatusDetail;
use step::{CallError, StepError};

use crate::error;

/// A failed execution's last words. What the history does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// The state that was entered and not left.
    pub(crate) state: Option<String>,
    /// Error and cause of the execution.
    pub(crate) end: Option<(Option<String>, Option<String>)>,
    /// What that state was given: what the run had done, or the run's own input if it is the first.
    pub(crate) given: Option<String>,
    /// How often the execution was redriven before this end.
    pub(crate) redrive_count: Option<u32>,
}

/// Reads the history backwards, from when the execution stopped to the state that failed; on to its last
/// redrive, or to its start, if the event leaves out how often it was redriven.
pub(crate) async fn last_words(
    sfn: &Client,
    stopped: &ExecutionStatusDetail,
) -> Result<LastWords, StepError> {
    let mut pages = sfn
        .get_execution_history()
        .execution_arn(&stopped.execution_arn)
        .reverse_order(true)
        .include_execution_data(true)
        .into_paginator()
        .page_size(100)
        .send();
    let mut words = LastWords {
        redrive_count: stopped.redrive_count,
        ..LastWords::default()
    };
    let mut is_found = false;
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| error::other(CallError::of("GetExecutionHistory", &error)))?;
        for event in &page.events {
            is_found = is_found || take_in(&mut words, event, stopped.stop_date);
            count_redrives(&mut words, event, stopped.stop_date);
            if is_found && words.redrive_count.is_some() {
                return Ok(words);
            }
        }
    }
    Ok(words)
}

/// Takes in one event, newest first; true when the state is found. What is later than `stop_date`
/// belongs to a redrive since then.
fn take_in(words: &mut LastWords, event: &HistoryEvent, stop_date: i64) -> bool {
    let is_later = is_later(event, stop_date);
    if event.execution_redriven_event_details.is_some() && is_later {
        *words = LastWords {
            redrive_count: words.redrive_count,
            ..LastWords::default()
        };
    } else if let Some(end) = end(event) {
        // A redriven execution has ended before.
        words.end.get_or_insert(end);
    } else if let Some(entered) = &event.state_entered_event_details
        && !is_later
    {
        words.state = Some(entered.name.clone());
        words.given.clone_from(&entered.input);
        return true;
    } else if let Some(exited) = &event.state_exited_event_details
        && !is_later
    {
        // It was stopped between two states.
        words.given.clone_from(&exited.output);
        return true;
    }
    false
}

/// Takes in how often the execution was redriven before `stop_date`, unless that is known.
fn count_redrives(words: &mut LastWords, event: &HistoryEvent, stop_date: i64) {
    if words.redrive_count.is_some() || is_later(event, stop_date) {
        return;
    }
    if let Some(redriven) = &event.execution_redriven_event_details {
        let count = redriven.redrive_count;
        words.redrive_count = count.and_then(|count| count.try_into().ok());
    } else if event.execution_started_event_details.is_some() {
        words.redrive_count = Some(0);
    }
}

fn is_later(event: &HistoryEvent, stop_date: i64) -> bool {
    event.timestamp.to_millis().is_ok_and(|at| at > stop_date)
}

/// Error and cause, if that is how the execution ended.
fn end(event: &HistoryEvent) -> Option<(Option<String>, Option<String>)> {
    if let Some(failed) = &event.execution_failed_event_details {
        Some((failed.error.clone(), failed.cause.clone()))
    } else if let Some(aborted) = &event.execution_aborted_event_details {
        Some((aborted.error.clone(), aborted.cause.clone()))
    } else {
        let timed_out = event.execution_timed_out_event_details.as_ref()?;
        Some((timed_out.error.clone(), timed_out.cause.clone()))
    }
}
