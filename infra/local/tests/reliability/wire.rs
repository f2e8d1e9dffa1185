//! A function's calls on their way to the services and back, and what each invocation has been told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use local::faults::Kind;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::executions::Status;
use crate::services::{Answer, error};
use crate::stage::{Backstage, lock};

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
    pub harms: AtomicUsize,
    /// Whether the execution went on with its answer.
    pub heard: AtomicBool,
    pub kill: Notify,
    /// What it has been told so far.
    pub told: Mutex<Told>,
}

/// The last answers that an invocation was given.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub application: Option<Value>,
    pub listing: Listing,
}

/// The pages of a listing, as far as they were told.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// When the handler began that has asked for it.
    pub began: Timestamp,
    /// When the first page was asked for, and the last one told.
    pub asked: Timestamp,
    pub told: Timestamp,
    pub snapshots: Vec<Value>,
    /// All snapshots as they were when the first page was told.
    pub truth: Vec<Value>,
}

tokio::task_local! {
    pub static INVOCATION: Arc<Invocation>;
}

/// The SDK's connection to the services, without sockets.
#[derive(Clone, Debug)]
pub struct Wire(pub Arc<Backstage>);

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let back = self.0.clone();
        let target = request.headers().get("x-amz-target");
        let (operation, body) = shell::replay::read(target, request.body().bytes().unwrap());
        let invocation = INVOCATION.with(Arc::clone);
        lock(&back.watch).sent(&invocation, &operation, &body);
        let (latency, kind) = (lock(&back.mischief).call)(&invocation, &operation);
        if let Some(kind) = &kind {
            back.meet(kind);
            back.tell(&format!("{operation} meets {kind:?}"));
            // Without its mark an announcement is not known to a repeat.
            let marks = operation == "UpdateItem"
                && body["ExpressionAttributeValues"][":outcome"].is_null();
            invocation
                .harms
                .fetch_add(usize::from(marks), Ordering::SeqCst);
        }
        HttpConnectorFuture::new(async move {
            back.travel(invocation, operation, body, latency, kind)
                .await
        })
    }
}

impl Backstage {
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
            let lag = (lock(&self.mischief).listing_lag)();
            services.flink.behaviour(application).listing_lag = lag;
        }
        lock(&self.watch).before(invocation, operation, body, &mut services, now);
        let answer = services.answer(operation, body, now);
        let end = (ended, late);
        lock(&self.watch).after(invocation, operation, body, &answer, end);
        drop(services);
        let run = invocation.execution.rsplit(':').next().unwrap();
        self.tell(&format!(
            "{run} {operation} {} {}",
            answer.0, body["SnapshotName"]
        ));
        answer
    }

    /// A call on its way there and back.
    pub async fn travel(
        self: Arc<Self>,
        invocation: Arc<Invocation>,
        operation: String,
        body: Value,
        latency: Duration,
        kind: Option<Kind>,
    ) -> Result<HttpResponse, ConnectorError> {
        let sent = self.now();
        let lost = || Err(ConnectorError::io("connection reset".into()));
        let harm = || invocation.harms.fetch_add(1, Ordering::SeqCst);
        let request = body.clone();
        let late = match &kind {
            Some(Kind::Delay(delay)) => *delay,
            _ => Duration::ZERO,
        };
        let answer = match &kind {
            Some(Kind::KillBefore) => {
                harm();
                invocation.kill.notify_one();
                return std::future::pending().await;
            }
            Some(Kind::DropBefore) => {
                tokio::time::sleep(latency).await;
                return lost();
            }
            Some(Kind::NotJson) => (
                200,
                "<html><body>A proxy was here.</body></html>".to_owned(),
            ),
            Some(Kind::Error {
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
                let (back, invocation) = (self.clone(), invocation.clone());
                let operation = operation.clone();
                if !late.is_zero() {
                    harm();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(latency + late).await;
                    let late = late > PATIENCE;
                    drop(reply.send(back.carry_out(&invocation, &operation, &body, late)));
                });
                answered.await.unwrap()
            }
        };
        match kind {
            Some(Kind::DropAfter) => {
                harm();
                lost()
            }
            Some(Kind::KillAfter) => {
                harm();
                invocation.kill.notify_one();
                std::future::pending().await
            }
            _ => {
                tokio::time::sleep(latency).await;
                self.told(&invocation, &operation, &request, sent, &answer);
                let (status, body) = answer;
                let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                Ok(match kind {
                    Some(Kind::NotJson) => answer,
                    _ => shell::replay::of_the_service(answer),
                })
            }
        }
    }

    /// A function is given an answer to what it has sent then.
    fn told(
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
        let mut told = lock(&invocation.told);
        if operation == "DescribeApplication" {
            told.application = Some(answer["ApplicationDetail"].clone());
        } else if operation == "ListApplicationSnapshots" {
            let now = self.now();
            let listing = &mut told.listing;
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
            listing.told = now;
            if answer["NextToken"].is_null() {
                let met = listing.differs_from_the_truth();
                lock(&self.watch).met.extend(met.map(str::to_owned));
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
pub struct Time(pub Arc<Backstage>);

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
