//! The requests that the handler sends, and how it handles each answer.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod restore_point;

use aws_sdk_kinesisanalyticsv2::Client;
use contract::ErrorName::{
    AccessDenied, ApplicationBusy, ApplicationNotFound, EnhancedSnapshotsUnsupported, InvalidInput,
    ServiceUnavailable, SnapshotFailed, SnapshotLimitExceeded, SnapshotNameTaken,
    SnapshotsDisabled, SnapshotsUnsupported, Throttled, Unexpected,
};
use contract::{CreateSnapshotInput, CreateSnapshotOutput, SnapshotCreation};
use serde_json::{Value, json};
use step::StepError;
use testkit::fixtures::{
    self, EXECUTION, Exchange, RUN_ID, SNAPSHOT, describe_application, describe_snapshot,
    failed_answers, list_snapshots, snapshot,
};
use testkit::replay::Answer::{self, Error};
use testkit::replay::Service;

const NOW: &str = "2026-11-22T20:02:28.401Z";

/// An hour after the start of the execution. A run then no longer waits for a busy application.
const LATE: &str = "2026-11-22T21:02:28.401Z";

/// The snapshot of the run's second attempt.
const SECOND: &str = "custom_1795377747950";

/// The service has no snapshot with this name.
fn missing(name: &str) -> Exchange {
    describe_snapshot(
        name,
        Error(400, "ResourceNotFoundException", "no such snapshot"),
    )
}

/// The snapshot with this name has this status.
fn found(name: &str, status: &str) -> Exchange {
    let details = snapshot(name, status, 7, 1_795_377_748.42);
    describe_snapshot(name, Answer::Ok(json!({ "SnapshotDetails": details })))
}

/// Runs the step for `orders` with this state machine definition at this time.
async fn run_by(
    definition: u32,
    now: &str,
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    let service = Service::expecting(exchanges);
    let flink = Client::new(&service.config());
    let input = CreateSnapshotInput {
        definition,
        execution_arn: EXECUTION.to_owned(),
        execution_started_at: "2026-11-22T20:02:27.949465+00:00".parse().unwrap(),
        input,
    };
    let answer = create_snapshot::handle(&flink, input, now.parse().unwrap());
    let answer = Box::pin(answer).await;
    service.assert_done();
    answer
}

/// A run with this input.
async fn run_with(
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    run_by(3, NOW, input, exchanges).await
}

/// A run of `orders` with the default settings.
async fn run(
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<CreateSnapshotOutput, StepError> {
    run_with(orders(), exchanges).await
}

fn orders() -> Value {
    json!({ "application_name": "orders" })
}

fn own_missing() -> Exchange {
    missing(SNAPSHOT)
}

fn own(status: &str) -> Exchange {
    found(SNAPSHOT, status)
}

/// An application that has snapshots turned on or off. `None` leaves the setting out of the response.
fn application_with(status: &str, snapshots_enabled: Option<bool>) -> Exchange {
    let configuration = snapshots_enabled.map(|enabled| {
        json!({ "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": enabled } })
    });
    describe_application(Answer::Ok(fixtures::application(status, configuration)))
}

fn application(status: &str) -> Exchange {
    application_with(status, Some(true))
}

fn create_as(name: &str, answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": name });
    ("CreateApplicationSnapshot", request, answer)
}

fn create(answer: Answer) -> Exchange {
    create_as(SNAPSHOT, answer)
}

/// The calls after a refused creation whose cause they do not explain.
fn unexplained() -> [Exchange; 3] {
    let nothing_listed = Answer::Ok(json!({ "SnapshotSummaries": [] }));
    [
        own_missing(),
        application("RUNNING"),
        list_snapshots(None, nothing_listed),
    ]
}

/// The application has enhanced snapshots.
fn enhanced() -> Exchange {
    let mode = json!({ "SnapshotsEnabled": true, "SnapshotMode": "ENHANCED_SNAPSHOTS" });
    let configuration = json!({ "ApplicationSnapshotConfigurationDescription": mode });
    let application = fixtures::application("RUNNING", Some(configuration));
    describe_application(Answer::Ok(application))
}

/// The calls of a run that can take its snapshot. `answer` is the answer to the create request.
fn created(answer: Answer) -> [Exchange; 3] {
    [own_missing(), application("RUNNING"), create(answer)]
}

