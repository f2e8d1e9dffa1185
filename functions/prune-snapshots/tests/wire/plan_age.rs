//! Batches that start too late.

use contract::HeldBackCause::LeftToLaterRun;
use contract::Pruning::{Continue, Done, Wait};
use serde_json::json;
use testkit::replay::{Answer, Service};

use crate::support::{
    batch_names, deleted, deleting, describe, found, gone, handle, held_back, listed, name, prune,
    ready, result, running, snapshot,
};

#[tokio::test]
async fn a_plan_is_valid_for_a_minute_and_an_older_plan_deletes_nothing() {
    for (planned_at, is_valid) in [
        (Some("2026-11-22T20:03:29Z"), true),
        (Some("2026-11-22T20:02:31Z"), true),
        // The clock of the function that planned is ahead.
        (Some("2026-11-22T20:03:31Z"), true),
        (Some("2026-11-22T20:02:29.999Z"), false),
        (Some("2026-11-13T20:03:00Z"), false),
        (Some("2026-11-22T20:04:31Z"), false),
        (Some("yesterday"), false),
        (None, false),
    ] {
        let mut input = deleting(&[3]);
        input["planned_at"] = json!(planned_at);
        if is_valid {
            let output = prune(input, [running(), deleted(3), ready([0])]).await;
            assert_eq!(result(&output), (Done, 1, 0), "{planned_at:?}");
        } else {
            let output = prune(input, [running(), ready([0, 3])]).await;
            assert_eq!(result(&output), (Continue, 0, 0), "{planned_at:?}");
            assert_eq!(batch_names(&output), [name(3)], "{planned_at:?}");
            let now = output.planned_at.unwrap().to_string();
            assert!(now.starts_with("2026-11-22T20:03:30"), "{now}");
        }
    }
}

#[tokio::test]
async fn an_old_batch_is_counted_and_replanned_under_the_current_gate() {
    let mut input = deleting(&[5, 4, 3]);
    input["planned_at"] = "2026-11-22T20:02:00Z".into();
    // Three later runs, whose policy keeps more.
    let listing = listed([3, 4, 0, -1, -2, -3].map(|days| snapshot(days, "READY")));
    let service = Service::expecting([running(), listing, gone(5)]);
    let output = handle(&service, input, "2026-11-26T20:03:30Z").await;
    let output = output.unwrap();
    assert_eq!(result(&output), (Done, 1, 0));
    assert_eq!(held_back(&output), Some((LeftToLaterRun, 4)));
}

#[tokio::test]
async fn an_unlisted_snapshot_that_was_not_tried_is_left_to_the_new_plan() {
    let mut input = deleting(&[3]);
    input["planned_at"] = "2026-11-13T20:03:00Z".into();
    let output = prune(input, [running(), ready([0]), found(3, "READY")]).await;
    assert_eq!(result(&output), (Done, 0, 0));
}

#[tokio::test]
async fn the_deletion_of_an_unlisted_snapshot_fails_if_its_second_attempt_comes_too_late() {
    let mut input = deleting(&[3, 2]);
    input["planned_at"] = "2026-11-13T20:03:00Z".into();
    input["batch"][0]["tried"] = true.into();
    // It is not known whether the other snapshot exists, so the run checks again.
    let unknown = describe(2, Answer::Lost);
    let exchanges = [running(), ready([0]), found(3, "READY"), unknown];
    let output = prune(input, exchanges).await;
    assert_eq!(result(&output), (Wait, 0, 1));
    assert_eq!(batch_names(&output), [name(2)]);
}
