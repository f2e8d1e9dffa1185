//! `cargo xtask`: what somebody types who builds or changes the project.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use engine::functions::{self, MANIFEST, Profile};
use local::command::{exit_code, install, prepare, until_interrupted};
use xtask::cargo_tools::{self, CARGO_DENY, CARGO_MACHETE, CARGO_MUTANTS};
use xtask::deployment::{self, Architecture};
use xtask::{bench, mutants};

/// Checks, builds and measures the Snapshot Manager.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lints the template, what SAM makes of it, the definition, and the dependencies
    Check,
    /// Builds the functions for a deployment, with `sam build`
    Build(Build),
    /// Measures the release binaries: size, start, memory, CPU
    Bench,
    /// Changes the functions' code, one place at a time, and runs the tests, which must notice
    Mutants(Mutants),
}

#[derive(Debug, Args)]
struct Build {
    /// The processor to build for; the deployment's parameter Architecture must be the same
    #[arg(long, value_enum, default_value = "arm64")]
    architecture: Architecture,
}

#[derive(Debug, Args)]
struct Mutants {
    /// A part of the mutants, such as 1/8
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(match Cli::parse().command {
        Command::Check => until_interrupted(check()).await,
        Command::Build(options) => until_interrupted(build(options)).await,
        Command::Bench => until_interrupted(Box::pin(measure())).await,
        Command::Mutants(options) => until_interrupted(mutants(options)).await,
    })
}

async fn measure() -> Result<bool, String> {
    bench::run(prepare(Profile::Release).await?).await
}

async fn mutants(options: Mutants) -> Result<bool, String> {
    let target = functions::target_folder()?;
    let binary = cargo_tools::install(&target, CARGO_MUTANTS).await?;
    mutants::run(&binary, &target, options.shard.as_deref()).await
}

async fn check() -> Result<bool, String> {
    let target = functions::target_folder()?;
    let sam = install(&target, deployment::SAM).await?;
    let checkov = install(&target, deployment::CHECKOV).await?;
    let cargo_deny = cargo_tools::install(&target, CARGO_DENY).await?;
    let cargo_machete = cargo_tools::install(&target, CARGO_MACHETE).await?;
    // cargo-deny looks at the dependencies of every platform; a build leaves out those of the others.
    cargo_tools::run(&["fetch", "--locked", "--quiet", "--manifest-path", MANIFEST]).await?;
    deployment::check(&sam, &checkov, &cargo_deny, &cargo_machete).await
}

async fn build(options: Build) -> Result<bool, String> {
    let target = functions::target_folder()?;
    let sam = install(&target, deployment::SAM).await?;
    deployment::build(&sam, options.architecture).await
}
