//! An engine: MiniStack with the deployed stack, and the proxy in front of it.

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
use crate::ministack::{Deployed, DeploymentSpec, FunctionSpec, MiniStack, MiniStackSettings};
use crate::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot};
use crate::permissions::Permissions;
use crate::proxy::{BoundListener, CONNECTION_PATH, Proxy};
use stack::definition::DEFINITION;
use stack::{ACCOUNT, REGION, STACK, Stack};

/// How long a running engine may take to answer [`Connection::fetch`].
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of open files that an engine asks the system to allow, if the current limit is lower. On macOS, it is the
/// highest limit that a process can set (`OPEN_MAX`).
const OPEN_FILES: u64 = 10_240;

#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The port on 127.0.0.1. If it is `None`, the system chooses a free one.
    pub port: Option<u16>,
    /// The Python interpreter that has the packages of MiniStack.
    pub python: PathBuf,
    /// The target folder of the workspace. The engine's folder is below it.
    pub target: PathBuf,
    /// The path of each function's binary, by the function's name.
    pub binaries: BTreeMap<String, PathBuf>,
    /// The name of the application that the stack manages, or [`stack::EVERY_APPLICATION`].
    pub application: String,
    /// How long the emulated Managed Flink takes to start or stop an application, to take a snapshot, and so on.
    pub lifecycle: Lifecycle,
    /// Real seconds for each second of a Wait state, a Retry or a timeout in the state machine: 0.1 is ten times
    /// faster.
    pub wait_scale: f64,
    /// The wait before Lambda's first retry of an asynchronous invocation, in seconds. On AWS it is a minute. The wait
    /// before the second retry is twice as long.
    pub event_retry_seconds: f64,
}

/// What a client needs in order to use a running engine. The engine serves it as JSON at the path `/_names`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub endpoint: String,
    pub region: String,
    pub state_machine_arn: String,
    pub table: String,
    pub topic_arn: String,
    /// The queue for events that record-and-notify could not handle.
    pub failure_queue_url: String,
    /// The deployed name of record-and-notify. An operator invokes the function to replay a kept event.
    pub function_name: String,
}

impl Connection {
    /// Asks the engine at an endpoint. The error says why no engine answers there.
    pub async fn fetch(endpoint: &str) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(FETCH_TIMEOUT);
        let url = format!("{}{CONNECTION_PATH}", endpoint.trim_end_matches('/'));
        let answer = client.build()?.get(url).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        serde_json::from_slice(&body).context("another program answers at this address")
    }

    fn from_outputs(endpoint: String, deployed: &Deployed) -> Result<Self> {
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
        client_config(&self.endpoint)
    }

    pub fn execution_arn(&self, name: &str) -> String {
        let machine = &self.state_machine_arn;
        let executions = machine.replacen(":stateMachine:", ":execution:", 1);
        format!("{executions}:{name}")
    }
}

