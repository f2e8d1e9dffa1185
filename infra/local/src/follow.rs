//! Prints an execution while it runs: each state when it is entered, and the time left in each wait.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};
use engine::Connection;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use output::note;
use serde_json::Value;

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An execution that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub succeeded: bool,
    /// The run id: the start time of the execution in epoch milliseconds, truncated.
    pub run_id: i64,
    pub input: String,
    pub history: Vec<HistoryEvent>,
}

/// Starts an execution, and returns its ARN.
pub async fn start_execution(
    sfn: &Client,
    connection: &Connection,
    name: &str,
    input: &Value,
) -> Result<String> {
    let start = sfn
        .start_execution()
        .state_machine_arn(&connection.state_machine_arn);
    let started = start.name(name).input(input.to_string()).send().await?;
    Ok(started.execution_arn)
}

/// Prints the events of an execution to stderr until it ends. Leaves out the first `seen` events of its history.
pub async fn follow(sfn: &Client, execution_arn: &str, seen: usize) -> Result<Ended> {
    let style = ProgressStyle::with_template("{spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    let mut shown = seen;
    loop {
        let history = history(sfn, execution_arn).await?;
        for line in history
            .iter()
            .skip(shown)
            .filter_map(|it| line_of(it, &history))
        {
            bar.suspend(|| note!("{line}"));
        }
        shown = shown.max(history.len());
        // If a redrive has not begun yet, the last event in the history is still the end before the redrive.
        let last = history.last().filter(|_| history.len() > seen);
        if let Some(succeeded) = last.and_then(|last| success_at_end(&last.r#type)) {
            bar.finish_and_clear();
            let describe = sfn.describe_execution().execution_arn(execution_arn);
            let described = describe.send().await?;
            // In the response, the time is a floating-point number of seconds, which may be slightly less than the
            // exact microsecond. So it is rounded to microseconds first.
            let microseconds = (described.start_date.as_nanos() + 500).div_euclid(1_000);
            return Ok(Ended {
                succeeded,
                run_id: i64::try_from(microseconds.div_euclid(1_000))?,
                input: described.input.unwrap_or_default(),
                history,
            });
        }
        if let Some(state) = history.iter().rev().find_map(current_state) {
            bar.set_message(state);
        }
        bar.tick();
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The whole history of an execution, oldest event first.
pub async fn history(sfn: &Client, execution_arn: &str) -> Result<Vec<HistoryEvent>> {
    let get = sfn.get_execution_history().execution_arn(execution_arn);
    let mut pages = get.max_results(1_000).into_paginator().send();
    let mut events = Vec::new();
    while let Some(page) = pages.next().await {
        events.extend(page.with_context(|| execution_arn.to_owned())?.events);
    }
    Ok(events)
}

/// How many state transitions are billed: one for each entry into a state, and one for each retry.
pub fn billed_transitions(history: &[HistoryEvent]) -> usize {
    let count = |kind: Type| history.iter().filter(|event| event.r#type == kind).count();
    let entered = history
        .iter()
        .filter(|event| event.state_entered_event_details.is_some())
        .count();
    entered + count(Type::TaskScheduled).saturating_sub(count(Type::TaskStateEntered))
}

/// Whether the execution succeeded. `None` if an event of this type does not end an execution.
fn success_at_end(kind: &Type) -> Option<bool> {
    match kind {
        Type::ExecutionSucceeded => Some(true),
        Type::ExecutionFailed | Type::ExecutionTimedOut | Type::ExecutionAborted => Some(false),
        _ => None,
    }
}

/// The line to print for an event, if any.
fn line_of(event: &HistoryEvent, history: &[HistoryEvent]) -> Option<String> {
    let text = if let Some(entered) = &event.state_entered_event_details {
        let wait = wait_seconds(event).map_or(String::new(), |wait| format!(" ({wait} s)"));
        format!("{}{wait}", entered.name)
    } else if let Some(failed) = &event.task_failed_event_details {
        let error = failed.error.as_deref().unwrap_or("an error without a name");
        let cause = failed.cause.as_deref().unwrap_or_default();
        // If a function returned the error, the cause is JSON. If a service did, it is text.
        let message: Value = serde_json::from_str(cause).unwrap_or_default();
        let message = message["errorMessage"].as_str().unwrap_or(cause);
        format!("  {error}: {message}")
    } else {
        match event.r#type {
            Type::ExecutionSucceeded => "SUCCEEDED",
            Type::ExecutionFailed => "FAILED",
            Type::ExecutionTimedOut => "TIMED_OUT",
            Type::ExecutionAborted => "ABORTED",
            Type::ExecutionRedriven => "redriven",
            _ => return None,
        }
        .to_owned()
    };
    let start = history.first().unwrap_or(event).timestamp.as_nanos();
    let seconds = seconds(event.timestamp.as_nanos() - start);
    Some(format!("{seconds:7.1} s  {text}"))
}

fn wait_seconds(event: &HistoryEvent) -> Option<u64> {
    if event.r#type != Type::WaitStateEntered {
        return None;
    }
    let input = event.state_entered_event_details.as_ref()?.input.as_ref()?;
    let input: Value = serde_json::from_str(input).ok()?;
    input["wait_seconds"].as_u64()
}

/// The state that this event enters, and how long its wait still takes. If the state does not wait, how long it has
/// been running.
fn current_state(event: &HistoryEvent) -> Option<String> {
    let state = &event.state_entered_event_details.as_ref()?.name;
    let elapsed = seconds(Timestamp::now().as_nanosecond() - event.timestamp.as_nanos());
    Some(match wait_seconds(event) {
        #[expect(clippy::cast_precision_loss, reason = "a wait has few seconds")]
        Some(wait) => format!("{state}: {:.0} s left", (wait as f64 - elapsed).max(0.0)),
        None => format!("{state}: {elapsed:.0} s"),
    })
}

fn seconds(nanoseconds: i128) -> f64 {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)).as_secs_f64()
}
