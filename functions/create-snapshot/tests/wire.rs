//! The handler on the wire: which requests it sends, and what it makes of each answer.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::ErrorName::{
    AccessDenied, ApplicationBusy, ApplicationNotFound, InvalidInput, ServiceUnavailable,
    SnapshotLimitExceeded, SnapshotNameTaken, SnapshotsDisabled, Throttled, Unexpected,
};
use contract::{CreateSnapshotInput, CreateSnapshotOutput, SnapshotCreation};
use serde_json::{Value, json};
use step::StepError;
use testkit::fixtures::{
    self, EXECUTION, Exchange, RUN_ID, SNAPSHOT, describe_application, describe_snapshot,
    list_snapshots, refusals, snapshot,
};
use testkit::replay::Answer::{self, Error};
use testkit::replay::Service;

const NOW: &str = "2026-11-22T20:02:28.401Z";

/// A run with this input.
async fn run_with(
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    let service = Service::expecting(exchanges);
    let flink = Client::new(&service.config());
    let input = CreateSnapshotInput {
        definition: 2,
        execution_arn: EXECUTION.to_owned(),
        execution_started_at: "2026-11-22T20:02:27.949465+00:00".to_owned(),
        input,
    };
    let answer = create_snapshot::handle(&flink, input, NOW.parse().unwrap());
    let answer = Box::pin(answer).await;
    service.assert_done();
    answer
}

/// A run of `orders` with the default settings.
async fn run(
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    run_with(json!({ "application_name": "orders" }), exchanges).await
}

fn own_missing() -> Exchange {
    let missing = Error(400, "ResourceNotFoundException", "no such snapshot");
    describe_snapshot(SNAPSHOT, missing)
}

fn own(status: &str) -> Exchange {
    let details = snapshot(SNAPSHOT, status, 7, 1_795_377_748.42);
    describe_snapshot(SNAPSHOT, Answer::Ok(json!({ "SnapshotDetails": details })))
}

/// An application that has snapshots turned on or off, or does not say so.
fn application_with(status: &str, snapshots_enabled: Option<bool>) -> Exchange {
    let configuration = snapshots_enabled.map(|enabled| {
        json!({ "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": enabled } })
    });
    describe_application(Answer::Ok(fixtures::application(status, configuration)))
}

fn application(status: &str) -> Exchange {
    application_with(status, Some(true))
}

fn create(answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": SNAPSHOT });
    ("CreateApplicationSnapshot", request, answer)
}

/// Everything is ready for the snapshot, and the service answers its creation so.
fn created(answer: Answer) -> [Exchange; 3] {
    [own_missing(), application("RUNNING"), create(answer)]
}

#[tokio::test]
async fn a_running_application_gets_one_snapshot_named_after_the_run() {
    let output = run(created(Answer::Ok(json!({})))).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.run.run_id, RUN_ID);
    assert_eq!(output.wait_seconds, 15);
    let snapshot = output.snapshot.unwrap();
    assert_eq!(snapshot.name, SNAPSHOT);
    assert_eq!(snapshot.accepted_at, NOW);
    assert_eq!(snapshot.created_at, None);
}

#[tokio::test]
async fn the_snapshot_of_an_earlier_attempt_is_adopted_whatever_its_status() {
    for status in ["CREATING", "READY", "FAILED", "DELETING"] {
        let output = run([own(status)]).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
        let snapshot = output.snapshot.unwrap();
        let created_at = snapshot.created_at.as_deref();
        assert_eq!(created_at, Some("2026-11-22T20:02:28.42Z"));
        assert_eq!(snapshot.application_version_id, Some(7));
    }
}

/// A run whose input has the name `before-upgrade` for its snapshot.
async fn run_named(
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    let input = json!({ "application_name": "orders", "snapshot_name": "before-upgrade" });
    run_with(input, exchanges).await
}

fn named(created: impl Into<Value>) -> Exchange {
    let details = snapshot("before-upgrade", "READY", 7, created);
    let answer = Answer::Ok(json!({ "SnapshotDetails": details }));
    describe_snapshot("before-upgrade", answer)
}

/// Nothing has the name yet, and the service answers its creation so.
fn created_by_name(answer: Answer) -> [Exchange; 3] {
    let missing = Error(400, "ResourceNotFoundException", "no such snapshot");
    let request = json!({ "ApplicationName": "orders", "SnapshotName": "before-upgrade" });
    [
        describe_snapshot("before-upgrade", missing),
        application("RUNNING"),
        ("CreateApplicationSnapshot", request, answer),
    ]
}

#[tokio::test]
async fn a_snapshot_gets_the_name_that_the_input_gives() {
    let output = run_named(created_by_name(Answer::Ok(json!({})))).await;
    let output = output.unwrap();
    assert_eq!(output.snapshot.unwrap().name, "before-upgrade");
    assert_eq!(output.run.run_id, RUN_ID);

    // An earlier attempt created it in this second. The service may round the time.
    for created in [json!(1_795_377_747), json!(1_795_377_748.42)] {
        let output = run_named([named(created)]).await.unwrap();
        assert_eq!(output.snapshot.unwrap().name, "before-upgrade");
    }
    // This attempt created it, whatever the service's clock says.
    let lost = created_by_name(Answer::Lost).into_iter();
    let output = run_named(lost.chain([named(1_795_000_000)])).await;
    assert_eq!(output.unwrap().snapshot.unwrap().name, "before-upgrade");
}

