//! What holds deletions back: the state of the application, a later run, the policy, and the brake.

use std::ops::RangeInclusive;

use contract::HeldBackCause::{
    ApplicationNotRunning, LeftToLaterRun, MaxDeletionsPerRun, PolicyUnknown, RestorePointUnknown,
    SnapshotNotReady,
};
use contract::Pruning::{Continue, Done, Wait};
use contract::{Action, Verdict};
use serde_json::{Value, json};
use testkit::fixtures::{self, RUN_ID, list_snapshots};
use testkit::replay::{Answer, Service};

use crate::support::{
    application, batch_names, created, delete, deleted, deleting, first_entry, found, gone, handle,
    held_back, input, listed, listed_as, name, next, prune, ready, refused, result, running,
    snapshot, throttled, with_batch,
};

#[tokio::test]
async fn each_condition_of_the_gate_holds_the_deletions_back() {
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
        ("RUN", "RUNNING", unknown.clone(), old(), restores),
        // A PLAN reports what would also hold back a RUN, but not a condition that may end before the next run.
        ("PLAN", "RUNNING", unknown.clone(), old(), restores),
        ("PLAN", "READY", unknown, old(), restores),
        ("PLAN", "READY", None, old(), None),
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
        let deletes = mode != "PLAN" && cause.is_none();
        assert_eq!(output.pruning == Continue, deletes);
        assert_eq!(output.batch.is_empty(), !deletes);
    }
}

#[tokio::test]
async fn pruning_is_left_to_a_later_run_only_if_there_is_one() {
    let start = RUN_ID / 1_000;
    let by_hand = |created: i64| fixtures::snapshot("by-hand", "READY", 3, created);
    let of_run = |days: i64, created: Value| fixtures::snapshot(&name(days), "READY", 3, created);
    let all = &["RUN", "PRUNE", "PLAN"][..];
    let started = &["RUN", "PRUNE"][..];
    let none = &[][..];
    for (newer, left) in [
        // A PLAN reports what a RUN that starts now would do. The snapshot of that RUN would be newer.
        (of_run(-1, json!(start + 60)), started),
        // The clocks of the service and of the function may differ by a minute.
        (of_run(-1, json!(start + 120)), all),
        // A greater run id, but created earlier, at the same time, or in the future.
        (of_run(-1, created(1)), none),
        (of_run(-1, created(0)), none),
        (of_run(-1, json!(start + 130)), none),
        (of_run(-1, created(-1)), none),
        (of_run(-1, Value::Null), none),
        // Created later, but of an earlier run or of none.
        (of_run(1, json!(start + 60)), none),
        (by_hand(start + 60), none),
    ] {
        for mode in ["RUN", "PRUNE", "PLAN"] {
            let old = [0, 3].map(|days| snapshot(days, "READY")).to_vec();
            let listing = listed([old, vec![newer.clone()]].concat());
            let output = prune(input(mode, 1, 25), [running(), listing]).await;
            let cause = held_back(&output).map(|held| held.0);
            let expected = left.contains(&mode).then_some(LeftToLaterRun);
            assert_eq!(cause, expected, "{mode} {newer}");
        }
    }
}

#[tokio::test]
async fn a_closed_gate_is_not_reported_if_the_plan_deletes_nothing() {
    let exchanges = [application("UPDATING", None), ready([0, 1])];
    let output = prune(input("RUN", 2, 25), exchanges).await;
    assert_eq!(output.held_back, None);
    assert_eq!(output.pruning, Done);
}

#[tokio::test]
async fn an_application_that_stops_between_two_passes_closes_the_gate() {
    let mut input = deleting(&[3]);
    input["progress"] = json!({ "deleted_count": 2 });
    let output = prune(input, [application("STOPPING", None), ready([0, 3])]).await;
    assert_eq!(result(&output), (Done, 2, 0));
    assert_eq!(held_back(&output), Some((ApplicationNotRunning, 1)));
}

