//! An execution that has ended, read from its history.

use aws_sdk_sfn::types::{
    ExecutionStatus, HistoryEvent, HistoryEventType, StateEnteredEventDetails,
};
use serde_json::Value;

#[derive(Debug)]
pub struct Execution {
    pub arn: String,
    pub status: ExecutionStatus,
    pub history: Vec<HistoryEvent>,
    pub run_id: i64,
}

impl Execution {
    pub fn states(&self) -> Vec<&str> {
        let entered = self
            .history
            .iter()
            .filter_map(|event| event.state_entered_event_details());
        entered.map(StateEnteredEventDetails::name).collect()
    }

    /// The state that was entered, but not left.
    pub fn failed_state(&self) -> Option<&str> {
        let last = self.history.iter().rev().find(|event| {
            event.state_entered_event_details.is_some()
                || event.state_exited_event_details.is_some()
        })?;
        last.state_entered_event_details()
            .map(StateEnteredEventDetails::name)
    }

    pub fn error(&self) -> (String, String) {
        let failed = self
            .history
            .iter()
            .rev()
            .find_map(|event| event.execution_failed_event_details.as_ref())
            .expect("an execution that failed");
        let cause = failed.cause.clone().unwrap();
        // If a function failed, the cause is JSON. If a service did, it is text.
        let message = match serde_json::from_str::<Value>(&cause) {
            Ok(cause) => cause["errorMessage"].as_str().unwrap().to_owned(),
            Err(_) => cause,
        };
        (failed.error.clone().unwrap(), message)
    }

    /// The errors of all failed attempts of Tasks, including those that were retried.
    pub fn task_errors(&self) -> Vec<&str> {
        self.history
            .iter()
            .filter(|event| event.r#type == HistoryEventType::TaskFailed)
            .filter_map(|event| event.task_failed_event_details()?.error())
            .collect()
    }

    /// The name of the snapshot that the run takes.
    pub fn snapshot_name(&self) -> String {
        format!("custom_{}", self.run_id)
    }
}
