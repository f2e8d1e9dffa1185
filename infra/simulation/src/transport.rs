//! Calls on their way from a function to the services and back, and what each invocation has learned from them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use engine::faults::FaultKind;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::backend::{Backend, lock};
use crate::executions::Status;
use crate::invariants::states_since_plan;
use crate::services::{APPLICATION, Answer, error, is_mark, name};

/// The functions do not wait longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

#[derive(Debug)]
pub struct Invocation {
    pub function: String,
    pub execution: String,
    pub payload: Value,
    /// The input of the state; `null` for an event.
    pub state_input: Value,
    /// The listing from which the state's input was planned, if it was.
    pub planned_from: Option<Arc<Listing>>,
    pub began: Timestamp,
    /// The same by the function's own clock.
    pub clock: Timestamp,
    /// How often an answer or the process was lost. Each may lead to one more announcement.
    pub disturbances: AtomicUsize,
    /// Whether the execution continued with its answer.
    pub is_used: AtomicBool,
    pub kill: Notify,
    pub learned: Mutex<Learned>,
}

impl Invocation {
    pub fn disturb(&self) {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
    }
}

/// The last answers that an invocation has received.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pub application: Option<Value>,
    pub listing: Listing,
}

/// A listing as far as its pages were received.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// When the handler began that requested it.
    pub began: Timestamp,
    pub requested: Timestamp,
    pub received: Timestamp,
    pub snapshots: Vec<Value>,
    /// All snapshots as they were when the first page was received.
    pub truth: Vec<Value>,
}

tokio::task_local! {
    pub static INVOCATION: Arc<Invocation>;
}

/// The SDK's connection to the services, without sockets.
#[derive(Clone, Debug)]
pub struct Transport(pub Arc<Backend>);

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let backend = self.0.clone();
        let target = request.headers().get("x-amz-target");
        let (operation, body) =
            testkit::replay::decode_request(target, request.body().bytes().unwrap());
        let invocation = INVOCATION.with(Arc::clone);
        lock(&backend.invariants).call_sent(&invocation, &operation, &body);
        let (latency, fault) = (lock(&backend.fault_plan).call)(&invocation, &operation);
        if let Some(fault) = &fault {
            backend.cover_variant(fault);
            backend.log(&format!("{operation} meets {fault:?}"));
            // A repeat cannot know of an announcement without its mark.
            if operation == "UpdateItem" && is_mark(&body) {
                invocation.disturb();
            }
        }
        HttpConnectorFuture::new(async move {
            backend
                .travel(invocation, operation, body, latency, fault)
                .await
        })
    }
}

