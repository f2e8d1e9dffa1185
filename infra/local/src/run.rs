//! `cargo local run`: starts an execution on a running engine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use output::note;
use serde_json::{Value, json};

use crate::follow::{follow, start_execution};
use crate::report::print_record;
use crate::running;

/// The most characters that Step Functions allows in the name of an execution.
const NAME_LIMIT: usize = 80;

#[derive(Debug, Args)]
pub struct Run {
    /// The name of the Flink application
    #[arg(long, value_name = "NAME")]
    application: String,
    /// The run input, a JSON object, which can leave out `application_name`; - for standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the audit record as JSON, and nothing else, on stdout
    #[arg(long)]
    json: bool,
}

/// Starts an execution, follows it and prints its record. Returns whether the execution succeeded.
pub async fn run(options: Run) -> Result<bool> {
    let input = run_input(&options)?;
    let connection = running::connection().await?;
    let sfn = aws_sdk_sfn::Client::new(&connection.sdk_config());
    let milliseconds = Timestamp::now().as_millisecond();
    let name = format!("{}-{milliseconds}", options.application);
    let excess = name.chars().count().saturating_sub(NAME_LIMIT);
    let name: String = name.chars().skip(excess).collect();
    let execution_arn = start_execution(&sfn, &connection, &name, &input).await?;
    note!("{execution_arn}");
    let ended = follow(&sfn, &execution_arn, 0).await?;
    print_record(&connection, &ended, options.json).await?;
    Ok(ended.succeeded)
}

/// The run input: the object of `--input`, with the name from `--application` as its `application_name`.
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
