//! The whole engine, started and stopped as one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::differences::local_template;
use crate::home::Home;
use crate::lock;
use crate::ministack::{Deployed, MiniStack, MiniStackSettings, Program, Work};
use crate::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot};
use crate::permissions::Permissions;
use crate::proxy::{Bound, NAMES, Proxy};
use stack::definition::DEFINITION;
use stack::{ACCOUNT, REGION, STACK, Stack};

/// How long a running engine may take to say its names.
const NAMES_LIMIT: Duration = Duration::from_secs(5);

/// The limit of open files that an engine asks for, if its own is lower. macOS allows no more (`OPEN_MAX`).
const OPEN_FILES: u64 = 10_240;

#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The port on 127.0.0.1; a free one if `None`.
    pub port: Option<u16>,
    pub python: PathBuf,
    /// The workspace's target folder, for logs.
    pub target: PathBuf,
    /// The functions' binaries, by the functions' names.
    pub built: BTreeMap<String, PathBuf>,
    /// The application that the stack is for, or [`stack::EVERY_APPLICATION`].
    pub application: String,
    /// How long Managed Flink takes for its work.
    pub lifecycle: Lifecycle,
    pub wait_scale: f64,
    /// The wait before the first retry of an event, in seconds; on AWS a minute. The wait before the second is twice as
    /// long.
    pub event_retry_seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub endpoint: String,
    pub region: String,
    pub state_machine_arn: String,
    pub table: String,
    pub topic_arn: String,
    /// The queue of events that record-and-notify has failed on.
    pub failure_queue_url: String,
    /// The name of record-and-notify, to invoke it with a replayed event.
    pub function_name: String,
}

impl Names {
    pub async fn at(endpoint: &str) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(NAMES_LIMIT);
        let url = format!("{}{NAMES}", endpoint.trim_end_matches('/'));
        let answer = client.build()?.get(url).send().await?;
        let names = answer.error_for_status()?.bytes().await?;
        serde_json::from_slice(&names).context("another program answers at this address")
    }

    fn of(endpoint: String, deployed: &Deployed) -> Result<Self> {
        let output = |name: &str| {
            let value = deployed.outputs.get(name).cloned();
            value.with_context(|| format!("the stack has no output {name}"))
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

    pub fn sdk_config(&self) -> SdkConfig {
        client(&self.endpoint)
    }

    pub fn execution_arn(&self, name: &str) -> String {
        let machine = &self.state_machine_arn;
        let executions = machine.replacen(":stateMachine:", ":execution:", 1);
        format!("{executions}:{name}")
    }
}

/// The configuration for a client of an endpoint on this machine. It has an HTTP client of its own, because the SDK's
/// would take a proxy from the environment.
pub fn client(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(endpoint)
        .http_client(Builder::new().build_http())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "local", "local", None, None, "local",
        )))
        .build()
}

/// A running engine. Dropping it stops everything that it has started. So does the end of this process.
pub struct Engine {
    ministack: MiniStack,
    proxy: Proxy,
    endpoint: String,
    names: Names,
    work: Work,
    deployed: Deployed,
    home: Home,
}

