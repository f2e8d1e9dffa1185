//! Pythons of our own with pinned packages, below the target folder.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Packages that are installed together, pinned with their hashes. A file `.in` beside each list says
/// what it was made of, by `uv pip compile --universal --generate-hashes`.
#[derive(Clone, Copy, Debug)]
pub struct Packages {
    /// For people.
    pub name: &'static str,
    /// The list, one package a line.
    pub requirements: &'static str,
}

/// What the engine runs on, and SAM's translator.
pub const MINISTACK: Packages = Packages {
    name: "MiniStack",
    requirements: include_str!("../python/ministack.txt"),
};

/// What judges the emulator of Managed Flink. MiniStack needs an older one.
pub const BOTOCORE: Packages = Packages {
    name: "botocore",
    requirements: include_str!("../python/botocore.txt"),
};

/// Lines of pip's output that a failure shows.
const SHOWN_LINES: usize = 15;

/// How far an installation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Packages seen so far, at most `total`.
    pub done: usize,
    /// Packages in all.
    pub total: usize,
    /// The package at hand; empty when all is done.
    pub package: String,
}

/// Makes a virtual environment `<target>/local/python-<hash of the requirements>` and returns its
/// interpreter, at once if it is there already.
///
/// A file in the environment says that it is whole, so an interrupted installation is started anew.
/// A second process waits for the first. `progress` is called only when something is installed.
pub async fn install(
    target: &Path,
    packages: Packages,
    progress: impl Fn(Progress),
) -> Result<PathBuf, String> {
    let folder = target.join("local");
    let home = folder.join(format!("python-{:016x}", hash(packages.requirements)));
    let (python, whole) = (home.join("bin/python"), home.join("whole"));
    if whole.exists() && python.exists() {
        return Ok(python);
    }

    fs::create_dir_all(&folder).map_err(|error| told(&folder, &error))?;
    let lock = lock(home.with_extension("lock")).await?;
    if whole.exists() && python.exists() {
        return Ok(python);
    }
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|error| told(&home, &error))?;
    }
    make_venv(&home, &lock).await?;
    install_packages(&python, &home, packages, &lock, progress).await?;
    File::create(&whole).map_err(|error| told(&whole, &error))?;
    Ok(python)
}

/// Waits for the lock. It lasts as long as the file, or a copy of it, is open anywhere.
async fn lock(path: PathBuf) -> Result<File, String> {
    let waiting = tokio::task::spawn_blocking(move || {
        let file = File::create(&path).map_err(|error| told(&path, &error))?;
        file.lock().map_err(|error| told(&path, &error))?;
        Ok(file)
    });
    waiting.await.map_err(|error| error.to_string())?
}

/// The lock as a child's standard input: an orphan that goes on writing after we were killed
/// still holds it.
fn held_by_child(lock: &File) -> Result<Stdio, String> {
    let copy = lock.try_clone().map_err(|error| error.to_string())?;
    Ok(Stdio::from(copy))
}

async fn make_venv(home: &Path, lock: &File) -> Result<(), String> {
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(home)
        .stdin(held_by_child(lock)?)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            format!("python3 does not start ({error}). Install Python 3.10 or later, on Debian and Ubuntu: apt install python3 python3-venv")
        })?;
    if made.status.success() {
        return Ok(());
    }
    let said = [made.stdout, made.stderr].concat();
    Err(format!(
        "python3 cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv\n{}",
        String::from_utf8_lossy(&said).trim_end()
    ))
}

async fn install_packages(
    python: &Path,
    home: &Path,
    packages: Packages,
    lock: &File,
    progress: impl Fn(Progress),
) -> Result<(), String> {
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, packages.requirements).map_err(|error| told(&requirements, &error))?;
    // `2>&1` keeps the order of pip's complaints. Byte code is left to the first import, which
    // needs a twentieth of what pip would compile.
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
        .map_err(|error| format!("pip does not start: {error}"))?;

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
    let status = pip.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        let last = last.into_iter().collect::<Vec<_>>().join("\n");
        return Err(format!(
            "pip could not install {} ({status}). Check the network and pip's configuration (pip config list), then run the command again. pip said last:\n{last}",
            packages.name
        ));
    }
    progress(Progress {
        done: total,
        total,
        package: String::new(),
    });
    Ok(())
}

/// How many packages a requirements file pins.
fn pinned(requirements: &str) -> usize {
    requirements
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()) && line.contains("=="))
        .count()
}

/// The package that this line of pip's output begins with.
fn collected(line: &str) -> Option<&str> {
    let requirement = line
        .strip_prefix("Collecting ")
        .or_else(|| line.strip_prefix("Requirement already satisfied: "))?;
    requirement.split("==").next()
}

/// Another algorithm in another Rust release costs an installation, no more.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
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
