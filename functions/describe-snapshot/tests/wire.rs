//! The handler on the wire: which request it sends, and what it makes of each answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use contract::{DescribeSnapshotInput, DescribeSnapshotOutput, ErrorName, SnapshotStatus};
use serde_json::{Value, json};
use step::StepError;
use testkit::replay::{Answer, Service};

const NAME: &str = "custom_1795377747949";
/// 20:02:28.42
const CREATED: f64 = 1_795_377_748.42;

async fn look(
    input: Value,
    answer: Answer,
    now: &str,
) -> Result<DescribeSnapshotOutput, StepError> {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": NAME });
    let service = Service::expecting([("DescribeApplicationSnapshot", request, answer)]);
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
    let input: DescribeSnapshotInput = serde_json::from_value(input).unwrap();
    let answer = describe_snapshot::handle(&flink, input, now.parse().unwrap()).await;
    service.assert_done();
    answer
}

fn input() -> Value {
    json!({
        "run": {
            "run_id": 1_795_377_747_949_i64,
            "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
            "input": { "application_name": "orders", "ready_timeout_seconds": 3600 }
        },
        "snapshot": { "name": NAME, "accepted_at": "2026-11-22T20:02:28Z" },
    })
}

fn snapshot(status: &str, created: Option<f64>) -> Answer {
    let mut details = json!({
        "SnapshotName": NAME, "SnapshotStatus": status, "ApplicationVersionId": 7
    });
    if let Some(created) = created {
        details["SnapshotCreationTimestamp"] = created.into();
    }
    Answer::Ok(json!({ "SnapshotDetails": details }))
}

#[tokio::test]
async fn a_ready_snapshot_goes_on_with_what_is_known_of_it() {
    let answer = snapshot("READY", Some(CREATED));
    let output = look(input(), answer, "2026-11-22T20:03:14.5Z")
        .await
        .unwrap();
    assert_eq!(output.snapshot_status, SnapshotStatus::Ready);
    assert_eq!(
        output.snapshot.created_at.as_deref(),
        Some("2026-11-22T20:02:28.42Z")
    );
    assert_eq!(output.snapshot.application_version_id, Some(7));
    assert_eq!(output.snapshot.seconds, Some(46));
}

#[tokio::test]
async fn a_snapshot_that_is_being_taken_is_waited_for_longer_the_older_it_is() {
    for (now, wait) in [
        ("2026-11-22T20:02:20Z", 15), // the service's clock is ahead
        ("2026-11-22T20:02:30Z", 15),
        ("2026-11-22T20:04:28.42Z", 30),
        ("2026-11-22T20:50:00Z", 300),
    ] {
        for status in ["CREATING", "SOMETHING_NEW"] {
            let output = look(input(), snapshot(status, Some(CREATED)), now)
                .await
                .unwrap();
            assert_eq!(output.snapshot_status, SnapshotStatus::Creating);
            assert_eq!(output.wait_seconds, wait, "at {now}");
            assert_eq!(output.snapshot.seconds, None);
        }
    }
}

#[tokio::test]
async fn without_a_creation_timestamp_the_age_runs_from_the_acceptance() {
    let output = look(input(), snapshot("CREATING", None), "2026-11-22T20:06:28Z")
        .await
        .unwrap();
    assert_eq!(output.wait_seconds, 60);
    assert_eq!(output.snapshot.created_at, None);
}

#[tokio::test]
async fn a_snapshot_as_old_as_the_timeout_fails_the_run_unless_it_is_ready() {
    let late = "2026-11-22T21:02:28.42Z";
    let error = look(input(), snapshot("CREATING", Some(CREATED)), late)
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::SnapshotTimedOut);
    assert!(
        error
            .fact
            .contains("after 3600 seconds; ready_timeout_seconds is 3600")
    );

    let just_before = "2026-11-22T21:02:27.99Z";
    let output = look(input(), snapshot("CREATING", Some(CREATED)), just_before)
        .await
        .unwrap();
    assert_eq!(output.snapshot_status, SnapshotStatus::Creating);

    let output = look(input(), snapshot("READY", Some(CREATED)), late)
        .await
        .unwrap();
    assert_eq!(output.snapshot_status, SnapshotStatus::Ready);
}

#[tokio::test]
async fn each_other_end_of_the_snapshot_and_each_refusal_has_a_name() {
    for (answer, name) in [
        (snapshot("FAILED", Some(CREATED)), ErrorName::SnapshotFailed),
        (
            snapshot("DELETING", Some(CREATED)),
            ErrorName::SnapshotNotFound,
        ),
        (
            Answer::Error(400, "ResourceNotFoundException", "no"),
            ErrorName::SnapshotNotFound,
        ),
        (
            Answer::Error(400, "InvalidArgumentException", "Snapshot does not exist"),
            ErrorName::SnapshotNotFound,
        ),
        (
            Answer::Error(400, "InvalidArgumentException", "bad"),
            ErrorName::Unexpected,
        ),
        (
            Answer::Error(400, "UnsupportedOperationException", "no"),
            ErrorName::Unexpected,
        ),
        (
            Answer::Error(400, "AccessDeniedException", "no"),
            ErrorName::AccessDenied,
        ),
        (
            Answer::Error(400, "ThrottlingException", "slow"),
            ErrorName::Throttled,
        ),
        (
            Answer::Error(500, "InternalFailure", "oops"),
            ErrorName::ServiceUnavailable,
        ),
        (
            Answer::Text("<html>".to_owned()),
            ErrorName::ServiceUnavailable,
        ),
        (Answer::Ok(json!({})), ErrorName::Unexpected),
        (Answer::Lost, ErrorName::ServiceUnavailable),
    ] {
        let error = look(input(), answer.clone(), "2026-11-22T20:03:00Z")
            .await
            .unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}
