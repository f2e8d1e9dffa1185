//! Pinned tools, installed below the target folder, and how they run.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Result, ensure};
use engine::environment::{self, Child, cargo};
use engine::group::Group;
use engine::python::Packages;
use output::note;
use tokio::process::Command;

pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What lints the template and the definition, and builds for a deployment.
pub const SAM: Packages = Packages {
    name: "SAM, cargo-lambda, cfn-lint and statelint",
    requirements: include_str!("../python/sam.txt"),
    modules: "samcli.cli.main, cfnlint, statelint, ziglang",
};

/// The aws CLI, for the commands that a package documents.
pub const AWS_CLI: Packages = Packages {
    name: "the aws CLI",
    requirements: include_str!("../python/aws.txt"),
    modules: "awscli.clidriver",
};

/// The linter for security. Its pins and SAM's exclude each other.
pub const CHECKOV: Packages = Packages {
    name: "checkov",
    requirements: include_str!("../python/checkov.txt"),
    modules: "checkov.main",
};

/// Compiles a tool of cargo into `<target>/local/<name>-<version>`, unless it is there, and returns the binary.
///
/// Cargo moves the binary into its place when it is complete, and lets a second process wait for the first.
pub async fn cargo_tool(target: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let home = target.join(format!("local/{name}-{version}"));
    let binary = home.join("bin").join(name);
    if !binary.exists() {
        let folder = home.display();
        note!("Compiling {name} {version} into {folder}, which takes a minute or two");
        // Without optimisation, it compiles in half the time.
        let mut install = cargo();
        install.args(["install", name, "--debug", "--locked"]);
        install.args(["--version", &format!("={version}"), "--root"]);
        run(install.arg(&home)).await?;
    }
    Ok(binary)
}

/// A command in a folder of the workspace. It finds its program, and the programs that this one starts, beside the tools
/// first: interpreters of Python and binaries of cargo's tools.
pub fn command(child: Child, tools: &[PathBuf], program: &str, folder: &str) -> Result<Command> {
    let beside = tools.iter().filter_map(|tool| tool.parent());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let inherited = std::env::split_paths(&path);
    let path = std::env::join_paths(beside.map(Path::to_path_buf).chain(inherited))?;
    let mut command = environment::command(child, program);
    command
        .current_dir(Path::new(WORKSPACE).join(folder))
        .env("PATH", path)
        .env("SAM_CLI_TELEMETRY", "0");
    Ok(command)
}

/// Runs a command, which must succeed. Its output goes to stderr, because stdout is for results.
pub async fn run(command: &mut Command) -> Result<()> {
    let program = command.as_std().get_program();
    let program = program.to_string_lossy().into_owned();
    let status = Group::start(command.stdout(std::io::stderr()))?;
    let status = status.status().await?;
    ensure!(
        status.success(),
        "{program} failed ({status}); its output above says why"
    );
    Ok(())
}

/// Runs a command and returns what it printed, whether it succeeded or not.
pub async fn output(command: &mut Command) -> Result<Output> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Group::start(command)?.output().await
}
