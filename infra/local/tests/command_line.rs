//! The commands that a person types, in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashSet;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Scenario, engine, eventually, run};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// What a command left: exit code, stdout, stderr.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn command(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command
        .args(arguments)
        .env("AWS_ENDPOINT_URL", endpoint)
        .kill_on_drop(true);
    command
}

async fn local(endpoint: &str, arguments: &[&str], stdin: &str) -> Said {
    let mut child = command(endpoint, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it may have ended.
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .await;
    let output = child.wait_with_output().await.unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn run_follows_an_execution_and_prints_the_record_alone_as_json() {
    run(async {
        let endpoint = &engine().await.names().endpoint;
        let scenario = Scenario::new("cli-run").await;
        let old = scenario.seed(2);
        let input = json!({ "retention": { "keep_last": 2 }, "poll_interval_seconds": 1 });
        let arguments = ["run", "--application", "cli-run", "--input", "-", "--json"];
        let said = local(endpoint, &arguments, &input.to_string()).await;
        assert_eq!(said.code, 0, "{}", said.stderr);
        let record: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["snapshots_deleted"][0]["snapshot_name"], old[0]);
        for line in [
            "CreateSnapshot",
            "WaitForSnapshot (1 s)",
            "RecordAndNotify",
            "SUCCEEDED",
        ] {
            assert!(said.stderr.contains(line), "{}", said.stderr);
        }
    });
}

#[test]
fn a_failed_run_exits_with_1_and_its_redrive_with_0() {
    run(async {
        let endpoint = &engine().await.names().endpoint;
        let scenario = Scenario::new("cli-redrive").await;
        scenario.set_snapshots_enabled(false).await;
        let said = local(
            endpoint,
            &["run", "--application", "cli-redrive", "--json"],
            "",
        )
        .await;
        assert_eq!(said.code, 1, "{}", said.stderr);
        let failed: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(failed["error_name"], "SnapshotsDisabled");
        assert!(
            said.stderr
                .contains("SnapshotsDisabled: Snapshots are turned off")
        );

        scenario.set_snapshots_enabled(true).await;
        let execution = failed["execution_arn"].as_str().unwrap();
        let (_, name) = execution.rsplit_once(':').unwrap();
        let said = local(endpoint, &["redrive", name, "--json"], "").await;
        assert_eq!(said.code, 0, "{}", said.stderr);
        let record: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(
            record["snapshot_manager_run_id"],
            failed["snapshot_manager_run_id"]
        );

        let again = local(endpoint, &["redrive", execution], "").await;
        assert_eq!(again.code, 2);
        assert!(
            again.stderr.contains("ExecutionNotRedrivable"),
            "{}",
            again.stderr
        );
    });
}

#[test]
fn what_cannot_be_run_is_refused_with_2_and_the_reason() {
    run(async {
        let endpoint = &engine().await.names().endpoint;
        let run_x = |rest: &[&'static str]| [&["run", "--application", "x"], rest].concat();
        for (endpoint, arguments, stdin, reason) in [
            (
                "http://127.0.0.1:1",
                run_x(&[]),
                "",
                "no engine is running; start one with",
            ),
            (
                endpoint,
                run_x(&["--input", "-"]),
                "{",
                "-: EOF while parsing",
            ),
            (
                endpoint,
                run_x(&["--input", "-"]),
                "[]",
                "--input holds [], not a JSON object",
            ),
            (
                endpoint,
                run_x(&["--input", "-"]),
                r#"{"application_name":"y"}"#,
                "--input has the application_name \"y\", --application is \"x\"",
            ),
            (
                endpoint,
                run_x(&["--input", "/nowhere.json"]),
                "",
                "/nowhere.json: No such file",
            ),
            (
                endpoint,
                vec!["redrive", "nothing"],
                "",
                "ExecutionDoesNotExist",
            ),
            (endpoint, vec!["run"], "", "--application <NAME>"),
        ] {
            let said = local(endpoint, &arguments, stdin).await;
            assert_eq!(said.code, 2, "{arguments:?}: {}", said.stderr);
            assert!(
                said.stderr.contains(reason),
                "{arguments:?}: {}",
                said.stderr
            );
            assert_eq!(said.stdout, "", "{arguments:?}");
        }
    });
}

#[test]
fn up_prints_what_clients_need_and_an_interrupt_ends_everything() {
    run(async {
        let mut up = command("", &["up", "--snapshot-seconds", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
        let mut exports = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Ctrl-C") {
                break;
            }
            exports.push(line);
        }
        let value = |name: &str| {
            let mut exports = exports.iter().flat_map(|line| line.split_whitespace());
            let prefix = format!("{name}=");
            exports
                .find_map(|word| word.strip_prefix(&prefix))
                .unwrap()
                .to_owned()
        };
        let endpoint = value("AWS_ENDPOINT_URL");
        assert_eq!(value("TABLE_NAME"), "snapshot_manager_status");
        for (name, part) in [
            (
                "STATE_MACHINE_ARN",
                ":stateMachine:snapshot-manager-StateMachine",
            ),
            ("TOPIC_ARN", ":snapshot-manager-RunTopic"),
            ("FAILURE_QUEUE_URL", endpoint.as_str()),
            ("FUNCTION_NAME", "snapshot-manager-RecordAndNotifyFunction"),
        ] {
            assert!(value(name).contains(part), "{name}={}", value(name));
        }

        // The run's input names an application that is not there, so the functions have run.
        let said = local(&endpoint, &["run", "--application", "none", "--json"], "").await;
        assert_eq!(said.code, 1, "{}", said.stderr);
        let started = descendants(up.id().unwrap());
        assert!(
            started.len() >= 3,
            "MiniStack and two functions: {started:?}"
        );
        end(&mut up, "-INT", Some(0), &started).await;
    });
}

/// Sends the signal, and waits for the end of the process and of what it has started.
async fn end(process: &mut Child, signal: &str, code: Option<i32>, started: &[u32]) {
    let pid = process.id().unwrap().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().await;
    assert!(sent.unwrap().success());
    assert_eq!(process.wait().await.unwrap().code(), code, "{signal}");
    eventually("the end of its processes", async || {
        started.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
}

#[test]
fn the_demonstration_shows_the_run_and_what_is_left_of_it() {
    run(async {
        let said = local("", &[], "").await;
        assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
        assert!(
            said.stderr.contains("WaitForSnapshot (2 s)"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains("SUCCEEDED"), "{}", said.stderr);
        for shown in [
            "KEEP: protected: this run's own snapshot; protected: newest",
            "DELETE: no rule keeps it",
            "DELETE: failed 6 days ago",
            "IGNORE: not managed: the name is not custom_ and 13 digits",
            "snapshots_deleted_count               4",
            "Subject: orders: SUCCEEDED",
            "Message: {\"app_name\":\"orders\"",
            "describe-snapshot",
            "state transitions",
        ] {
            assert!(said.stdout.contains(shown), "{shown}: {}", said.stdout);
        }

        // README shows some of the lines.
        let readme = include_str!("../../../README.md");
        let (_, transcript) = readme
            .split_once("<!-- transcript -->\n```\n$ cargo local\n")
            .unwrap();
        let (transcript, _) = transcript.split_once("```\n<!-- /transcript -->").unwrap();
        let printed: HashSet<String> = said
            .stderr
            .lines()
            .chain(said.stdout.lines())
            .map(without_numbers)
            .collect();
        for line in transcript.lines() {
            assert!(
                printed.contains(&without_numbers(line)),
                "README shows {line:?}, which was not printed:\n{}\n{}",
                said.stderr,
                said.stdout
            );
        }
    });
}

/// A line of the demonstration without what differs from run to run: numbers, the spaces that align columns, and
/// whether a deletion is over by the time of the listing.
fn without_numbers(line: &str) -> String {
    let mut short = String::new();
    for character in line.trim().replace("DELETING", "-").chars() {
        let character = if character.is_ascii_digit() {
            '0'
        } else {
            character
        };
        if !matches!(character, '0' | ' ') || !short.ends_with(character) {
            short.push(character);
        }
    }
    short
}

#[test]
fn a_demonstration_that_is_interrupted_or_killed_leaves_no_process() {
    run(async {
        for (signal, code) in [("-INT", Some(130)), ("-TERM", Some(130)), ("-KILL", None)] {
            let mut demonstration = command("", &[])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(demonstration.stderr.take().unwrap()).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("WaitForSnapshot") {
                    break;
                }
            }
            let started = descendants(demonstration.id().unwrap());
            assert!(started.len() >= 2, "MiniStack and a function: {started:?}");
            end(&mut demonstration, signal, code, &started).await;
        }
    });
}

/// The processes that a process has started, and those that they have.
fn descendants(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let children = processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent));
    children
        .flat_map(|pid| [vec![pid], descendants(pid)].concat())
        .collect()
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
