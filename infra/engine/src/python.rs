//! Virtual environments with pinned packages, in the target folder.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::mem::replace;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use output::note;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::environment::{Child, command};
use crate::group::Group;

/// Packages that are installed together, pinned with their hashes. `uv pip compile --universal --generate-hashes` made
/// each list from the file `.in` beside it.
#[derive(Clone, Copy, Debug)]
pub struct Packages {
    /// For people.
    pub name: &'static str,
    /// The list, in the format of pip.
    pub requirements: &'static str,
    /// Modules that can be imported if the packages work, with commas between them.
    pub modules: &'static str,
}

/// MiniStack, SAM's translator, and what `deploy.py` needs.
pub const MINISTACK: Packages = Packages {
    name: "MiniStack",
    requirements: include_str!("../python/ministack.txt"),
    modules: "ministack.app, hypercorn.asyncio, samtranslator.translator.transform, boto3",
};

/// For the tests of our Managed Flink. It is newer than the botocore that MiniStack needs.
pub const BOTOCORE: Packages = Packages {
    name: "botocore",
    requirements: include_str!("../python/botocore.txt"),
    modules: "boto3",
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

/// The oldest Python that the packages work with.
pub const OLDEST: (u32, u32) = (3, 10);

/// Later minor versions are found only as `python3`.
const LATEST_MINOR: u32 = 40;

/// The names under which a Python is looked for.
fn interpreters() -> impl Iterator<Item = String> {
    let (major, minor) = OLDEST;
    let versions = (minor..=LATEST_MINOR).rev();
    let versions = versions.map(move |minor| format!("python{major}.{minor}"));
    iter::once(format!("python{major}")).chain(versions)
}

/// Prints version and place of a Python, and fails if it cannot make a virtual environment. Older ones understand it. A
/// Python runs isolated (`-I`), so that no file in the current folder takes the place of a module.
const ASK: &str = "import sys; print(*sys.version_info[:2], sys.executable); sys.stdout.flush(); import ensurepip, venv";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Packages seen so far, at most `total`.
    pub done: usize,
    pub total: usize,
    /// The current package; empty at the beginning and at the end.
    pub package: String,
}

/// Makes a virtual environment `<target>/local/python-<hash of the requirements>`, if there is none that works, and
/// returns its interpreter.
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
    let python = home.join("bin/python");
    if is_whole(&home, packages).await {
        return Ok(python);
    }

    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let lock = lock(home.with_extension("lock"), packages.name).await?;
    if is_whole(&home, packages).await {
        return Ok(python);
    }
    progress(Progress {
        done: 0,
        total: pinned(packages.requirements),
        package: String::new(),
    });
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| home.display().to_string())?;
    }
    make_venv(&home, &lock).await?;
    install_packages(&python, &home, packages, &lock, progress).await?;
    import(&python, packages).await?;
    let mark = mark(&home);
    fs::write(&mark, home.as_os_str().as_encoded_bytes())
        .with_context(|| mark.display().to_string())?;
    Ok(python)
}

/// The file that marks an environment as complete. It has the environment's path, because the environment's programs
/// have it too, and do not work in another place.
fn mark(home: &Path) -> PathBuf {
    home.join("whole")
}

/// Whether an environment is complete and works: it does not after an upgrade of Python, for example.
async fn is_whole(home: &Path, packages: Packages) -> bool {
    let marked = fs::read(mark(home));
    marked.is_ok_and(|path| path == home.as_os_str().as_encoded_bytes())
        && import(&home.join("bin/python"), packages).await.is_ok()
}

/// Imports the modules, and with them what they need.
async fn import(python: &Path, packages: Packages) -> Result<()> {
    let mut importing = command(Child::Pip, python);
    importing.args(["-Ic", &format!("import {}", packages.modules)]);
    importing.stdout(Stdio::piped()).stderr(Stdio::piped());
    let imported = Group::start(&mut importing)?.output().await?;
    ensure!(
        imported.status.success(),
        "{} is installed and cannot be imported:\n{}",
        packages.name,
        String::from_utf8_lossy(&imported.stderr).trim_end()
    );
    Ok(())
}

