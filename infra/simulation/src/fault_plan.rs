//! What goes wrong between the parts, and how long things take.

use std::time::Duration;

use engine::faults::FaultKind;
use jiff::SignedDuration;
use serde_json::Value;

use crate::executions::Status;
use crate::transport::Invocation;

/// How the state machine's invocation of a function goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// Not at all; this error.
    Refused(String),
    /// The function has run; this error.
    AnswerLost(String),
    /// The function runs on; this error, so much after the invocation.
    Abandoned(String, Duration),
    /// The function has no more time than this.
    Freezes(Duration),
    /// One after the other.
    Twice,
    TwiceAtOnce,
}

/// How a function's process begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// From the invocation to the handler. The handler runs whatever becomes of who has invoked it meanwhile.
    pub takes: Duration,
    /// How far its clock is ahead of the true time; negative: behind.
    pub clock_ahead: SignedDuration,
}

/// What somebody does when an execution is about to enter a state.
#[derive(Clone, Debug)]
pub enum Plot {
    /// Deletes the run's own snapshot.
    DeletesOwn,
    /// Ends the execution after that time, if it still runs then.
    Stops(Duration, Status),
}

/// Which release has written a payload.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    Newer,
    Older,
}

/// What is decided of each call.
type Calls = Box<dyn FnMut(&Invocation, &str) -> (Duration, Option<FaultKind>) + Send>;

/// What is plotted at the entry of a state.
pub type Plots = Box<dyn FnMut(&str) -> Option<Plot> + Send>;

/// What becomes of what a state of an execution hands on.
pub type HandedOn = Box<dyn FnMut(&str, &Value) -> Option<(Release, Value)> + Send>;

/// What goes wrong, and how long things take.
pub struct FaultPlan {
    /// For a call of a function: its latency, and what happens to it.
    pub call: Calls,
    pub delivery: Box<dyn FnMut(&str) -> Delivery + Send>,
    pub start: Box<dyn FnMut() -> Start + Send>,
    /// As of how long ago a listing of snapshots is.
    pub listing_lag: Box<dyn FnMut() -> Duration + Send>,
    /// How long after the end of an execution each delivery of its event comes. None: the event is lost.
    pub events: Box<dyn FnMut() -> Vec<Duration> + Send>,
    /// Whether an event has no count of redrives.
    pub bare_event: Box<dyn FnMut() -> bool + Send>,
    /// What happens to an execution that is about to enter a state.
    pub plots: Plots,
    pub handed_on: HandedOn,
    /// A part of the backoff, 0 to 1.
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
            bare_event: Box::new(|| false),
            plots: Box::new(|_| None),
            handed_on: Box::new(|_, _| None),
            jitter: Box::new(|| 0.5),
        }
    }
}
