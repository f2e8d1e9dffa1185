//! The command `cargo local`.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use engine::differences::DIFFERENCES;
use engine::engine::{Engine, EngineSettings, Names};
use engine::environment;
use engine::functions::{self, Profile};
use engine::msf::Lifecycle;
use jiff::Timestamp;
use local::command::{interrupted, prepare, until_interrupted};
use local::demo;
use local::follow::{self, Ended};
use local::report::{await_record, record_table};
use local::running::{self, exports};
use output::{arguments, exit_code, note, say};
use serde_json::{Value, json};
use stack::EVERY_APPLICATION;

/// The most characters that Step Functions allows in the name of an execution.
const NAME_LIMIT: usize = 80;

/// Runs the Snapshot Manager on this machine, without an AWS account. Without a command, it runs a demonstration.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keeps an engine running for the aws CLI and other clients, until Ctrl-C
    Up(Up),
    /// Starts an execution on a running engine and follows it
    ///
    /// The exit code is 0 if the execution succeeded, 1 if it did not, and 2 if it could not be started.
    Run(Run),
    /// Redrives a failed execution from the state that failed, and follows it
    Redrive(Redrive),
}

#[derive(Debug, Args)]
struct Up {
    /// The port on 127.0.0.1; by default a free one
    #[arg(long)]
    port: Option<u16>,
    /// The time that a snapshot takes, in seconds
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
    /// Print only the audit record on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Redrive {
    /// The ARN or the name of the execution
    execution: String,
    /// Print only the audit record on stdout
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = match arguments() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    exit_code(match cli.command {
        None => until_interrupted(Box::pin(demonstrate())).await,
        Some(Command::Up(options)) => up(options).await,
        Some(Command::Run(options)) => until_interrupted(start_and_follow(options)).await,
        Some(Command::Redrive(options)) => until_interrupted(redrive(options)).await,
    })
}

async fn demonstrate() -> Result<bool> {
    let engine = start(None, demo::APPLICATION, 5).await?;
    let succeeded = demo::run(&engine).await;
    engine.stop().await;
    succeeded
}

async fn start(port: Option<u16>, application: &str, snapshot_seconds: u64) -> Result<Engine> {
    let settings = prepare(Profile::Dev).await?;
    note!("Deploying infra/template.yaml to MiniStack. It differs from a deployment to AWS in:");
    for (name, difference) in DIFFERENCES {
        note!("  {name}: {}", difference.reason());
    }
    Engine::start(EngineSettings {
        port,
        application: application.to_owned(),
        lifecycle: Lifecycle {
            snapshot: Duration::from_secs(snapshot_seconds),
            ..Lifecycle::default()
        },
        ..settings
    })
    .await
}

async fn up(options: Up) -> Result<ExitCode> {
    // One future for the whole time, so that no signal is lost.
    let mut interrupted = pin!(interrupted());
    let mut engine = tokio::select! {
        biased;
        () = &mut interrupted => return Ok(ExitCode::from(130)),
        engine = start(options.port, EVERY_APPLICATION, options.snapshot_seconds) => engine?,
    };
    engine.announce()?;
    let printed = say!(
        "# For the aws CLI, boto3 and other clients, in another shell:\n\
         {}\n\
         {}\n\
         # Ctrl-C stops the engine.",
        environment::CLIENT,
        exports(engine.names())?
    );
    let ended = match printed {
        Ok(()) => tokio::select! {
            error = engine.failure() => Err(error),
            () = interrupted => Ok(ExitCode::SUCCESS),
        },
        Err(error) => Err(error),
    };
    engine.stop().await;
    ended
}

/// The names of the engine that a command uses.
async fn running() -> Result<Names> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    running::find(endpoint, &functions::target_folder()?).await
}

async fn start_and_follow(options: Run) -> Result<bool> {
    let input = run_input(&options)?;
    let names = running().await?;
    let sfn = aws_sdk_sfn::Client::new(&names.sdk_config());
    let milliseconds = Timestamp::now().as_millisecond();
    let name = format!("{}-{milliseconds}", options.application);
    let excess = name.chars().count().saturating_sub(NAME_LIMIT);
    let name: String = name.chars().skip(excess).collect();
    let execution_arn = follow::start_execution(&sfn, &names, &name, &input).await?;
    note!("{execution_arn}");
    let ended = follow::follow(&sfn, &execution_arn, 0).await?;
    print_record(&names, &ended, options.json).await?;
    Ok(ended.succeeded)
}

/// `--input` with the application's name in it.
fn run_input(options: &Run) -> Result<Value> {
    let mut input = match &options.input {
        Some(path) => read_json(path).with_context(|| path.display().to_string())?,
        None => json!({}),
    };
    let Some(fields) = input.as_object_mut() else {
        bail!("--input has {input}, which is not a JSON object");
    };
    let name = fields
        .entry("application_name")
        .or_insert_with(|| options.application.clone().into());
    ensure!(
        name == options.application.as_str(),
        "--input has the application_name {name}, but --application is {:?}",
        options.application
    );
    Ok(input)
}

fn read_json(path: &Path) -> Result<Value> {
    plan::json::parse(&plan::json::read(path)?)
}

async fn redrive(options: Redrive) -> Result<bool> {
    let names = running().await?;
    let sfn = aws_sdk_sfn::Client::new(&names.sdk_config());
    let execution_arn = if options.execution.starts_with("arn:") {
        options.execution
    } else {
        names.execution_arn(&options.execution)
    };
    let seen = follow::history(&sfn, &execution_arn).await?.len();
    let redrive = sfn.redrive_execution().execution_arn(&execution_arn);
    redrive.send().await?;
    let ended = follow::follow(&sfn, &execution_arn, seen).await?;
    print_record(&names, &ended, options.json).await?;
    Ok(ended.succeeded)
}

/// Prints the record, which appears a moment after the end of a failed execution.
async fn print_record(names: &Names, ended: &Ended, as_json: bool) -> Result<()> {
    let record = await_record(names, ended).await?;
    if as_json {
        say!("{}", serde_json::to_string_pretty(&record)?)?;
    } else {
        say!("{}", record_table(&record))?;
    }
    Ok(())
}
