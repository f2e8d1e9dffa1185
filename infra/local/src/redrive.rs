//! `cargo local redrive`: redrives a failed execution, which resumes at the state that failed.

use anyhow::Result;
use clap::Args;

use crate::follow::{follow, history};
use crate::report::print_record;
use crate::running;

#[derive(Debug, Args)]
pub struct Redrive {
    /// The name or the ARN of the failed execution
    execution: String,
    /// Print the audit record as JSON, and nothing else, on stdout
    #[arg(long)]
    json: bool,
}

/// Redrives an execution, follows it and prints its record. Returns whether the execution succeeded.
pub async fn redrive(options: Redrive) -> Result<bool> {
    let connection = running::connection().await?;
    let sfn = aws_sdk_sfn::Client::new(&connection.sdk_config());
    let execution_arn = if options.execution.starts_with("arn:") {
        options.execution
    } else {
        connection.execution_arn(&options.execution)
    };
    let seen = history(&sfn, &execution_arn).await?.len();
    let redrive = sfn.redrive_execution().execution_arn(&execution_arn);
    redrive.send().await?;
    let ended = follow(&sfn, &execution_arn, seen).await?;
    print_record(&connection, &ended, options.json).await?;
    Ok(ended.succeeded)
}
