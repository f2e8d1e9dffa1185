//! `cargo plan` when its output cannot be written, or when nobody reads it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::process::{Command, Output, Stdio};

/// The writing end of a pipe whose reader has closed it, as `head` does.
fn closed() -> PipeWriter {
    pipe().unwrap().1
}

/// Runs the command on the example in the documentation.
fn plan(policy: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let policy = format!("echo '{policy}' | \"$0\" --policy - --snapshots \"$1\"");
    Command::new("sh")
        .args(["-c", &policy, env!("CARGO_BIN_EXE_plan")])
        .arg(format!(
            "{root}/resources/docs/list-application-snapshots.json"
        ))
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let ended = plan(r#"{"keep_last":2}"#, closed(), Stdio::piped());
    assert_eq!(ended.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn an_error_that_nobody_reads_is_still_an_error() {
    let ended = plan("{}", Stdio::piped(), closed());
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let full = File::create("/dev/full").unwrap();
    let help = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plan"));
        let command = command.arg("--help").stdout(stdout);
        let ended = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.code(), stderr)
    };
    let expected = "error: stdout cannot be written: No space left on device (os error 28)\n";
    assert_eq!(help(full.into()), (Some(2), expected.to_owned()));
    assert_eq!(help(closed().into()), (Some(141), String::new()));
    assert_eq!(help(Stdio::null()), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = File::create("/dev/full").unwrap();
    let ended = plan(r#"{"keep_last":2}"#, full, Stdio::piped());
    assert_eq!(ended.status.code(), Some(2));
    let expected = "error: stdout cannot be written: No space left on device (os error 28)\n";
    assert_eq!(String::from_utf8_lossy(&ended.stderr), expected);
}