impl Backend {
    /// A call on its way to the service and back, each of which takes `latency`.
    pub async fn travel(
        self: Arc<Self>,
        invocation: Arc<Invocation>,
        operation: String,
        body: Value,
        latency: Duration,
        fault: Option<FaultKind>,
    ) -> Result<HttpResponse, ConnectorError> {
        let sent = self.now();
        let lost = || Err(ConnectorError::io("connection reset".into()));
        let request = body.clone();
        let delay = match &fault {
            Some(FaultKind::Delay(delay)) => *delay,
            _ => Duration::ZERO,
        };
        let answer = match &fault {
            Some(FaultKind::KillBefore) => {
                invocation.disturb();
                invocation.kill.notify_one();
                return std::future::pending().await;
            }
            Some(FaultKind::DropBefore) => {
                tokio::time::sleep(latency).await;
                return lost();
            }
            Some(FaultKind::NotJson) => {
                let page = "<html><body>A proxy was here.</body></html>";
                (200, page.to_owned())
            }
            Some(FaultKind::Error(refused)) => {
                tokio::time::sleep(latency).await;
                error(&operation, refused)
            }
            _ => {
                // A task of its own: what was sent arrives, even if the function has ended.
                let (reply, answer) = oneshot::channel();
                let (backend, invocation) = (self.clone(), invocation.clone());
                let operation = operation.clone();
                if !delay.is_zero() {
                    invocation.disturb();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(latency + delay).await;
                    let is_late = delay > PATIENCE;
                    drop(reply.send(backend.carry_out(&invocation, &operation, &body, is_late)));
                });
                answer.await.unwrap()
            }
        };
        match fault {
            Some(FaultKind::DropAfter) => {
                invocation.disturb();
                lost()
            }
            Some(FaultKind::KillAfter) => {
                invocation.disturb();
                invocation.kill.notify_one();
                std::future::pending().await
            }
            _ => {
                tokio::time::sleep(latency).await;
                self.learn(&invocation, &operation, &request, sent, &answer);
                let (status, body) = answer;
                let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                Ok(match fault {
                    Some(FaultKind::NotJson) => answer,
                    _ => testkit::replay::with_request_id(answer),
                })
            }
        }
    }

    /// The effect of a function's call, and its answer. `is_late`: the function no longer waits for it.
    fn carry_out(
        &self,
        invocation: &Arc<Invocation>,
        operation: &str,
        body: &Value,
        is_late: bool,
    ) -> Answer {
        let now = self.now();
        let has_ended = lock(&self.executions)
            .get(&invocation.execution)
            .is_some_and(|execution| execution.status != Status::Running);
        let mut services = lock(&self.services);
        if operation == "ListApplicationSnapshots" {
            let application = body["ApplicationName"].as_str().unwrap();
            let lag = (lock(&self.fault_plan).listing_lag)();
            services.flink.behaviour(application).listing_lag = lag;
        }
        let states = states_since_plan(invocation, operation, &mut services, now);
        if operation == "CreateApplicationSnapshot" {
            let existing = services.flink.snapshots(APPLICATION, now);
            let (payload, requested) = (&invocation.payload, name(body));
            lock(&self.invariants).snapshot_requested(payload, requested, &existing);
        }
        let answer = services.answer(operation, body, now);
        if answer.0 == 200 {
            let timing = (has_ended, is_late);
            lock(&self.invariants).call_took_effect(invocation, operation, body, &states, timing);
        }
        drop(services);
        let run = invocation.execution.rsplit(':').next().unwrap();
        self.log(&format!(
            "{run} {operation} {} {}",
            answer.0, body["SnapshotName"]
        ));
        answer
    }

    /// The function has received the answer to a request that it sent at `sent`.
    fn learn(
        &self,
        invocation: &Invocation,
        operation: &str,
        request: &Value,
        sent: Timestamp,
        (status, body): &Answer,
    ) {
        let Ok(answer) = serde_json::from_str::<Value>(body) else {
            return;
        };
        if *status != 200 {
            return;
        }
        let mut learned = lock(&invocation.learned);
        if operation == "DescribeApplication" {
            learned.application = Some(answer["ApplicationDetail"].clone());
        } else if operation == "ListApplicationSnapshots" {
            let listing = &mut learned.listing;
            if request["NextToken"].is_null() {
                *listing = Listing {
                    began: invocation.began,
                    requested: sent,
                    truth: self.snapshots(),
                    ..Listing::default()
                };
            }
            let page = answer["SnapshotSummaries"].as_array().cloned();
            listing.snapshots.extend(page.unwrap_or_default());
            listing.received = self.now();
            if answer["NextToken"].is_null()
                && let Some(difference) = listing.difference_from_truth()
            {
                self.cover(difference);
            }
        }
    }
}

impl Listing {
    /// How a complete listing differs from what exists, if it does.
    fn difference_from_truth(&self) -> Option<&'static str> {
        let listed: BTreeSet<&str> = self.snapshots.iter().map(name).collect();
        let existing: BTreeSet<&str> = self.truth.iter().map(name).collect();
        let mut all_but_newest = self.truth.iter().skip(1);
        let is_hidden = all_but_newest.any(|snapshot| !listed.contains(name(snapshot)));
        if listed.len() < self.snapshots.len() || is_hidden {
            Some("a snapshot that is never shown, or twice")
        } else if listed != existing || self.snapshots != self.truth {
            Some("a listing that lags")
        } else {
            None
        }
    }
}

#[derive(Debug)]
pub struct Time(pub Arc<Backend>);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
