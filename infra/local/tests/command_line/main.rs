//! The commands of `cargo local`. Each runs in its own process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod first_run;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use engine::faults::{FaultKind, Times};
use engine::{environment, functions, python};
use local::running;
use serde_json::{Value, json};
use support::{Scenario, engine, eventually, run};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Variables that would break a command, or a child of the command, that inherits them.
const HOSTILE: [(&str, &str); 26] = [
    ("HTTP_PROXY", "http://127.0.0.1:9"),
    ("http_proxy", "http://127.0.0.1:9"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ("https_proxy", "http://127.0.0.1:9"),
    ("ALL_PROXY", "http://127.0.0.1:9"),
    ("all_proxy", "http://127.0.0.1:9"),
    ("AWS_PROFILE", "nowhere"),
    ("AWS_DEFAULT_PROFILE", "nowhere"),
    ("AWS_CONFIG_FILE", "/nowhere"),
    ("AWS_CA_BUNDLE", "/nowhere"),
    ("AWS_SESSION_TOKEN", "foreign"),
    ("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:9"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("AWS_MAX_ATTEMPTS", "none"),
    ("SSL_CERT_FILE", "/nowhere"),
    ("REQUESTS_CA_BUNDLE", "/nowhere"),
    ("CURL_CA_BUNDLE", "/nowhere"),
    ("LAMBDA_EXECUTOR", "docker"),
    ("PIP_TARGET", "/nowhere"),
    ("PIP_USER", "true"),
    ("PIP_CERT", "/nowhere"),
    ("PYTHONHOME", "/nowhere"),
    ("PYTHONPATH", "/nowhere"),
    ("PYTHONOPTIMIZE", "none"),
    ("VIRTUAL_ENV", "/nowhere"),
];

/// A command in an environment with these variables. All commands in this file run in it.
fn command(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    command
        .args(arguments)
        .envs(HOSTILE)
        .env("AWS_ENDPOINT_URL", endpoint)
        .kill_on_drop(true);
    command
}

/// Runs a command, and asserts its exit code. Returns its stdout and its stderr.
async fn local(endpoint: &str, arguments: &[&str], stdin: &str, code: i32) -> (String, String) {
    let mut child = command(endpoint, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // If the command does not read its input, it may have ended already.
    let _ = pipe.write_all(stdin.as_bytes()).await;
    drop(pipe);
    let output = child.wait_with_output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let ended = output.status.code();
    assert_eq!(ended, Some(code), "{arguments:?}: {stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn run_follows_an_execution_and_prints_only_the_record_as_json() {
    run(async {
        let endpoint = &engine().await.connection().endpoint;
        let scenario = Scenario::new("cli-run").await;
        let old = scenario.seed(2);
        let input = json!({ "retention": { "keep_last": 2 }, "poll_interval_seconds": 1 });
        let arguments = ["run", "--application", "cli-run", "--input", "-", "--json"];
        let (stdout, stderr) = local(endpoint, &arguments, &input.to_string(), 0).await;
        let record: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["snapshots_deleted"][0]["snapshot_name"], old[0]);
        for line in [
            "CreateSnapshot",
            "WaitForSnapshot (1 s)",
            "RecordAndNotify",
            "SUCCEEDED",
        ] {
            assert!(stderr.contains(line), "{stderr}");
        }
    });
}

#[test]
fn a_failed_run_exits_with_1_and_its_redrive_with_0() {
    run(async {
        let endpoint = &engine().await.connection().endpoint;
        let scenario = Scenario::new("cli-redrive").await;
        scenario.set_snapshots_enabled(false).await;
        let arguments = ["run", "--application", "cli-redrive", "--json"];
        let (stdout, stderr) = local(endpoint, &arguments, "", 1).await;
        let failed: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(failed["error_name"], "SnapshotsDisabled");
        let message = "SnapshotsDisabled: Snapshots are turned off";
        assert!(stderr.contains(message), "{stderr}");

        scenario.set_snapshots_enabled(true).await;
        let execution = failed["execution_arn"].as_str().unwrap();
        let (_, name) = execution.rsplit_once(':').unwrap();
        let arguments = ["redrive", name, "--json"];
        let (stdout, _) = local(endpoint, &arguments, "", 0).await;
        let record: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(record["outcome"], "SUCCEEDED");
        let run_id = "snapshot_manager_run_id";
        assert_eq!(record[run_id], failed[run_id]);

        let arguments = ["redrive", execution];
        let (_, stderr) = local(endpoint, &arguments, "", 2).await;
        assert!(stderr.contains("ExecutionNotRedrivable"), "{stderr}");
    });
}

#[test]
fn a_redrive_that_fails_again_prints_its_own_record() {
    run(async {
        let endpoint = &engine().await.connection().endpoint;
        let scenario = Scenario::new("cli-fails-again").await;
        scenario.set_snapshots_enabled(false).await;
        let arguments = ["run", "--application", "cli-fails-again", "--json"];
        let (stdout, _) = local(endpoint, &arguments, "", 1).await;
        let failed: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(failed["error_name"], "SnapshotsDisabled");

        scenario.delete_application().await;
        // For a while, the record of the first failure is still there.
        let delay = FaultKind::Delay(Duration::from_secs(1));
        scenario.inject("record-and-notify", "UpdateItem", Times::Count(1), delay);
        let execution = failed["execution_arn"].as_str().unwrap();
        let (stdout, _) = local(endpoint, &["redrive", execution, "--json"], "", 1).await;
        let record: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(record["error_name"], "ApplicationNotFound");
    });
}

#[test]
fn a_command_that_cannot_start_exits_with_2_and_prints_the_reason() {
    run(async {
        let endpoint = engine().await.connection().endpoint.as_str();
        let nowhere = "http://127.0.0.1:1";
        for (endpoint, arguments, stdin, reason) in [
            (
                nowhere,
                "run --application x",
                "",
                "error: no engine is running",
            ),
            (
                endpoint,
                "run --application x --input -",
                "{",
                "error: -: not JSON: EOF while parsing",
            ),
            (
                endpoint,
                "run --application x --input -",
                "[]",
                "error: --input has [], which is not a JSON object",
            ),
            (
                endpoint,
                "run --application x --input -",
                r#"{"application_name":"y"}"#,
                r#"error: --input has the application_name "y", but --application is "x""#,
            ),
            (
                endpoint,
                "run --application x --input /nowhere.json",
                "",
                "error: /nowhere.json: No such file",
            ),
            (endpoint, "redrive nothing", "", "ExecutionDoesNotExist"),
            (endpoint, "run", "", "--application <NAME>"),
        ] {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            let (stdout, stderr) = local(endpoint, &arguments, stdin, 2).await;
            assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
            assert_eq!(stdout, "", "{arguments:?}");
        }
    });
}

/// The lines that `up` prints before it waits for Ctrl-C.
async fn until_it_runs(up: &mut Child) -> Vec<String> {
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("Ctrl-C") {
            break;
        }
        printed.push(line);
    }
    printed
}

#[test]
fn a_run_input_is_read_with_a_byte_order_mark_and_refused_with_a_repeated_key() {
    run(async {
        let arguments = ["run", "--application", "x", "--input", "-"];
        for (input, refusal) in [
            (
                r#"{"retention":{"keep_last":1,"keep_last":30}}"#,
                r#"error: -: an object has the key "keep_last" twice at line 1"#,
            ),
            (
                "\u{feff}{\"application_name\":\"y\"}\r\n",
                r#"error: --input has the application_name "y", but"#,
            ),
        ] {
            let (_, stderr) = local("http://127.0.0.1:1", &arguments, input, 2).await;
            assert!(stderr.starts_with(refusal), "{stderr}");
        }
    });
}

/// A line that `up` prints. If its value differs from engine to engine, the value is left out.
fn without_value(line: &str) -> &str {
    let differs = !environment::CLEAN_CLIENT_ENVIRONMENT.contains(line);
    line.split('=').next().filter(|_| differs).unwrap_or(line)
}

#[test]
fn up_raises_the_limit_of_open_files_prints_settings_for_clients_and_stops_everything_on_an_interrupt()
 {
    run(async {
        let mut up = Command::new("sh")
            .args([
                "-c",
                r#"ulimit -S -n 256; exec "$0" up --snapshot-seconds 1"#,
            ])
            .arg(env!("CARGO_BIN_EXE_local"))
            .envs(HOSTILE)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let exports = until_it_runs(&mut up).await;
        let pid = up.id().unwrap();
        for pid in [vec![pid], children(pid)].concat() {
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let mut limits = limits.lines();
            let limit = limits.find(|line| line.starts_with("Max open files"));
            let soft = limit.unwrap().split_whitespace().nth(3).unwrap();
            assert_ne!(soft, "256");
        }

        let value = |name: &str| {
            let mut exports = exports.iter().flat_map(|line| line.split_whitespace());
            let prefix = format!("{name}=");
            let value = exports.find_map(|word| word.strip_prefix(&prefix));
            value.unwrap().to_owned()
        };
        let endpoint = value("AWS_ENDPOINT_URL");
        assert_eq!(value("TABLE_NAME"), "snapshot_manager_status");
        let machine = ":stateMachine:snapshot-manager-StateMachine";
        for (name, part) in [
            ("STATE_MACHINE_ARN", machine),
            ("TOPIC_ARN", ":snapshot-manager-RunTopic"),
            ("FAILURE_QUEUE_URL", endpoint.as_str()),
            ("FUNCTION_NAME", "snapshot-manager-RecordAndNotifyFunction"),
        ] {
            assert!(value(name).contains(part), "{name}={}", value(name));
        }

        // The reference page shows the same lines.
        let reference = include_str!("../../../../resources/docs/reference.md");
        let (_, shown) = reference.split_once("$ cargo local up\n").unwrap();
        let (shown, _) = shown.split_once("# Ctrl-C").unwrap();
        let printed = exports.iter().map(|line| without_value(line));
        let shown: Vec<&str> = shown.lines().map(without_value).collect();
        assert_eq!(printed.collect::<Vec<_>>(), shown);

        // A profile that would send calls to another endpoint, and names of hosts that need no proxy.
        let home = tempfile::tempdir().unwrap();
        let settings = "[default]\nignore_configured_endpoint_urls = true\nuse_fips_endpoint = true\n\
                        use_dualstack_endpoint = true\n";
        fs::create_dir(home.path().join(".aws")).unwrap();
        for file in ["config", "credentials"] {
            fs::write(home.path().join(".aws").join(file), settings).unwrap();
        }
        // boto3 stands for the aws CLI here, because both are built on botocore.
        let target = functions::target_folder().unwrap();
        let python = python::install(&target, python::MINISTACK, |_| ());
        let list = "import boto3; print(boto3.client('stepfunctions').list_state_machines()['stateMachines'])";
        let client = Command::new("sh")
            .args(["-uec", &format!("{}\n\"$0\" -c \"$1\"", exports.join("\n"))])
            .args([python.await.unwrap().as_os_str(), OsStr::new(list)])
            .envs(
                HOSTILE
                    .into_iter()
                    .filter(|(name, _)| !name.starts_with("PYTHON")),
            )
            .env("HOME", home.path())
            .env("no_proxy", "intern.example")
            .output()
            .await
            .unwrap();
        let stderr = String::from_utf8_lossy(&client.stderr);
        let listed = String::from_utf8_lossy(&client.stdout);
        assert!(listed.contains(&value("STATE_MACHINE_ARN")), "{stderr}");

        // The application does not exist, so the run fails. But two functions have run by then.
        let arguments = ["run", "--application", "none", "--json"];
        local(&endpoint, &arguments, "", 1).await;
        let started = descendants(pid);
        assert!(
            started.len() >= 3,
            "MiniStack and two functions: {started:?}"
        );
        end(&mut up, "-INT", Some(0), &started).await;
    });
}

#[test]
fn up_ends_with_an_error_when_ministack_ends() {
    run(async {
        let mut up = command("", &["up"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until_it_runs(&mut up).await;
        let pid = up.id().unwrap();
        for ministack in children(pid) {
            let pid = ministack.to_string();
            let killed = Command::new("kill").args(["-KILL", &pid]).status().await;
            assert!(killed.unwrap().success());
        }
        let output = up.wait_with_output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let fact = "error: MiniStack has ended (signal: 9 (SIGKILL))";
        assert!(stderr.contains(fact), "{stderr}");
    });
}

#[test]
fn up_explains_why_it_cannot_use_a_port() {
    run(async {
        let endpoint = &engine().await.connection().endpoint;
        let port = endpoint.rsplit(':').next().unwrap();
        let (_, stderr) = local("", &["up", "--port", port], "", 2).await;
        let fact = format!("error: port {port} of 127.0.0.1 cannot be used (a program listens");
        assert!(stderr.contains(&fact), "{stderr}");
    });
}

#[test]
fn without_an_address_a_command_uses_the_only_running_engine_or_lists_all_running_ones() {
    run(async {
        let endpoint = engine().await.connection().endpoint.clone();
        let target = tempfile::tempdir().unwrap();
        let announce = |folder: &str, endpoint: &str| {
            let folder = target.path().join("local").join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("endpoint"), endpoint).unwrap();
        };
        let find = async |given: Option<&str>| {
            let found = running::find(given.map(str::to_owned), target.path()).await;
            found
                .map(|names| names.endpoint)
                .map_err(|error| error.to_string())
        };
        let none = find(None).await.unwrap_err();
        assert!(none.contains("AWS_ENDPOINT_URL is not set"), "{none}");

        let nowhere = "http://127.0.0.1:1";
        announce("engine-1", nowhere);
        let dead = find(Some("")).await.unwrap_err();
        let source = format!("{nowhere}, from {}", target.path().display());
        assert!(dead.contains(&source), "{dead}");
        assert!(dead.contains("Connection refused"), "{dead}");

        announce("engine-2", &endpoint);
        assert_eq!(find(None).await, Ok(endpoint.clone()));
        assert_eq!(find(Some(&endpoint)).await, Ok(endpoint.clone()));
        let export = format!("\n  export AWS_ENDPOINT_URL={endpoint}");
        let other = find(Some(nowhere)).await.unwrap_err();
        assert!(other.contains(&export), "{other}");
        assert!(other.contains("from AWS_ENDPOINT_URL: "), "{other}");

        announce("engine-3", &endpoint);
        let several = find(None).await.unwrap_err();
        assert_eq!(several.matches(&export).count(), 2, "{several}");
    });
}

/// Sends a signal to a process, and waits until the process and the processes that it has started have ended.
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
fn the_demonstration_shows_the_run_and_its_results() {
    run(async {
        let (stdout, stderr) = local("", &[], "", 0).await;
        for shown in [
            "KEEP: protected: this run's own snapshot; protected: newest",
            "DELETE: FAILED, created 6 days ago",
            "snapshots_deleted_count               4",
            "Message: {\"app_name\":\"orders\"",
            "describe-snapshot",
            "state transitions",
        ] {
            assert!(stdout.contains(shown), "{shown}: {stdout}");
        }

        // The README shows more of the lines, and marks what it leaves out with `…`.
        let readme = include_str!("../../../../README.md");
        let begin = "<!-- transcript -->\n```\n$ cargo local\n";
        let (_, transcript) = readme.split_once(begin).unwrap();
        let (transcript, _) = transcript.split_once("```\n<!-- /transcript -->").unwrap();
        let printed = stderr.lines().chain(stdout.lines());
        let printed: HashSet<String> = printed.map(without_numbers).collect();
        for line in transcript.lines().filter(|line| line.trim() != "…") {
            assert!(
                printed.contains(&without_numbers(line)),
                "README shows {line:?}, which was not printed:\n{stderr}\n{stdout}"
            );
        }
    });
}

/// A line of the demonstration without the parts that differ from run to run: numbers, the spaces that align columns,
/// and whether a snapshot is still DELETING when it is listed.
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
fn a_demonstration_that_is_terminated_or_killed_leaves_no_process() {
    run(async {
        for (signal, code) in [("-TERM", Some(130)), ("-HUP", Some(130)), ("-KILL", None)] {
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

#[test]
fn a_closed_pipe_ends_a_command_quietly_and_a_full_disk_with_an_error() {
    let full = fs::File::create("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for (stdout, name, code, error) in [
        (Stdio::from(closed), "cli-closed", 141, ""),
        (
            Stdio::from(full),
            "cli-full",
            2,
            "error: stdout cannot be written: No space left on device",
        ),
    ] {
        run(async {
            let endpoint = &engine().await.connection().endpoint;
            Scenario::new(name).await;
            let arguments = ["run", "--application", name, "--json"];
            let command = command(endpoint, &arguments)
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn();
            let ended = command.unwrap().wait_with_output().await.unwrap();
            let stderr = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(code), "{stderr}");
            assert!(
                stderr.contains(error) && !stderr.contains("panicked"),
                "{stderr}"
            );
        });
    }
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let full = fs::File::create("/dev/full").unwrap();
    let ended = run(async {
        let mut help = command("", &["up", "--help"]);
        let help = help.stdout(full).stderr(Stdio::piped()).spawn();
        help.unwrap().wait_with_output().await.unwrap()
    });
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{stderr}");
    let error = "error: stdout cannot be written: No space left on device";
    assert!(stderr.starts_with(error), "{stderr}");
}

/// The processes that a process has started, and those that they have started in turn.
fn descendants(parent: u32) -> Vec<u32> {
    let children = children(parent).into_iter();
    children
        .flat_map(|pid| [vec![pid], descendants(pid)].concat())
        .collect()
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent))
        .collect()
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