#[tokio::test]
async fn a_run_waits_for_a_busy_application_until_the_timeout_after_the_first_wait() {
    for status in ["UPDATING", "AUTOSCALING", "SOMETHING_NEW"] {
        for mode in ["RUN", "PRUNE"] {
            let busy = || [application(status, None), ready([0, 3])];
            let output = prune(input(mode, 1, 25), busy()).await;
            assert_eq!(output.pruning, Wait);
            assert_eq!(output.wait_seconds, 15);
            assert!(output.batch.is_empty());
            let first = output.progress.application_busy_since.unwrap().to_string();
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
                    let still = output.progress.application_busy_since.unwrap();
                    assert_eq!(still.to_string(), since, "the first wait counts");
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
async fn a_run_that_waits_for_the_application_remembers_which_snapshots_were_tried() {
    let mut input = deleting(&[3, 2]);
    input["batch"][0]["tried"] = true.into();
    let output = prune(input, [application("UPDATING", None), ready([0, 2, 3])]).await;
    assert_eq!(result(&output), (Wait, 0, 0));
    assert_eq!(batch_names(&output), [name(3), name(2)]);
    assert_eq!(output.planned_at, None, "the next pass deletes nothing");
}

#[tokio::test]
async fn a_run_does_not_wait_for_a_busy_application_if_something_else_holds_the_deletions_back() {
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
async fn a_snapshot_that_becomes_the_restore_point_after_the_plan_is_not_deleted() {
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
async fn a_policy_with_an_unknown_rule_deletes_nothing() {
    for mode in ["RUN", "PRUNE", "PLAN"] {
        let mut input = input(mode, 1, 25);
        input["run"]["input"]["retention"]["keep_fortnightly"] = 4.into();
        // Nothing is held back if there is nothing to delete.
        let output = prune(input.clone(), [running(), ready([0])]).await;
        assert_eq!(output.held_back, None, "{mode}");
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
async fn the_brake_counts_the_deletions_of_the_whole_run_and_its_message_has_the_remedy() {
    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2])]).await;
    assert_eq!(output.batch.len(), 2, "as many as are allowed");

    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2, 3])]).await;
    assert_eq!(held_back(&output), Some((MaxDeletionsPerRun, 3)));
    let message = output.held_back.unwrap().message;
    let fact = "The plan wants to delete 3 READY snapshots; max_deletions_per_run is 2, so none";
    assert!(message.contains(fact), "{message}");
    let remedy =
        "mode PRUNE and retention.max_deletions_per_run 8. Do not change the rest of the policy.";
    assert!(message.contains(remedy), "{message}");

    let input = with_batch(input("RUN", 1, 2), &[3, 2]);
    let exchanges = [running(), deleted(3), deleted(2), ready([0, 1])];
    let output = prune(input, exchanges).await;
    assert_eq!(output.held_back.unwrap().cause, MaxDeletionsPerRun);
    assert_eq!(output.progress.deleted_count, 2);
}

#[tokio::test]
async fn mode_plan_counts_the_snapshot_of_a_run_and_needs_no_running_application() {
    let exchanges = [application("READY", None), ready([1, 2, 3])];
    let output = prune(input("PLAN", 2, 1), exchanges).await;
    assert_eq!(output.pruning, Done);
    assert_eq!(held_back(&output), Some((MaxDeletionsPerRun, 2)));
    assert_eq!((output.deletions_wanted, output.snapshots_total), (2, 3));
    let judged = |verdict: &Verdict| (verdict.snapshot_name.clone(), verdict.action);
    let judged: Vec<(String, Action)> = output.verdicts.iter().map(judged).collect();
    let expected = [
        (name(2), Action::Delete),
        (name(3), Action::Delete),
        (name(1), Action::Keep),
    ];
    assert_eq!(judged, expected);
}

/// The first entry of a run that keeps the newest snapshot, with the brake of a policy that has no number.
fn without_a_number(mode: &str) -> Value {
    let mut input = input(mode, 1, 25);
    let policy = input["run"]["input"]["retention"].as_object_mut().unwrap();
    policy.remove("max_deletions_per_run").unwrap();
    input
}

