//! The deletions of a batch, and how each result is counted.

use contract::Action;
use contract::ErrorName::AccessDenied;
use contract::HeldBackCause::{ApplicationNotRunning, TooManyFailures};
use contract::Pruning::{Continue, Done, Wait};
use serde_json::{Value, json};
use testkit::replay::Answer::{self, Error, Lost};
use testkit::replay::Service;

use crate::support::{
    NOW, application, batch_names, created_text, delete, deleted, deleting, describe, doomed,
    found, gone, handle, held_back, input, listed_as, name, next, prune, prune_fails, ready,
    refused, result, running, snapshot, with_batch,
};

#[tokio::test]
async fn the_first_pass_deletes_nothing_and_plans_a_batch_from_the_oldest_snapshot() {
    let output = prune(input("RUN", 2, 25), [running(), ready([0, 3, 1, 2])]).await;
    assert_eq!(result(&output), (Continue, 0, 0));
    assert_eq!(batch_names(&output), [name(3), name(2)]);
    assert_eq!(output.batch[0].created_at.to_string(), created_text(3));
    assert_eq!((output.snapshots_ready, output.snapshots_total), (4, 4));
    assert_eq!(output.deletions_wanted, 2);
    assert!(output.verdicts.is_empty(), "the batch has them");
}

#[tokio::test]
async fn the_next_pass_deletes_the_batch_with_the_listed_timestamps() {
    let input = with_batch(input("RUN", 2, 25), &[3, 2]);
    let left = listed_as([(0, "READY"), (1, "READY"), (2, "DELETING")]);
    let output = prune(input, [running(), deleted(3), deleted(2), left]).await;
    assert_eq!(result(&output), (Done, 2, 0));
    let first = &output.progress.deleted[0];
    assert_eq!(first.snapshot_name, name(3));
    assert_eq!(first.created_at.to_string(), "2026-11-19T20:02:27.949Z");
    assert_eq!(first.application_version_id, 3);
    assert_eq!((output.snapshots_ready, output.snapshots_total), (2, 3));
    let newest = output.newest_ready_at.unwrap().to_string();
    assert_eq!(newest, "2026-11-22T20:02:27.949Z");
    let actions = output.verdicts.iter().map(|verdict| verdict.action);
    let actions: Vec<Action> = actions.collect();
    assert_eq!(actions, [Action::Keep, Action::Keep, Action::Ignore]);
    assert_eq!(output.held_back, None);
}

#[tokio::test]
async fn a_repeated_batch_whose_snapshots_are_already_deleted_has_the_same_counts() {
    let missing = Error(400, "ResourceNotFoundException", "no");
    let does_not_exist = Error(400, "InvalidArgumentException", "Snapshot does not exist");
    let busy = Error(400, "ResourceInUseException", "busy");
    for deletion in [
        vec![delete(3, missing)],
        vec![delete(3, does_not_exist)],
        vec![delete(3, busy), found(3, "DELETING")],
    ] {
        let mut input = deleting(&[3]);
        input["progress"] = json!({ "deleted_count": 4 });
        let exchanges = [running()].into_iter().chain(deletion).chain([ready([0])]);
        let output = prune(input, exchanges).await;
        assert_eq!(result(&output), (Done, 5, 0));
    }
}

#[tokio::test]
async fn a_deletion_that_is_refused_for_a_permanent_reason_fails_at_once() {
    let exchanges = [
        running(),
        refused(3),
        found(3, "READY"),
        deleted(2),
        ready([0, 3]),
    ];
    let output = prune(deleting(&[3, 2]), exchanges).await;
    assert_eq!(result(&output), (Done, 1, 1));
}

#[tokio::test]
async fn a_function_without_the_permission_to_delete_fails_the_step() {
    let denied = delete(3, Error(400, "AccessDeniedException", "not allowed"));
    let exchanges = [running(), denied, found(3, "READY"), ready([0, 3])];
    let error = prune_fails(deleting(&[3]), exchanges).await;
    assert_eq!(error.name, AccessDenied);
}

#[tokio::test]
async fn a_deletion_that_the_listing_confirms_counts_even_if_its_responses_were_lost() {
    let listed_deleting = listed_as([(0, "READY"), (3, "DELETING")]);
    for confirmed in [vec![ready([0]), gone(3)], vec![listed_deleting]] {
        let lost = [running(), delete(3, Lost), describe(3, Lost)];
        let output = prune(deleting(&[3]), lost.into_iter().chain(confirmed)).await;
        assert_eq!(result(&output), (Done, 1, 0));
    }
}

#[tokio::test]
async fn deletions_of_an_interrupted_invocation_count_even_if_the_gate_is_closed_now() {
    let mut input = deleting(&[5, 4, 3]);
    input["progress"] = json!({ "deleted_count": 2 });
    let left = listed_as([(0, "READY"), (3, "READY"), (4, "DELETING")]);
    let output = prune(input, [application("STOPPING", None), left, gone(5)]).await;
    assert_eq!(result(&output), (Done, 4, 0));
    let deleted = output.progress.deleted.iter();
    let names: Vec<&String> = deleted.map(|deleted| &deleted.snapshot_name).collect();
    assert_eq!(names, [&name(5), &name(4)]);
    assert_eq!(held_back(&output), Some((ApplicationNotRunning, 1)));
}

#[tokio::test]
async fn deletions_beyond_the_100_that_are_listed_are_counted() {
    let mut input = deleting(&[3]);
    let listed: Vec<Value> = (100..200).map(doomed).collect();
    input["progress"] = json!({ "deleted_count": 100, "deleted": listed });
    let output = prune(input, [running(), deleted(3), ready([0])]).await;
    assert_eq!(result(&output), (Done, 101, 0));
    assert_eq!(output.progress.deleted.len(), 100);
}

#[tokio::test]
async fn failed_deletions_beyond_the_100_that_are_listed_are_not_planned_again() {
    let days: Vec<i64> = (1..=131).collect();
    let mut input = with_batch(input("PRUNE", 1, 1_000), &days);
    // The last deletion is accepted but not confirmed, so the state is entered once more.
    for pruning in [Wait, Done] {
        let listing: Vec<Value> = (0..=140).map(|day| snapshot(day, "READY")).collect();
        let service = Service::answering_with(move |operation, body| match operation {
            "DescribeApplication" => running().2,
            "ListApplicationSnapshots" => Answer::Ok(json!({ "SnapshotSummaries": listing })),
            "DescribeApplicationSnapshot" => found(1, "READY").2,
            _ if body["SnapshotName"] == name(131) => deleted(131).2,
            _ => refused(1).2,
        });
        let output = handle(&service, input, NOW).await.unwrap();
        assert_eq!(output.pruning, pruning);
        assert_eq!(output.progress.failed.len(), 100);
        assert_eq!(held_back(&output), Some((TooManyFailures, 10)));
        input = next(output);
    }
    assert_eq!(input["progress"]["failed_count"], 131);
}