#[tokio::test]
async fn a_running_application_gets_one_snapshot_that_is_named_after_the_run() {
    let output = run(created(Answer::Ok(json!({})))).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.run.run_id, RUN_ID);
    assert_eq!(output.wait_seconds, 15);
    let snapshot = output.snapshot.unwrap();
    assert_eq!(snapshot.name, SNAPSHOT);
    assert_eq!(snapshot.accepted_at.to_string(), NOW);
    assert_eq!(snapshot.created_at, None);
}

#[tokio::test]
async fn the_snapshot_that_an_earlier_invocation_started_is_returned_whatever_its_status() {
    for (definition, status) in [
        (3, "CREATING"),
        (3, "READY"),
        (3, "DELETING"),
        (2, "CREATING"),
        // An older definition has one attempt, and its next step fails the run.
        (2, "FAILED"),
        (1, "FAILED"),
    ] {
        let output = run_by(definition, NOW, orders(), [own(status)]).await;
        let output = output.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
        let snapshot = output.snapshot.unwrap();
        let created_at = snapshot.created_at.unwrap().to_string();
        assert_eq!(created_at, "2026-11-22T20:02:28.42Z");
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

/// The calls of a run that can take the snapshot with this name. `answer` is the answer to the create request.
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
async fn the_snapshot_has_the_name_in_the_input() {
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
async fn a_name_that_an_older_snapshot_has_is_refused() {
    for (created, fact) in [
        (
            json!(1_795_377_746.99),
            "The snapshot before-upgrade is older than this run: it was created at \
             2026-11-22T20:02:26.99Z.",
        ),
        (
            Value::Null,
            "The snapshot before-upgrade exists and has no creation timestamp, so it may be older \
             than this run.",
        ),
    ] {
        let error = run_named([named(created)]).await.unwrap_err();
        assert_eq!((error.name, error.fact.as_str()), (SnapshotNameTaken, fact));
    }
}

#[tokio::test]
async fn a_mode_that_takes_no_snapshot_makes_no_call() {
    for mode in ["PRUNE", "PLAN"] {
        let input = json!({ "application_name": "orders", "mode": mode });
        let output = run_with(input, []).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::NotWanted);
        assert_eq!(output.snapshot, None);
    }
}

#[tokio::test]
async fn a_run_of_a_stopped_application_is_skipped_with_the_reason() {
    for status in [
        "READY",
        "STOPPING",
        "FORCE_STOPPING",
        "DELETING",
        "ROLLED_BACK",
    ] {
        let exchanges = [own_missing(), application(status)];
        let output = run(exchanges).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
        let reason = output.skip_reason.unwrap();
        assert!(reason.contains(&format!("(status {status})")), "{reason}");
    }
}

#[tokio::test]
async fn after_a_failed_snapshot_the_next_attempt_starts_until_no_attempt_is_left() {
    let input =
        |attempts: u32| json!({ "application_name": "orders", "snapshot_attempts": attempts });
    let exchanges = vec![
        own("FAILED"),
        missing(SECOND),
        application("RUNNING"),
        create_as(SECOND, Answer::Ok(json!({}))),
    ];
    let adopted = vec![own("FAILED"), found(SECOND, "CREATING")];
    for exchanges in [exchanges, adopted] {
        let output = run(exchanges).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
        assert_eq!(output.snapshot.unwrap().name, SECOND);
    }
    for (attempts, exchanges) in [
        (1, vec![own("FAILED")]),
        (2, vec![own("FAILED"), found(SECOND, "FAILED")]),
    ] {
        let error = run_with(input(attempts), exchanges).await.unwrap_err();
        assert_eq!(error.name, SnapshotFailed);
        assert!(error.fact.contains(SNAPSHOT), "{}", error.fact);
    }
}

#[tokio::test]
async fn a_run_is_not_skipped_after_its_snapshot_has_failed() {
    let exchanges = [own("FAILED"), missing(SECOND), application("READY")];
    let error = run(exchanges).await.unwrap_err();
    assert_eq!(error.name, SnapshotFailed);
    let fact = &error.fact;
    assert!(fact.contains(SNAPSHOT) && !fact.contains(SECOND), "{fact}");
    assert!(fact.contains("(status READY)"), "{fact}");
}

#[tokio::test]
async fn a_run_waits_for_a_busy_application_until_the_timeout() {
    for status in [
        "STARTING",
        "UPDATING",
        "AUTOSCALING",
        "MAINTENANCE",
        "ROLLING_BACK",
        "SOMETHING_NEW",
    ] {
        for (now, wait) in [
            ("2026-11-22T20:02:20Z", Some(15)), // this function's clock is behind
            (NOW, Some(15)),
            ("2026-11-22T20:12:27.95Z", Some(150)),
            ("2026-11-22T20:42:28Z", Some(300)),
            ("2026-11-22T21:02:27.9Z", Some(1)),
            ("2026-11-22T21:02:27.95Z", None),
            ("2026-11-23T21:02:28Z", None),
        ] {
            let exchanges = [own_missing(), application(status)];
            let answer = run_by(3, now, orders(), exchanges).await;
            if let Some(wait) = wait {
                let output = answer.unwrap();
                assert_eq!(output.snapshot_creation, SnapshotCreation::Busy);
                assert_eq!(output.wait_seconds, wait, "at {now}");
                assert_eq!(output.snapshot, None);
            } else {
                let error = answer.unwrap_err();
                assert_eq!(error.name, ApplicationBusy);
                assert!(error.fact.contains(status), "{}", error.fact);
            }
        }
    }
}

#[tokio::test]
async fn a_run_of_an_older_definition_fails_with_a_busy_application_so_that_it_is_retried() {
    for definition in [1, 2] {
        let exchanges = [own_missing(), application("UPDATING")];
        let error = run_by(definition, NOW, orders(), exchanges).await;
        assert_eq!(error.unwrap_err().name, ApplicationBusy);
    }
}

#[tokio::test]
async fn a_run_waits_after_a_refused_creation_if_the_cause_may_pass() {
    const CONFIGURATION: &str = "InvalidApplicationConfigurationException";
    for (code, message) in [
        ("ResourceInUseException", "in use"),
        ("ConcurrentModificationException", "changing"),
        (
            CONFIGURATION,
            "The application is currently experiencing downtime.",
        ),
    ] {
        let refused = created(Error(400, code, message));
        let output = run(refused.into_iter().chain(unexplained())).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Busy, "{code}");
        assert_eq!(output.wait_seconds, 15);
    }
}

#[tokio::test]
async fn disabled_snapshots_are_reported_only_after_a_refused_creation() {
    let disabled = || application_with("RUNNING", Some(false));
    let accepted = [own_missing(), disabled(), create(Answer::Ok(json!({})))];
    let output = run(accepted).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);

    let stopped = [own_missing(), application_with("READY", Some(false))];
    let output = run(stopped).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);

    for (code, name) in [
        ("InvalidRequestException", SnapshotsDisabled),
        ("ResourceInUseException", SnapshotsDisabled),
        ("ThrottlingException", Throttled),
        ("AccessDeniedException", AccessDenied),
        ("LimitExceededException", SnapshotLimitExceeded),
    ] {
        let nothing_listed = Answer::Ok(json!({ "SnapshotSummaries": [] }));
        let exchanges = [
            own_missing(),
            disabled(),
            create(Error(400, code, "no")),
            own_missing(),
            disabled(),
            list_snapshots(None, nothing_listed),
        ];
        let error = run(exchanges).await.unwrap_err();
        assert_eq!(error.name, name, "{code}");
    }
}

