//! Tests of the command `cargo plan`, which runs in its own process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::process::{Command, Stdio};

use contract::{HeldBack, HeldBackCause};
use serde_json::{Value, json};

/// Variables that must not change the output: settings of AWS, of time zones, of colours and of Rust.
const HOSTILE: [(&str, &str); 9] = [
    ("AWS_PROFILE", "nowhere"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ("TZ", "Pacific/Kiritimati"),
    ("TZDIR", "/nowhere"),
    ("LANG", "tr_TR.UTF-8"),
    ("COLUMNS", "20"),
    ("CLICOLOR_FORCE", "1"),
    ("HOME", "/nowhere"),
];

/// Runs the command with these variables, and asserts its exit code. Returns its stdout and its stderr.
fn plan(arguments: &[&str], stdin: &str, code: i32) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(arguments)
        .envs(HOSTILE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // If the command does not read its input, it may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let ended = output.status.code();
    assert_eq!(ended, Some(code), "{arguments:?}: {stdout}\n{stderr}");
    (stdout, stderr)
}

/// The output of the aws CLI for six daily snapshots. The oldest one has a time in epoch seconds.
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

/// The lines of the output, with runs of spaces reduced to one space.
fn lines(stdout: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    stdout.lines().map(words).collect()
}

#[test]
fn a_policy_is_tried_on_a_listing_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, picture) = (path("listing"), path("picture.svg"));
    std::fs::write(&file, listing().to_string()).unwrap();
    let policy = json!({ "keep_last": 3, "max_deletions_per_run": 3 }).to_string();
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
    let lines = lines(&stdout);
    for expected in [
        "custom_1795152600000 0 seconds new KEEP protected: this run's own snapshot; protected:",
        "custom_0000000000020 2 hours READY KEEP last 2 of 3",
        "custom_0000000000016 4 days READY KEEP protected: restore point of the application",
        "custom_0000000000015 5 days READY DELETE no rule keeps it",
        "Of the 6 snapshots listed before the run, the run keeps 3, deletes 3 and ignores 0.",
    ] {
        let printed = lines.iter().any(|line| line.starts_with(expected));
        assert!(printed, "{expected}: {stdout}");
    }
    let drawn = std::fs::read_to_string(&picture).unwrap();
    for row in ["\nprotected\n", "\nlast\n", "\ndeleted\n"] {
        assert!(drawn.contains(row), "{drawn}");
    }
}

#[test]
fn if_a_run_would_delete_nothing_the_command_gives_the_same_reason_as_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    std::fs::write(&file, listing().to_string()).unwrap();
    let policy = json!({ "keep_last": 3, "max_deletions_per_run": 2 }).to_string();
    let now = ["--now", "2026-11-20T05:30:00Z"];
    let file = ["--snapshots", file.to_str().unwrap(), "--policy", "-"];
    let arguments = [&file[..], &now[..]].concat();
    let (stdout, _) = plan(&arguments, &policy, 0);
    let expected = "\n\nOf the 6 snapshots listed before the run, the plan keeps 2, deletes 4 and ignores 0. But \
                    the run would delete none of them. The plan wants to delete 4 READY snapshots; \
                    max_deletions_per_run is 2, so none of them is deleted. ";
    assert!(stdout.contains(expected), "{stdout}");

    let (stdout, _) = plan(&[&arguments[..], &["--json"]].concat(), &policy, 0);
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    let first = &printed["verdicts"][0]["snapshot_name"];
    assert_eq!(first, "custom_0000000000020");
    assert_eq!(printed["verdicts"][5]["action"], "DELETE");
    let summary = json!({ "keep": 2, "delete": 4, "ignore": 0, "total": 6 });
    assert_eq!(printed["summary"], summary);
    let held_back: HeldBack = serde_json::from_value(printed["held_back"].clone()).unwrap();
    assert_eq!(held_back.cause, HeldBackCause::MaxDeletionsPerRun);
    assert_eq!(held_back.deletions_wanted, 4);
    assert_eq!(printed["notes"], json!([]));

    let prune = [&arguments[..], &["--json", "--mode", "PRUNE"]].concat();
    let (stdout, _) = plan(&prune, &policy, 0);
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed["summary"]["delete"], 3);
}

