//! What the history of a failed execution tells.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::HistoryEvent;
use contract::RecordAndNotifyInput;
use shell::{Refusal, StepError};

use crate::error;

/// A failed execution's last words. What the history does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// The state that was entered and not left.
    pub(crate) state: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    /// What the run had done when that state was entered.
    pub(crate) done: Option<RecordAndNotifyInput>,
}

/// Reads the history backwards to the state that failed.
pub(crate) async fn last_words(sfn: &Client, execution_arn: &str) -> Result<LastWords, StepError> {
    let mut pages = sfn
        .get_execution_history()
        .execution_arn(execution_arn)
        .reverse_order(true)
        .include_execution_data(true)
        .into_paginator()
        .page_size(100)
        .send();
    let mut words = LastWords::default();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| error::other(Refusal::of("GetExecutionHistory", &error)))?;
        for event in &page.events {
            if take_in(&mut words, event) {
                return Ok(words);
            }
        }
    }
    Ok(words)
}

/// Takes in one event, newest first; true when the state is found.
fn take_in(words: &mut LastWords, event: &HistoryEvent) -> bool {
    let parse = |json: &Option<String>| serde_json::from_str(json.as_deref()?).ok();
    if let Some(failed) = &event.execution_failed_event_details {
        (words.error, words.cause) = (failed.error.clone(), failed.cause.clone());
    } else if let Some(aborted) = &event.execution_aborted_event_details {
        (words.error, words.cause) = (aborted.error.clone(), aborted.cause.clone());
    } else if let Some(timed_out) = &event.execution_timed_out_event_details {
        (words.error, words.cause) = (timed_out.error.clone(), timed_out.cause.clone());
    } else if let Some(entered) = &event.state_entered_event_details {
        words.state = Some(entered.name.clone());
        words.done = parse(&entered.input);
        return true;
    } else if let Some(exited) = &event.state_exited_event_details {
        // It was stopped between two states.
        words.done = parse(&exited.output);
        return true;
    }
    false
}
