//! The command `cargo xtask`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::interrupt::until_interrupted;
use output::{arguments, exit_code};
use xtask::build::Architecture;
use xtask::{bench, build, check, mutants, package};

/// Checks, builds and measures the Snapshot Manager.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lints and security-checks the template, the definition, the deployer's policy, and the dependencies
    Check,
    /// Runs `sam build` for a deployment, and checks that Lambda can run each zip
    Build {
        /// The processor to build for; the parameter Architecture of the deployment must be the same
        #[arg(long, value_enum, default_value = "arm64")]
        architecture: Architecture,
    },
    /// Builds the functions, and makes a zip that deploys with the aws CLI alone
    Package {
        /// The processor to build for
        #[arg(long, value_enum, default_value = "arm64")]
        architecture: Architecture,
        /// Also deploys the zip to MiniStack with a pinned aws CLI, by the commands of the zip's README
        #[arg(long)]
        check: bool,
    },
    /// Measures the release binaries: size, start, memory, CPU
    Bench,
    /// Introduces bugs into a copy of the functions' code, one at a time, and reports each that no test notices
    Mutants {
        /// A part of the bugs, for example 1/8
        #[arg(long, value_name = "K/N")]
        shard: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = match arguments() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    exit_code(match cli.command {
        Command::Check => until_interrupted(check::run()).await,
        Command::Build { architecture } => until_interrupted(build::run(architecture)).await,
        Command::Package {
            architecture,
            check,
        } => until_interrupted(Box::pin(package::run(architecture, check))).await,
        Command::Bench => until_interrupted(Box::pin(bench::run())).await,
        Command::Mutants { shard } => until_interrupted(mutants::run(shard.as_deref())).await,
    })
}
