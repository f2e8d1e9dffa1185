//! Carries calls from a function to the services and back, and records what each invocation has learned from the
//! responses.

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
use crate::invariants::{CallTiming, states_since_plan};
use crate::services::{APPLICATION, Answer, error, is_mark, name};

/// A response with a longer delay than this comes too late. The functions wait 10 s, and the latency is added to the
/// delay.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9);

/// One invocation of a function.
#[derive(Debug)]
pub struct Invocation {
    pub function: String,
    pub execution: String,
    pub payload: Value,
    /// The input of the state. It is `null` if the payload is an event.
    pub state_input: Value,
    /// The listing from which the batch in the state's input was planned, if it has a batch.
    pub planned_from: Option<Arc<Listing>>,
    /// When the handler began, by the true time.
    pub began: Timestamp,
    /// When the handler began, by the function's own clock.
    pub began_by_own_clock: Timestamp,
    /// How often a response or the process was lost. Each time may lead to one more notification.
    pub disturbances: AtomicUsize,
    /// Whether the execution continued with the output of this invocation.
    pub is_used: AtomicBool,
    /// Notified when a fault kills the process.
    pub kill: Notify,
    pub learned: Mutex<Learned>,
}

impl Invocation {
    pub fn disturb(&self) {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
    }
}

/// The last responses that an invocation has received.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pub application: Option<Value>,
    pub listing: Listing,
}

/// The pages of a listing that were received.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// When the handler that requested the listing began.
    pub began: Timestamp,
    /// When the first page was requested.
    pub requested: Timestamp,
    /// When the last page was received.
    pub received: Timestamp,
    pub snapshots: Vec<Value>,
    /// All snapshots as they really were when the first page was received.
    pub truth: Vec<Value>,
}

tokio::task_local! {
    /// The invocation in whose task a call is made.
    pub static INVOCATION: Arc<Invocation>;
}

/// The HTTP client of the SDK, which calls the services without sockets.
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
            // This call marks the row as notified. If it is lost, a repeated invocation cannot know that the
            // notification was sent.
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
    /// Carries a call to the service and the response back. Each way takes `latency`.
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
                // A task of its own: the call reaches the service even if the function has ended.
                let (reply, answer) = oneshot::channel();
                let (backend, invocation) = (self.clone(), invocation.clone());
                let operation = operation.clone();
                if !delay.is_zero() {
                    invocation.disturb();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(latency + delay).await;
                    let is_late = delay > ANSWER_TIMEOUT;
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

    /// Carries out the call of a function, and returns the response. `is_late` says whether the function no longer
    /// waits for it.
    fn carry_out(
        &self,
        invocation: &Arc<Invocation>,
        operation: &str,
        body: &Value,
        is_late: bool,
    ) -> Answer {
        let now = self.now();
        let execution_has_ended = lock(&self.executions)
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
            let timing = CallTiming {
                execution_has_ended,
                is_late,
            };
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

    /// Records what a function learns from the response to a request that it sent at `sent`.
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
    /// How a complete listing differs from what really existed, if it does.
    fn difference_from_truth(&self) -> Option<&'static str> {
        let listed: BTreeSet<&str> = self.snapshots.iter().map(name).collect();
        let existing: BTreeSet<&str> = self.truth.iter().map(name).collect();
        let mut all_but_newest = self.truth.iter().skip(1);
        let is_hidden = all_but_newest.any(|snapshot| !listed.contains(name(snapshot)));
        if listed.len() < self.snapshots.len() || is_hidden {
            Some("a listing that leaves out a snapshot, or has it twice")
        } else if listed != existing || self.snapshots != self.truth {
            Some("a listing that lags")
        } else {
            None
        }
    }
}

/// The clock of the SDK.
#[derive(Debug)]
pub struct Time(pub Arc<Backend>);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
