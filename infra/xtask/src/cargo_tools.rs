//! Tools of cargo, pinned, below the target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use engine::functions::cargo;

/// A tool and its release.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The package, and its binary.
    pub name: &'static str,
    version: &'static str,
}

/// The linter of the dependencies.
pub const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Finds dependencies that no code uses.
pub const CARGO_MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
};

/// Puts bugs into the code, one at a time, and runs the tests.
pub const CARGO_MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    version: "27.1.0",
};

/// Compiles a tool into `<target>/local/<name>-<version>` and returns the binary, at once if it is there already.
///
/// Cargo moves the binary to its place when it is whole, and lets a second process wait for the first.
pub async fn install(target: &Path, tool: Tool) -> Result<PathBuf, String> {
    let Tool { name, version } = tool;
    let home = target.join(format!("local/{name}-{version}"));
    let binary = home.join("bin").join(name);
    if !binary.exists() {
        eprintln!(
            "Compiling {name} {version} into {}, which takes a minute or two",
            home.display()
        );
        let version = format!("={version}");
        let root = home.to_string_lossy();
        // Not optimised, it is compiled in half the time.
        run(&[
            "install",
            name,
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
    Ok(binary)
}

/// Runs cargo.
pub async fn run(arguments: &[&str]) -> Result<(), String> {
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
