//! What holds deletions back: the state of the application, a later run, the policy, and the brake.

use contract::HeldBackCause::{
    ApplicationNotRunning, LeftToLaterRun, MaxDeletionsPerRun, PolicyUnknown, RestorePointUnknown,
    SnapshotNotReady,
};
use contract::Pruning::{Continue, Done, Wait};
use contract::{Action, Verdict};
use serde_json::json;
use testkit::fixtures::{self, RUN_ID};

use crate::support::{
    application, batch_names, deleted, deleting, first_entry, gone, held_back, input, listed, name,
    next, prune, ready, result, running, snapshot, with_batch,
};

#[tokio::test]
async fn the_gate_holds_the_plan_back_for_each_of_its_reasons() {
    let restore = |kind: &str| Some(json!({ "ApplicationRestoreType": kind }));
    let unnamed = restore("RESTORE_FROM_CUSTOM_SNAPSHOT");
    let unknown = restore("SOMETHING_NEW");
    let latest = restore("RESTORE_FROM_LATEST_SNAPSHOT");
    let none = restore("SKIP_RESTORE_FROM_SNAPSHOT");
    let old = || [0, 3].map(|days| snapshot(days, "READY")).to_vec();
    let newer = fixtures::snapshot(&name(-1), "READY", 3, RUN_ID / 1_000 + 60);
    let with_newer = [old(), vec![newer]].concat();
    let own_missing = [2, 3].map(|days| snapshot(days, "READY")).to_vec();
    let own_creating = [vec![snapshot(0, "CREATING")], own_missing.clone()].concat();
    let stopped = Some(ApplicationNotRunning);
    let restores = Some(RestorePointUnknown);
    let not_ready = Some(SnapshotNotReady);
    let left = Some(LeftToLaterRun);
    for (mode, status, restore, snapshots, cause) in [
        ("RUN", "RUNNING", None, old(), None),
        ("RUN", "RUNNING", latest, old(), None),
        ("RUN", "RUNNING", none, old(), None),
        ("RUN", "ROLLED_BACK", None, old(), stopped),
        ("PRUNE", "READY", None, old(), stopped),
        ("RUN", "RUNNING", unnamed.clone(), old(), restores),
        ("PRUNE", "RUNNING", unnamed, old(), restores),
        ("RUN", "RUNNING", unknown, old(), restores),
        ("RUN", "RUNNING", None, own_creating, not_ready),
        ("RUN", "RUNNING", None, own_missing.clone(), not_ready),
        ("PRUNE", "RUNNING", None, own_missing, None),
        ("RUN", "RUNNING", None, with_newer.clone(), left),
        // A late redrive of a PRUNE does not delete by its old policy.
        ("PRUNE", "RUNNING", None, with_newer, left),
    ] {
        let case = format!("{mode} {status} {snapshots:?}");
        let mut exchanges = vec![application(status, restore), listed(snapshots)];
        if cause == not_ready {
            exchanges.push(gone(0));
        }
        let output = prune(input(mode, 1, 25), exchanges).await;
        assert_eq!(held_back(&output).map(|held| held.0), cause, "{case}");
        assert_eq!(output.pruning == Continue, cause.is_none());
        assert_eq!(output.batch.is_empty(), cause.is_some());
    }
}

#[tokio::test]
async fn a_gate_that_holds_nothing_back_is_not_reported() {
    let exchanges = [application("UPDATING", None), ready([0, 1])];
    let output = prune(input("RUN", 2, 25), exchanges).await;
    assert_eq!(output.held_back, None);
    assert_eq!(output.pruning, Done);
}

#[tokio::test]
async fn an_application_that_stops_in_the_middle_of_the_loop_closes_the_gate() {
    let mut input = deleting(&[3]);
    input["progress"] = json!({ "deleted_count": 2 });
    let output = prune(input, [application("STOPPING", None), ready([0, 3])]).await;
    assert_eq!(result(&output), (Done, 2, 0));
    assert_eq!(held_back(&output), Some((ApplicationNotRunning, 1)));
}

