//! The command `cargo plan`, in its own process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Runs the command, which ends with this exit code. Returns what it printed to stdout and to stderr.
fn plan(arguments: &[&str], stdin: &str, code: i32) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let ended = output.status.code();
    assert_eq!(ended, Some(code), "{arguments:?}: {stdout}\n{stderr}");
    (stdout, stderr)
}

/// The output of the aws CLI for six daily snapshots, the oldest with a time in epoch seconds.
fn listing() -> Value {
    let summary = |day: u32| {
        let time = match day {
            15 => json!(1_794_711_600.42),
            _ => json!(format!("2026-11-{day}T03:00:00.420000+00:00")),
        };
        json!({
            "SnapshotName": format!("custom_{day:013}"), "SnapshotStatus": "READY",
            "ApplicationVersionId": 1, "SnapshotCreationTimestamp": time, "RuntimeEnvironment": "FLINK-1_20"
        })
    };
    let summaries: Vec<Value> = (15..=20).map(summary).collect();
    json!({ "SnapshotSummaries": summaries })
}

#[test]
fn a_policy_is_tried_on_a_listing_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, picture) = (path("listing"), path("picture.svg"));
    std::fs::write(&file, listing().to_string()).unwrap();
    let policy = json!({ "keep_last": 2, "max_deletions_per_run": 2 }).to_string();
    let arguments = [
        "--snapshots",
        &file,
        "--policy",
        "-",
        "--now",
        "2026-11-20T05:30:00Z",
        "--restore-point",
        "custom_0000000000016",
        "--svg",
        &picture,
    ];
    let (stdout, stderr) = plan(&arguments, &policy, 0);
    assert_eq!(stderr, "");
    for expected in [
        "custom_0000000000020   2 hours  READY   KEEP     protected: newest READY snapshot;",
        "custom_0000000000016    4 days  READY   KEEP     protected: restore point of the application",
        "custom_0000000000015    5 days  READY   DELETE   no rule keeps it",
        "Of 6 snapshots 3 are kept, 3 deleted, 0 ignored. That is more than max_deletions_per_run 2, so",
    ] {
        assert!(stdout.contains(expected), "{stdout}");
    }
    let drawn = std::fs::read_to_string(&picture).unwrap();
    for row in ["\nprotected\n", "\nlast\n", "\ndeleted\n"] {
        assert!(drawn.contains(row), "{drawn}");
    }

    let (stdout, _) = plan(&[&arguments[..6], &["--json"]].concat(), &policy, 0);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(plan["verdicts"][0]["snapshot_name"], "custom_0000000000020");
    assert_eq!(plan["verdicts"][5]["action"], "DELETE");
    let summary = json!({
        "keep": 2, "delete": 4, "ignore": 0, "total": 6, "max_deletions_per_run": 2
    });
    assert_eq!(plan["summary"], summary);
}

#[test]
fn the_newest_snapshot_of_an_earlier_runtime_is_kept() {
    let mut listing = listing();
    for older in &mut listing["SnapshotSummaries"].as_array_mut().unwrap()[..4] {
        older["RuntimeEnvironment"] = "FLINK-1_18".into();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listing");
    std::fs::write(&path, listing.to_string()).unwrap();
    let snapshots = path.to_str().unwrap();
    let arguments = ["--snapshots", snapshots, "--policy", "-", "--json"];
    let (stdout, _) = plan(&arguments, r#"{"keep_last":1}"#, 0);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    let kept = &plan["verdicts"][2];
    assert_eq!(kept["snapshot_name"], "custom_0000000000018");
    let reasons = json!(["protected: newest of runtime FLINK-1_18"]);
    assert_eq!(kept["reasons"], reasons);
    assert_eq!(plan["summary"]["max_deletions_per_run"], 5);
}

#[test]
fn an_invalid_file_is_refused_with_the_place_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let policy = file("policy", r#"{"keep_last":3}"#);
    let listing = file("listing", &listing().to_string());
    for (snapshots, policy, stdin, complaint) in [
        ("-", "-", "", "--snapshots and --policy are both -"),
        ("-", &policy, "[", "-: not JSON: EOF"),
        (
            "-",
            &policy,
            "{}",
            "-: missing field `SnapshotSummaries`. It must be the output of `aws ",
        ),
        (
            "-",
            &policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a"}]}"#,
            "-: SnapshotSummaries[0]: missing field `SnapshotStatus`",
        ),
        (
            "-",
            &policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a","SnapshotStatus":"READY","ApplicationVersionId":1,"SnapshotCreationTimestamp":"yesterday"}]}"#,
            "-: SnapshotCreationTimestamp of a: \"yesterday\" is not a time in RFC 3339",
        ),
        (
            "-",
            &policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a","SnapshotStatus":"READY","ApplicationVersionId":1,"SnapshotCreationTimestamp":1e300}]}"#,
            "of a: 1000000",
        ),
        (&listing, "/nowhere", "", "/nowhere: No such file"),
        (
            &listing,
            "-",
            r#"{"keep_last":0}"#,
            "-: keep_last: invalid value: integer `0`",
        ),
        (
            &listing,
            "-",
            r#"{"keep_lats":1}"#,
            "-: keep_lats: unknown field `keep_lats`",
        ),
        (
            &listing,
            "-",
            "{}",
            "-: the policy keeps nothing: give at least one of keep_last",
        ),
        (
            &listing,
            "-",
            r#"{"keep_daily":1,"timezone":"Mars/Base"}"#,
            "-: retention.timezone: there is no time zone \"Mars/Base\"",
        ),
    ] {
        let arguments = ["--snapshots", snapshots, "--policy", policy];
        let (stdout, stderr) = plan(&arguments, stdin, 2);
        assert!(stderr.contains(complaint), "{complaint}: {stderr}");
        assert_eq!(stdout, "");
    }
}

#[test]
fn the_plan_on_the_retention_page_is_what_the_command_prints() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let listing = format!("{root}/resources/docs/list-application-snapshots.json");
    let arguments = [
        "--snapshots",
        &listing,
        "--policy",
        "-",
        "--now",
        "2026-11-22T20:00:00Z",
    ];
    let (stdout, _) = plan(&arguments, r#"{"keep_last":2,"keep_weekly":2}"#, 0);
    let page = std::fs::read_to_string(format!("{root}/resources/docs/retention.md")).unwrap();
    let (begin, end) = ("<!-- plan -->\n", "<!-- /plan -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let block = format!(
        "```\n$ echo '{{\"keep_last\":2,\"keep_weekly\":2}}' | cargo plan --policy - \\\n    \
             --snapshots resources/docs/list-application-snapshots.json --now 2026-11-22T20:00:00Z\n{}\n```",
        stdout.trim_end()
    );
    let wanted = format!("{before}{begin}{block}\n{end}{after}");
    expect_test::expect_file![format!("{root}/resources/docs/retention.md")].assert_eq(&wanted);
}