#[test]
fn the_runs_own_snapshot_counts_unless_the_mode_is_prune() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    let summary = |hour: u32| {
        json!({
            "SnapshotName": format!("custom_{hour:013}"), "SnapshotStatus": "READY", "ApplicationVersionId": 1,
            "SnapshotCreationTimestamp": format!("2026-11-01T0{hour}:00:00+00:00")
        })
    };
    std::fs::write(&file, json!([summary(4), summary(5)]).to_string()).unwrap();
    let arguments = |mode| {
        let file = file.to_str().unwrap();
        let now = "2026-11-22T20:00:00Z";
        [
            "--snapshots",
            file,
            "--policy",
            "-",
            "--now",
            now,
            "--mode",
            mode,
        ]
    };
    for (mode, counts, begin) in [
        ("RUN", "keeps 0, deletes 2", "2026-11-21T20:00:00Z"),
        ("PRUNE", "keeps 2, deletes 0", "2026-10-31T05:00:00Z"),
    ] {
        let (stdout, _) = plan(&arguments(mode), r#"{"keep_within":"P1D"}"#, 0);
        let expected =
            format!("Of the 2 snapshots listed before the run, the run {counts} and ignores 0.\n");
        assert!(stdout.contains(&expected), "{stdout}");
        let note = format!(
            "Note: keep_within keeps the snapshots taken after {begin}, which is P1D before"
        );
        assert!(stdout.contains(&note), "{stdout}");
    }
}

#[test]
fn notes_explain_parts_of_a_policy_that_have_another_effect_than_they_seem_to_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    let mut listing = listing();
    listing["SnapshotSummaries"][1]["ApplicationVersionId"] = 2.into();
    listing["SnapshotSummaries"][5]["ApplicationVersionId"] = 3.into();
    std::fs::write(&file, listing.to_string()).unwrap();
    let notes = |policy: &Value, more: &[&str]| -> Value {
        let file = file.to_str().unwrap();
        let now = "2026-11-20T05:30:00Z";
        let arguments = ["--snapshots", file, "--policy", "-", "--now", now, "--json"];
        let (stdout, _) = plan(&[&arguments[..], more].concat(), &policy.to_string(), 0);
        serde_json::from_str::<Value>(&stdout).unwrap()["notes"].take()
    };
    let version = "The plan assumes version 3 of the application, the highest in the listing. With a higher version, other \
                   snapshots would be protected. If the application has one, give it with --application-version.";
    let redundant = "Without keep_last, the run would delete the same snapshots, because every snapshot that keep_last \
                     keeps is also kept for another reason.";
    let window = "keep_within keeps the snapshots taken after 2026-11-19T05:30:00Z, which is P1D before the newest \
                  snapshot, the run's own.";
    let unknown: &[&str] = &[];
    let known: &[&str] = &["--application-version", "3"];
    let restoring: &[&str] = &[
        "--application-version",
        "3",
        "--restore-point",
        "custom_0000000000014",
    ];
    for (policy, more, expected) in [
        (json!({ "keep_last": 3 }), unknown, json!([version])),
        (json!({ "keep_last": 3 }), known, json!([])),
        (
            json!({ "keep_daily": 3, "keep_last": 1 }),
            known,
            json!([redundant]),
        ),
        (
            json!({ "keep_last": 1, "keep_within": "P1D" }),
            known,
            json!([window, redundant]),
        ),
        (
            json!({ "keep_last": 3, "keep_names": ["custom_0000000000015", "before-upgrde"] }),
            restoring,
            json!([
                "keep_names has \"before-upgrde\", which is not listed, so no application can restore from it.",
                "--restore-point has \"custom_0000000000014\", which is not listed, so no application can restore \
                 from it."
            ]),
        ),
    ] {
        assert_eq!(notes(&policy, more), expected, "{policy}");
    }
}

