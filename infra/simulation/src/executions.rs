//! An execution, how it stands, and how it has ended.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::follower::Follower;
use crate::transport::Listing;

/// How an execution stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Running,
    Succeeded(Value),
    Failed(String, String),
    TimedOut,
    Aborted,
}

/// One end of an execution.
#[derive(Clone, Debug)]
pub struct End {
    /// How often the execution had been redriven before.
    pub redrives: u64,
    pub status: Status,
    pub at: Timestamp,
    /// It was in its last state.
    pub in_last_state: bool,
    /// Its event has no count of redrives.
    pub is_bare: bool,
    /// When its event was first handled.
    pub handled: Option<Timestamp>,
    /// When the execution was redriven since.
    pub redriven: Option<Timestamp>,
}

impl End {
    pub fn is_success(&self) -> bool {
        matches!(self.status, Status::Succeeded(_))
    }
}

/// One execution.
#[derive(Debug)]
pub struct Execution {
    pub started: Timestamp,
    pub input: Value,
    pub follower: Follower,
    pub status: Status,
    /// How it has ended so far.
    pub ends: Vec<End>,
    /// The listing that the data at hand was made from.
    pub rests_on: Option<Arc<Listing>>,
    /// How often it was redriven, and when last.
    pub redrives: u64,
    pub redriven: Option<Timestamp>,
    /// How it ends when it is stopped.
    pub stopped: Status,
    pub stop: Arc<Notify>,
}

impl Execution {
    /// The detail of its event, if it has ended otherwise than well.
    pub fn event_detail(&self, arn: &str, stopped: Timestamp, is_bare: bool) -> Option<Value> {
        let status = match &self.status {
            Status::Failed(..) => "FAILED",
            Status::TimedOut => "TIMED_OUT",
            Status::Aborted => "ABORTED",
            Status::Running | Status::Succeeded(_) => return None,
        };
        let mut detail = json!({
            "executionArn": arn, "status": status, "input": self.input.to_string(),
            "startDate": self.started.as_millisecond(), "stopDate": stopped.as_millisecond(),
        });
        if !is_bare {
            detail["redriveCount"] = self.redrives.into();
            detail["redriveDate"] = self.redriven.map(Timestamp::as_millisecond).into();
        }
        Some(detail)
    }

    /// The event of one of its ends was handled.
    pub fn was_handled(&mut self, event: &Value, now: Timestamp) {
        for end in &mut self.ends {
            if event["detail"]["stopDate"] == end.at.as_millisecond() {
                end.handled.get_or_insert(now);
            }
        }
    }
}
