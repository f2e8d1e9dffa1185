//! A function's calls on their way to the services and back, and what each invocation has learned.

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
use crate::services::{Answer, error};

/// How long the functions wait for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// One invocation of a function.
#[derive(Debug)]
pub struct Invocation {
    pub function: String,
    /// The ARN of the execution that it is for.
    pub execution: String,
    pub payload: Value,
    /// What the state was entered with; `null` for an event.
    pub given: Value,
    /// The listing that `given` was made from, if it was.
    pub rests_on: Option<Arc<Listing>>,
    /// When its handler began.
    pub began: Timestamp,
    /// The same by its own clock.
    pub clock: Timestamp,
    /// How often an answer, or its process, was lost.
    pub disturbances: AtomicUsize,
    /// Whether the execution went on with its answer.
    pub heard: AtomicBool,
    pub kill: Notify,
    /// What it has learned so far.
    pub learned: Mutex<Learned>,
}

/// The last answers that an invocation was given.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pub application: Option<Value>,
    pub listing: Listing,
}

/// The pages of a listing that were answered.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// When the handler began that has asked for it.
    pub began: Timestamp,
    /// When the first page was asked for, and the last one answered.
    pub asked: Timestamp,
    pub answered_at: Timestamp,
    pub snapshots: Vec<Value>,
    /// All snapshots as they were when the first page was asked for.
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
        let (operation, body) = testkit::replay::read(target, request.body().bytes().unwrap());
        let invocation = INVOCATION.with(Arc::clone);
        lock(&backend.invariants).sent(&invocation, &operation, &body);
        let (latency, kind) = (lock(&backend.fault_plan).call)(&invocation, &operation);
        if let Some(kind) = &kind {
            backend.cover_variant(kind);
            backend.tell(&format!("{operation} meets {kind:?}"));
            // Without its mark an announcement is not known to a repeat.
            let marks = operation == "UpdateItem"
                && body["ExpressionAttributeValues"][":outcome"].is_null();
            invocation
                .disturbances
                .fetch_add(usize::from(marks), Ordering::SeqCst);
        }
        HttpConnectorFuture::new(async move {
            backend
                .travel(invocation, operation, body, latency, kind)
                .await
        })
    }
}

impl Backend {
    /// The effect of a function's call, and its answer.
    fn carry_out(
        &self,
        invocation: &Arc<Invocation>,
        operation: &str,
        body: &Value,
        late: bool,
    ) -> Answer {
        let now = self.now();
        let ended = lock(&self.executions)
            .get(&invocation.execution)
            .is_some_and(|execution| execution.status != Status::Running);
        let mut services = lock(&self.services);
        if operation == "ListApplicationSnapshots" {
            let application = body["ApplicationName"].as_str().unwrap();
            let lag = (lock(&self.fault_plan).listing_lag)();
            services.flink.behaviour(application).listing_lag = lag;
        }
        lock(&self.invariants).before(invocation, operation, body, &mut services, now);
        let answer = services.answer(operation, body, now);
        let end = (ended, late);
        lock(&self.invariants).after(invocation, operation, body, &answer, end);
        drop(services);
        let run = invocation.execution.rsplit(':').next().unwrap();
        self.tell(&format!(
            "{run} {operation} {} {}",
            answer.0, body["SnapshotName"]
        ));
        answer
    }

    /// A call on its way there and backend.
    pub async fn travel(
        self: Arc<Self>,
        invocation: Arc<Invocation>,
        operation: String,
        body: Value,
        latency: Duration,
        kind: Option<FaultKind>,
    ) -> Result<HttpResponse, ConnectorError> {
        let sent = self.now();
        let lost = || Err(ConnectorError::io("connection reset".into()));
        let harm = || invocation.disturbances.fetch_add(1, Ordering::SeqCst);
        let request = body.clone();
        let late = match &kind {
            Some(FaultKind::Delay(delay)) => *delay,
            _ => Duration::ZERO,
        };
        let answer = match &kind {
            Some(FaultKind::KillBefore) => {
                harm();
                invocation.kill.notify_one();
                return std::future::pending().await;
            }
            Some(FaultKind::DropBefore) => {
                tokio::time::sleep(latency).await;
                return lost();
            }
            Some(FaultKind::NotJson) => (
                200,
                "<html><body>A proxy was here.</body></html>".to_owned(),
            ),
            Some(FaultKind::Error {
                code,
                message,
                status,
            }) => {
                tokio::time::sleep(latency).await;
                error(&operation, *status, code, message)
            }
            _ => {
                // What has been sent comes, whatever becomes of who has sent it.
                let (reply, answered) = oneshot::channel();
                let (backend, invocation) = (self.clone(), invocation.clone());
                let operation = operation.clone();
                if !late.is_zero() {
                    harm();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(latency + late).await;
                    let late = late > PATIENCE;
                    drop(reply.send(backend.carry_out(&invocation, &operation, &body, late)));
                });
                answered.await.unwrap()
            }
        };
        match kind {
            Some(FaultKind::DropAfter) => {
                harm();
                lost()
            }
            Some(FaultKind::KillAfter) => {
                harm();
                invocation.kill.notify_one();
                std::future::pending().await
            }
            _ => {
                tokio::time::sleep(latency).await;
                self.learn(&invocation, &operation, &request, sent, &answer);
                let (status, body) = answer;
                let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                Ok(match kind {
                    Some(FaultKind::NotJson) => answer,
                    _ => testkit::replay::of_the_service(answer),
                })
            }
        }
    }

    /// A function has an answer to what it sent at `sent`.
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
            let now = self.now();
            let listing = &mut learned.listing;
            if request["NextToken"].is_null() {
                let application = request["ApplicationName"].as_str().unwrap();
                *listing = Listing {
                    began: invocation.began,
                    asked: sent,
                    truth: lock(&self.services).flink.snapshots(application, now),
                    ..Listing::default()
                };
            }
            let page = answer["SnapshotSummaries"].as_array().cloned();
            listing.snapshots.extend(page.unwrap_or_default());
            listing.answered_at = now;
            if answer["NextToken"].is_null() {
                let difference = listing.differs_from_the_truth();
                lock(&self.invariants)
                    .coverage
                    .extend(difference.map(str::to_owned));
            }
        }
    }
}

impl Listing {
    /// How a whole listing differs from what there is, if it does.
    fn differs_from_the_truth(&self) -> Option<&'static str> {
        let name = |snapshot: &Value| snapshot["SnapshotName"].as_str().unwrap().to_owned();
        let listed: BTreeSet<String> = self.snapshots.iter().map(name).collect();
        let there: BTreeSet<String> = self.truth.iter().map(name).collect();
        let hidden = self
            .truth
            .iter()
            .skip(1)
            .any(|s| !listed.contains(&name(s)));
        if listed.len() < self.snapshots.len() || hidden {
            Some("a snapshot that is never shown, or twice")
        } else if listed != there || self.snapshots != self.truth {
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
