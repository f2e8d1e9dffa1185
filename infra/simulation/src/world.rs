//! The world of a course: the clients and settings of the functions, and the backend behind them.

use std::sync::{Arc, Mutex};

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use record_and_notify::{Clients, Config};

use crate::backend::{Backend, lock};
use crate::executions::{Execution, Status};
use crate::lambda::CONFIG;
use crate::transport::{Time, Transport};

/// [`state_machine`](crate::state_machine) has the methods that run executions, and [`lambda`](crate::lambda) those
/// that run functions.
#[derive(Clone, Debug)]
pub struct World {
    pub backend: Arc<Backend>,
    pub(crate) flink: aws_sdk_kinesisanalyticsv2::Client,
    pub(crate) clients: Arc<Clients>,
    pub config: Arc<Mutex<Result<Config, String>>>,
    /// If set, an execution that is about to enter this state ends with this status instead.
    pub ends_before: Arc<Mutex<Option<(String, Status)>>>,
}

impl World {
    /// A world whose clients call the services through [`Transport`], without sockets.
    pub fn without_sockets(backend: Arc<Backend>) -> Self {
        let connector = SharedHttpConnector::new(Transport(backend.clone()));
        let config =
            testkit::replay::sdk_config_with(http_client_fn(move |_, _| connector.clone()))
                .into_builder()
                .timeout_config(step::timeouts())
                .retry_config(RetryConfig::standard())
                .time_source(Time(backend.clone()))
                // This protection counts the bytes on a socket, and there is none.
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .build();
        Self::new(backend, &config)
    }

    /// A world whose clients have this configuration. Each client gets a retry budget of its own. The SDK's default
    /// budget is shared by the whole process, so one course would influence another.
    pub fn new(backend: Arc<Backend>, config: &aws_config::SdkConfig) -> Self {
        let budget = || RetryPartition::custom("one world").build();
        let flink =
            aws_sdk_kinesisanalyticsv2::config::Builder::from(config).retry_partition(budget());
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config).retry_partition(budget());
        let sfn = aws_sdk_sfn::config::Builder::from(config).retry_partition(budget());
        let sns = aws_sdk_sns::config::Builder::from(config).retry_partition(budget());
        Self {
            backend,
            flink: aws_sdk_kinesisanalyticsv2::Client::from_conf(flink.build()),
            clients: Arc::new(Clients {
                dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
                sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
                sns: aws_sdk_sns::Client::from_conf(sns.build()),
            }),
            config: Arc::new(Mutex::new(Ok(CONFIG.clone()))),
            ends_before: Arc::default(),
        }
    }

    pub fn status(&self, arn: &str) -> Status {
        self.with(arn, |execution| execution.status.clone())
    }

    /// Calls a function with an execution.
    pub fn with<T>(&self, arn: &str, use_execution: impl FnOnce(&mut Execution) -> T) -> T {
        use_execution(lock(&self.backend.executions).get_mut(arn).unwrap())
    }
}
