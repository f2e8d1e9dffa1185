//! The four functions, built as they are deployed.

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
pub(crate) const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// A function's binary.
#[derive(Clone, Debug)]
pub struct Built {
    /// One of [`FUNCTIONS`].
    pub name: String,
    /// The release binary.
    pub binary: PathBuf,
}

/// The cargo that runs us, or else the one of the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The workspace's target folder.
///
/// # Errors
/// A text for people: cargo does not answer.
pub fn target_folder() -> Result<PathBuf, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(MANIFEST)
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata.target_directory.into())
}

/// Builds the functions with the release profile, as they are deployed. Cargo shows its own
/// progress on stderr.
///
/// # Errors
/// A text for people: cargo has said on stderr what is wrong.
pub async fn build() -> Result<Vec<Built>, String> {
    let output = cargo()
        .args(["build", "--release", "--locked"])
        .args(["--manifest-path", MANIFEST])
        .args(FUNCTIONS.iter().flat_map(|name| ["--package", name]))
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
