//! Installs pinned tools below the target folder, and runs them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Result, ensure};
use engine::environment::{self, Child, cargo};
use engine::group::Group;
use engine::python::Packages;
use output::note;
use tokio::process::Command;

pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Linters for the template and the definition, and the tools that build for a deployment.
pub const SAM: Packages = Packages {
    name: "SAM, cargo-lambda, cfn-lint and statelint",
    requirements: include_str!("../python/sam.txt"),
    modules: "samcli.cli.main, cfnlint, statelint, ziglang",
};

/// The aws CLI. It runs the commands in the README of a package.
pub const AWS_CLI: Packages = Packages {
    name: "the aws CLI",
    requirements: include_str!("../python/aws.txt"),
    modules: "awscli.clidriver",
};

/// The security linter. It cannot share a virtual environment with SAM, because both pin different versions of the same
/// packages.
pub const CHECKOV: Packages = Packages {
    name: "checkov",
    requirements: include_str!("../python/checkov.txt"),
    modules: "checkov.main",
};

/// Returns the binary of a cargo tool, `<target>/local/<name>-<version>/bin/<name>`. Compiles the tool first if the
/// binary does not exist.
///
/// Cargo moves the binary to its place only when it is complete. If two processes compile the same tool, Cargo makes
/// the second one wait.
pub async fn cargo_tool(target: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let home = target.join(format!("local/{name}-{version}"));
    let binary = home.join("bin").join(name);
    if !binary.exists() {
        let folder = home.display();
        note!("Compiling {name} {version} into {folder}, which takes a minute or two");
        // A debug build takes half the time.
        let mut install = cargo();
        install.args(["install", name, "--debug", "--locked"]);
        install.args(["--version", &format!("={version}"), "--root"]);
        run(install.arg(&home)).await?;
    }
    Ok(binary)
}

/// A command that runs in a folder of the workspace. It finds programs first in the folders of the given tools, then in
/// `PATH`; so do the programs that it starts. `tools` has the paths of Python interpreters and of binaries of cargo
/// tools.
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

/// Runs a command, and returns an error if it fails. Its output goes to stderr, because stdout is for results.
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

/// Runs a command and returns its output, whether it succeeds or not.
pub async fn output(command: &mut Command) -> Result<Output> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Group::start(command)?.output().await
}
