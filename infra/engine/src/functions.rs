//! The four functions, built.

use std::path::PathBuf;
use std::process::Stdio;

use cargo_metadata::{Message, MetadataCommand};
use tokio::process::Command;

/// The functions, each named as its crate; the state of the same name calls it.
pub const FUNCTIONS: [&str; 4] = [
    "create-snapshot",
    "describe-snapshot",
    "prune-snapshots",
    "record-and-notify",
];

/// The manifest of this crate, which is how cargo finds the workspace.
pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// The workspace's manifest.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

/// A function's binary.
#[derive(Clone, Debug)]
pub struct Built {
    /// One of [`FUNCTIONS`].
    pub name: String,
    /// Where it is.
    pub binary: PathBuf,
}

/// The cargo that runs us, or else the one of the path.
#[must_use]
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The workspace's target folder.
pub fn target_folder() -> Result<PathBuf, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(MANIFEST)
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata.target_directory.into())
}

/// Which binaries of the functions are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For the engine: with the profile of the command `local` and, as it is, with the features that the whole workspace
    /// asks for. So what both need is compiled once.
    Dev,
    /// As they are deployed.
    Release,
}

/// Builds the functions. Cargo shows its own progress on stderr.
pub async fn build(profile: Profile) -> Result<Vec<Built>, String> {
    let mut build = cargo();
    build.args(["build", "--locked", "--manifest-path", WORKSPACE]);
    match profile {
        Profile::Dev => build.args(FUNCTIONS.iter().flat_map(|name| ["--bin", name])),
        Profile::Release => {
            build.arg("--release");
            build.args(FUNCTIONS.iter().flat_map(|name| ["--package", name]))
        }
    };
    let output = build
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err("the functions could not be built; cargo has said why above".to_owned());
    }
    let built: Vec<Built> = Message::parse_stream(output.stdout.as_slice())
        .filter_map(|message| match message.ok()? {
            Message::CompilerArtifact(artifact) => Some(Built {
                binary: artifact.executable?.into(),
                name: artifact.target.name,
            }),
            _ => None,
        })
        .filter(|built| FUNCTIONS.contains(&built.name.as_str()))
        .collect();
    if built.len() == FUNCTIONS.len() {
        Ok(built)
    } else {
        Err(format!("cargo built {built:?}, not the four functions"))
    }
}
