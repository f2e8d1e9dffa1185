//! An execution, its status, and how it has ended.

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
    /// With error and cause.
    Failed(String, String),
    TimedOut,
    Aborted,
}

impl Status {
    /// The name of the status in an event, if it is a failure.
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Running | Self::Succeeded(_) => None,
            Self::Failed(..) => Some("FAILED"),
            Self::TimedOut => Some("TIMED_OUT"),
            Self::Aborted => Some("ABORTED"),
        }
    }
}

/// One end of an execution. An execution has as many ends as it was started and redriven.
#[derive(Clone, Debug)]
pub struct End {
    /// How often the execution had been redriven before.
    pub redrives: u64,
    pub status: Status,
    pub at: Timestamp,
    pub in_last_state: bool,
    pub without_count: bool,
    pub handled: Option<Timestamp>,
    /// When the execution was redriven from it.
    pub redriven: Option<Timestamp>,
}

impl End {
    pub fn is_success(&self) -> bool {
        matches!(self.status, Status::Succeeded(_))
    }

    /// Whether record-and-notify knows of it.
    pub fn is_reported(&self) -> bool {
        self.is_success() || self.handled.is_some()
    }

    /// Whether the place of this end among the others has to be guessed from times.
    pub fn has_uncertain_place(&self) -> bool {
        self.without_count && self.redrives > 0
    }
}

#[derive(Debug)]
pub struct Execution {
    pub started: Timestamp,
    pub input: Value,
    pub follower: Follower,
    pub status: Status,
    pub ends: Vec<End>,
    /// The listing from which the current state's input was planned.
    pub planned_from: Option<Arc<Listing>>,
    pub redrives: u64,
    pub redriven: Option<Timestamp>,
    /// The status that it gets when [`Self::stop`] is notified.
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

    /// The event of its last end, unless that was a success.
    pub fn failure_event(&self, arn: &str) -> Option<Value> {
        let end = self.ends.last()?;
        let mut detail = json!({
            "executionArn": arn, "status": end.status.failure()?, "input": self.input.to_string(),
            "startDate": self.started.as_millisecond(), "stopDate": end.at.as_millisecond(),
        });
        if !end.without_count {
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

    pub fn was_handled(&mut self, event: &Value, now: Timestamp) {
        for end in &mut self.ends {
            if event["detail"]["stopDate"] == end.at.as_millisecond() {
                end.handled.get_or_insert(now);
            }
        }
    }
}
