//! What is deployed to AWS, linted and built with pinned tools.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use comfy_table::CellAlignment;
use engine::python::Packages;
use tokio::process::Command;

use local::report::new_table;
use stack::{EVERY_APPLICATION, Stack};

/// The folder of the template, where `sam` finds it and its settings.
const INFRA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What lints the template and the definition, and builds for a deployment.
pub const SAM: Packages = Packages {
    name: "SAM, cargo-lambda, cfn-lint and statelint",
    requirements: include_str!("../python/sam.txt"),
};

/// The linter for security. Its pins and SAM's exclude each other.
pub const CHECKOV: Packages = Packages {
    name: "checkov",
    requirements: include_str!("../python/checkov.txt"),
};

/// Prints the CloudFormation template that SAM makes of ours.
const TRANSLATE: &str = include_str!("../python/translate.py");

/// The most that the zip of a function may have, in bytes.
const ZIP_LIMIT: u64 = 3_000_000;

/// The processors that Lambda has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// The template's default.
    #[value(name = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// As the template's parameter has it, and Rust's target.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Arm64 => ("arm64", "aarch64-unknown-linux-gnu"),
            Self::X86_64 => ("x86_64", "x86_64-unknown-linux-gnu"),
        }
    }
}

/// Runs the linters and prints a line for each to stdout, and after it what it has found; whether none
/// has found anything. `sam` and `checkov` are interpreters that have the packages, `cargo_deny` and `cargo_machete` are the binaries.
pub async fn check(
    sam: &Path,
    checkov: &Path,
    cargo_deny: &Path,
    cargo_machete: &Path,
) -> Result<bool, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let translated = folder.path().join("translated.yaml");
    let translation = output(python(sam, &["-c", TRANSLATE, "template.yaml"])).await?;
    std::fs::write(&translated, &translation.stdout).map_err(|error| error.to_string())?;

    let mut well = report("SAM's translation of the template", &translation);
    for (what, command) in [
        (
            "sam validate --lint",
            tool(sam, "sam", &["validate", "--lint", "--region", "us-east-1"]),
        ),
        (
            "cfn-lint of the template",
            tool(sam, "cfn-lint", &["template.yaml"]),
        ),
        (
            "cfn-lint of SAM's translation",
            tool(sam, "cfn-lint", &[&translated.to_string_lossy()]),
        ),
        (
            "statelint of the definition",
            tool(
                sam,
                "statelint",
                &["../statemachine/snapshot-manager.asl.json"],
            ),
        ),
        (
            "checkov of the template",
            tool(
                checkov,
                "checkov",
                &[
                    "--config-file",
                    ".checkov.yaml",
                    "--skip-download",
                    "--quiet",
                    "--compact",
                    "--file",
                    "template.yaml",
                ],
            ),
        ),
        (
            "cargo deny of the dependencies",
            in_environment(
                cargo_deny,
                Command::new(cargo_deny),
                &[
                    "--frozen",
                    "--manifest-path",
                    "../Cargo.toml",
                    "--config",
                    "../.deny.toml",
                    "check",
                    // A page for each finding. `cargo tree --invert` tells the same.
                    "--hide-inclusion-graph",
                    "--deny",
                    "warnings",
                    "licenses",
                    "bans",
                    "sources",
                ],
            ),
        ),
        (
            "cargo machete: dependencies that no code uses",
            in_environment(
                cargo_machete,
                Command::new(cargo_machete),
                &["../functions", "../infra"],
            ),
        ),
    ] {
        well &= report(what, &output(command).await?);
    }
    Ok(well)
}

/// Prints what became of a linter; whether it is content.
fn report(what: &str, said: &std::process::Output) -> bool {
    let well = said.status.success();
    println!("{:<4} {what}", if well { "ok" } else { "FAIL" });
    if !well {
        println!("{}", String::from_utf8_lossy(&said.stdout).trim_end());
        println!("{}", String::from_utf8_lossy(&said.stderr).trim_end());
    }
    well
}

/// Builds the functions into `infra/.aws-sam`, as `sam deploy` wants them, and prints the size of each
/// zip to stdout; whether all are within the limit. SAM's progress goes to stderr.
pub async fn build(sam: &Path, architecture: Architecture) -> Result<bool, String> {
    let (architecture, target) = architecture.names();
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", target]);
    let added = output(rustup).await.map_err(|error| {
        format!("{error}. rustup is needed to compile for {target}: https://rustup.rs")
    })?;
    if !added.status.success() {
        return Err(String::from_utf8_lossy(&added.stderr).into_owned());
    }
    let parameter = format!("Architecture={architecture}");
    let status = tool(sam, "sam", &["build", "--parameter-overrides", &parameter])
        // Its progress, so that our output can be read by programs.
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .await
        .map_err(|error| format!("sam: {error}"))?;
    if !status.success() {
        return Err("sam build has failed and said why above".to_owned());
    }

    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let stack = Stack::of(EVERY_APPLICATION)?;
    let mut table = new_table(["function", "zip"]);
    let mut well = true;
    for id in stack.template().of_type("AWS::Serverless::Function")? {
        let built = PathBuf::from(INFRA).join(".aws-sam/build").join(id);
        let zip = folder.path().join(id);
        let zip = zip.to_string_lossy();
        let mut zipped = python(sam, &["-m", "zipfile", "-c", &zip, "bootstrap"]);
        zipped.current_dir(&built);
        let zipped = output(zipped).await?;
        let size = std::fs::metadata(&*zip).map_err(|error| {
            let said = String::from_utf8_lossy(&zipped.stderr).into_owned();
            format!("{}: {error}\n{said}", built.display())
        })?;
        well &= size.len() <= ZIP_LIMIT;
        table.add_row([stack.template().name_of(id)?, megabytes(size.len())]);
    }
    table.add_row(["limit".to_owned(), megabytes(ZIP_LIMIT)]);
    if let Some(sizes) = table.column_mut(1) {
        sizes.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    if !well {
        println!("Over the limit.");
    }
    println!(
        "Built for {architecture}. To deploy it: cd infra && {} deploy --guided",
        sam.with_file_name("sam").display()
    );
    Ok(well)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

/// A tool of the interpreter's environment, which also finds the others there.
fn tool(python: &Path, name: &str, arguments: &[&str]) -> Command {
    in_environment(python, Command::new(python.with_file_name(name)), arguments)
}

fn python(python: &Path, arguments: &[&str]) -> Command {
    in_environment(python, Command::new(python), arguments)
}

fn in_environment(python: &Path, mut command: Command, arguments: &[&str]) -> Command {
    let own = python.parent().map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)));
    command
        .args(arguments)
        .current_dir(INFRA)
        .env("PATH", path.unwrap_or_default())
        .env("SAM_CLI_TELEMETRY", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Result<std::process::Output, String> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    output.map_err(|error| format!("{name}: {error}"))
}
