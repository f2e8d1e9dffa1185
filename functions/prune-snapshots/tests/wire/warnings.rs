//! What needs attention although the run does not fail: a restore point or a snapshot in `keep_names` that nobody can
//! restore from, and a snapshot that a later run may delete.

use contract::PruneSnapshotsOutput;
use contract::Pruning::{Continue, Done};
use serde_json::{Value, json};
use testkit::fixtures;
use testkit::replay::Answer;

use crate::support::{
    application, created, first_entry, input, listed, listed_as, name, prune, ready, running,
    with_batch,
};

fn with_pins(mut input: Value, names: &[String]) -> Value {
    input["run"]["input"]["retention"]["keep_names"] = json!(names);
    input
}

fn restoring_from(snapshot_name: &str) -> Value {
    json!({ "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": snapshot_name })
}

/// The beginning of each warning, up to the first period or comma.
fn facts(output: &PruneSnapshotsOutput) -> Vec<&str> {
    let warnings = output.warnings.iter();
    warnings
        .map(|warning| warning.split(['.', ',']).next().unwrap())
        .collect()
}

#[tokio::test]
async fn an_unusable_restore_point_or_snapshot_in_keep_names_causes_a_warning_in_every_mode() {
    let pins = ["before-upgrade".to_owned(), name(3), name(4), name(1)];
    let pinned = [
        "The snapshot before-upgrade in keep_names is not listed".to_owned(),
        format!("The snapshot {} in keep_names is DELETING", name(3)),
        format!("The snapshot {} in keep_names is FAILED", name(4)),
    ];
    for mode in ["RUN", "PRUNE", "PLAN"] {
        for (restore_point, loss) in [
            ("gone".to_owned(), Some("does not exist")),
            (name(3), Some("is DELETING")),
            (name(4), Some("is FAILED")),
            (name(1), None),
        ] {
            let input = with_pins(input(mode, 9, 25), &pins);
            let restoring = application("RUNNING", Some(restoring_from(&restore_point)));
            let listing = listed_as([(0, "READY"), (1, "READY"), (3, "DELETING"), (4, "FAILED")]);
            let output = prune(input, [restoring, listing]).await;
            assert_eq!(output.pruning, Done);
            assert_eq!(output.held_back, None, "a warning holds nothing back");
            let restore = loss.map(|loss| format!("The restore point {restore_point} {loss}"));
            let expected: Vec<String> = restore.into_iter().chain(pinned.clone()).collect();
            assert_eq!(facts(&output), expected, "{mode}");
        }
    }
}

#[tokio::test]
async fn a_run_has_no_warning_if_the_restore_point_and_keep_names_are_usable() {
    let latest = json!({ "ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT" });
    for restore in [None, Some(latest), Some(restoring_from(&name(1)))] {
        let input = with_pins(input("RUN", 9, 25), &[name(0), name(1)]);
        let exchanges = [application("RUNNING", restore), ready([0, 1])];
        let output = prune(input, exchanges).await;
        assert_eq!(output.warnings, [""; 0]);
        let payload = serde_json::to_value(output).unwrap();
        assert_eq!(payload.get("warnings"), None);
    }
}

#[tokio::test]
async fn a_snapshot_name_in_the_input_causes_a_warning_if_a_later_run_may_delete_the_snapshot() {
    let named = |name: &str| {
        let created = created(0);
        listed([fixtures::snapshot(name, "READY", 3, created)])
    };
    let with_snapshot_name = |scope: &str, pins: &[String]| {
        let mut input = with_pins(first_entry(), pins);
        input["run"]["input"]["snapshot_name"] = "before-upgrade".into();
        input["run"]["input"]["retention"]["scope"] = scope.into();
        input["snapshot"]["name"] = "before-upgrade".into();
        input
    };
    let warning = "With scope ALL, a later run may delete the snapshot before-upgrade. To keep it, add its name to \
                   keep_names (in a stack: the parameter KeepNames).";
    for (scope, pins, warnings) in [
        ("ALL", vec![], vec![warning]),
        ("ALL", vec!["before-upgrade".to_owned()], vec![]),
        ("MANAGED", vec![], vec![]),
    ] {
        let input = with_snapshot_name(scope, &pins);
        let output = prune(input, [running(), named("before-upgrade")]).await;
        assert_eq!(output.warnings, warnings, "{scope} {pins:?}");
    }
    // No later run can delete a snapshot that is gone.
    let missing = Answer::Error(400, "ResourceNotFoundException", "no");
    let lookup = fixtures::describe_snapshot("before-upgrade", missing);
    let input = with_snapshot_name("ALL", &[]);
    let output = prune(input, [running(), ready([0]), lookup]).await;
    assert_eq!(output.warnings, [""; 0]);
    // A managed snapshot is meant to be deleted by a later run, so there is no warning.
    let mut input = first_entry();
    input["run"]["input"]["retention"]["scope"] = "ALL".into();
    let output = prune(input, [running(), ready([0])]).await;
    assert_eq!(output.warnings, [""; 0]);
}

#[tokio::test]
async fn only_the_last_pass_warns() {
    let pins = ["before-upgrade".to_owned()];
    let output = prune(
        with_pins(first_entry(), &pins),
        [running(), ready([0, 2, 3])],
    )
    .await;
    assert_eq!((output.pruning, output.warnings.len()), (Continue, 0));

    // Nothing is left of the batch.
    let input = with_batch(with_pins(first_entry(), &pins), &[]);
    let output = prune(input, [running(), ready([0])]).await;
    assert_eq!((output.pruning, output.warnings.len()), (Done, 1));

    // An application that is DELETING loses its snapshots anyway.
    let input = with_batch(with_pins(first_entry(), &pins), &[]);
    let output = prune(input, [application("DELETING", None), ready([0])]).await;
    assert_eq!((output.pruning, output.warnings.len()), (Done, 0));
}

#[tokio::test]
async fn the_number_and_length_of_warnings_are_limited_and_each_warning_is_one_line() {
    let pins: Vec<String> = (0..100).map(|number| format!("{number:0>256}")).collect();
    for restore_point in ["r".repeat(400), "\"\n".repeat(400), "\u{1f980}".repeat(400)] {
        let restoring = application("READY", Some(restoring_from(&restore_point)));
        let input = with_pins(input("PLAN", 9, 25), &pins);
        let output = prune(input, [restoring, ready([1])]).await;
        assert_eq!(output.warnings.len(), 20);
        assert!(output.warnings[0].starts_with("The restore point "));
        for warning in &output.warnings {
            let json = serde_json::to_string(warning).unwrap();
            // The quotation marks are no part of the text.
            assert!(json.len() <= 602, "{json}");
            assert!(!warning.contains(char::is_control), "{warning:?}");
        }
    }
    // A warning with a name of the maximum length is not truncated.
    let output = prune(
        with_pins(input("PLAN", 9, 25), &pins),
        [running(), ready([1])],
    )
    .await;
    for warning in &output.warnings {
        assert!(
            warning.ends_with("and remove the name from keep_names."),
            "{warning}"
        );
    }
}
