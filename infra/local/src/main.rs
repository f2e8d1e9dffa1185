//! `cargo local`: the same system on one machine.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use engine::differences::DIFFERENCES;
use engine::engine::{Engine, EngineSettings, Names, words};
use engine::functions::{self, Profile};
use engine::msf::Lifecycle;
use jiff::Timestamp;
use local::command::{exit_code, interrupted, prepare, until_interrupted};
use local::demo;
use local::follow::{self, Ended};
use local::report::{await_record, record_table};
use serde_json::{Value, json};
use stack::EVERY_APPLICATION;

/// Snapshot Manager for Amazon Managed Service for Apache Flink, on one machine and without an AWS
/// account. Without a command: the main job as a demonstration.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keeps the engine running for the aws CLI and other clients, until Ctrl-C
    Up(Up),
    /// Starts an execution on a running engine and follows it; exits with 0 if it succeeded, else 1
    Run(Run),
    /// Runs a failed execution on from the state that failed, and follows it
    Redrive(Redrive),
}

#[derive(Debug, Args)]
struct Up {
    /// The port on 127.0.0.1; a free one by default
    #[arg(long)]
    port: Option<u16>,
    /// How long a snapshot takes
    #[arg(long, default_value_t = 8)]
    snapshot_seconds: u64,
}

#[derive(Debug, Args)]
struct Run {
    /// The Flink application
    #[arg(long, value_name = "NAME")]
    application: String,
    /// The rest of the run input, a JSON object; - for standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the audit record alone on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Redrive {
    /// The execution's ARN, or its name
    execution: String,
    /// Print the audit record alone on stdout
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        None => until_interrupted(Box::pin(demonstrate())).await,
        Some(Command::Up(options)) => up(options).await,
        Some(Command::Run(options)) => until_interrupted(start_and_follow(options)).await,
        Some(Command::Redrive(options)) => until_interrupted(redrive(options)).await,
    };
    exit_code(done)
}

async fn demonstrate() -> Result<bool, String> {
    let lifecycle = Lifecycle {
        starting: Duration::from_millis(100),
        snapshot: Duration::from_secs(5),
        ..Lifecycle::default()
    };
    let engine = start(None, demo::APPLICATION, lifecycle).await?;
    let succeeded = demo::run(&engine).await;
    engine.stop().await;
    succeeded
}

async fn start(
    port: Option<u16>,
    application: &str,
    lifecycle: Lifecycle,
) -> Result<Engine, String> {
    let settings = prepare(Profile::Dev).await?;
    eprintln!(
        "Deploying infra/template.yaml to MiniStack. It differs from a deployment to AWS in:"
    );
    for (name, difference) in DIFFERENCES {
        eprintln!("  {name}: {}", difference.reason());
    }
    Engine::start(EngineSettings {
        port,
        application: application.to_owned(),
        lifecycle,
        ..settings
    })
    .await
}

async fn up(options: Up) -> Result<ExitCode, String> {
    let lifecycle = Lifecycle {
        snapshot: Duration::from_secs(options.snapshot_seconds),
        ..Lifecycle::default()
    };
    let engine = tokio::select! {
        engine = start(options.port, EVERY_APPLICATION, lifecycle) => engine?,
        () = interrupted() => return Ok(ExitCode::from(130)),
    };
    let names = engine.names();
    let file = endpoint_file()?;
    std::fs::write(&file, &names.endpoint)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!(
        "# For the aws CLI, boto3 and other clients, in another shell:\n\
         export AWS_ENDPOINT_URL={}\n\
         export AWS_REGION={} AWS_DEFAULT_REGION={}\n\
         export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local\n\
         export STATE_MACHINE_ARN={}\n\
         export TABLE_NAME={}\n\
         export TOPIC_ARN={}\n\
         export FAILURE_QUEUE_URL={}\n\
         export FUNCTION_NAME={}\n\
         # Ctrl-C stops the engine.",
        names.endpoint,
        names.region,
        names.region,
        names.state_machine_arn,
        names.table,
        names.topic_arn,
        names.failure_queue_url,
        names.function_name
    );
    interrupted().await;
    // A later engine may have put its own there.
    if std::fs::read_to_string(&file).is_ok_and(|endpoint| endpoint == names.endpoint) {
        let _ = std::fs::remove_file(&file);
    }
    engine.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Where `up` writes its endpoint.
fn endpoint_file() -> Result<PathBuf, String> {
    Ok(functions::target_folder()?.join("local/endpoint"))
}

/// The running engine: the one of `AWS_ENDPOINT_URL`, or else the one that `up` has started.
async fn running() -> Result<Names, String> {
    let endpoint = match std::env::var("AWS_ENDPOINT_URL") {
        Ok(endpoint) => endpoint,
        Err(_) => std::fs::read_to_string(endpoint_file()?).unwrap_or_default(),
    };
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    if address.is_empty() || tokio::net::TcpStream::connect(address).await.is_err() {
        return Err(
            "no engine is running; start one with `cargo local up` in another shell".to_owned(),
        );
    }
    Names::at(&endpoint).await
}

async fn start_and_follow(options: Run) -> Result<bool, String> {
    let input = run_input(&options)?;
    let names = running().await?;
    let sfn = aws_sdk_sfn::Client::new(&names.sdk_config());
    let name = format!(
        "{}-{}",
        options.application,
        Timestamp::now().as_millisecond()
    );
    let name: String = name
        .chars()
        .rev()
        .take(80)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let execution_arn = follow::start_execution(&sfn, &names, &name, &input).await?;
    eprintln!("{execution_arn}");
    let ended = follow::follow(&sfn, &execution_arn, 0).await?;
    show_record(&names, &ended, options.json).await?;
    Ok(ended.succeeded)
}

/// `--input` with the application's name in it.
fn run_input(options: &Run) -> Result<Value, String> {
    let mut input = match &options.input {
        None => json!({}),
        Some(path) => {
            let place = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map(|_| text)
            } else {
                std::fs::read_to_string(path)
            };
            let text = text.map_err(|error| place(&error))?;
            serde_json::from_str(&text).map_err(|error| place(&error))?
        }
    };
    let Some(fields) = input.as_object_mut() else {
        return Err(format!("--input holds {input}, not a JSON object"));
    };
    let name = fields
        .entry("application_name")
        .or_insert_with(|| options.application.clone().into());
    if name != options.application.as_str() {
        return Err(format!(
            "--input has the application_name {name}, --application is {:?}: give one, or the same",
            options.application
        ));
    }
    Ok(input)
}

async fn redrive(options: Redrive) -> Result<bool, String> {
    let names = running().await?;
    let sfn = aws_sdk_sfn::Client::new(&names.sdk_config());
    let execution_arn = if options.execution.starts_with("arn:") {
        options.execution
    } else {
        names.execution_arn(&options.execution)
    };
    let seen = follow::history(&sfn, &execution_arn).await?.len();
    sfn.redrive_execution()
        .execution_arn(&execution_arn)
        .send()
        .await
        .map_err(|error| words(&error))?;
    let ended = follow::follow(&sfn, &execution_arn, seen).await?;
    show_record(&names, &ended, options.json).await?;
    Ok(ended.succeeded)
}

/// Waits for the record, which after a failure the failure rule writes, and prints it.
async fn show_record(names: &Names, ended: &Ended, alone: bool) -> Result<(), String> {
    let record = await_record(names, ended).await?;
    if alone {
        println!(
            "{}",
            serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?
        );
    } else {
        println!("{}", record_table(&record));
    }
    Ok(())
}
