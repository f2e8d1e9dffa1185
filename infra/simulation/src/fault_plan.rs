//! Everything that can go wrong in a course, and how long things take.

use std::time::Duration;

use engine::faults::FaultKind;
use engine::msf::ServiceError;
use jiff::SignedDuration;
use serde_json::Value;

use crate::executions::Status;
use crate::transport::Invocation;

/// How Lambda carries out an invocation of a function by the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// The function does not run. The invocation fails with this error.
    Refused(String),
    /// The function runs. The invocation fails with this error all the same.
    AnswerLost(String),
    /// The invocation fails with this error after this time. The function continues to run.
    Abandoned(String, Duration),
    /// The function is ended after this time.
    Freezes(Duration),
    /// The function runs a second time after the first.
    Twice,
    TwiceAtOnce,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The time from the invocation to the handler. The handler runs even if nobody waits for it any more.
    pub takes: Duration,
    /// How far the function's clock is ahead of the true time; negative if it is behind.
    pub clock_ahead: SignedDuration,
}

/// What a person does when an execution is about to enter a state.
#[derive(Clone, Debug)]
pub enum Interference {
    DeletesOwn,
    /// Ends the execution after this time with this status, if it is still running then.
    Stops(Duration, Status),
}

/// The release that another release's payload comes from.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    Newer,
    Older,
}

/// By invocation and operation: the latency of the call, and its fault.
type Calls = Box<dyn FnMut(&Invocation, &str) -> (Duration, Option<FaultKind>) + Send>;

/// By the state that an execution is about to enter.
pub type Interferences = Box<dyn FnMut(&str) -> Option<Interference> + Send>;

/// By execution and payload: the payload that another release would pass on instead.
pub type OtherRelease = Box<dyn FnMut(&str, &Value) -> Option<(Release, Value)> + Send>;

/// Decides what goes wrong. Each field is asked whenever its question comes up.
pub struct FaultPlan {
    pub call: Calls,
    /// By function.
    pub delivery: Box<dyn FnMut(&str) -> Delivery + Send>,
    pub start: Box<dyn FnMut() -> Start + Send>,
    pub listing_lag: Box<dyn FnMut() -> Duration + Send>,
    /// How long after the end of an execution its event arrives, one entry for each delivery. An event without
    /// deliveries is lost.
    pub events: Box<dyn FnMut() -> Vec<Duration> + Send>,
    pub event_without_count: Box<dyn FnMut() -> bool + Send>,
    pub interference: Interferences,
    pub other_release: OtherRelease,
    /// The part of a backoff that the state machine waits, 0 to 1.
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
            event_without_count: Box::new(|| false),
            interference: Box::new(|_| None),
            other_release: Box::new(|_, _| None),
            jitter: Box::new(|| 0.5),
        }
    }

    /// Ends all faults. Slow starts, clocks that are off, listings that lag and other releases are no faults: they stay.
    pub fn end_faults(&mut self) {
        let before = std::mem::replace(self, Self::none());
        self.start = before.start;
        self.listing_lag = before.listing_lag;
        self.other_release = before.other_release;
    }
}

/// The fault that a service answers a call with this error.
pub fn error(code: &str, status: u16, message: &str) -> FaultKind {
    FaultKind::Error(ServiceError::new(code, status, message))
}
