//! The world of a course: the functions' clients and settings, and what stands behind them.

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

/// [`state_machine`](crate::state_machine) executes the state machine in it, [`lambda`](crate::lambda) runs the
/// functions.
#[derive(Clone, Debug)]
pub struct World {
    pub backend: Arc<Backend>,
    pub(crate) flink: aws_sdk_kinesisanalyticsv2::Client,
    pub(crate) clients: Arc<Clients>,
    pub config: Arc<Mutex<Result<Config, String>>>,
    /// An execution that is about to enter this state ends with this status instead.
    pub halt: Arc<Mutex<Option<(String, Status)>>>,
}

impl World {
    /// A world in which calls pass through [`Transport`].
    pub fn without_sockets(backend: Arc<Backend>) -> Self {
        let connector = SharedHttpConnector::new(Transport(backend.clone()));
        let config =
            testkit::replay::sdk_config_with(http_client_fn(move |_, _| connector.clone()))
                .into_builder()
                .timeout_config(step::timeouts())
                .retry_config(RetryConfig::standard())
                .time_source(Time(backend.clone()))
                // It counts the bytes on a socket.
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .build();
        Self::new(backend, &config)
    }

    /// A world whose clients have this configuration, and retry budgets of their own: the SDK's budget is shared by the
    /// whole process, and would make one course depend on another.
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
            halt: Arc::default(),
        }
    }

    pub fn status(&self, arn: &str) -> Status {
        self.with(arn, |execution| execution.status.clone())
    }

    pub fn with<T>(&self, arn: &str, look: impl FnOnce(&mut Execution) -> T) -> T {
        look(lock(&self.backend.executions).get_mut(arn).unwrap())
    }
}
