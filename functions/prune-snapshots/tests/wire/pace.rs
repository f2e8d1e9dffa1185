//! When the deletions of a batch start. The time of an invocation and the rate of the service limit them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::PruneSnapshotsOutput;
use contract::Pruning::Continue;
use serde_json::{Value, json};
use testkit::replay::Answer::{self, Error};
use testkit::replay::Service;
use tokio::time::Instant;

use crate::support::{
    NOW, batch_names, handle, input, name, ready, result, running, snapshot, with_batch,
};

/// Deletes a batch of a PRUNE that keeps the newest snapshot. Returns also how long after the entry each deletion
/// started, in milliseconds. `throttled` are the numbers of the deletions that the service throttles.
async fn delete(
    batch: &[i64],
    answers_take: Duration,
    throttled: &'static [usize],
) -> (PruneSnapshotsOutput, Vec<u128>) {
    let entered = Instant::now();
    let started: Arc<Mutex<Vec<u128>>> = Arc::default();
    let starts = Arc::clone(&started);
    let mut listing: Vec<Value> = batch.iter().map(|days| snapshot(*days, "READY")).collect();
    listing.push(snapshot(0, "READY"));
    let service = Service::answering_with(move |operation, body| match operation {
        "DescribeApplication" => running().2,
        "ListApplicationSnapshots" => Answer::Ok(json!({ "SnapshotSummaries": listing })),
        _ => {
            let mut starts = starts.lock().unwrap();
            starts.push(entered.elapsed().as_millis());
            if throttled.contains(&starts.len()) {
                return Error(400, "ThrottlingException", "slow");
            }
            listing.retain(|snapshot| snapshot["SnapshotName"] != body["SnapshotName"]);
            Answer::Ok(json!({}))
        }
    });
    let input = with_batch(input("PRUNE", 1, 1_000), batch);
    let output = handle(&service.with_delay(answers_take), input, NOW).await;
    let started = started.lock().unwrap().clone();
    (output.unwrap(), started)
}

#[tokio::test(start_paused = true)]
async fn no_deletion_starts_after_15_seconds_and_the_rest_goes_into_the_next_batch() {
    let batch: Vec<i64> = (1..=250).rev().collect();
    let (output, started) = delete(&batch, Duration::from_secs(1), &[]).await;
    // DescribeApplication takes the first second.
    assert_eq!(started.first(), Some(&1_000));
    assert_eq!(started.last(), Some(&15_000));
    let deleted = u32::try_from(started.len()).unwrap();
    assert_eq!(result(&output), (Continue, deleted, 0));
    let left: Vec<String> = batch[started.len()..].iter().copied().map(name).collect();
    assert_eq!(batch_names(&output), left);
}

#[tokio::test(start_paused = true)]
async fn no_deletion_starts_for_a_tenth_of_a_second_after_a_throttled_one() {
    let (output, started) = delete(&[6, 5, 4, 3, 2, 1], Duration::from_millis(10), &[1]).await;
    // Four calls start at first. One of them is throttled, and the other three raise the halved limit from 2 to 3.
    assert_eq!(started, [10, 10, 10, 10, 120, 120]);
    assert_eq!(result(&output), (Continue, 5, 0));
    assert_eq!(batch_names(&output), [name(6)]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_becomes_too_old_during_the_invocation_deletes_nothing() {
    // At the start of the invocation, the plan is a minute old and still valid. The first answer takes a second.
    let mut input = with_batch(input("PRUNE", 1, 25), &[3]);
    input["planned_at"] = "2026-11-22T20:02:30Z".into();
    let service = Service::expecting([running(), ready([0, 3])]).with_delay(Duration::from_secs(1));
    let output = handle(&service, input, NOW).await.unwrap();
    assert_eq!(result(&output), (Continue, 0, 0));
    // The listing began a second after the start of the invocation.
    let planned_at = output.planned_at.unwrap().to_string();
    assert!(
        planned_at.starts_with("2026-11-22T20:03:31"),
        "{planned_at}"
    );
}