/// Waits for the lock, which lasts as long as the file, or a copy of it, is open anywhere.
async fn lock(path: PathBuf, packages: &str) -> Result<File> {
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut waits = false;
    // A blocking wait could not be interrupted.
    while let Err(error) = file.try_lock() {
        if let TryLockError::Error(error) = error {
            return Err(error).with_context(|| path.display().to_string());
        }
        if !replace(&mut waits, true) {
            note!("Another process is installing {packages}. Waiting until it is done");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(file)
}

/// The lock as a child's standard input: a child that outlives us still holds it while it writes.
fn held_by_child(lock: &File) -> Result<Stdio> {
    Ok(lock.try_clone()?.into())
}

/// The first Python in `path` that can make the environment.
async fn find(path: &OsStr) -> Result<PathBuf> {
    let mut others = String::new();
    for name in interpreters() {
        let mut ask = command(Child::Pip, &name);
        ask.env("PATH", path).args(["-Ic", ASK]);
        let Ok(asked) = Group::start(ask.stdout(Stdio::piped()).stderr(Stdio::piped())) else {
            continue;
        };
        match usable(&asked.output().await?) {
            Ok(python) => return Ok(python),
            Err(reason) => {
                let _ = write!(others, "\n{name}: {reason}");
            }
        }
    }
    let (major, minor) = OLDEST;
    if others.is_empty() {
        others.push_str(" On Debian and Ubuntu: apt install python3 python3-venv");
    }
    bail!("Python {major}.{minor} or later is needed, with venv.{others}")
}

/// The interpreter that has answered [`ASK`], or why it cannot be used.
fn usable(answer: &Output) -> Result<PathBuf, String> {
    let stdout = String::from_utf8_lossy(&answer.stdout);
    let stderr = String::from_utf8_lossy(&answer.stderr);
    let last = stderr.trim_end().lines().last().unwrap_or_default();
    let mut words = stdout.trim_end().splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (Some(major), Some(minor), Some(place)) = (number(), number(), words.next()) else {
        return Err(format!("does not run: {last}"));
    };
    let python = format!("Python {major}.{minor} at {place}");
    if (major, minor) < OLDEST {
        return Err(format!("{python} is too old"));
    }
    if answer.status.success() {
        return Ok(place.into());
    }
    let lacks = |module: &str| last.contains(&format!("No module named '{module}'"));
    Err(if lacks("ensurepip") || lacks("venv") {
        format!(
            "{python} has no venv (on Debian and Ubuntu: apt install python{major}.{minor}-venv)"
        )
    } else {
        format!("{python} fails: {last}")
    })
}

async fn make_venv(home: &Path, lock: &File) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let python = find(&path).await?;
    let mut venv = command(Child::Pip, &python);
    venv.args(["-Im", "venv"]).arg(home);
    venv.stdin(held_by_child(lock)?);
    venv.stdout(Stdio::piped()).stderr(Stdio::piped());
    let made = Group::start(&mut venv)?.output().await?;
    let printed = [made.stdout, made.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    ensure!(
        made.status.success(),
        "{} cannot make a virtual environment.{}\n{}",
        python.display(),
        hint(&printed),
        printed.trim_end()
    );
    Ok(())
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
    let mut install = command(Child::Pip, "sh");
    install
        .args(["-c", r#"exec "$0" -Im pip install "$@" 2>&1"#])
        .arg(python)
        .args([
            "--require-hashes",
            "--no-deps",
            "--no-compile",
            "--no-input",
        ])
        // A person's pip.conf may say where to find packages, but not where to install them.
        .args(["--target=", "--root=/", "--no-user", "--prefix"])
        .arg(home)
        .args(["--disable-pip-version-check", "--progress-bar=off", "-r"])
        .arg(&requirements)
        .stdin(held_by_child(lock)?)
        .stdout(Stdio::piped());
    let mut pip = Group::start(&mut install)?;

    let total = pinned(packages.requirements);
    let mut done = 0;
    let mut last = VecDeque::new();
    if let Some(output) = pip.leader().stdout.take() {
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
    let status = pip.status().await?;
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
mod tests;