#[tokio::test]
async fn enhanced_snapshots_are_reported_as_the_cause_of_any_refused_call() {
    for (code, name) in [
        ("UnsupportedOperationException", SnapshotsUnsupported),
        ("InvalidRequestException", Unexpected),
        ("SomethingNewException", Unexpected),
        ("AccessDeniedException", AccessDenied),
    ] {
        let refusal = || Error(400, code, "not this one");
        for (application, name) in [
            (enhanced(), EnhancedSnapshotsUnsupported),
            (application("RUNNING"), name),
            (describe_application(Answer::Lost), name),
        ] {
            let exchanges = [describe_snapshot(SNAPSHOT, refusal()), application];
            let error = run(exchanges).await.unwrap_err();
            assert_eq!(error.name, name, "{code}");
            assert!(error.fact.contains("not this one"), "{}", error.fact);
        }
    }
    for code in [
        "UnsupportedOperationException",
        "InvalidRequestException",
        "ResourceNotFoundException",
        "LimitExceededException",
        "ResourceInUseException",
    ] {
        let [missing, application, create] = created(Error(400, code, "not this one"));
        let exchanges = [missing, application, create, own_missing(), enhanced()];
        let error = run(exchanges).await.unwrap_err();
        assert_eq!(error.name, EnhancedSnapshotsUnsupported, "{code}");
        assert!(error.fact.contains("not this one"), "{}", error.fact);
    }
    // An error that may pass is not caused by the snapshot mode, so it is not explained.
    let slow = describe_snapshot(SNAPSHOT, Error(400, "ThrottlingException", "slow"));
    assert_eq!(run([slow]).await.unwrap_err().name, Throttled);
}

