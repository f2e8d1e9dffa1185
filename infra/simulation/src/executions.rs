//! Executions: their statuses, and how each of their attempts ended.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use stack::{ACCOUNT, REGION};
use tokio::sync::Notify;

use crate::follower::Follower;
use crate::transport::Listing;

pub fn arn(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:snapshot-manager:{name}")
}

#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Running,
    Succeeded(Value),
    /// The error and the cause.
    Failed(String, String),
    TimedOut,
    Aborted,
}

impl Status {
    /// The name of a failed status, as an event has it. `None` if the status is not a failure.
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Succeeded(_) => None,
            Self::Failed(..) => Some("FAILED"),
            Self::TimedOut => Some("TIMED_OUT"),
            Self::Aborted => Some("ABORTED"),
        }
    }
}

/// How an attempt of an execution ended. An execution has one attempt for its start, and one for each redrive.
#[derive(Clone, Debug)]
pub struct End {
    /// How often the execution had been redriven before this end.
    pub redrives: u64,
    pub status: Status,
    pub at: Timestamp,
    /// Whether the execution was in the state `RecordAndNotify`.
    pub in_last_state: bool,
    /// Whether the event of this end has no `redriveCount`.
    pub without_redrive_count: bool,
    /// When record-and-notify first handled the event of this end.
    pub handled: Option<Timestamp>,
    /// When the execution was redriven after this end.
    pub redriven: Option<Timestamp>,
}

impl End {
    pub fn is_success(&self) -> bool {
        matches!(self.status, Status::Succeeded(_))
    }

    /// Whether record-and-notify has learned of this end: in the last state, if the run succeeded, or from the event.
    pub fn is_reported(&self) -> bool {
        self.is_success() || self.handled.is_some()
    }

    /// Whether record-and-notify has to compare times to order this end and others, because the event has no redrive
    /// count.
    pub fn has_uncertain_order(&self) -> bool {
        self.without_redrive_count && self.redrives > 0
    }
}

#[derive(Debug)]
pub struct Execution {
    pub started: Timestamp,
    pub input: Value,
    pub follower: Follower,
    pub status: Status,
    pub ends: Vec<End>,
    /// The listing from which the batch in the input of the current state was planned.
    pub planned_from: Option<Arc<Listing>>,
    pub redrives: u64,
    pub redriven: Option<Timestamp>,
    /// The status that the execution gets when [`Self::stop`] is notified.
    pub stop_status: Status,
    pub stop: Arc<Notify>,
}

impl Execution {
    pub fn new(started: Timestamp, follower: Follower, input: &Value) -> Self {
        Self {
            started,
            input: input.clone(),
            follower,
            status: Status::Running,
            ends: Vec::new(),
            planned_from: None,
            redrives: 0,
            redriven: None,
            stop_status: Status::Aborted,
            stop: Arc::new(Notify::new()),
        }
    }

    /// The event of the last end. `None` if the execution has not ended, or has succeeded.
    pub fn failure_event(&self, arn: &str) -> Option<Value> {
        let end = self.ends.last()?;
        let mut detail = json!({
            "executionArn": arn, "status": end.status.failure()?, "input": self.input.to_string(),
            "startDate": self.started.as_millisecond(), "stopDate": end.at.as_millisecond(),
        });
        if !end.without_redrive_count {
            detail["redriveCount"] = self.redrives.into();
            detail["redriveDate"] = self.redriven.map(Timestamp::as_millisecond).into();
        }
        if let Status::Failed(error, cause) = &end.status {
            detail["error"] = error.as_str().into();
            detail["cause"] = cause.as_str().into();
        }
        Some(json!({
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "detail": detail,
        }))
    }

    /// Notes that record-and-notify has handled an event.
    pub fn was_handled(&mut self, event: &Value, now: Timestamp) {
        for end in &mut self.ends {
            if event["detail"]["stopDate"] == end.at.as_millisecond() {
                end.handled.get_or_insert(now);
            }
        }
    }
}
