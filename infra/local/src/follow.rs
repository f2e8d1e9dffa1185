//! An execution as it happens: each state as it is entered, waits counting down.

use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;

use engine::engine::{Names, words};

/// How often the history is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An execution that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The start of the execution in epoch milliseconds, truncated, which is the run id.
    pub run_id: i64,
    /// The execution's input.
    pub input: String,
    /// The whole history, oldest event first.
    pub history: Vec<HistoryEvent>,
}

/// Starts an execution of the machine; its ARN.
pub async fn start_execution(
    sfn: &Client,
    names: &Names,
    name: &str,
    input: &Value,
) -> Result<String, String> {
    let started = sfn
        .start_execution()
        .state_machine_arn(&names.state_machine_arn)
        .name(name)
        .input(input.to_string())
        .send()
        .await
        .map_err(|error| words(&error))?;
    Ok(started.execution_arn)
}

/// Follows an execution until it ends, on stderr. The first `seen` events of its history are known
/// already.
pub async fn follow(sfn: &Client, execution_arn: &str, seen: usize) -> Result<Ended, String> {
    let bar = ProgressBar::new_spinner().with_style(spinner());
    let mut shown = seen;
    let mut current = None;
    loop {
        let history = history(sfn, execution_arn).await?;
        let began = history.first().map(nanoseconds);
        for event in history.iter().skip(shown) {
            let seconds = seconds_since(began, nanoseconds(event));
            if let Some(line) = line(event, seconds) {
                bar.suspend(|| eprintln!("{line}"));
            }
            if let Some(entered) = &event.state_entered_event_details {
                current = Some((
                    entered.name.clone(),
                    nanoseconds(event),
                    wait_seconds(event),
                ));
            }
        }
        shown = history.len().max(shown);
        let last = history.last().map(|event| event.r#type.clone());
        if let Some(ended) = last
            .filter(|_| history.len() > seen)
            .and_then(|last| ends(&last))
        {
            bar.finish_and_clear();
            let described = sfn
                .describe_execution()
                .execution_arn(execution_arn)
                .send()
                .await
                .map_err(|error| words(&error))?;
            // The wire has a binary fraction of seconds, which may be just below the microsecond.
            let microseconds = (described.start_date.as_nanos() + 500).div_euclid(1_000);
            return Ok(Ended {
                succeeded: ended,
                run_id: i64::try_from(microseconds.div_euclid(1_000)).unwrap_or(0),
                input: described.input.unwrap_or_default(),
                history,
            });
        }
        if let Some((state, entered, wait)) = &current {
            bar.set_message(waiting(state, *entered, *wait));
        }
        bar.tick();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The whole history, oldest event first.
pub async fn history(sfn: &Client, execution_arn: &str) -> Result<Vec<HistoryEvent>, String> {
    let mut pages = sfn
        .get_execution_history()
        .execution_arn(execution_arn)
        .max_results(1_000)
        .into_paginator()
        .send();
    let mut events = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| format!("{execution_arn}: {}", words(&error)))?;
        events.extend(page.events);
    }
    Ok(events)
}

/// The state transitions that the history is billed as: each entry of a state, each retry.
#[must_use]
pub fn transitions(history: &[HistoryEvent]) -> usize {
    let count = |kind: Type| history.iter().filter(|event| event.r#type == kind).count();
    let entered = history
        .iter()
        .filter(|event| event.state_entered_event_details.is_some())
        .count();
    entered + count(Type::TaskScheduled).saturating_sub(count(Type::TaskStateEntered))
}

/// A spinner and what it stands for.
fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Whether the event ends the execution, and if so whether well.
fn ends(kind: &Type) -> Option<bool> {
    match kind {
        Type::ExecutionSucceeded => Some(true),
        Type::ExecutionFailed | Type::ExecutionTimedOut | Type::ExecutionAborted => Some(false),
        _ => None,
    }
}

/// What is said of an event, if anything is.
fn line(event: &HistoryEvent, seconds: f64) -> Option<String> {
    let at = format!("{seconds:7.1} s ");
    if let Some(entered) = &event.state_entered_event_details {
        return Some(match wait_seconds(event) {
            Some(wait) => format!("{at} {} ({wait} s)", entered.name),
            None => format!("{at} {}", entered.name),
        });
    }
    if let Some(failed) = &event.task_failed_event_details {
        let error = failed.error.as_deref().unwrap_or("an error without a name");
        let cause = failed.cause.as_deref().unwrap_or_default();
        let message: Option<Value> = serde_json::from_str(cause).ok();
        let message = message
            .as_ref()
            .and_then(|message| message["errorMessage"].as_str());
        return Some(format!("{at}   {error}: {}", message.unwrap_or(cause)));
    }
    match event.r#type {
        Type::ExecutionSucceeded => Some(format!("{at} SUCCEEDED")),
        Type::ExecutionFailed => Some(format!("{at} FAILED")),
        Type::ExecutionTimedOut => Some(format!("{at} TIMED_OUT")),
        Type::ExecutionAborted => Some(format!("{at} ABORTED")),
        Type::ExecutionRedriven => Some(format!("{at} redriven")),
        _ => None,
    }
}

/// How long a Wait state waits.
fn wait_seconds(event: &HistoryEvent) -> Option<u64> {
    if event.r#type != Type::WaitStateEntered {
        return None;
    }
    let input = event.state_entered_event_details.as_ref()?.input.as_ref()?;
    let input: Value = serde_json::from_str(input).ok()?;
    input["wait_seconds"].as_u64()
}

/// The state that the execution is in, and how long yet when that is known.
fn waiting(state: &str, entered: i128, wait: Option<u64>) -> String {
    let elapsed = seconds_since(Some(entered), Timestamp::now().as_nanosecond());
    match wait {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a wait are few")]
        Some(wait) => format!("{state}: {:.0} s left", (wait as f64 - elapsed).max(0.0)),
        None => format!("{state}: {elapsed:.0} s"),
    }
}

fn nanoseconds(event: &HistoryEvent) -> i128 {
    event.timestamp.as_nanos()
}

fn seconds_since(began: Option<i128>, now: i128) -> f64 {
    let elapsed = now - began.unwrap_or(now);
    Duration::from_nanos(u64::try_from(elapsed).unwrap_or(0)).as_secs_f64()
}