#[tokio::test]
async fn a_busy_application_is_waited_for_until_the_timeout_after_the_first_wait() {
    for status in ["UPDATING", "AUTOSCALING", "SOMETHING_NEW"] {
        for mode in ["RUN", "PRUNE"] {
            let busy = || [application(status, None), ready([0, 3])];
            let output = prune(input(mode, 1, 25), busy()).await;
            assert_eq!(output.pruning, Wait);
            assert_eq!(output.wait_seconds, 15);
            assert!(output.batch.is_empty());
            let first = output.progress.application_busy_since.clone().unwrap();
            assert!(first.starts_with("2026-11-22T20:03:30"), "{first}");

            let mut waiting = next(output);
            for (since, wait) in [
                ("2026-11-22T19:53:30Z", Some(150)),
                ("2026-11-22T19:03:31Z", Some(1)),
                ("2026-11-22T19:03:30Z", None),
            ] {
                waiting["progress"]["application_busy_since"] = since.into();
                let output = prune(waiting.clone(), busy()).await;
                if let Some(wait) = wait {
                    assert_eq!((output.pruning, output.wait_seconds), (Wait, wait));
                    let still = output.progress.application_busy_since;
                    assert_eq!(still.as_deref(), Some(since), "the first wait counts");
                } else {
                    assert_eq!(output.pruning, Done);
                    assert_eq!(held_back(&output), Some((ApplicationNotRunning, 1)));
                }
                let output = prune(waiting.clone(), [running(), ready([0, 3])]).await;
                assert_eq!(output.pruning, Continue);
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_waits_for_the_application_keeps_what_its_batch_has_tried() {
    let mut input = deleting(&[3, 2]);
    input["batch"][0]["tried"] = true.into();
    let output = prune(input, [application("UPDATING", None), ready([0, 2, 3])]).await;
    assert_eq!(result(&output), (Wait, 0, 0));
    assert_eq!(batch_names(&output), [name(3), name(2)]);
    assert_eq!(output.planned_at, None, "the next pass deletes nothing");
}

#[tokio::test]
async fn a_busy_application_is_not_waited_for_if_something_else_holds_the_deletions_back() {
    let busy = || application("UPDATING", None);
    let newer = fixtures::snapshot(&name(-1), "READY", 3, RUN_ID / 1_000 + 60);
    let with_newer = listed([snapshot(0, "READY"), snapshot(3, "READY"), newer]);
    for (exchanges, brake, cause) in [
        ([busy(), ready([0, 2, 3])], 1, MaxDeletionsPerRun),
        ([busy(), with_newer], 25, LeftToLaterRun),
    ] {
        let output = prune(input("RUN", 1, brake), exchanges).await;
        assert_eq!(output.pruning, Done);
        assert_eq!(output.held_back.unwrap().cause, cause);
    }
}

#[tokio::test]
async fn an_older_definition_does_not_wait_for_a_busy_application() {
    for definition in [1, 2] {
        let mut input = first_entry();
        input["run"]["definition"] = definition.into();
        let output = prune(input, [application("UPDATING", None), ready([0, 3])]).await;
        assert_eq!(output.pruning, Done);
        assert_eq!(held_back(&output), Some((ApplicationNotRunning, 1)));
    }
}

#[tokio::test]
async fn a_restore_point_that_was_named_after_the_plan_is_not_deleted() {
    let restore = json!({
        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": name(3)
    });
    let restoring = application("RUNNING", Some(restore));
    let output = prune(deleting(&[3, 2]), [restoring, deleted(2), ready([0, 3])]).await;
    assert_eq!(result(&output), (Done, 1, 0));
    let reasons = &output.verdicts[1].reasons;
    assert_eq!(*reasons, ["protected: restore point of the application"]);
}

#[tokio::test]
async fn a_policy_with_a_rule_of_a_newer_release_deletes_nothing() {
    for mode in ["RUN", "PRUNE", "PLAN"] {
        let mut input = input(mode, 1, 25);
        input["run"]["input"]["retention"]["keep_fortnightly"] = 4.into();
        let output = prune(input, [running(), ready([0, 2, 3])]).await;
        assert_eq!(output.pruning, Done);
        let held_back = output.held_back.unwrap();
        assert_eq!(held_back.cause, PolicyUnknown, "{mode}");
        let message = held_back.message;
        assert!(message.contains("keep_fortnightly"), "{message}");
        let unknown = &output.run.input.retention.unknown;
        assert_eq!(unknown["keep_fortnightly"], 4, "it is passed on");
    }
}

#[tokio::test]
async fn the_brake_counts_over_the_whole_run_and_its_message_names_the_remedy() {
    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2])]).await;
    assert_eq!(output.batch.len(), 2, "as many as are allowed");

    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2, 3])]).await;
    assert_eq!(held_back(&output), Some((MaxDeletionsPerRun, 3)));
    let message = output.held_back.unwrap().message;
    let remedy = "mode PRUNE and retention.max_deletions_per_run 3";
    assert!(message.contains(remedy), "{message}");

    let input = with_batch(input("RUN", 1, 2), &[3, 2]);
    let exchanges = [running(), deleted(3), deleted(2), ready([0, 1])];
    let output = prune(input, exchanges).await;
    assert_eq!(output.held_back.unwrap().cause, MaxDeletionsPerRun);
    assert_eq!(output.progress.deleted_count, 2);
}

#[tokio::test]
async fn a_plan_counts_the_own_snapshot_and_needs_no_running_application() {
    let exchanges = [application("READY", None), ready([1, 2, 3])];
    let output = prune(input("PLAN", 2, 1), exchanges).await;
    assert_eq!(output.pruning, Done);
    assert_eq!(held_back(&output), Some((MaxDeletionsPerRun, 2)));
    assert_eq!((output.deletions_wanted, output.snapshots_total), (2, 3));
    let judged = |verdict: &Verdict| (verdict.snapshot_name.clone(), verdict.action);
    let judged: Vec<(String, Action)> = output.verdicts.iter().map(judged).collect();
    let expected = [
        (name(1), Action::Keep),
        (name(2), Action::Delete),
        (name(3), Action::Delete),
    ];
    assert_eq!(judged, expected);
}
