//! Virtual environments with pinned packages, in the target folder.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Packages that are installed together, pinned with their hashes. `uv pip compile --universal --generate-hashes` made
/// each list from the file `.in` beside it.
#[derive(Clone, Copy, Debug)]
pub struct Packages {
    /// For people.
    pub name: &'static str,
    /// The list, in the format of pip.
    pub requirements: &'static str,
}

/// MiniStack, SAM's translator, and what `deploy.py` needs.
pub const MINISTACK: Packages = Packages {
    name: "MiniStack",
    requirements: include_str!("../python/ministack.txt"),
};

/// For the tests of our Managed Flink. It is newer than the botocore that MiniStack needs.
pub const BOTOCORE: Packages = Packages {
    name: "botocore",
    requirements: include_str!("../python/botocore.txt"),
};

/// What to do about a failed installation, by what the output of Python or pip says. The first that fits counts, and
/// the output alone is shown if none does.
const HINTS: [(&str, &str); 6] = [
    (
        "No space left on device",
        "The disk is full. Free some space.",
    ),
    (
        "Disk quota exceeded",
        "The disk quota is used up. Free some space.",
    ),
    (
        "ensurepip is not available",
        "Python's module venv is missing. Install it, on Debian and Ubuntu: apt install python3-venv",
    ),
    ("Permission denied", "The user may not write there."),
    (
        "connection broken",
        "Check the network, and pip's configuration: pip config list",
    ),
    (
        "No matching distribution found",
        "Check pip's configuration: pip config list",
    ),
];

/// How many lines of pip's output an error shows.
const SHOWN_LINES: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Packages seen so far, at most `total`.
    pub done: usize,
    pub total: usize,
    /// The current package; empty at the end.
    pub package: String,
}

/// Makes a virtual environment `<target>/local/python-<hash of the requirements>`, if there is none, and returns its
/// interpreter.
///
/// A file in the environment marks it as complete, so an interrupted installation is repeated. A second process waits for
/// the first. `progress` is called only if something is installed.
pub async fn install(
    target: &Path,
    packages: Packages,
    progress: impl Fn(Progress),
) -> Result<PathBuf> {
    let folder = target.join("local");
    let home = folder.join(format!("python-{:016x}", hash(packages.requirements)));
    let (python, complete) = (home.join("bin/python"), home.join("whole"));
    if complete.exists() && python.exists() {
        return Ok(python);
    }

    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let lock = lock(home.with_extension("lock")).await?;
    if complete.exists() && python.exists() {
        return Ok(python);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| home.display().to_string())?;
    }
    make_venv(&home, &lock).await?;
    install_packages(&python, &home, packages, &lock, progress).await?;
    File::create(&complete).with_context(|| complete.display().to_string())?;
    Ok(python)
}

/// Waits for the lock, which lasts as long as the file, or a copy of it, is open anywhere.
async fn lock(path: PathBuf) -> Result<File> {
    let waiting = tokio::task::spawn_blocking(move || {
        let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
        locked.with_context(|| path.display().to_string())
    });
    waiting.await?
}

/// The lock as a child's standard input: a child that outlives us still holds it while it writes.
fn held_by_child(lock: &File) -> Result<Stdio> {
    Ok(lock.try_clone()?.into())
}

async fn make_venv(home: &Path, lock: &File) -> Result<()> {
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(home)
        .stdin(held_by_child(lock)?)
        .kill_on_drop(true)
        .output()
        .await
        .context("python3 does not start (install Python 3.10 or later, on Debian and Ubuntu: apt install python3 python3-venv)")?;
    if made.status.success() {
        return Ok(());
    }
    let output = [made.stdout, made.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    bail!(
        "python3 cannot make a virtual environment.{}\n{}",
        hint(&output),
        output.trim_end()
    )
}

async fn install_packages(
    python: &Path,
    home: &Path,
    packages: Packages,
    lock: &File,
    progress: impl Fn(Progress),
) -> Result<()> {
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, packages.requirements)
        .with_context(|| requirements.display().to_string())?;
    // `2>&1` keeps pip's messages in order. The first import compiles byte code, a twentieth of what pip would compile.
    let mut pip = Command::new("sh")
        .args(["-c", r#"exec "$0" -m pip install "$@" 2>&1"#])
        .arg(python)
        .args([
            "--require-hashes",
            "--no-deps",
            "--no-compile",
            "--no-input",
        ])
        .args(["--disable-pip-version-check", "--progress-bar=off", "-r"])
        .arg(&requirements)
        .stdin(held_by_child(lock)?)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("pip does not start")?;

    let total = pinned(packages.requirements);
    let mut done = 0;
    let mut last = VecDeque::new();
    if let Some(output) = pip.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(package) = collected(&line) {
                done = total.min(done + 1);
                progress(Progress {
                    done,
                    total,
                    package: package.to_owned(),
                });
            }
            last.push_back(line);
            if last.len() > SHOWN_LINES {
                last.pop_front();
            }
        }
    }
    let status = pip.wait().await?;
    if !status.success() {
        let last = last.into_iter().collect::<Vec<_>>().join("\n");
        bail!(
            "pip could not install {} ({status}).{} The end of pip's output:\n{last}",
            packages.name,
            hint(&last)
        );
    }
    progress(Progress {
        done: total,
        total,
        package: String::new(),
    });
    Ok(())
}

/// A sentence to append to a failure with this output.
fn hint(output: &str) -> String {
    let mut hints = HINTS.iter();
    let found = hints.find(|(seen, _)| output.contains(seen));
    found.map_or(String::new(), |(_, hint)| format!(" {hint}"))
}

/// How many packages a requirements file pins.
fn pinned(requirements: &str) -> usize {
    requirements
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()) && line.contains("=="))
        .count()
}

/// The package that pip begins with, according to a line of its output.
fn collected(line: &str) -> Option<&str> {
    let requirement = line
        .strip_prefix("Collecting ")
        .or_else(|| line.strip_prefix("Requirement already satisfied: "))?;
    requirement.split("==").next()
}

/// If another Rust release changes the algorithm, the packages are installed again.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_comments_and_origins_are_not_counted_as_packages() {
        let requirements = "# by hand\nboto3==1.2 \\\n    --hash=sha256:00==\n    # via x\ncffi==2 ; python_version != '3'\n";
        assert_eq!(pinned(requirements), 2);
    }

    #[test]
    fn a_hint_is_about_what_the_output_says() {
        let full = "Error: [Errno 28] No space left on device: '/x/bin/python'";
        let debian = "The virtual environment was not created successfully because ensurepip is not available.";
        let offline =
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'";
        for (output, part) in [
            (full, "disk is full"),
            (debian, "python3-venv"),
            (offline, "network"),
        ] {
            let hint = hint(output);
            assert!(hint.contains(part), "{output}: {hint}");
            assert_eq!(output == debian, hint.contains("apt install"), "{hint}");
        }
        assert_eq!(hint("Error: something else"), "");
    }

    #[test]
    fn pips_collecting_lines_name_the_package() {
        for (line, expected) in [
            (
                "Collecting boto3==1.44.5 (from -r r.txt (line 4))",
                Some("boto3"),
            ),
            (
                "Requirement already satisfied: flask==3 in /x",
                Some("flask"),
            ),
            ("  Downloading boto3-1.44.5.whl (140 kB)", None),
            ("Installing collected packages: a, b", None),
        ] {
            assert_eq!(collected(line), expected, "{line}");
        }
    }
}