/// The configuration of an SDK client for an endpoint on this machine. It sets an HTTP client, because the SDK's
/// default client would use a proxy from the environment.
pub fn client_config(endpoint: &str) -> SdkConfig {
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

/// A running engine. All processes that it has started end when it is dropped, or when this process ends.
pub struct Engine {
    ministack: MiniStack,
    proxy: Proxy,
    endpoint: String,
    connection: Connection,
    spec: DeploymentSpec,
    deployed: Deployed,
    home: Home,
}

impl Engine {
    pub async fn start(settings: EngineSettings) -> Result<Self> {
        let stack = Stack::of(&settings.application)?;
        raise_open_files();
        let listener = BoundListener::new(settings.port).await?;
        let home = Home::new(&settings.target, listener.port())?;
        let mut ministack = MiniStack::start(&MiniStackSettings {
            python: settings.python.clone(),
            folder: home.folder().to_owned(),
            proxy_port: listener.port(),
            wait_scale: settings.wait_scale,
            event_retry_seconds: settings.event_retry_seconds,
        })
        .await?;
        let endpoint = listener.endpoint();
        let spec = deployment_spec(&stack, &settings, &listener)?;
        let deployed = ministack.deploy(&spec).await?;
        let connection = Connection::from_outputs(endpoint.clone(), &deployed)?;
        let permissions = Permissions::default();
        set_roles(&permissions, &spec, &deployed)?;
        let emulator = Emulator::new(REGION, ACCOUNT, settings.lifecycle);
        let upstream = ministack.upstream().clone();
        let proxy = listener.serve(connection.clone(), permissions, emulator, upstream);
        Ok(Self {
            ministack,
            proxy,
            endpoint,
            connection,
            spec,
            deployed,
            home,
        })
    }

    /// Writes the endpoint to the engine's folder, where [`crate::home::announced`] finds it until the engine ends.
    pub fn announce(&self) -> Result<()> {
        self.home.announce(&self.endpoint)
    }

    /// Waits until MiniStack ends by itself, which it does only if it fails. The engine cannot work without MiniStack.
    /// The error says how MiniStack ended.
    pub async fn wait_for_failure(&mut self) -> Error {
        self.ministack.wait_for_failure().await
    }

    /// Updates the stack, or deploys another one. From then on, the proxy checks the functions' calls against the roles
    /// of the new deployment. `/_names` keeps serving the [`Connection`] of the first deployment; [`Self::connection`]
    /// returns the new one.
    pub async fn deploy(&mut self, spec: DeploymentSpec) -> Result<()> {
        let deployed = self.ministack.deploy(&spec).await?;
        self.connection = Connection::from_outputs(self.endpoint.clone(), &deployed)?;
        set_roles(self.proxy.permissions(), &spec, &deployed)?;
        (self.spec, self.deployed) = (spec, deployed);
        Ok(())
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// What was deployed last.
    pub fn deployment_spec(&self) -> &DeploymentSpec {
        &self.spec
    }

    pub fn deployed(&self) -> &Deployed {
        &self.deployed
    }

    /// The name that CloudFormation gave a function in this deployment.
    pub fn deployed_name(&self, function: &str) -> Result<&str> {
        self.physical_id(self.logical_id(function)?)
    }

    /// The address of MiniStack itself, without the proxy. Its path is random, so that no other program can bypass the
    /// proxy.
    pub fn ministack_address(&self) -> &str {
        self.ministack.upstream().endpoint()
    }

    /// The lines in a function's log group that contain a text. They include the lines that Lambda itself logs.
    pub async fn logs(&self, function: &str, containing: &str) -> Result<Vec<String>> {
        let group = self.logical_id(function)?.replace("Function", "LogGroup");
        let group = self.physical_id(&group)?;
        self.ministack.upstream().log_lines(group, containing).await
    }

    /// The durations of a function's invocations in milliseconds, from the REPORT lines that Lambda logs.
    pub async fn durations_ms(&self, function: &str) -> Result<Vec<u32>> {
        let reports = self.logs(function, "REPORT").await?;
        let duration_ms = |report: &String| {
            let (_, duration) = report.split_once("Duration: ")?;
            duration.split_once(" ms")?.0.parse().ok()
        };
        Ok(reports.iter().filter_map(duration_ms).collect())
    }

    /// Creates an application in the emulated Managed Flink. The application always has this status. The snapshots are
    /// oldest first. If `deletes_per_second` is given, the emulator throttles deletions above that rate.
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
        let mut functions = self.spec.functions.iter();
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

/// Raises the limit of open files for this process and the processes that it starts. A call in progress needs several
/// open files, and macOS allows 256 by default.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_some_and(|current| current < highest) {
        let raised = Rlimit {
            current: Some(highest),
            ..limit
        };
        // If it cannot be raised, the engine still works for a few executions at a time.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

fn set_roles(permissions: &Permissions, spec: &DeploymentSpec, deployed: &Deployed) -> Result<()> {
    for (id, program) in &spec.functions {
        let role = deployed.roles.get(id).cloned();
        let role = role.with_context(|| format!("{id} has no role"))?;
        permissions.set(&program.name, role)?;
    }
    Ok(())
}

fn deployment_spec(
    stack: &Stack,
    settings: &EngineSettings,
    listener: &BoundListener,
) -> Result<DeploymentSpec> {
    let template = stack.template();
    let mut functions = BTreeMap::new();
    for id in template.of_type("AWS::Serverless::Function")? {
        let name = template.name_of(id)?;
        let binary = settings.binaries.get(&name);
        let binary = binary.with_context(|| format!("the template's {name} was not built"))?;
        let program = FunctionSpec {
            endpoint: listener.endpoint_of(&name),
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
    Ok(DeploymentSpec {
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