#[tokio::test]
async fn a_snapshot_is_taken_if_the_response_does_not_say_whether_snapshots_are_enabled() {
    let exchanges = [
        own_missing(),
        application_with("RUNNING", None),
        create(Answer::Ok(json!({}))),
    ];
    assert!(run(exchanges).await.is_ok());
}

#[tokio::test]
async fn an_application_that_does_not_exist_is_not_found() {
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
        (400, "UnsupportedOperationException", SnapshotsUnsupported),
        (500, "InternalFailure", ServiceUnavailable),
    ];
    for (answer, name) in failed_answers(Error, &rows) {
        let own = describe_snapshot(SNAPSHOT, answer.clone());
        let refused = describe_application(answer.clone());
        let mut looked_up = vec![own];
        // The lookup of the snapshot mode.
        if !name.is_retryable() {
            looked_up.push(application("RUNNING"));
        }
        for exchanges in [looked_up, vec![own_missing(), refused]] {
            let error = run(exchanges).await.unwrap_err();
            assert_eq!(error.name, name, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_response_that_is_not_about_the_snapshot_is_an_error() {
    let other = json!({ "SnapshotDetails": snapshot("other", "READY", 3, Value::Null) });
    for body in [json!({}), json!({ "SnapshotDetails": null }), other] {
        let answer = describe_snapshot(SNAPSHOT, Answer::Ok(body));
        let error = run([answer, application("RUNNING")]).await.unwrap_err();
        assert_eq!(error.name, Unexpected);
    }
}

#[tokio::test]
async fn a_response_that_is_not_about_the_application_is_an_error() {
    let mut other = fixtures::application("RUNNING", None);
    other["ApplicationDetail"]["ApplicationName"] = "payments".into();
    for body in [json!({}), json!({ "ApplicationDetail": {} }), other] {
        let answer = describe_application(Answer::Ok(body));
        let error = run([own_missing(), answer]).await.unwrap_err();
        assert_eq!(error.name, Unexpected);
        let fact = "DescribeApplication: the response is not about orders.";
        assert_eq!(error.fact, fact);
    }
}

#[tokio::test]
async fn each_refused_creation_without_another_explanation_has_an_error_name() {
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
        (400, "UnsupportedOperationException", SnapshotsUnsupported),
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (503, "ServiceUnavailable", ServiceUnavailable),
    ];
    for (answer, name) in failed_answers(Error, &rows).into_iter().chain([down]) {
        let mut exchanges = created(answer.clone()).to_vec();
        exchanges.extend(unexplained());
        let error = run_by(3, LATE, orders(), exchanges).await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn a_snapshot_whose_creation_was_accepted_in_a_lost_response_is_found() {
    let exchanges = created(Answer::Lost).into_iter().chain([own("CREATING")]);
    let output = run(exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Started);
    assert_eq!(output.snapshot.unwrap().name, SNAPSHOT);
}

#[tokio::test]
async fn a_run_is_skipped_if_the_application_stops_just_before_the_creation() {
    let refused = created(Error(400, "InvalidRequestException", "not running"));
    let stopping = [own_missing(), application("STOPPING")];
    let output = run(refused.into_iter().chain(stopping)).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
}

#[tokio::test]
async fn a_run_waits_for_another_snapshot_and_is_skipped_if_an_earlier_run_takes_it() {
    let refused = |creating: &str| -> Vec<Exchange> {
        let ready = snapshot("a", "READY", 7, Value::Null);
        let creating = snapshot(creating, "CREATING", 7, Value::Null);
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
        let refused = created(Error(400, "InvalidRequestException", "in progress"));
        refused.into_iter().chain(found).collect()
    };
    let output = run(refused("b")).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Busy);
    let error = run_by(3, LATE, orders(), refused("b")).await.unwrap_err();
    assert_eq!(error.name, ApplicationBusy);
    let fact = &error.fact;
    assert!(fact.ends_with("another snapshot, b."), "{fact}");

    // The listing shows the run's own snapshot before its name is found.
    let output = run(refused(SNAPSHOT)).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Busy);

    let earlier = "custom_1795374147949";
    for now in [NOW, LATE] {
        let output = run_by(3, now, orders(), refused(earlier)).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
        let reason = output.skip_reason.unwrap();
        let expected = format!("The snapshot {earlier} of another run is still CREATING.");
        assert_eq!(reason, expected);
    }
}

#[tokio::test]
async fn a_run_is_skipped_only_for_a_recent_snapshot_and_only_if_its_input_has_no_snapshot_name() {
    use SnapshotCreation::{Busy, Skipped};
    let seconds_before = |seconds: i64| json!(RUN_ID / 1_000 - seconds);
    let named = json!({ "application_name": "orders", "snapshot_name": "before-upgrade" });
    for (input, own, earlier_by, created, expected) in [
        (orders(), SNAPSHOT, 3_600, seconds_before(7_199), Skipped),
        // Older than ready_timeout_seconds by a second.
        (orders(), SNAPSHOT, 3_600, seconds_before(7_200), Busy),
        // Without a creation time, the run id in the name says how old it is.
        (orders(), SNAPSHOT, 7_000, Value::Null, Skipped),
        (orders(), SNAPSHOT, 7_300, Value::Null, Busy),
        (named, "before-upgrade", 3_600, seconds_before(60), Busy),
    ] {
        let earlier = format!("custom_{}", RUN_ID - 1_000 * earlier_by);
        let creating = snapshot(&earlier, "CREATING", 7, created.clone());
        let page = json!({ "SnapshotSummaries": [creating] });
        let exchanges = [
            missing(own),
            application("RUNNING"),
            create_as(own, Error(400, "InvalidRequestException", "in progress")),
            missing(own),
            application("RUNNING"),
            list_snapshots(None, Answer::Ok(page)),
        ];
        let output = run_with(input, exchanges.to_vec()).await.unwrap();
        assert_eq!(output.snapshot_creation, expected, "{created}");
    }
}

#[tokio::test]
async fn an_invalid_input_is_refused_before_any_call_and_the_message_names_the_field() {
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
            keep_last: this field is unknown; expected one of
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
            retention.keep_names: "a b" is not a valid snapshot name
        { …, "retention": { "keep_daily": 1, "timezone": "Europe/Zuerich" } }
            retention.timezone: there is no time zone "Europe/Zuerich"; use a name from the IANA
        { …, "snapshot_name": "custom_1795377747949" }
            snapshot_name: "custom_1795377747949" is the name of a managed snapshot, which a run may delete; choose one
        { …, "snapshot_name": "before upgrade" }
            snapshot_name: "before upgrade" is not a valid snapshot name; choose one with 1 to 256 of a-z,
        { …, "snapshot_name": "before-upgrade", "mode": "PRUNE" }
            snapshot_name: only mode RUN takes a snapshot; leave the name out, or use mode RUN
        { …, "snapshot_name": "before-upgrade", "mode": "PLAN" }
            snapshot_name: only mode RUN takes a snapshot; leave the name out, or use mode RUN
        { …, "poll_interval_seconds": 301 }
            poll_interval_seconds: invalid value: integer `301`, expected a whole number from 1 to 300
        { …, "poll_interval_seconds": "15" }
            poll_interval_seconds: invalid type: string "15", expected a whole number from 1 to 300
        { …, "application_timeout_seconds": 86401 }
            application_timeout_seconds: invalid value: integer `86401`, expected a whole number from 0 to 86400
        { …, "snapshot_attempts": 0 }
            snapshot_attempts: invalid value: integer `0`, expected a whole number from 1 to 5
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
