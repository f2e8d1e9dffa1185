//! The handler on the wire: which request it sends, and what it makes of each answer.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::ErrorName::{
    AccessDenied, ServiceUnavailable, SnapshotFailed, SnapshotNotFound, SnapshotTimedOut,
    Throttled, Unexpected,
};
use contract::{DescribeSnapshotInput, DescribeSnapshotOutput, SnapshotStatus};
use serde_json::json;
use step::StepError;
use testkit::fixtures::{self, SNAPSHOT, refusals, run};
use testkit::replay::{Answer, Service};

/// 20:02:28.42
const CREATED: Option<f64> = Some(1_795_377_748.42);

/// Describes the snapshot of a run that waits an hour for it. The service accepted it at 20:02:28.
async fn describe(answer: Answer, now: &str) -> Result<DescribeSnapshotOutput, StepError> {
    let service = Service::expecting([fixtures::describe_snapshot(SNAPSHOT, answer)]);
    let input: DescribeSnapshotInput = serde_json::from_value(json!({
        "run": run(json!({ "ready_timeout_seconds": 3600 })),
        "snapshot": { "name": SNAPSHOT, "accepted_at": "2026-11-22T20:02:28Z" }
    }))
    .unwrap();
    let flink = Client::new(&service.config());
    let answer = describe_snapshot::handle(&flink, input, now.parse().unwrap()).await;
    service.assert_done();
    answer
}

fn snapshot(status: &str, created: Option<f64>) -> Answer {
    let details = fixtures::snapshot(SNAPSHOT, status, 7, created);
    Answer::Ok(json!({ "SnapshotDetails": details }))
}

#[tokio::test]
async fn a_ready_snapshot_is_passed_on_with_its_details() {
    let answer = snapshot("READY", CREATED);
    let output = describe(answer, "2026-11-22T20:03:14.5Z").await.unwrap();
    assert_eq!(output.snapshot_status, SnapshotStatus::Ready);
    let created_at = output.snapshot.created_at.as_deref();
    assert_eq!(created_at, Some("2026-11-22T20:02:28.42Z"));
    assert_eq!(output.snapshot.application_version_id, Some(7));
    assert_eq!(output.snapshot.seconds, Some(46));
}

#[tokio::test]
async fn the_wait_grows_with_the_age_of_the_snapshot() {
    for (now, wait) in [
        ("2026-11-22T20:02:20Z", 15), // the service's clock is ahead
        ("2026-11-22T20:02:30Z", 15),
        ("2026-11-22T20:04:28.42Z", 30),
        ("2026-11-22T20:50:00Z", 300),
    ] {
        for status in ["CREATING", "SOMETHING_NEW"] {
            let output = describe(snapshot(status, CREATED), now).await.unwrap();
            assert_eq!(output.snapshot_status, SnapshotStatus::Creating);
            assert_eq!(output.wait_seconds, wait, "at {now}");
            assert_eq!(output.snapshot.seconds, None);
        }
    }
}

#[tokio::test]
async fn without_a_creation_timestamp_the_age_counts_from_the_acceptance() {
    let answer = snapshot("CREATING", None);
    let output = describe(answer, "2026-11-22T20:06:28Z").await.unwrap();
    assert_eq!(output.wait_seconds, 60);
    assert_eq!(output.snapshot.created_at, None);
}

#[tokio::test]
async fn a_snapshot_as_old_as_the_timeout_fails_the_run_unless_it_is_ready() {
    let (in_time, late) = ("2026-11-22T21:02:27.99Z", "2026-11-22T21:02:28.42Z");
    let error = describe(snapshot("CREATING", CREATED), late).await;
    let error = error.unwrap_err();
    assert_eq!(error.name, SnapshotTimedOut);
    let fact = "after 3600 seconds; ready_timeout_seconds is 3600";
    assert!(error.fact.contains(fact), "{}", error.fact);

    for (status, now, expected) in [
        ("CREATING", in_time, SnapshotStatus::Creating),
        ("READY", late, SnapshotStatus::Ready),
    ] {
        let output = describe(snapshot(status, CREATED), now).await.unwrap();
        assert_eq!(output.snapshot_status, expected);
    }
}

#[tokio::test]
async fn each_other_status_and_each_refused_call_has_an_error_name() {
    let rows = [
        (400, "ResourceNotFoundException", SnapshotNotFound),
        (400, "InvalidArgumentException", Unexpected),
        (400, "UnsupportedOperationException", Unexpected),
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (500, "InternalFailure", ServiceUnavailable),
    ];
    let missing = Answer::Error(400, "InvalidArgumentException", "Snapshot does not exist");
    let others = [
        (snapshot("FAILED", CREATED), SnapshotFailed),
        (snapshot("DELETING", CREATED), SnapshotNotFound),
        (missing, SnapshotNotFound),
        (Answer::Ok(json!({})), Unexpected),
    ];
    for (answer, name) in refusals(Answer::Error, &rows).into_iter().chain(others) {
        let error = describe(answer.clone(), "2026-11-22T20:03:00Z").await;
        assert_eq!(error.unwrap_err().name, name, "{answer:?}");
    }
}
