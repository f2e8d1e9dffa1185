//! The whole system, started and stopped as one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde::{Deserialize, Serialize};

use crate::differences::local_template;
use crate::functions::Built;
use crate::ministack::{Deployed, MiniStack, MiniStackSettings, Program, Work};
use crate::msf::{Emulator, Lifecycle};
use crate::permissions::Permissions;
use crate::proxy::{Bound, NAMES, Proxy};
use stack::{ACCOUNT, REGION, STACK, Stack};

/// How an engine is to run.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The port on 127.0.0.1; a free one if `None`.
    pub port: Option<u16>,
    /// The interpreter that has MiniStack.
    pub python: PathBuf,
    /// The workspace's target folder, for logs.
    pub target: PathBuf,
    /// The four functions.
    pub built: Vec<Built>,
    /// The application that the stack is for, or [`stack::EVERY_APPLICATION`].
    pub application: String,
    /// How long the service takes for what.
    pub lifecycle: Lifecycle,
    /// What the waits of executions are multiplied by; 1 leaves them as they are.
    pub wait_scale: f64,
    /// The wait before the second attempt at an event, in seconds; on AWS a minute. The third comes after twice the wait.
    pub event_retry_seconds: f64,
}

/// What a client needs to know of a running engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The names of the engine at this endpoint.
    pub async fn at(endpoint: &str) -> Result<Self, String> {
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| words(&error))?
            .get(format!("{}{NAMES}", endpoint.trim_end_matches('/')))
            .send()
            .await
            .map_err(|error| words(&error))?;
        let names = answer.bytes().await.map_err(|error| words(&error))?;
        serde_json::from_slice(&names).map_err(|error| format!("{endpoint}: {error}"))
    }

    fn of(endpoint: String, deployed: &Deployed) -> Result<Self, String> {
        let output = |name: &str| {
            let value = deployed.outputs.get(name).cloned();
            value.ok_or_else(|| format!("the stack has no output {name}"))
        };
        Ok(Self {
            endpoint,
            region: REGION.to_owned(),
            state_machine_arn: output("StateMachineArn")?,
            table: output("TableName")?,
            topic_arn: output("RunTopicArn")?,
            failure_queue_url: output("RecordAndNotifyFailureQueueUrl")?,
            function_name: output("RecordAndNotifyFunctionName")?,
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

/// A running engine. Dropping it stops everything that it has started; so does the end of this process.
pub struct Engine {
    ministack: MiniStack,
    proxy: Proxy,
    endpoint: String,
    names: Names,
    work: Work,
    deployed: Deployed,
}

impl Engine {
    /// Starts MiniStack and proxy, and deploys the template.
    pub async fn start(settings: EngineSettings) -> Result<Self, String> {
        let stack = Stack::of(&settings.application)?;
        let bound = Bound::new(settings.port).await?;
        let folder = settings.target.join("local");
        let ministack = MiniStack::start(&MiniStackSettings {
            python: settings.python,
            folder,
            proxy_port: bound.port(),
            wait_scale: settings.wait_scale,
            event_retry_seconds: settings.event_retry_seconds,
        })
        .await?;
        let endpoint = bound.endpoint();
        let work = work(&stack, &settings.application, &settings.built, &bound)?;
        let deployed = ministack.deploy(&work).await?;
        let names = Names::of(endpoint.clone(), &deployed)?;
        let permissions = Permissions::default();
        set_roles(&permissions, &work, &deployed)?;
        let emulator = Emulator::new(REGION, ACCOUNT, settings.lifecycle);
        let upstream = ministack.upstream().clone();
        let proxy = bound.serve(names.clone(), permissions, emulator, upstream);
        Ok(Self {
            ministack,
            proxy,
            endpoint,
            names,
            work,
            deployed,
        })
    }

    /// Deploys something else: an update of the stack, or another stack, whose functions then have the roles of that one.
    pub async fn deploy(&mut self, work: Work) -> Result<(), String> {
        let deployed = self.ministack.deploy(&work).await?;
        self.names = Names::of(self.endpoint.clone(), &deployed)?;
        set_roles(self.proxy.permissions(), &work, &deployed)?;
        (self.work, self.deployed) = (work, deployed);
        Ok(())
    }

    /// What a client needs to know.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Managed Flink, permissions and faults.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// What was deployed.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// What has become of it.
    #[must_use]
    pub fn deployed(&self) -> &Deployed {
        &self.deployed
    }

    /// The name that a function has in this deployment.
    pub fn deployed_name(&self, function: &str) -> Result<&str, String> {
        let id = self.logical_id(function)?;
        let name = self.deployed.resources.get(id);
        name.map(String::as_str)
            .ok_or_else(|| format!("the stack has no {id}"))
    }

    /// What a function has logged that contains a text, Lambda's own lines included.
    pub async fn logs(&self, function: &str, containing: &str) -> Result<Vec<String>, String> {
        let group = self.logical_id(function)?.replace("Function", "LogGroup");
        let group = self.deployed.resources.get(&group);
        let group = group.ok_or_else(|| format!("{function} has no log group"))?;
        self.ministack.upstream().log_lines(group, containing).await
    }

    fn logical_id(&self, function: &str) -> Result<&str, String> {
        let mut functions = self.work.functions.iter();
        let found = functions.find(|(_, program)| program.name == function);
        found
            .map(|(id, _)| id.as_str())
            .ok_or_else(|| format!("the template has no {function}"))
    }

    /// Ends everything and waits until it is gone.
    pub async fn stop(self) {
        self.proxy.stop().await;
        self.ministack.stop().await;
    }
}

/// What each function may do, as it is deployed.
fn set_roles(permissions: &Permissions, work: &Work, deployed: &Deployed) -> Result<(), String> {
    for (id, program) in &work.functions {
        let role = deployed.roles.get(id).cloned();
        let role = role.ok_or_else(|| format!("{id} has no role"))?;
        permissions.set(&program.name, role)?;
    }
    Ok(())
}

/// The template, the functions and the definition, ready to be deployed.
fn work(stack: &Stack, application: &str, built: &[Built], bound: &Bound) -> Result<Work, String> {
    let template = stack.template();
    let functions = template
        .of_type("AWS::Serverless::Function")?
        .into_iter()
        .map(|id| {
            let name = template.name_of(id)?;
            let built = built.iter().find(|built| built.name == name);
            let built = built.ok_or_else(|| format!("the template's {name} was not built"))?;
            let program = Program {
                endpoint: bound.endpoint_of(&name),
                binary: built.binary.clone(),
                name,
            };
            Ok((id.to_owned(), program))
        })
        .collect::<Result<BTreeMap<_, _>, String>>()?;
    let machine = stack.only("AWS::Serverless::StateMachine")?.to_owned();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    let definition = stack::definition::DEFINITION.to_owned();
    Ok(Work {
        stack: STACK.to_owned(),
        template: local_template(template),
        parameters: [
            ("ApplicationName".to_owned(), application.to_owned()),
            ("Architecture".to_owned(), architecture.to_owned()),
        ]
        .into(),
        functions,
        definitions: [(machine, definition)].into(),
    })
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
