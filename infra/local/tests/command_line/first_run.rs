//! `cargo local` in a new checkout, from the installation to the deployment, with a child process that hangs or fails.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;
use std::time::Duration;

use engine::{functions, python};
use shlex::try_quote;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{command, descendants, end};
use crate::support::{eventually, run};

/// The folder of a new checkout: a target folder, a crate that does not compile, and stubs for Python and cargo. If the
/// arguments of a stub contain `phase`, the stub does `action`. Otherwise it behaves as a Python that can do
/// everything, or as cargo.
fn new_checkout(phase: &str, action: &str, is_installed: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let target = functions::target_folder().unwrap();
    let python = run(python::install(&target, python::MINISTACK, |_| ())).unwrap();
    let program = folder.path().join("cargo");
    let script = format!(
        "#!/bin/sh\n\
         cargo={cargo}\n\
         case \"$*\" in\n\
         *'{phase}'*) {action} ;;\n\
         *ensurepip*) echo 3 12 \"$0\" ;;\n\
         '-Im venv '*) mkdir -p \"$3/bin\"; ln -s \"$0\" \"$3/bin/python\" ;;\n\
         metadata*) exec $cargo \"$@\" ;;\n\
         build*) export CARGO_TARGET_DIR={target}; exec $cargo \"$@\" ;;\n\
         *serve.py | *deploy.py) exec {python} \"$@\" ;;\n\
         esac\n",
        cargo = try_quote(env!("CARGO")).unwrap(),
        target = try_quote(target.to_str().unwrap()).unwrap(),
        python = try_quote(python.to_str().unwrap()).unwrap(),
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    symlink(&program, folder.path().join("python3")).unwrap();
    let broken = folder.path().join("broken/src");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("main.rs"), "fn main() { let }").unwrap();
    let manifest = "[package]\nname = \"broken\"\n[workspace]\n";
    fs::write(folder.path().join("broken/Cargo.toml"), manifest).unwrap();
    if is_installed {
        let home = python.strip_prefix(&target).unwrap();
        let home = folder.path().join(home.ancestors().nth(2).unwrap());
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("complete"), home.as_os_str().as_encoded_bytes()).unwrap();
        symlink(&program, home.join("bin/python")).unwrap();
    }
    folder
}

/// A demonstration in a new checkout.
fn demonstration(folder: &TempDir) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = command("", &[]);
    command
        .env("CARGO", folder.path().join("cargo"))
        .env("CARGO_TARGET_DIR", folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Reads the stderr of a command until it contains a text.
async fn until_stderr_has(child: &mut Child, text: &str) {
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    let said = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(text) {
                return true;
            }
        }
        false
    };
    assert!(
        timeout(Duration::from_mins(1), said).await.unwrap_or(false),
        "never said: {text}"
    );
}

const HANG: &str = "sleep 1000 & wait";

#[test]
fn a_demonstration_that_is_terminated_before_it_runs_leaves_no_process() {
    for (phase, is_installed, signal) in [
        ("-Im venv", false, "-HUP"),
        ("pip install", false, "-INT"),
        ("build --locked", true, "-TERM"),
        ("serve.py", true, "-QUIT"),
        ("deploy.py", true, "-TERM"),
    ] {
        let folder = new_checkout(phase, HANG, is_installed);
        run(async {
            let mut demonstration = demonstration(&folder).spawn().unwrap();
            let id = demonstration.id().unwrap();
            let started = eventually(phase, async || {
                let started = descendants(id);
                let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm"));
                let mut names = started.iter().map(comm);
                let hangs = names.any(|name| name.is_ok_and(|name| name == "sleep\n"));
                hangs.then_some(started)
            })
            .await;
            end(&mut demonstration, signal, Some(130), &started).await;
        });
    }
}

#[test]
fn a_first_run_shows_its_progress_and_a_second_one_shows_that_it_waits() {
    let folder = new_checkout("-Im venv", HANG, false);
    run(async {
        let mut first = demonstration(&folder).spawn().unwrap();
        until_stderr_has(&mut first, "Installing MiniStack into ").await;
        let mut second = demonstration(&folder).spawn().unwrap();
        until_stderr_has(&mut second, "Another process is installing MiniStack.").await;
        for demonstration in [&mut second, &mut first] {
            let started = descendants(demonstration.id().unwrap());
            end(demonstration, "-TERM", Some(130), &started).await;
        }
    });
}

#[test]
fn the_output_of_a_failed_child_is_shown() {
    let fail = "echo the reason >&2; exit 101";
    let compile = r#"for last; do :; done; exec "$cargo" build --manifest-path "${0%/*}/broken/Cargo.toml" "$last""#;
    for (phase, is_installed, action, seen) in [
        ("-Im venv", false, fail, "the reason"),
        ("pip install", false, fail, "the reason"),
        ("build --locked", true, fail, "the reason"),
        ("build --locked", true, compile, "expected pattern"),
        ("serve.py", true, fail, "the reason"),
        (
            "serve.py",
            true,
            "echo 9/x; echo the reason >&2; exit 101",
            "the reason",
        ),
        (
            "serve.py",
            true,
            "echo 9/x; exit 3",
            "MiniStack has ended (exit status: 3)",
        ),
        ("deploy.py", true, fail, "is not deployed: the reason"),
    ] {
        let folder = new_checkout(phase, action, is_installed);
        let failed = run(async { demonstration(&folder).output().await }).unwrap();
        let stderr = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(2), "{phase}: {stderr}");
        assert!(stderr.contains(seen), "{phase} {action}: {stderr}");
    }
}
