//! `cargo local up`: keeps the engine, which is the local AWS emulator, running for the aws CLI and other clients.

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use engine::environment;
use engine::interrupt::interrupted;
use output::say;
use stack::EVERY_APPLICATION;

use crate::running::exports;
use crate::start::start;

#[derive(Debug, Args)]
pub struct Up {
    /// The port on 127.0.0.1; by default any free port
    #[arg(long)]
    port: Option<u16>,
    /// How long an emulated Flink application takes to create a snapshot, in seconds
    #[arg(long, default_value_t = 8)]
    snapshot_seconds: u64,
}

/// Keeps an engine running until an interrupt, which ends it with exit code 0.
pub async fn up(options: Up) -> Result<ExitCode> {
    // The same future is awaited during the start and afterwards, so that no signal is lost between the two.
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
        environment::CLEAN_CLIENT_ENVIRONMENT,
        exports(engine.connection())?
    );
    let ended = match printed {
        Ok(()) => tokio::select! {
            error = engine.wait_for_failure() => Err(error),
            () = interrupted => Ok(ExitCode::SUCCESS),
        },
        Err(error) => Err(error),
    };
    engine.stop().await;
    ended
}