#[tokio::test]
async fn the_default_limit_of_the_brake_is_half_of_a_few_snapshots_and_at_least_5() {
    // How many READY snapshots are older than the run's own, and whether all of them may be deleted.
    for (older, allowed) in [(5, None), (6, Some(5)), (12, Some(6)), (60, Some(25))] {
        let case = format!("{older} older ones");
        let output = prune(without_a_number("RUN"), [running(), ready(0..=older)]).await;
        let Some(allowed) = allowed else {
            assert_eq!(output.batch.len(), 5, "{case}");
            continue;
        };
        assert_eq!(output.held_back.as_ref().unwrap().cause, MaxDeletionsPerRun);
        let message = output.held_back.unwrap().message;
        let fact = format!(
            "delete {older} READY snapshots; without max_deletions_per_run the limit is {allowed}, because {} READY snapshots",
            older + 1
        );
        assert!(message.contains(&fact), "{case}: {message}");
    }
    // A PLAN counts the snapshot that a RUN would take.
    let output = prune(without_a_number("PLAN"), [running(), ready(1..=11)]).await;
    let message = output.held_back.unwrap().message;
    assert!(
        message.contains("the limit is 6, because 12 READY snapshots"),
        "{message}"
    );
}

#[tokio::test]
async fn the_limit_in_the_message_still_suffices_after_a_day_of_hourly_runs() {
    let hourly = |hours: RangeInclusive<i64>| {
        listed(hours.map(|hours| {
            let name = format!("custom_{}", RUN_ID - hours * 3_600_000);
            fixtures::snapshot(&name, "READY", 3, RUN_ID / 1_000 - hours * 3_600)
        }))
    };
    let keeping_30 = |mode: &str| {
        let mut input = without_a_number(mode);
        input["run"]["input"]["retention"]["keep_last"] = 30.into();
        input
    };
    for (mode, listing) in [("RUN", hourly(0..=59)), ("PLAN", hourly(1..=59))] {
        let output = prune(keeping_30(mode), [running(), listing]).await;
        assert_eq!(held_back(&output), Some((MaxDeletionsPerRun, 30)), "{mode}");
        let message = output.held_back.unwrap().message;
        let (_, number) = message
            .split_once("retention.max_deletions_per_run ")
            .unwrap();
        let (number, _) = number.split_once('.').unwrap();
        let number: u32 = number.parse().unwrap();

        let mut next_day = keeping_30("PRUNE");
        next_day["run"]["run_id"] = (RUN_ID + 86_410_000).into();
        next_day["run"]["input"]["retention"]["max_deletions_per_run"] = number.into();
        let service = Service::expecting([running(), hourly(-24..=59)]);
        let output = handle(&service, next_day, "2026-11-23T20:03:30Z")
            .await
            .unwrap();
        assert_eq!(
            (output.held_back, output.batch.len()),
            (None, 54),
            "{mode}: {number}"
        );
    }
}

#[tokio::test]
async fn the_default_limit_also_counts_the_snapshots_that_the_run_has_deleted() {
    // The run has deleted five of 13 snapshots, and the sixth deletion was throttled.
    let mut input = without_a_number("PRUNE");
    input["run"]["input"]["retention"]["keep_last"] = 7.into();
    let batch = [12, 11, 10, 9, 8, 7];
    let input = with_batch(input, &batch);
    let deletions = batch[..5].iter().map(|days| deleted(*days));
    let listing = ready(0..=7);
    let exchanges = [running()].into_iter().chain(deletions);
    let exchanges = exchanges.chain([throttled(7), listing]);
    let output = prune(input, exchanges).await;
    assert_eq!(result(&output), (Continue, 5, 0));
    assert_eq!(batch_names(&output), [name(7)]);
}