#[tokio::test]
async fn a_name_that_an_older_snapshot_has_is_taken() {
    for (created, fact) in [
        (
            json!(1_795_377_746.99),
            "The snapshot before-upgrade is older than this run: it was created at \
             2026-11-22T20:02:26.99Z.",
        ),
        (
            Value::Null,
            "There is a snapshot before-upgrade without a creation timestamp, which may be older \
             than this run.",
        ),
    ] {
        let error = run_named([named(created)]).await.unwrap_err();
        assert_eq!((error.name, error.fact.as_str()), (SnapshotNameTaken, fact));
    }
}

#[tokio::test]
async fn the_modes_without_a_snapshot_make_no_call() {
    for mode in ["PRUNE", "PLAN"] {
        let input = json!({ "application_name": "orders", "mode": mode });
        let output = run_with(input, []).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::NotWanted);
        assert_eq!(output.snapshot, None);
    }
}

#[tokio::test]
async fn a_run_of_a_stopped_application_is_skipped_with_the_reason() {
    for status in ["READY", "STOPPING", "FORCE_STOPPING", "DELETING"] {
        let exchanges = [own_missing(), application(status)];
        let output = run(exchanges).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
        let reason = output.skip_reason.unwrap();
        assert!(reason.contains(&format!("orders is {status}")), "{reason}");
    }
}

#[tokio::test]
async fn an_application_in_transition_is_busy() {
    for status in [
        "STARTING",
        "UPDATING",
        "AUTOSCALING",
        "MAINTENANCE",
        "SOMETHING_NEW",
    ] {
        let exchanges = [own_missing(), application(status)];
        let error = run(exchanges).await.unwrap_err();
        assert_eq!(error.name, ApplicationBusy);
        assert!(error.fact.contains(status), "{}", error.fact);
    }
}

#[tokio::test]
async fn disabled_snapshots_are_reported_whatever_the_status() {
    let exchanges = [own_missing(), application_with("READY", Some(false))];
    let error = run(exchanges).await.unwrap_err();
    assert_eq!(error.name, SnapshotsDisabled);
}

#[tokio::test]
async fn an_application_that_does_not_say_whether_snapshots_are_enabled_gets_one() {
    let exchanges = [
        own_missing(),
        application_with("RUNNING", None),
        create(Answer::Ok(json!({}))),
    ];
    assert!(run(exchanges).await.is_ok());
}

#[tokio::test]
async fn an_unknown_application_is_not_found() {
    let missing = Error(400, "ResourceNotFoundException", "no orders");
    let exchanges = [own_missing(), describe_application(missing)];
    let error = run(exchanges).await.unwrap_err();
    assert_eq!(error.name, ApplicationNotFound);
    let fact = "DescribeApplication: ResourceNotFoundException: no orders.";
    assert_eq!(error.fact, fact);
}

