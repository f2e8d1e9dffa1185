//! `cargo xtask build`: builds the functions for a deployment.

use std::fs;

use anyhow::{Context, Result, ensure};
use comfy_table::CellAlignment;
use engine::environment::{self, Child};
use engine::functions;
use local::command::install;
use local::report::new_table;
use output::say;
use stack::{EVERY_APPLICATION, Stack};

use crate::tools::{SAM, command, output, run as run_command};

/// The largest zip of a function, in bytes.
const ZIP_LIMIT: u64 = 3_000_000;

/// The processors that Lambda has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// The value of the template's parameter, and Rust's target.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Arm64 => ("arm64", "aarch64-unknown-linux-gnu"),
            Self::X86_64 => ("x86_64", "x86_64-unknown-linux-gnu"),
        }
    }
}

/// Builds the functions into `infra/.aws-sam`, where `sam deploy` looks for them, and prints the size of each zip to
/// stdout. Returns whether all are within the limit.
pub async fn run(architecture: Architecture) -> Result<bool> {
    let tools = [install(&functions::target_folder()?, SAM).await?];
    let (architecture, target) = architecture.names();
    let mut rustup = environment::command(Child::Cargo, "rustup");
    let added = run_command(rustup.args(["target", "add", target])).await;
    added.with_context(|| {
        format!(
            "{target} cannot be added to the compiler (rustup does that, see https://rustup.rs)"
        )
    })?;
    let mut sam = command(Child::SamBuild, &tools, "sam", "infra")?;
    let parameter = format!("Architecture={architecture}");
    run_command(sam.args(["build", "--parameter-overrides", &parameter])).await?;

    let folder = tempfile::tempdir()?;
    let stack = Stack::of(EVERY_APPLICATION)?;
    let mut table = new_table(["function", "zip"]);
    let mut are_small = true;
    for id in stack.template().of_type("AWS::Serverless::Function")? {
        let built = format!("infra/.aws-sam/build/{id}");
        let zip = folder.path().join(id);
        let mut python = command(Child::Linter, &tools, "python", &built)?;
        python
            .args(["-m", "zipfile", "-c"])
            .arg(&zip)
            .arg("bootstrap");
        let zipped = output(&mut python).await.with_context(|| built.clone())?;
        let message = String::from_utf8_lossy(&zipped.stderr);
        ensure!(zipped.status.success(), "{built}: {message}");
        let bytes = fs::metadata(&zip)?.len();
        are_small &= bytes <= ZIP_LIMIT;
        table.add_row([stack.template().name_of(id)?, megabytes(bytes)]);
    }
    table.add_row(["limit".to_owned(), megabytes(ZIP_LIMIT)]);
    if let Some(sizes) = table.column_mut(1) {
        sizes.set_cell_alignment(CellAlignment::Right);
    }
    say!("{table}")?;
    if !are_small {
        say!("Over the limit.")?;
    }
    let [python] = &tools;
    let sam = python.with_file_name("sam");
    say!(
        "Built for {architecture}. To deploy it: cd infra && {} deploy --guided",
        sam.display()
    )?;
    Ok(are_small)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}
