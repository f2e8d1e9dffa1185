//! The command `cargo plan`.

use std::process::ExitCode;

use clap::Parser;
use output::exit_code;
use plan::plan::{Options, run};

fn main() -> ExitCode {
    exit_code(run(&Options::parse()).map(|()| ExitCode::SUCCESS))
}
