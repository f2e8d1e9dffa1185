//! Builds the binaries of the four Lambda functions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Result, ensure};
use cargo_metadata::{Message, MetadataCommand};

use crate::environment::cargo;
use crate::group::Group;

/// The names of the functions. Each is the name of the function's crate, and, in another spelling, of the Task state
/// that invokes the function.
pub const FUNCTIONS: [&str; 4] = [
    "create-snapshot",
    "describe-snapshot",
    "prune-snapshots",
    "record-and-notify",
];

pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

pub fn target_folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(MANIFEST)
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()?;
    Ok(metadata.target_directory.into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For the engine. The functions get the same Cargo profile and the same features of dependencies as the command
    /// `cargo local`, so that shared dependencies are compiled once.
    Dev,
    Release,
}

/// Builds the functions. Returns the path of each binary, by the function's name. Cargo shows its own progress on
/// stderr.
pub async fn build(profile: Profile) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--locked", "--manifest-path", WORKSPACE]);
    match profile {
        Profile::Dev => command.args(FUNCTIONS.iter().flat_map(|name| ["--bin", name])),
        Profile::Release => {
            command.arg("--release");
            command.args(FUNCTIONS.iter().flat_map(|name| ["--package", name]))
        }
    };
    command.arg("--message-format=json-render-diagnostics");
    let building = Group::start(command.stdout(Stdio::piped()))?;
    let output = building.output().await?;
    ensure!(
        output.status.success(),
        "the functions could not be built; the output of cargo above says why"
    );
    let binaries: BTreeMap<String, PathBuf> = Message::parse_stream(output.stdout.as_slice())
        .filter_map(|message| match message.ok()? {
            Message::CompilerArtifact(it) => Some((it.target.name, it.executable?.into())),
            _ => None,
        })
        .filter(|(name, _)| FUNCTIONS.contains(&name.as_str()))
        .collect();
    let is_complete = binaries.len() == FUNCTIONS.len();
    ensure!(
        is_complete,
        "cargo built {binaries:?}, not the four functions"
    );
    Ok(binaries)
}
