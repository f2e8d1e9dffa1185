//! The command `cargo local`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::interrupt::until_interrupted;
use local::demo::demonstrate;
use local::redrive::{Redrive, redrive};
use local::run::{Run, run};
use local::up::{Up, up};
use output::{arguments, exit_code};

/// Runs the Snapshot Manager on this machine, without an AWS account. If you give no command, runs a demonstration.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keeps a local AWS emulator with the Snapshot Manager running for the aws CLI and other clients, until Ctrl-C
    Up(Up),
    /// Starts an execution on the local AWS emulator that `up` keeps running, and prints its progress
    ///
    /// The exit code is 0 if the execution succeeded, 1 if it did not succeed, and 2 if it could not be started.
    Run(Run),
    /// Redrives a failed execution on the engine that `up` keeps running, and prints its progress
    ///
    /// The exit code is 0 if the execution succeeded, 1 if it did not succeed, and 2 if it could not be redriven.
    Redrive(Redrive),
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
        Some(Command::Run(options)) => until_interrupted(run(options)).await,
        Some(Command::Redrive(options)) => until_interrupted(redrive(options)).await,
    })
}