#[test]
fn a_note_warns_if_the_restore_point_or_a_pinned_snapshot_is_deleting_or_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    let mut listing = listing();
    for (place, status) in ["DELETING", "FAILED", "CREATING"].into_iter().enumerate() {
        listing["SnapshotSummaries"][place]["SnapshotStatus"] = status.into();
    }
    std::fs::write(&file, listing.to_string()).unwrap();
    let names = ["15", "16", "17"].map(|day| format!("custom_00000000000{day}"));
    let policy = json!({ "keep_last": 2, "keep_names": names }).to_string();
    let file = file.to_str().unwrap();
    for (restore_point, status) in [(0, Some("DELETING")), (1, Some("FAILED")), (2, None)] {
        let restore_point = &names[restore_point];
        let fact = |place: &str, name: &str, status: &str| {
            format!(
                "{place} has {name:?}, which is {status}, so no application can restore from it."
            )
        };
        let pinned = [(0, "DELETING"), (1, "FAILED")];
        let pinned = pinned.map(|(place, status)| fact("keep_names", &names[place], status));
        let restore = status.map(|status| fact("--restore-point", restore_point, status));
        let expected: Vec<String> = pinned.into_iter().chain(restore).collect();
        let arguments = ["--snapshots", file, "--policy", "-", "--json"];
        let known = [
            "--application-version",
            "1",
            "--restore-point",
            restore_point,
        ];
        let (stdout, _) = plan(&[&arguments[..], &known].concat(), &policy, 0);
        let printed: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(printed["notes"], json!(expected));
    }
}

#[test]
fn rules_with_scope_managed_ignore_a_snapshot_with_a_name_from_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    std::fs::write(&file, listing().to_string()).unwrap();
    let file = file.to_str().unwrap();
    let now = "2026-11-20T05:30:00Z";
    let named = [
        "--snapshots",
        file,
        "--policy",
        "-",
        "--now",
        now,
        "--snapshot-name",
    ];
    let named = |policy: &Value| {
        let arguments = [&named[..], &["before-upgrade"]].concat();
        plan(&arguments, &policy.to_string(), 0).0
    };
    for (scope, deleted, newest) in [
        (
            "MANAGED",
            4,
            "2026-11-18T03:00:00Z, which is P2D before the newest managed snapshot.",
        ),
        // With scope ALL, it counts as one of the last two.
        (
            "ALL",
            5,
            "2026-11-18T05:30:00Z, which is P2D before the newest snapshot, the run's own.",
        ),
    ] {
        let stdout = named(&json!({ "keep_last": 2, "scope": scope }));
        let warning = "Note: With scope ALL, a later run may delete the snapshot before-upgrade.";
        assert_eq!(stdout.contains(warning), scope == "ALL", "{stdout}");
        let own = "before-upgrade 0 seconds new KEEP protected: this run's own snapshot;";
        assert!(lines(&stdout)[1].starts_with(own), "{stdout}");
        let kept = 6 - deleted;
        let counts = format!("the run keeps {kept}, deletes {deleted} and ignores 0.");
        assert!(stdout.contains(&counts), "{stdout}");
        let stdout = named(&json!({ "keep_within": "P2D", "scope": scope }));
        assert!(stdout.contains(newest), "{stdout}");
    }
    // There is no note that it is not listed, because it is listed after the run has taken it.
    let stdout = named(&json!({ "keep_last": 6, "keep_names": ["before-upgrade"] }));
    assert!(!stdout.contains("Note: "), "{stdout}");
}

#[test]
fn a_snapshot_name_that_would_make_the_run_fail_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    let mut listing = listing();
    listing["SnapshotSummaries"][0]["SnapshotName"] = "before-upgrade".into();
    listing["SnapshotSummaries"][1]["SnapshotName"] = "undated".into();
    listing["SnapshotSummaries"][1]["SnapshotCreationTimestamp"].take();
    std::fs::write(&file, listing.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let policy = r#"{"keep_last":2}"#;
    let taken = "--snapshot-name: a snapshot with this name is already listed and is older than the run, so the run \
                 would fail with SnapshotNameTaken";
    for (name, more, complaint) in [
        ("before-upgrade", &[][..], taken),
        ("undated", &[], taken),
        (
            "before-downgrade",
            &["--mode", "PRUNE"],
            "only mode RUN takes a snapshot",
        ),
        (
            "custom_1795377747949",
            &[],
            "is the name of a managed snapshot",
        ),
        ("a b", &[], "is not a valid snapshot name"),
    ] {
        let arguments = [
            "--snapshots",
            file,
            "--policy",
            "-",
            "--snapshot-name",
            name,
        ];
        let (stdout, stderr) = plan(&[&arguments[..], more].concat(), policy, 2);
        assert!(stderr.contains(complaint), "{stderr}");
        assert_eq!(stdout, "");
    }
    // If the run started before the snapshot was created, the snapshot is the run's own.
    let earlier = [
        "--now",
        "2026-11-14T00:00:00Z",
        "--snapshot-name",
        "before-upgrade",
    ];
    plan(
        &[&["--snapshots", file, "--policy", "-"][..], &earlier].concat(),
        policy,
        0,
    );
}

