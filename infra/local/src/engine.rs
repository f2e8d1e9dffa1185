//! The whole system, started and stopped as one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use tokio::sync::mpsc;

use crate::definition;
use crate::executions::FailureRule;
use crate::functions::{self, Built, FUNCTIONS};
use crate::gateway::{Gateway, GatewaySettings};
use crate::lambda::FailedEvent;
use crate::msf::{Emulator, Lifecycle};

/// The only account is the one that moto knows. The only Region is one for which version 1 of the aws
/// CLI has no address of its own for SQS, which it would prefer to `AWS_ENDPOINT_URL`.
const REGION: &str = "eu-central-2";
const ACCOUNT: &str = "123456789012";

/// What the engine creates.
const STATE_MACHINE: &str = "snapshot-manager";
const TABLE: &str = "snapshot_manager_status";
const TOPIC: &str = "snapshot-manager";

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
}

impl Names {
    /// The names of an engine at this endpoint: but for the endpoint they are always the same.
    #[must_use]
    pub fn at(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            region: REGION.to_owned(),
            state_machine_arn: format!(
                "arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{STATE_MACHINE}"
            ),
            table: TABLE.to_owned(),
            topic_arn: format!("arn:aws:sns:{REGION}:{ACCOUNT}:{TOPIC}"),
        }
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
    undelivered: Mutex<mpsc::UnboundedReceiver<FailedEvent>>,
}

impl Engine {
    /// Starts moto, gateway and functions, and creates the table, the topic, the machine and the
    /// failure rule.
    ///
    /// # Errors
    /// A text for people.
    pub async fn start(settings: EngineSettings) -> Result<Self, String> {
        let (failures, undelivered) = mpsc::unbounded_channel();
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
            failures: Some(failures),
        })
        .await?;
        let names = Names::at(&gateway.endpoint());
        let config = names.sdk_config();
        create_table(&config).await?;
        create_topic(&config).await?;
        let environment = [
            ("TABLE_NAME".to_owned(), names.table.clone()),
            ("TOPIC_ARN".to_owned(), names.topic_arn.clone()),
        ];
        for built in &settings.built {
            let function = functions::settings(built, &environment);
            gateway
                .lambda()
                .add(function)
                .map_err(|error| format!("{}: {error}", built.binary.display()))?;
        }
        create_state_machine(&config, settings.hurry).await?;
        gateway.executions().set_failure_rule(Some(FailureRule {
            state_machines: vec![names.state_machine_arn.clone()],
            function: "record-and-notify".to_owned(),
        }));
        Ok(Self {
            gateway,
            names,
            undelivered: Mutex::new(undelivered),
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

    /// The events that no attempt has delivered since the last call.
    #[must_use]
    pub fn undelivered(&self) -> Vec<FailedEvent> {
        let mut channel = self
            .undelivered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::iter::from_fn(|| channel.try_recv().ok()).collect()
    }

    /// Ends everything and waits until it is gone.
    pub async fn stop(self) {
        self.gateway.stop().await;
    }
}

/// The name by which the definition knows a function: `${CreateSnapshotFunctionArn}`.
#[must_use]
pub fn substitution(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    format!("{}FunctionArn", words.collect::<String>())
}

/// Creates the table of audit records, with the keys of the original sample.
///
/// # Errors
/// A text for people.
pub async fn create_table(config: &SdkConfig) -> Result<(), String> {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
    };
    let malformed = |error| format!("table {TABLE}: {error}");
    aws_sdk_dynamodb::Client::new(config)
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("app_name", ScalarAttributeType::S).map_err(malformed)?)
        .attribute_definitions(
            attribute("snapshot_manager_run_id", ScalarAttributeType::N).map_err(malformed)?,
        )
        .key_schema(key("app_name", KeyType::Hash).map_err(malformed)?)
        .key_schema(key("snapshot_manager_run_id", KeyType::Range).map_err(malformed)?)
        .send()
        .await
        .map_err(|error| format!("table {TABLE}: {}", words(&error)))?;
    Ok(())
}

/// Creates the topic of notifications.
///
/// # Errors
/// A text for people.
pub async fn create_topic(config: &SdkConfig) -> Result<(), String> {
    aws_sdk_sns::Client::new(config)
        .create_topic()
        .name(TOPIC)
        .send()
        .await
        .map_err(|error| format!("topic {TOPIC}: {}", words(&error)))?;
    Ok(())
}

async fn create_state_machine(config: &SdkConfig, hurry: u64) -> Result<(), String> {
    let arn = |name: &str| {
        let function = FUNCTIONS
            .iter()
            .find(|function| substitution(function) == name)?;
        Some(format!(
            "arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        ))
    };
    let mut filled = definition::fill_in(definition::DEFINITION, arn)?;
    if hurry > 1 {
        filled = definition::hurry(&filled, hurry)?;
    }
    aws_sdk_sfn::Client::new(config)
        .create_state_machine()
        .name(STATE_MACHINE)
        .definition(filled)
        .role_arn(format!("arn:aws:iam::{ACCOUNT}:role/{STATE_MACHINE}"))
        .send()
        .await
        .map_err(|error| format!("state machine {STATE_MACHINE}: {}", words(&error)))?;
    Ok(())
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
