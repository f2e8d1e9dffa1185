//! The system: the functions and their clients, and executions that somebody starts, stops and redrives.

use std::sync::{Arc, Mutex};

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use jiff::Timestamp;
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::backend::{Backend, lock};
use crate::executions::{Execution, Status};
use crate::follower::{Follower, Passed};
use crate::lambda::CONFIG;
use crate::state_machine::DEFINITION;
use crate::transport::{Time, Transport};

/// The system.
#[derive(Clone, Debug)]
pub struct World {
    pub backend: Arc<Backend>,
    pub(crate) flink: aws_sdk_kinesisanalyticsv2::Client,
    pub(crate) clients: Arc<Clients>,
    pub config: Arc<Mutex<Result<Config, String>>>,
    /// The execution ends like this when it is about to enter that state.
    pub halt: Arc<Mutex<Option<(String, Status)>>>,
}

impl World {
    /// Over the SDK, without sockets.
    pub fn without_sockets(backend: Arc<Backend>) -> Self {
        let connector = SharedHttpConnector::new(Transport(backend.clone()));
        let config = testkit::replay::config_of(http_client_fn(move |_, _| connector.clone()))
            .into_builder()
            .timeout_config(step::timeouts())
            .retry_config(RetryConfig::standard())
            .time_source(Time(backend.clone()))
            // It counts the bytes that a socket takes.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self::new(backend, &config)
    }

    /// With clients of that configuration. They have token buckets of their own: the SDK's is one for the
    /// process, so that no course could be repeated.
    pub fn new(backend: Arc<Backend>, config: &aws_config::SdkConfig) -> Self {
        let bucket = || RetryPartition::custom("one world").build();
        let flink =
            aws_sdk_kinesisanalyticsv2::config::Builder::from(config).retry_partition(bucket());
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config).retry_partition(bucket());
        let sfn = aws_sdk_sfn::config::Builder::from(config).retry_partition(bucket());
        let sns = aws_sdk_sns::config::Builder::from(config).retry_partition(bucket());
        Self {
            backend,
            flink: aws_sdk_kinesisanalyticsv2::Client::from_conf(flink.build()),
            clients: Arc::new(Clients {
                dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
                sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
                sns: aws_sdk_sns::Client::from_conf(sns.build()),
            }),
            config: Arc::new(Mutex::new(Ok(CONFIG.clone()))),
            halt: Arc::default(),
        }
    }

    /// Starts an execution; [`Self::go`] brings it to its end.
    pub fn begin(&self, arn: &str, input: &Value) {
        let started = self.backend.now().as_millisecond();
        let started = Timestamp::from_millisecond(started).unwrap();
        let context = json!({ "Execution": { "Id": arn, "StartTime": format!("{started:.3}") } });
        let execution = Execution {
            started,
            follower: Follower::new(DEFINITION.clone(), context, input.clone()),
            input: input.clone(),
            status: Status::Running,
            ends: Vec::new(),
            rests_on: None,
            redrives: 0,
            redriven: None,
            stopped: Status::Aborted,
            stop: Arc::new(Notify::new()),
        };
        lock(&self.backend.executions).insert(arn.to_owned(), execution);
        let details = json!({ "input": input.to_string() });
        self.note(
            arn,
            "ExecutionStarted",
            "executionStartedEventDetails",
            &details,
        );
    }

    /// Redrives an execution that has failed; [`Self::go`] brings it to its end.
    pub fn redrive(&self, arn: &str) {
        let now = self.backend.now();
        let count = self.with(arn, |execution| {
            assert!(!matches!(
                execution.status,
                Status::Running | Status::Succeeded(_)
            ));
            execution.status = Status::Running;
            execution.redrives += 1;
            execution.redriven = Some(now);
            execution.ends.last_mut().unwrap().redriven = Some(now);
            execution.follower.redriven();
            execution.redrives
        });
        let details = json!({ "redriveCount": count });
        self.note(
            arn,
            "ExecutionRedriven",
            "executionRedrivenEventDetails",
            &details,
        );
    }

    /// Ends an execution that runs, with that status.
    pub fn stop(&self, arn: &str, status: Status) {
        self.with(arn, |execution| {
            execution.stopped = status;
            execution.stop.notify_one();
        });
    }

    pub fn status(&self, arn: &str) -> Status {
        self.with(arn, |execution| execution.status.clone())
    }

    pub fn with<T>(&self, arn: &str, look: impl FnOnce(&mut Execution) -> T) -> T {
        look(lock(&self.backend.executions).get_mut(arn).unwrap())
    }

    /// Writes to the history what the follower has passed.
    pub(crate) fn flush(&self, arn: &str) {
        let passed = self.with(arn, |execution| {
            std::mem::take(&mut execution.follower.passed)
        });
        for passed in passed {
            let (state, verb, name, details) = match passed {
                Passed::Entered(state, input) => {
                    let details = json!({ "name": state, "input": input.to_string() });
                    (state, "Entered", "stateEnteredEventDetails", details)
                }
                Passed::Left(state, output) => {
                    let details = json!({ "name": state, "output": output.to_string() });
                    (state, "Exited", "stateExitedEventDetails", details)
                }
            };
            let kind = DEFINITION["States"][&state]["Type"].as_str().unwrap();
            self.note(arn, &format!("{kind}State{verb}"), name, &details);
        }
    }

    /// Adds an event to the history; when it happened.
    pub(crate) fn note(&self, arn: &str, kind: &str, name: &str, details: &Value) -> Timestamp {
        let now = self.backend.now();
        self.backend
            .tell(&format!("{arn} {kind} {}", details["name"]));
        let mut services = lock(&self.backend.services);
        let history = services.histories.entry(arn.to_owned()).or_default();
        let milliseconds = now.as_millisecond();
        #[allow(clippy::cast_precision_loss, reason = "of 41 bits none is lost")]
        let timestamp = milliseconds as f64 / 1_000.0;
        history.push(json!({
            "id": history.len() + 1, "previousEventId": history.len(), "timestamp": timestamp,
            "type": kind, name: details,
        }));
        Timestamp::from_millisecond(milliseconds).unwrap()
    }
}