#[tokio::test]
async fn each_refused_describe_call_has_an_error_name() {
    let rows = [
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (400, "InvalidArgumentException", Unexpected),
        (400, "UnsupportedOperationException", Unexpected),
        (500, "InternalFailure", ServiceUnavailable),
    ];
    for (answer, name) in refusals(Error, &rows) {
        let own = describe_snapshot(SNAPSHOT, answer.clone());
        let application = describe_application(answer.clone());
        for exchanges in [vec![own], vec![own_missing(), application]] {
            let error = run(exchanges).await.unwrap_err();
            assert_eq!(error.name, name, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_adopted() {
    for body in [json!({}), json!({ "SnapshotDetails": null })] {
        let answer = describe_snapshot(SNAPSHOT, Answer::Ok(body));
        let error = run([answer]).await.unwrap_err();
        assert_eq!(error.name, Unexpected);
    }
}

#[tokio::test]
async fn each_refused_creation_has_an_error_name_if_nothing_else_explains_it() {
    const CONFIGURATION: &str = "InvalidApplicationConfigurationException";
    let downtime = "Failed to take snapshot for the application orders at this moment. The \
                    application is currently experiencing downtime. Please retry the request";
    let down = (Error(400, CONFIGURATION, downtime), ApplicationBusy);
    let rows = [
        (400, "LimitExceededException", SnapshotLimitExceeded),
        (400, "ResourceInUseException", ApplicationBusy),
        (400, "ConcurrentModificationException", ApplicationBusy),
        (400, CONFIGURATION, Unexpected),
        (400, "ResourceNotFoundException", ApplicationNotFound),
        (400, "InvalidArgumentException", Unexpected),
        (400, "InvalidRequestException", Unexpected),
        (400, "UnsupportedOperationException", Unexpected),
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (503, "ServiceUnavailable", ServiceUnavailable),
    ];
    for (answer, name) in refusals(Error, &rows).into_iter().chain([down]) {
        let nothing_listed = Answer::Ok(json!({ "SnapshotSummaries": [] }));
        let explanations = [
            own_missing(),
            application("RUNNING"),
            list_snapshots(None, nothing_listed),
        ];
        let exchanges = created(answer.clone()).into_iter().chain(explanations);
        let error = run(exchanges).await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_and_adopted() {
    let exchanges = created(Answer::Lost).into_iter().chain([own("CREATING")]);
    let output = run(exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.snapshot.unwrap().name, SNAPSHOT);
}

#[tokio::test]
async fn a_run_whose_application_stopped_just_before_the_creation_is_skipped() {
    let refused = created(Error(400, "InvalidRequestException", "not running"));
    let stopping = [own_missing(), application("STOPPING")];
    let output = run(refused.into_iter().chain(stopping)).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
}

#[tokio::test]
async fn an_application_with_another_snapshot_in_progress_is_busy() {
    let refused = created(Error(400, "InvalidRequestException", "in progress"));
    let ready = snapshot("a", "READY", 7, Value::Null);
    let creating = snapshot("b", "CREATING", 7, Value::Null);
    let pages = [
        json!({ "SnapshotSummaries": [ready], "NextToken": "t" }),
        json!({ "SnapshotSummaries": [creating] }),
    ];
    let [first, second] = pages.map(Answer::Ok);
    let found = [
        own_missing(),
        application("RUNNING"),
        list_snapshots(None, first),
        list_snapshots(Some("t"), second),
    ];
    let error = run(refused.into_iter().chain(found)).await.unwrap_err();
    assert_eq!(error.name, ApplicationBusy);
    let fact = &error.fact;
    assert!(fact.ends_with("another snapshot, b."), "{fact}");
}

#[tokio::test]
async fn an_invalid_input_is_refused_with_the_name_of_its_field_before_any_call() {
    // An input, then its problem. `…` stands for the name of the application.
    const ROWS: &str = r#"
        {}
            missing field `application_name`
        ["orders"]
            not valid: it is not an object
        { "application_name": "a b" }
            application_name: "a b" has characters other
        { "application_name": "" }
            application_name: a name has 1 to 128 characters
        { …, "keep_last": 3 }
            keep_last: unknown field `keep_last`, expected one of
        { …, "retention": { "keep_last": 0 } }
            retention.keep_last: invalid value: integer `0`, expected a whole number from 1
        { …, "retention": { "keep_last": -3 } }
            retention.keep_last: invalid value: integer `-3`, expected a whole number from 1
        { …, "retention": [7] }
            retention: invalid type: sequence, expected an object of rules
        { …, "retention": {} }
            retention: the policy keeps nothing: give at least one of keep_last, keep_hourly,
        { …, "retention": { "keep_within": "7 days ago" } }
            retention.keep_within: "7 days ago" is not a positive ISO 8601 duration, such as
        { …, "retention": { "keep_last": 1, "keep_names": ["a b"] } }
            retention.keep_names: "a b" is no snapshot's name
        { …, "retention": { "keep_daily": 1, "timezone": "Europe/Zuerich" } }
            retention.timezone: there is no time zone "Europe/Zuerich"; use a name from the IANA
        { …, "snapshot_name": "custom_1795377747949" }
            snapshot_name: "custom_1795377747949" is the name of a managed snapshot, which a policy may delete; choose one
        { …, "snapshot_name": "before upgrade" }
            snapshot_name: "before upgrade" is no snapshot's name; choose one with 1 to 256 of a-z,
        { …, "snapshot_name": "before-upgrade", "mode": "PRUNE" }
            snapshot_name: only mode RUN takes a snapshot; leave the name out, or use mode RUN
        { …, "snapshot_name": "before-upgrade", "mode": "PLAN" }
            snapshot_name: only mode RUN takes a snapshot; leave the name out, or use mode RUN
        { …, "poll_interval_seconds": 301 }
            poll_interval_seconds: invalid value: integer `301`, expected a whole number from 1 to 300
        { …, "poll_interval_seconds": "15" }
            poll_interval_seconds: invalid type: string "15", expected a whole number from 1 to 300
        { …, "mode": "DELETE" }
            mode: unknown variant `DELETE`, expected one of `RUN`, `PRUNE`, `PLAN`
    "#;
    let lines: Vec<&str> = ROWS.trim().lines().map(str::trim).collect();
    for row in lines.chunks(2) {
        let [input, problem] = row else {
            panic!("{row:?}")
        };
        let input = input.replace('…', r#""application_name": "orders""#);
        let input = serde_json::from_str(&input).unwrap();
        let error = run_with(input, []).await.unwrap_err();
        assert_eq!(error.name, InvalidInput);
        let fact = &error.fact;
        assert!(fact.contains(problem), "{row:?}: {fact}");
        assert!(fact.ends_with("Nothing was changed."), "{fact}");
    }
}
