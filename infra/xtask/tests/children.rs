//! Which environment variables the programs that `cargo xtask` starts inherit. Stubs replace all of these programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output};

use shlex::try_quote;

/// Variables that only cargo and rustup may inherit.
const HOSTILE: [&str; 15] = [
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
    "AWS_SESSION_TOKEN",
    "SAM_CLI_POLL_DELAY",
    "PIP_TARGET",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONOPTIMIZE",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
];

/// Variables that a linter must not inherit either.
const NETWORK: [&str; 5] = [
    "HTTPS_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
];

/// A stub for any program. It fails if it inherits a variable that it must not inherit. As `sam build` it always fails,
/// because the real one would write into the workspace.
const STUB: &str = r#"#!/bin/sh
call="${0##*/} $*"
none() {
    if env | grep "=$1"; then echo "inherited by $call" >&2; exit 9; fi
}
case "$call" in
"cargo metadata "*) exec CARGO "$@" ;;
"cargo install "*) for root; do :; done; mkdir -p "$root/bin"; ln -s "$0" "$root/bin/$2"; exit ;;
cargo* | rustup*) exit ;;
esac
none hostile
case "$call" in
*ensurepip*) echo 3 12 "$0" ;;
*" -Im venv "*) mkdir -p "$3/bin"; for tool in python sam cfn-lint statelint checkov; do ln -s "$0" "$3/bin/$tool"; done ;;
*" -Im "* | *" -Ic "*) ;;
"sam build "*) echo "builds without them" >&2; exit 1 ;;
*) none network ;;
esac
"#;

/// Runs `cargo xtask` with stubs in the place of all programs.
fn xtask(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    let stub = STUB.replace("CARGO", &try_quote(env!("CARGO")).unwrap());
    fs::write(&cargo, stub).unwrap();
    fs::set_permissions(&cargo, Permissions::from_mode(0o755)).unwrap();
    for program in ["python3", "rustup"] {
        symlink(&cargo, folder.path().join(program)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .envs(HOSTILE.map(|name| (name, "hostile")))
        .envs(NETWORK.map(|name| (name, "network")))
        .env("CARGO", &cargo)
        .env("CARGO_TARGET_DIR", folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .output()
        .unwrap()
}

#[test]
fn a_linter_inherits_no_variable_that_can_break_it() {
    let checked = xtask(&["check"]);
    let stdout = String::from_utf8_lossy(&checked.stdout);
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "{stdout}\n{stderr}");
    let passed = stdout.lines().filter(|line| line.starts_with("ok "));
    assert_eq!(passed.count(), 11, "{stdout}");
}

#[test]
fn a_build_inherits_no_variable_that_can_break_it() {
    let built = xtask(&["build"]);
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert_eq!(built.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("builds without them"), "{stderr}");
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let help = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("--help")
        .stdout(fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&help.stderr);
    assert_eq!(help.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("stdout cannot be written"), "{stderr}");
}
