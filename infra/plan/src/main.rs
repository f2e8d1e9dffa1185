//! `cargo plan`: tries a policy on a listing of snapshots.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use plan::plan::{Options, run};

/// Tries a policy on a listing of snapshots: what a run would keep and delete, and why.
#[derive(Debug, Parser)]
#[command(name = "cargo plan", bin_name = "cargo plan")]
struct Cli {
    /// What `aws kinesisanalyticsv2 list-application-snapshots --application-name NAME` prints; - for standard input
    #[arg(long, value_name = "FILE")]
    snapshots: PathBuf,
    /// The policy, a `retention` object; - for standard input
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The time to plan for; the present by default
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// The snapshot that the application is configured to restore from
    #[arg(long, value_name = "NAME")]
    restore_point: Option<String>,
    /// Draw the plan into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let planned = run(&Options {
        snapshots: cli.snapshots,
        policy: cli.policy,
        now: cli.now.unwrap_or_else(Timestamp::now),
        restore_point: cli.restore_point,
        svg: cli.svg,
        json: cli.json,
    });
    match planned {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