#[tokio::test]
async fn the_brake_does_not_count_failed_snapshots() {
    let mut listing = vec![snapshot(0, "READY"), snapshot(1, "READY")];
    listing.extend((2..40).map(|days| snapshot(days, "FAILED")));
    let output = prune(input("RUN", 1, 1), [running(), listed(listing)]).await;
    assert_eq!(output.held_back, None);
    assert_eq!(output.batch.len(), 39);
    assert!(output.batch[0].exempt && !output.batch[38].exempt);

    // FAILED snapshots that the run has deleted, or could not delete, do not count either.
    let mut input = with_batch(input("RUN", 1, 1), &[39, 38]);
    for snapshot in input["batch"].as_array_mut().unwrap() {
        snapshot["exempt"] = true.into();
    }
    let left = listed_as([(0, "READY"), (1, "READY"), (38, "FAILED")]);
    let exchanges = [
        running(),
        deleted(39),
        refused(38),
        found(38, "FAILED"),
        left,
    ];
    let output = prune(input, exchanges).await;
    assert_eq!(result(&output), (Continue, 1, 1));
    assert_eq!(output.progress.exempt_count, 2);
    assert_eq!(batch_names(&output), [name(1)]);
}

#[tokio::test]
async fn the_brake_counts_a_pending_deletion_unless_its_snapshot_was_failed() {
    for (exempt, expected) in [(false, Some((MaxDeletionsPerRun, 3))), (true, None)] {
        let mut input = with_batch(input("RUN", 1, 2), &[3]);
        input["batch"][0]["exempt"] = exempt.into();
        let found = || found(3, "READY");
        let lost = delete(3, Answer::Lost);
        let exchanges = [running(), lost, found(), ready([0, 1, 2]), found()];
        let output = prune(input, exchanges).await;
        assert_eq!(result(&output), (Wait, 0, 0));
        assert_eq!(held_back(&output), expected, "{exempt}");
    }
}

#[tokio::test]
async fn a_plan_that_does_not_fit_into_the_payload_lists_deletions_first() {
    let days: Vec<i64> = (1..=300).collect();
    let pages = days.chunks(50).zip(1..).map(|(days, number)| {
        let snapshots: Vec<Value> = days.iter().map(|days| snapshot(*days, "READY")).collect();
        let mut page = json!({ "SnapshotSummaries": snapshots });
        if number < 6 {
            page["NextToken"] = number.to_string().into();
        }
        let token = (number > 1).then(|| (number - 1).to_string());
        list_snapshots(token.as_deref(), Answer::Ok(page))
    });
    let exchanges = [running()].into_iter().chain(pages);
    let output = prune(input("PLAN", 250, 100), exchanges).await;
    let shown: Vec<&str> = output
        .verdicts
        .iter()
        .map(|verdict| verdict.snapshot_name.as_str())
        .collect();
    // With the snapshot that the plan does not take, 249 of those that are listed are kept.
    let deletions: Vec<String> = (250..=300).map(name).collect();
    let kept: Vec<String> = (1..=149).map(name).collect();
    assert_eq!(shown, [deletions, kept].concat());
    assert_eq!(output.deletions_wanted, 51);
}

#[tokio::test]
async fn the_newest_snapshot_of_an_earlier_runtime_is_kept() {
    let of = |days: i64, runtime: &str| {
        let mut snapshot = snapshot(days, "READY");
        snapshot["RuntimeEnvironment"] = runtime.into();
        snapshot
    };
    let listing = || {
        listed([
            snapshot(0, "READY"),
            of(1, "FLINK-1_15"),
            of(2, "FLINK-1_15"),
        ])
    };
    let output = prune(input("RUN", 1, 25), [running(), listing()]).await;
    assert_eq!(batch_names(&output), [name(2)]);
    // The snapshot that a plan does not take has the application's runtime.
    let mut plan = input("PLAN", 1, 25);
    plan["run"]["input"]["retention"]["keep_last_runtimes"] = 1.into();
    let output = prune(plan, [running(), listed([of(1, "FLINK-1_15")])]).await;
    assert_eq!(output.deletions_wanted, 1);
}
