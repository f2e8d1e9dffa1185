//! The whole system, started and stopped as one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::functions::Built;
use crate::gateway::{Gateway, GatewaySettings, STATE_MACHINE};
use crate::msf::{Emulator, Lifecycle};
use crate::stack::{ACCOUNT, EVERY_APPLICATION, REGION, Stack};

/// How an engine is to run.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The port on 127.0.0.1; a free one if `None`.
    pub port: Option<u16>,
    /// The interpreter that has moto.
    pub python: PathBuf,
    /// The workspace's target folder, for logs.
    pub target: PathBuf,
    /// The four functions.
    pub built: Vec<Built>,
    /// The application that the stack is for, or [`EVERY_APPLICATION`].
    pub application: String,
    /// How long the service takes for what.
    pub lifecycle: Lifecycle,
    /// What the definition's `Retry` intervals are divided by; 1 leaves the definition as it is.
    pub hurry: u64,
    /// The waits before the second and third attempt at an event; on AWS a minute and two.
    pub event_retry_delays: [Duration; 2],
}

/// What a client needs to know of a running engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// `AWS_REGION`.
    pub region: String,
    /// The state machine.
    pub state_machine_arn: String,
    /// The table of audit records.
    pub table: String,
    /// The topic of notifications.
    pub topic_arn: String,
    /// The queue of events that record-and-notify has failed on.
    pub failure_queue_url: String,
    /// record-and-notify, by the name that a replayed event is invoked with.
    pub function_name: String,
}

impl Names {
    /// The names of an engine at this endpoint: but for the endpoint they are always the same.
    ///
    /// # Errors
    /// The template cannot be read.
    pub fn at(endpoint: &str) -> Result<Self, String> {
        let stack = Stack::of(EVERY_APPLICATION)?;
        let output = |name: &str| stack.template().output(name);
        let queue = output("RecordAndNotifyFailureQueueUrl")?;
        let queue = queue.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            endpoint: endpoint.to_owned(),
            region: REGION.to_owned(),
            state_machine_arn: output("StateMachineArn")?,
            table: output("TableName")?,
            topic_arn: output("RunTopicArn")?,
            function_name: output("RecordAndNotifyFunctionName")?,
            failure_queue_url: format!("{endpoint}/{ACCOUNT}/{queue}"),
        })
    }

    /// The configuration of a client of the engine.
    #[must_use]
    pub fn sdk_config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "local", "local", None, None, "local",
            )))
            .build()
    }

    /// The ARN of an execution of the machine.
    #[must_use]
    pub fn execution_arn(&self, name: &str) -> String {
        let machine = self
            .state_machine_arn
            .replacen(":stateMachine:", ":execution:", 1);
        format!("{machine}:{name}")
    }
}

/// A running engine. Dropping it ends everything it has started, as does our death.
pub struct Engine {
    gateway: Gateway,
    names: Names,
    stack: Stack,
}

impl Engine {
    /// Starts moto and gateway, and creates what the template deploys.
    ///
    /// # Errors
    /// A text for people.
    pub async fn start(settings: EngineSettings) -> Result<Self, String> {
        let stack = Stack::of(&settings.application)?;
        let gateway = Gateway::start(GatewaySettings {
            port: settings.port,
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            python: settings.python,
            folder: settings.target.join("local"),
            emulator: Arc::new(Mutex::new(Emulator::new(
                REGION,
                ACCOUNT,
                settings.lifecycle,
            ))),
            retry_delays: settings.event_retry_delays,
        })
        .await?;
        let names = Names::at(&gateway.endpoint())?;
        let config = names.sdk_config();
        stack.create_table(&config).await?;
        stack.create_topics(&config).await?;
        stack.create_queues(&config).await?;
        for (name, mut function) in stack.functions()? {
            let built = settings.built.iter().find(|built| built.name == name);
            let built = built.ok_or_else(|| format!("the template's {name} was not built"))?;
            function.binary.clone_from(&built.binary);
            gateway
                .lambda()
                .add(function)
                .map_err(|error| format!("{}: {error}", built.binary.display()))?;
        }
        for (function, role) in stack.function_roles()? {
            gateway.permissions().set(&function, role)?;
        }
        let machine = stack.only("AWS::Serverless::StateMachine")?;
        gateway
            .permissions()
            .set(STATE_MACHINE, stack.role_of(machine)?)?;
        stack.create_state_machine(&config, settings.hurry).await?;
        gateway
            .executions()
            .set_failure_rule(Some(stack.failure_rule()?));
        Ok(Self {
            gateway,
            names,
            stack,
        })
    }

    /// What a client needs to know.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Lambda, Managed Flink and faults.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What the template deploys.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Ends everything and waits until it is gone.
    pub async fn stop(self) {
        self.gateway.stop().await;
    }
}

/// An SDK error in words: its own `Display` says only "service error".
#[must_use]
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
