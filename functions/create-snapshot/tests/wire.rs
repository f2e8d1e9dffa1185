//! The handler on the wire: which requests it sends, and what it makes of each answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use contract::{CreateSnapshotInput, CreateSnapshotOutput, ErrorName, SnapshotCreation};
use jiff::Timestamp;
use serde_json::{Value, json};
use step::StepError;
use testkit::replay::{Answer, Service};

const NAME: &str = "custom_1795377747949";
const NOW: &str = "2026-11-22T20:02:28.401Z";

fn input(run_input: Value) -> CreateSnapshotInput {
    CreateSnapshotInput {
        definition: 2,
        execution_arn: "arn:aws:states:eu-central-1:123456789012:execution:m:n".to_owned(),
        execution_started_at: "2026-11-22T20:02:27.949465+00:00".to_owned(),
        input: run_input,
    }
}

type Exchange = (&'static str, Value, Answer);

async fn run(
    run_input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    let service = Service::expecting(exchanges);
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
    let now: Timestamp = NOW.parse().unwrap();
    let answer = create_snapshot::handle(&flink, input(run_input), now).await;
    service.assert_done();
    answer
}

fn orders() -> Value {
    json!({ "application_name": "orders" })
}

fn describe_own(answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": NAME });
    ("DescribeApplicationSnapshot", request, answer)
}

fn own_is_not_there() -> Exchange {
    describe_own(Answer::Error(
        400,
        "ResourceNotFoundException",
        "no such snapshot",
    ))
}

fn own(status: &str) -> Exchange {
    describe_own(Answer::Ok(json!({ "SnapshotDetails": {
        "SnapshotName": NAME,
        "SnapshotStatus": status,
        "ApplicationVersionId": 7,
        "SnapshotCreationTimestamp": 1_795_377_748.42
    }})))
}

fn describe_application(answer: Answer) -> Exchange {
    (
        "DescribeApplication",
        json!({ "ApplicationName": "orders" }),
        answer,
    )
}

fn application(status: &str) -> Exchange {
    describe_application(Answer::Ok(json!({ "ApplicationDetail": {
        "ApplicationARN": "arn:aws:kinesisanalytics:eu-central-1:123456789012:application/orders",
        "ApplicationName": "orders",
        "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": status,
        "ApplicationVersionId": 7,
        "ApplicationConfigurationDescription": {
            "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": true }
        }
    }})))
}

fn create(answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": NAME });
    ("CreateApplicationSnapshot", request, answer)
}

fn list(token: Option<&str>, answer: Answer) -> Exchange {
    let mut request = json!({ "ApplicationName": "orders", "Limit": 50 });
    if let Some(token) = token {
        request["NextToken"] = token.into();
    }
    ("ListApplicationSnapshots", request, answer)
}

fn nothing_listed() -> Exchange {
    list(None, Answer::Ok(json!({ "SnapshotSummaries": [] })))
}

#[tokio::test]
async fn a_running_application_gets_one_snapshot_named_for_the_run() {
    let exchanges = [
        own_is_not_there(),
        application("RUNNING"),
        create(Answer::Ok(json!({}))),
    ];
    let output = run(orders(), exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.run.run_id, 1_795_377_747_949);
    assert_eq!(output.wait_seconds, 15);
    let snapshot = output.snapshot.unwrap();
    assert_eq!(snapshot.name, NAME);
    assert_eq!(snapshot.accepted_at, NOW);
    assert_eq!(snapshot.created_at, None);
}

#[tokio::test]
async fn a_snapshot_of_an_earlier_try_is_adopted_whatever_its_status_and_the_applications() {
    for status in ["CREATING", "READY", "FAILED", "DELETING"] {
        let output = run(orders(), [own(status)]).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
        let snapshot = output.snapshot.unwrap();
        assert_eq!(
            snapshot.created_at.as_deref(),
            Some("2026-11-22T20:02:28.42Z")
        );
        assert_eq!(snapshot.application_version_id, Some(7));
    }
}

#[tokio::test]
async fn the_modes_that_take_no_snapshot_call_nothing() {
    for mode in ["PRUNE", "PLAN"] {
        let run_input = json!({ "application_name": "orders", "mode": mode });
        let output = run(run_input, []).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::NotWanted);
        assert_eq!(output.snapshot, None);
    }
}

#[tokio::test]
async fn an_application_that_does_not_run_is_skipped_with_the_reason() {
    for status in ["READY", "STOPPING", "FORCE_STOPPING", "DELETING"] {
        let output = run(orders(), [own_is_not_there(), application(status)])
            .await
            .unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
        let reason = output.skip_reason.unwrap();
        assert!(reason.contains(&format!("orders is {status}")), "{reason}");
    }
}

