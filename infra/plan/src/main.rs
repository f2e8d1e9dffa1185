//! The entry point of the command `cargo plan`.

use std::process::ExitCode;

use output::{arguments, exit_code};
use plan::plan::run;

fn main() -> ExitCode {
    match arguments() {
        Ok(options) => exit_code(run(&options).map(|()| ExitCode::SUCCESS)),
        Err(code) => code,
    }
}
