//! Everything that can go wrong in a course, and how long things take.

use std::time::Duration;

use engine::faults::FaultKind;
use engine::msf::ServiceError;
use jiff::SignedDuration;
use serde_json::Value;

use crate::executions::Status;
use crate::transport::Invocation;

/// How Lambda carries out an invocation that the state machine requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As requested, without a fault.
    Once,
    /// The function does not run, and the invocation fails with this error.
    Refused(String),
    /// The function runs, but the invocation fails with this error.
    AnswerLost(String),
    /// The invocation fails with this error after this time. The function goes on to run.
    Abandoned(String, Duration),
    /// The function hangs, and is ended after this time.
    Freezes(Duration),
    /// The function runs twice, one run after the other.
    Twice,
    /// The function runs twice at the same time.
    TwiceAtOnce,
}

/// How the process of a function starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The time from the invocation until the handler starts. The handler starts even if nobody waits for it any more.
    pub takes: Duration,
    /// How far the function's clock is ahead of the true time. It is negative if the clock is behind.
    pub clock_ahead: SignedDuration,
}

/// What a person does when an execution is about to enter a state.
#[derive(Clone, Debug)]
pub enum Interference {
    /// Deletes the run's own snapshot.
    DeletesOwn,
    /// Ends the execution after this time with this status, if it is still running then.
    Stops(Duration, Status),
}

/// Which release a payload comes from, compared with the current one.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    Newer,
    Older,
}

/// For an invocation and an operation: the latency of the call, and its fault, if any.
type Calls = Box<dyn FnMut(&Invocation, &str) -> (Duration, Option<FaultKind>) + Send>;

/// For the state that an execution is about to enter: what a person does, if anything.
pub type Interferences = Box<dyn FnMut(&str) -> Option<Interference> + Send>;

/// For an execution and a payload: the payload that another release would pass on instead, if any.
pub type OtherRelease = Box<dyn FnMut(&str, &Value) -> Option<(Release, Value)> + Send>;

/// Decides what goes wrong. Each field is a function that is called whenever its decision is needed.
pub struct FaultPlan {
    pub call: Calls,
    /// For the name of a function.
    pub delivery: Box<dyn FnMut(&str) -> Delivery + Send>,
    pub start: Box<dyn FnMut() -> Start + Send>,
    /// How old the state is that a listing shows.
    pub listing_lag: Box<dyn FnMut() -> Duration + Send>,
    /// How long after the end of an execution its event arrives, with an entry for each delivery. Without an entry, the
    /// event is lost.
    pub events: Box<dyn FnMut() -> Vec<Duration> + Send>,
    /// Whether an event has no `redriveCount`.
    pub event_without_redrive_count: Box<dyn FnMut() -> bool + Send>,
    pub interference: Interferences,
    pub other_release: OtherRelease,
    /// The part of a backoff that the state machine really waits, from 0 to 1.
    pub jitter: Box<dyn FnMut() -> f64 + Send>,
}

impl FaultPlan {
    pub fn none() -> Self {
        Self {
            call: Box::new(|_, _| (Duration::from_millis(20), None)),
            delivery: Box::new(|_| Delivery::Once),
            start: Box::new(Start::default),
            listing_lag: Box::new(|| Duration::ZERO),
            events: Box::new(|| vec![Duration::from_secs(1)]),
            event_without_redrive_count: Box::new(|| false),
            interference: Box::new(|_| None),
            other_release: Box::new(|_, _| None),
            jitter: Box::new(|| 0.5),
        }
    }

    /// Ends all faults. Slow starts, inexact clocks, listings that lag and other releases remain, because they are no
    /// faults.
    pub fn end_faults(&mut self) {
        let before = std::mem::replace(self, Self::none());
        self.start = before.start;
        self.listing_lag = before.listing_lag;
        self.other_release = before.other_release;
    }
}

/// The fault in which a service returns this error.
pub fn error(code: &str, status: u16, message: &str) -> FaultKind {
    FaultKind::Error(ServiceError::new(code, status, message))
}