#[tokio::test]
async fn an_application_in_passing_is_busy() {
    for status in [
        "STARTING",
        "UPDATING",
        "AUTOSCALING",
        "MAINTENANCE",
        "SOMETHING_NEW",
    ] {
        let error = run(orders(), [own_is_not_there(), application(status)])
            .await
            .unwrap_err();
        assert_eq!(error.name, ErrorName::ApplicationBusy);
        assert!(error.fact.contains(status), "{}", error.fact);
    }
}

#[tokio::test]
async fn disabled_snapshots_are_named_before_the_status_is_looked_at() {
    let (operation, request, _) = application("READY");
    let answer = Answer::Ok(json!({ "ApplicationDetail": {
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": "READY", "ApplicationVersionId": 7,
        "ApplicationConfigurationDescription": {
            "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": false }
        }
    }}));
    let error = run(orders(), [own_is_not_there(), (operation, request, answer)])
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::SnapshotsDisabled);
}

#[tokio::test]
async fn a_service_that_does_not_say_whether_snapshots_are_enabled_is_asked_for_one() {
    let (operation, request, _) = application("RUNNING");
    let answer = Answer::Ok(json!({ "ApplicationDetail": {
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": "RUNNING", "ApplicationVersionId": 7
    }}));
    let exchanges = [
        own_is_not_there(),
        (operation, request, answer),
        create(Answer::Ok(json!({}))),
    ];
    assert!(run(orders(), exchanges).await.is_ok());
}

#[tokio::test]
async fn an_unknown_application_is_not_found() {
    let gone = describe_application(Answer::Error(400, "ResourceNotFoundException", "no orders"));
    let error = run(orders(), [own_is_not_there(), gone]).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ApplicationNotFound);
    assert_eq!(
        error.fact,
        "DescribeApplication: ResourceNotFoundException: no orders."
    );
}

