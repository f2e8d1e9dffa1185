//! The requests that the handler sends, and how it handles each answer.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::ErrorName::{
    AccessDenied, ApplicationBusy, ApplicationNotFound, ServiceUnavailable, SnapshotFailed,
    SnapshotNotFound, SnapshotTimedOut, SnapshotsUnsupported, Throttled, Unexpected,
};
use contract::{DescribeSnapshotInput, DescribeSnapshotOutput, SnapshotStatus};
use serde_json::json;
use step::StepError;
use testkit::fixtures::{self, Exchange, SNAPSHOT, describe_application, failed_answers, run};
use testkit::replay::{Answer, Service};

/// The creation time of the snapshot: 20:02:28.42.
const CREATED: Option<f64> = Some(1_795_377_748.42);

/// A minute and two seconds later.
const SEEN: &str = "2026-11-22T20:03:30Z";

/// The snapshot of the second attempt.
const SECOND: &str = "custom_1795377747950";

/// Describes the snapshot of a run whose `ready_timeout_seconds` is an hour. The service accepted the creation at
/// 20:02:28.
async fn describe(answer: Answer, now: &str) -> Result<DescribeSnapshotOutput, StepError> {
    let exchange = fixtures::describe_snapshot(SNAPSHOT, answer);
    describe_by(3, SNAPSHOT, [exchange], now).await
}

/// Like the function above, for the snapshot with this name and a run with this state machine definition.
async fn describe_by(
    definition: u32,
    name: &str,
    exchanges: impl IntoIterator<Item = Exchange>,
    now: &str,
) -> Result<DescribeSnapshotOutput, StepError> {
    let service = Service::expecting(exchanges);
    let mut run = run(json!({ "ready_timeout_seconds": 3600 }));
    run["definition"] = definition.into();
    let input: DescribeSnapshotInput = serde_json::from_value(json!({
        "run": run,
        "snapshot": { "name": name, "accepted_at": "2026-11-22T20:02:28Z" }
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
async fn the_output_for_a_ready_snapshot_has_its_details() {
    let answer = snapshot("READY", CREATED);
    let output = describe(answer, "2026-11-22T20:03:14.5Z").await.unwrap();
    assert_eq!(output.snapshot_status, SnapshotStatus::Ready);
    let created_at = output.snapshot.created_at.unwrap().to_string();
    assert_eq!(created_at, "2026-11-22T20:02:28.42Z");
    assert_eq!(output.snapshot.application_version_id, Some(7));
    assert_eq!(output.snapshot.seconds, Some(46));
}

#[tokio::test]
async fn the_wait_before_the_next_poll_grows_with_the_age_of_the_snapshot() {
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
async fn without_a_creation_timestamp_the_age_counts_from_when_the_creation_was_accepted() {
    let answer = snapshot("CREATING", None);
    let output = describe(answer, "2026-11-22T20:06:28Z").await.unwrap();
    assert_eq!(output.wait_seconds, 60);
    assert_eq!(output.snapshot.created_at, None);
}

#[tokio::test]
async fn a_snapshot_that_is_as_old_as_the_timeout_fails_the_run_unless_it_is_ready() {
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
        (400, "InvalidArgumentException", Unexpected),
        (400, "UnsupportedOperationException", SnapshotsUnsupported),
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (500, "InternalFailure", ServiceUnavailable),
    ];
    let others = [(Answer::Ok(json!({})), Unexpected)];
    for (answer, name) in failed_answers(Answer::Error, &rows)
        .into_iter()
        .chain(others)
    {
        let error = describe(answer.clone(), "2026-11-22T20:03:00Z").await;
        assert_eq!(error.unwrap_err().name, name, "{answer:?}");
    }
}

/// The two errors with which the service says that the snapshot does not exist.
fn missing() -> [Exchange; 2] {
    [
        Answer::Error(400, "ResourceNotFoundException", "no"),
        Answer::Error(400, "InvalidArgumentException", "Snapshot does not exist"),
    ]
    .map(|answer| fixtures::describe_snapshot(SNAPSHOT, answer))
}

#[tokio::test]
async fn a_snapshot_that_is_not_found_in_its_first_minute_counts_as_creating() {
    for missing in missing() {
        for now in ["2026-11-22T20:02:20Z", "2026-11-22T20:03:27.9Z"] {
            let output = describe_by(1, SNAPSHOT, [missing.clone()], now).await;
            let output = output.unwrap();
            assert_eq!(output.snapshot_status, SnapshotStatus::Creating);
            assert_eq!(output.wait_seconds, 15);
            assert_eq!(output.snapshot.application_version_id, None);
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_is_deleting_or_not_found_after_a_minute_is_an_error_and_names_a_deleted_application()
 {
    let application = |status| Answer::Ok(fixtures::application(status, None));
    let is_gone = Answer::Error(400, "ResourceNotFoundException", "no orders");
    let slow = Answer::Error(400, "ThrottlingException", "slow");
    let deleting = fixtures::describe_snapshot(SNAPSHOT, snapshot("DELETING", CREATED));
    for (application, name) in [
        (application("RUNNING"), SnapshotNotFound),
        (application("READY"), SnapshotNotFound),
        (application("DELETING"), ApplicationNotFound),
        (is_gone, ApplicationNotFound),
        (slow, Throttled),
    ] {
        for lost in missing().into_iter().chain([deleting.clone()]) {
            let exchanges = [lost, describe_application(application.clone())];
            let error = describe_by(3, SNAPSHOT, exchanges, "2026-11-22T20:03:28Z").await;
            assert_eq!(error.unwrap_err().name, name);
        }
    }
}

#[tokio::test]
async fn a_failed_snapshot_is_no_error_if_the_run_has_an_attempt_left() {
    for (definition, name, is_last) in [
        (3, SNAPSHOT, false),
        (3, SECOND, true),
        (2, SNAPSHOT, true),
        (1, SNAPSHOT, true),
    ] {
        let details = fixtures::snapshot(name, "FAILED", 7, CREATED);
        let failed = Answer::Ok(json!({ "SnapshotDetails": details }));
        let exchange = fixtures::describe_snapshot(name, failed);
        let answer = describe_by(definition, name, [exchange], SEEN).await;
        if is_last {
            assert_eq!(
                answer.unwrap_err().name,
                SnapshotFailed,
                "{definition} {name}"
            );
        } else {
            let output = answer.unwrap();
            assert_eq!(output.snapshot_status, SnapshotStatus::Failed);
            assert_eq!(output.wait_seconds, 15);
        }
    }
}

#[tokio::test]
async fn a_poll_that_is_refused_because_the_application_is_busy_is_repeated_until_the_timeout() {
    let refused = |code| {
        let refused = Answer::Error(400, code, "not now");
        [fixtures::describe_snapshot(SNAPSHOT, refused)]
    };
    for code in ["ResourceInUseException", "ConcurrentModificationException"] {
        let output = describe_by(3, SNAPSHOT, refused(code), SEEN).await.unwrap();
        assert_eq!(output.snapshot_status, SnapshotStatus::Creating);
        for (definition, now) in [(3, "2026-11-22T21:02:28Z"), (2, SEEN), (1, SEEN)] {
            let error = describe_by(definition, SNAPSHOT, refused(code), now).await;
            assert_eq!(error.unwrap_err().name, ApplicationBusy);
        }
    }
}
