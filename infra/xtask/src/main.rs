//! The entry point of the command `cargo xtask`.

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
    /// Lints the template and the definition of the state machine, and checks the template's security, the policy of
    /// the deployer, and the dependencies
    Check,
    /// Builds the functions with `sam build`, and checks that Lambda can run each zip
    Build {
        /// The processor architecture, which must be that of the stack's parameter Architecture
        #[arg(long, value_enum, default_value = "arm64")]
        architecture: Architecture,
    },
    /// Builds the functions, and packs a zip that can be deployed with only the aws CLI
    Package {
        /// The processor architecture
        #[arg(long, value_enum, default_value = "arm64")]
        architecture: Architecture,
        /// Also deploy the zip to MiniStack, with a pinned aws CLI and the commands of the README in the zip
        #[arg(long)]
        check: bool,
    },
    /// Measures the release binaries: size, start-up time, memory, CPU time
    Bench,
    /// Puts bugs into a copy of the functions' code, one at a time, and reports each bug that no test detects
    Mutants {
        /// Try only one part of the bugs, for example the first of eight with 1/8
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