#[tokio::test]
async fn each_refused_look_has_a_name() {
    for (answer, name) in [
        (
            Answer::Error(400, "AccessDeniedException", "no"),
            ErrorName::AccessDenied,
        ),
        (
            Answer::Error(400, "ThrottlingException", "slow"),
            ErrorName::Throttled,
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
            Answer::Error(500, "InternalFailure", "oops"),
            ErrorName::ServiceUnavailable,
        ),
        (Answer::Lost, ErrorName::ServiceUnavailable),
        (
            Answer::Text("<html>".to_owned()),
            ErrorName::ServiceUnavailable,
        ),
    ] {
        let error = run(orders(), [describe_own(answer.clone())])
            .await
            .unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
        let exchanges = [own_is_not_there(), describe_application(answer.clone())];
        let error = run(orders(), exchanges).await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_adopted() {
    for body in [json!({}), json!({ "SnapshotDetails": null })] {
        let error = run(orders(), [describe_own(Answer::Ok(body))])
            .await
            .unwrap_err();
        assert_eq!(error.name, ErrorName::Unexpected);
    }
}

#[tokio::test]
async fn each_refused_creation_has_a_name_once_nothing_else_explains_it() {
    let downtime = "Failed to take snapshot for the application orders at this moment. The \
                    application is currently experiencing downtime. Please retry the request";
    for (answer, name) in [
        (
            Answer::Error(400, "LimitExceededException", "1000"),
            ErrorName::SnapshotLimitExceeded,
        ),
        (
            Answer::Error(400, "ResourceInUseException", "busy"),
            ErrorName::ApplicationBusy,
        ),
        (
            Answer::Error(400, "ConcurrentModificationException", "busy"),
            ErrorName::ApplicationBusy,
        ),
        (
            Answer::Error(400, "InvalidApplicationConfigurationException", downtime),
            ErrorName::ApplicationBusy,
        ),
        (
            Answer::Error(400, "InvalidApplicationConfigurationException", "bad sink"),
            ErrorName::Unexpected,
        ),
        (
            Answer::Error(400, "ResourceNotFoundException", "gone"),
            ErrorName::ApplicationNotFound,
        ),
        (
            Answer::Error(400, "InvalidArgumentException", "bad"),
            ErrorName::Unexpected,
        ),
        (
            Answer::Error(400, "InvalidRequestException", "bad"),
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
            Answer::Error(503, "ServiceUnavailable", "later"),
            ErrorName::ServiceUnavailable,
        ),
        (Answer::Lost, ErrorName::ServiceUnavailable),
    ] {
        let exchanges = [
            own_is_not_there(),
            application("RUNNING"),
            create(answer.clone()),
            own_is_not_there(),
            application("RUNNING"),
            nothing_listed(),
        ];
        let error = run(orders(), exchanges).await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_and_adopted() {
    let exchanges = [
        own_is_not_there(),
        application("RUNNING"),
        create(Answer::Lost),
        own("CREATING"),
    ];
    let output = run(orders(), exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.snapshot.unwrap().name, NAME);
}

#[tokio::test]
async fn an_answer_that_is_not_the_services_begins_no_snapshot() {
    let exchanges = [
        own_is_not_there(),
        application("RUNNING"),
        create(Answer::Text("<html>A proxy was here.</html>".to_owned())),
        own_is_not_there(),
        application("RUNNING"),
        nothing_listed(),
    ];
    let error = run(orders(), exchanges).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ServiceUnavailable);
}

#[tokio::test]
async fn an_application_that_stopped_just_before_the_creation_is_skipped() {
    let exchanges = [
        own_is_not_there(),
        application("RUNNING"),
        create(Answer::Error(400, "InvalidRequestException", "not running")),
        own_is_not_there(),
        application("STOPPING"),
    ];
    let output = run(orders(), exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
}

#[tokio::test]
async fn another_snapshot_under_way_is_busy_whichever_page_lists_it() {
    let summary = |name: &str, status: &str| json!({ "SnapshotName": name, "SnapshotStatus": status, "ApplicationVersionId": 7 });
    let exchanges = [
        own_is_not_there(),
        application("RUNNING"),
        create(Answer::Error(
            400,
            "InvalidRequestException",
            "a snapshot is under way",
        )),
        own_is_not_there(),
        application("RUNNING"),
        list(
            None,
            Answer::Ok(json!({
                "SnapshotSummaries": [summary("a", "READY")], "NextToken": "t"
            })),
        ),
        list(
            Some("t"),
            Answer::Ok(json!({ "SnapshotSummaries": [summary("b", "CREATING")] })),
        ),
    ];
    let error = run(orders(), exchanges).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ApplicationBusy);
    assert!(
        error.fact.ends_with("another snapshot, b."),
        "{}",
        error.fact
    );
}

#[tokio::test]
async fn a_bad_input_is_named_by_its_field_and_nothing_is_called() {
    for (run_input, place) in [
        (json!({}), "missing field `application_name`"),
        (json!(["orders"]), "not valid: it is not an object"),
        (
            json!({ "application_name": "a b" }),
            "application_name: \"a b\" has characters other",
        ),
        (
            json!({ "application_name": "" }),
            "application_name: a name has 1 to 128 characters",
        ),
        (
            json!({ "application_name": "orders", "keep_last": 3 }),
            "keep_last: unknown field `keep_last`, expected one of",
        ),
        (
            json!({ "application_name": "orders", "retention": { "keep_last": 0 } }),
            "retention.keep_last: invalid value: integer `0`, expected a whole number from 1",
        ),
        (
            json!({ "application_name": "orders", "retention": { "keep_last": -3 } }),
            "retention.keep_last: invalid value: integer `-3`, expected a whole number from 1",
        ),
        (
            json!({ "application_name": "orders", "retention": [7] }),
            "retention: invalid type: sequence, expected an object of rules",
        ),
        (
            json!({ "application_name": "orders", "retention": {} }),
            "retention: the policy keeps nothing: give at least one of keep_last, keep_hourly, ",
        ),
        (
            json!({ "application_name": "orders", "retention": { "keep_within": "7 days ago" } }),
            "retention.keep_within: \"7 days ago\" is not a positive ISO 8601 duration, such as",
        ),
        (
            json!({ "application_name": "orders", "retention": { "keep_last": 1, "keep_names": ["a b"] } }),
            "retention.keep_names: \"a b\" is no snapshot's name",
        ),
        (
            json!({
                "application_name": "orders",
                "retention": { "keep_daily": 1, "timezone": "Europe/Zuerich" }
            }),
            "retention.timezone: there is no time zone \"Europe/Zuerich\"; take a name of the IANA",
        ),
        (
            json!({ "application_name": "orders", "poll_interval_seconds": 301 }),
            "poll_interval_seconds: invalid value: integer `301`, expected a whole number from 1 \
             to 300",
        ),
        (
            json!({ "application_name": "orders", "poll_interval_seconds": "15" }),
            "poll_interval_seconds: invalid type: string \"15\", expected a whole number from 1 \
             to 300",
        ),
        (
            json!({ "application_name": "orders", "mode": "DELETE" }),
            "mode: unknown variant `DELETE`, expected one of `RUN`, `PRUNE`, `PLAN`",
        ),
    ] {
        let error = run(run_input.clone(), []).await.unwrap_err();
        assert_eq!(error.name, ErrorName::InvalidInput);
        assert!(error.fact.contains(place), "{run_input}: {}", error.fact);
        assert!(
            error.fact.ends_with("Nothing was changed."),
            "{}",
            error.fact
        );
    }
}