impl Engine {
    pub async fn start(settings: EngineSettings) -> Result<Self> {
        let stack = Stack::of(&settings.application)?;
        raise_open_files();
        let bound = Bound::new(settings.port).await?;
        let home = Home::new(&settings.target, bound.port())?;
        let mut ministack = MiniStack::start(&MiniStackSettings {
            python: settings.python.clone(),
            folder: home.folder().to_owned(),
            proxy_port: bound.port(),
            wait_scale: settings.wait_scale,
            event_retry_seconds: settings.event_retry_seconds,
        })
        .await?;
        let endpoint = bound.endpoint();
        let work = work(&stack, &settings, &bound)?;
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
            home,
        })
    }

    /// Lets [`crate::home::announced`] find this engine until it ends.
    pub fn announce(&self) -> Result<()> {
        self.home.announce(&self.endpoint)
    }

    /// Waits until MiniStack ends by itself, without which the engine is of no use. The error says how it ended.
    pub async fn failure(&mut self) -> Error {
        self.ministack.failure().await
    }

    /// Updates the stack, or deploys another one. The functions then have the roles of that stack.
    pub async fn deploy(&mut self, work: Work) -> Result<()> {
        let deployed = self.ministack.deploy(&work).await?;
        self.names = Names::of(self.endpoint.clone(), &deployed)?;
        set_roles(self.proxy.permissions(), &work, &deployed)?;
        (self.work, self.deployed) = (work, deployed);
        Ok(())
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub fn work(&self) -> &Work {
        &self.work
    }

    pub fn deployed(&self) -> &Deployed {
        &self.deployed
    }

    /// The name that a function has in this deployment.
    pub fn deployed_name(&self, function: &str) -> Result<&str> {
        self.physical_id(self.logical_id(function)?)
    }

    /// The address of MiniStack, which only the engine knows.
    pub fn ministack_address(&self) -> &str {
        self.ministack.upstream().endpoint()
    }

    /// The lines in a function's log that contain a text. Lambda's own lines are among them.
    pub async fn logs(&self, function: &str, containing: &str) -> Result<Vec<String>> {
        let group = self.logical_id(function)?.replace("Function", "LogGroup");
        let group = self.physical_id(&group)?;
        self.ministack.upstream().log_lines(group, containing).await
    }

    /// The durations of a function's invocations in milliseconds, from the lines that Lambda logs for them.
    pub async fn durations_ms(&self, function: &str) -> Result<Vec<u32>> {
        let reports = self.logs(function, "REPORT").await?;
        let duration_ms = |report: &String| {
            let (_, duration) = report.split_once("Duration: ")?;
            duration.split_once(" ms")?.0.parse().ok()
        };
        Ok(reports.iter().filter_map(duration_ms).collect())
    }

    /// Creates an application in Managed Flink. It always has this status. The snapshots are oldest first.
    pub fn create_application(
        &self,
        name: &str,
        status: &str,
        deletes_per_second: Option<u32>,
        snapshots: impl IntoIterator<Item = SeededSnapshot>,
    ) -> Result<()> {
        let input = json!({
            "ApplicationName": name, "RuntimeEnvironment": "FLINK-1_20",
            "ServiceExecutionRole": format!("arn:aws:iam::{ACCOUNT}:role/{name}")
        });
        let input = input.to_string();
        let mut emulator = lock(self.proxy.emulator());
        *emulator.behaviour(name) = Behaviour {
            status: Some(status.to_owned()),
            deletes_per_second,
            ..Behaviour::default()
        };
        emulator.seed(name, snapshots);
        emulator.call("CreateApplication", input.as_bytes(), Timestamp::now())?;
        Ok(())
    }

    fn logical_id(&self, function: &str) -> Result<&str> {
        let mut functions = self.work.functions.iter();
        let found = functions.find(|(_, program)| program.name == function);
        let (id, _) = found.with_context(|| format!("the template has no {function}"))?;
        Ok(id)
    }

    fn physical_id(&self, logical_id: &str) -> Result<&str> {
        let id = self.deployed.resources.get(logical_id);
        let id = id.with_context(|| format!("the stack has no {logical_id}"))?;
        Ok(id)
    }

    pub async fn stop(self) {
        self.proxy.stop().await;
        drop(self.ministack);
    }
}

/// Raises the limit of open files for this process and those that it starts. Each call that is in progress has several
/// open, and macOS allows 256 by default.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_some_and(|current| current < highest) {
        let raised = Rlimit {
            current: Some(highest),
            ..limit
        };
        // The lower limit is enough for a few executions at a time.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

fn set_roles(permissions: &Permissions, work: &Work, deployed: &Deployed) -> Result<()> {
    for (id, program) in &work.functions {
        let role = deployed.roles.get(id).cloned();
        let role = role.with_context(|| format!("{id} has no role"))?;
        permissions.set(&program.name, role)?;
    }
    Ok(())
}

fn work(stack: &Stack, settings: &EngineSettings, bound: &Bound) -> Result<Work> {
    let template = stack.template();
    let mut functions = BTreeMap::new();
    for id in template.of_type("AWS::Serverless::Function")? {
        let name = template.name_of(id)?;
        let binary = settings.built.get(&name);
        let binary = binary.with_context(|| format!("the template's {name} was not built"))?;
        let program = Program {
            endpoint: bound.endpoint_of(&name),
            binary: binary.clone(),
            name,
        };
        functions.insert(id.to_owned(), program);
    }
    let machine = stack.only("AWS::Serverless::StateMachine")?.to_owned();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    Ok(Work {
        stack: STACK.to_owned(),
        template: local_template(template),
        parameters: [
            ("ApplicationName".to_owned(), settings.application.clone()),
            ("Architecture".to_owned(), architecture.to_owned()),
            ("NotificationEmail".to_owned(), "none".to_owned()),
            ("AlarmEmail".to_owned(), "none".to_owned()),
        ]
        .into(),
        functions,
        definitions: [(machine, DEFINITION.to_owned())].into(),
    })
}