/// The output of aws-cli 1.45.11 for `list-application-snapshots --max-items 4`, if there are more snapshots.
const CUT: &str = r#"{
    "SnapshotSummaries": [
        {
            "SnapshotName": "custom_1795316400000",
            "SnapshotStatus": "READY",
            "ApplicationVersionId": 4,
            "SnapshotCreationTimestamp": 1795316401.42,
            "RuntimeEnvironment": "FLINK-1_20"
        },
        {
            "SnapshotName": "custom_1795230000000",
            "SnapshotStatus": "READY",
            "ApplicationVersionId": 4,
            "SnapshotCreationTimestamp": 1795230001.42,
            "RuntimeEnvironment": "FLINK-1_20"
        },
        {
            "SnapshotName": "custom_1795143600000",
            "SnapshotStatus": "READY",
            "ApplicationVersionId": 4,
            "SnapshotCreationTimestamp": 1795143601.42,
            "RuntimeEnvironment": "FLINK-1_20"
        },
        {
            "SnapshotName": "custom_1795057200000",
            "SnapshotStatus": "READY",
            "ApplicationVersionId": 4,
            "SnapshotCreationTimestamp": 1795057201.42,
            "RuntimeEnvironment": "FLINK-1_20"
        }
    ],
    "NextToken": "eyJOZXh0VG9rZW4iOiBudWxsLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiA0fQ=="
}
"#;

#[test]
fn a_part_of_a_listing_is_refused_and_a_complete_one_is_read_in_every_format_of_the_aws_cli() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy");
    std::fs::write(&policy, r#"{"keep_last":2}"#).unwrap();
    let policy = policy.to_str().unwrap();
    let arguments = [
        "--snapshots",
        "-",
        "--policy",
        policy,
        "--now",
        "2026-11-22T20:00:00Z",
    ];

    let (stdout, stderr) = plan(&arguments, CUT, 2);
    assert_eq!(stdout, "");
    let refusal = "error: -: it has a NextToken, so it is only a part of the listing. List all snapshots, without \
                   --max-items, --no-paginate and --limit (--page-size leaves nothing out). ";
    assert!(stderr.starts_with(refusal), "{stderr}");

    let mut whole: Value = serde_json::from_str(CUT).unwrap();
    whole["NextToken"].take();
    for listing in [&whole, &whole["SnapshotSummaries"]] {
        let (stdout, _) = plan(&arguments, &listing.to_string(), 0);
        let expected =
            "Of the 4 snapshots listed before the run, the run keeps 1, deletes 3 and ignores 0.";
        assert!(stdout.contains(expected), "{stdout}");
    }
    // PowerShell redirects output to a file in UTF-16.
    let file = folder.path().join("listing");
    let text = format!("\u{feff}{whole}\r\n");
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, bytes).unwrap();
    let arguments = [
        &["--snapshots", file.to_str().unwrap()][..],
        &arguments[2..],
    ]
    .concat();
    plan(&arguments, "", 0);
}

#[test]
fn a_snapshot_that_is_listed_twice_with_different_data_is_ignored_as_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listing");
    let mut listing = listing();
    let mut twice = listing["SnapshotSummaries"][0].clone();
    twice["SnapshotStatus"] = "DELETING".into();
    listing["SnapshotSummaries"]
        .as_array_mut()
        .unwrap()
        .push(twice);
    std::fs::write(&file, listing.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let now = "2026-11-20T05:30:00Z";
    let arguments = ["--snapshots", file, "--policy", "-", "--now", now, "--json"];
    let (stdout, _) = plan(&arguments, r#"{"keep_last":2}"#, 0);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        plan["summary"],
        json!({ "keep": 1, "delete": 4, "ignore": 1, "total": 6 })
    );
    let verdict = json!({
        "snapshot_name": "custom_0000000000015", "action": "IGNORE",
        "reasons": ["unknown status (listed twice, with different data)"]
    });
    assert_eq!(plan["verdicts"][5], verdict);
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
}

/// Asserts that a pair of files, one of them standard input, is refused with an error that contains the complaint.
fn assert_refused(snapshots: &str, policy: &str, stdin: &str, complaint: &str) {
    let arguments = ["--snapshots", snapshots, "--policy", policy];
    let (stdout, stderr) = plan(&arguments, stdin, 2);
    assert!(stderr.contains(complaint), "{complaint}: {stderr}");
    assert_eq!(stdout, "");
}

#[test]
fn the_error_for_an_invalid_listing_has_the_place_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    std::fs::write(&path, r#"{"keep_last":3}"#).unwrap();
    let policy = path.to_str().unwrap();
    for (snapshots, policy, stdin, complaint) in [
        ("-", "-", "", "--snapshots and --policy are both -"),
        ("-", policy, "[", "-: not JSON: EOF"),
        (
            "-",
            policy,
            "\n",
            "-: empty. It must be the output of `aws kinesisanalyticsv2 list-application-snapshots \
             --application-name NAME --output json`",
        ),
        (
            "-",
            policy,
            "SnapshotSummaries:\n- ApplicationVersionId: 4\n  SnapshotName: a\n",
            "-: not JSON: expected value at line 1 column 1. It must be the output of",
        ),
        (
            "-",
            policy,
            "SNAPSHOTSUMMARIES\t4\tFLINK-1_20\t1795316401.42\tcustom_1795316400000\tREADY\n",
            "--output json`",
        ),
        ("-", policy, r#""4""#, "-: neither an object nor an array."),
        (
            "-",
            policy,
            r#"{"SnapshotSummaries":null}"#,
            "-: SnapshotSummaries is not an array.",
        ),
        (
            "-",
            policy,
            r#"[["a","READY",1,1795316401.42]]"#,
            "-: SnapshotSummaries[0]: not an object.",
        ),
        (
            "-",
            policy,
            r#"{"SnapshotSummaries":[],"SnapshotSummaries":[]}"#,
            r#"-: an object has the key "SnapshotSummaries" twice at line 1"#,
        ),
        (
            "-",
            policy,
            r#"[{"SnapshotName":"a b","SnapshotStatus":"READY","ApplicationVersionId":1}]"#,
            r#"-: "a b" is not the name of a snapshot."#,
        ),
        (
            "-",
            policy,
            "{}",
            "-: missing field `SnapshotSummaries`. It must be the output of `aws ",
        ),
        (
            "-",
            policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a"}]}"#,
            "-: SnapshotSummaries[0]: missing field `SnapshotStatus`",
        ),
        (
            "-",
            policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a","SnapshotStatus":"READY","ApplicationVersionId":1,"SnapshotCreationTimestamp":"yesterday"}]}"#,
            "-: SnapshotSummaries[0]: SnapshotCreationTimestamp: \"yesterday\" is not a time in RFC 3339",
        ),
        (
            "-",
            policy,
            r#"{"SnapshotSummaries":[{"SnapshotName":"a","SnapshotStatus":"READY","ApplicationVersionId":1,"SnapshotCreationTimestamp":1e300}]}"#,
            "SnapshotCreationTimestamp: 1000000",
        ),
    ] {
        assert_refused(snapshots, policy, stdin, complaint);
    }
}

#[test]
fn the_error_for_an_invalid_policy_has_the_place_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listing");
    std::fs::write(&path, listing().to_string()).unwrap();
    let listing = path.to_str().unwrap();
    for (snapshots, policy, stdin, complaint) in [
        (listing, "/nowhere", "", "/nowhere: No such file"),
        (
            listing,
            "-",
            r#"{"keep_last":0}"#,
            "-: keep_last: invalid value: integer `0`",
        ),
        (
            listing,
            "-",
            r#"{"keep_last":1,"keep_last":30}"#,
            r#"-: an object has the key "keep_last" twice at line 1"#,
        ),
        (listing, "-", "[30]", "-: invalid type: sequence"),
        (listing, "-", "keep_last: 30\n", "-: not JSON: "),
        (
            listing,
            "-",
            r#"{"keep_lats":1}"#,
            "-: keep_lats: this field is unknown",
        ),
        (
            listing,
            "-",
            "{}",
            "-: the policy keeps nothing: give at least one of keep_last",
        ),
        (
            listing,
            "-",
            r#"{"keep_daily":1,"timezone":"Mars/Base"}"#,
            "-: retention.timezone: there is no time zone \"Mars/Base\"",
        ),
    ] {
        assert_refused(snapshots, policy, stdin, complaint);
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
