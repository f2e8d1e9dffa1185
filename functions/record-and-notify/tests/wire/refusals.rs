//! Failed calls and invalid input.

use contract::ErrorName::{
    AccessDenied, Misconfigured, ServiceUnavailable, TableNotFound, Throttled, TopicNotFound,
    Unexpected,
};
use serde_json::json;
use testkit::fixtures::failed_answers;
use testkit::replay::Answer::{Error, Lost, QueryError};
use testkit::replay::Service;

use crate::given::{event, failed_event, succeeded, too_slow};
use crate::invocation::{
    TOPIC, accepted, announced, condition_failed, config, handle, invoke, written,
};

#[tokio::test]
async fn if_the_history_cannot_be_read_the_run_is_recorded_and_notified_before_the_step_fails() {
    let rows = [
        (400, "AccessDeniedException", AccessDenied),
        (400, "KmsAccessDeniedException", AccessDenied),
        (400, "ExpiredTokenException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (400, "KmsThrottlingException", Throttled),
        (500, "InternalFailure", ServiceUnavailable),
        (400, "ExecutionDoesNotExist", Unexpected),
        (400, "InvalidArn", Unexpected),
        (400, "InvalidToken", Unexpected),
        (400, "KmsInvalidStateException", Unexpected),
    ];
    for (answer, name) in failed_answers(Error, &rows) {
        let refused = [("GetExecutionHistory", answer.clone())];
        let answers = refused.into_iter().chain(announced());
        let run = invoke(failed_event(), answers).await;
        assert_eq!(run.error().name, name, "{answer:?}");
        let row = run.row();
        assert_eq!(row["app_name"], "orders");
        assert_eq!(row["error_name"], "SnapshotTimedOut");
        assert_eq!(row["error_message"], too_slow());
        assert_eq!(row.get("failed_state"), None);
        assert_eq!(run.subject(), "orders: FAILED with SnapshotTimedOut");
    }
}

#[tokio::test]
async fn each_refused_write_has_an_error_name_and_no_notification_is_sent() {
    let rows = [
        (400, "ResourceNotFoundException", TableNotFound),
        (400, "AccessDeniedException", AccessDenied),
        (400, "KMSAccessDeniedException", AccessDenied),
        (400, "UnrecognizedClientException", AccessDenied),
        (400, "ProvisionedThroughputExceededException", Throttled),
        (400, "RequestLimitExceeded", Throttled),
        (400, "ThrottlingException", Throttled),
        (500, "InternalServerError", ServiceUnavailable),
        (400, "ItemCollectionSizeLimitExceededException", Unexpected),
        (400, "ValidationException", Unexpected),
    ];
    for (answer, name) in failed_answers(Error, &rows) {
        let run = invoke(succeeded(), [("UpdateItem", answer.clone())]).await;
        assert_eq!(run.error().name, name, "{answer:?}");
        if name == TableNotFound {
            let fact = "The table snapshot_manager_status does not exist.";
            assert_eq!(run.error().fact, fact);
        }
    }
}

#[tokio::test]
async fn each_refused_notification_has_an_error_name_and_the_row_is_not_marked() {
    let rows = [
        (404, "NotFound", TopicNotFound),
        (404, "NotFoundException", TopicNotFound),
        (403, "AuthorizationError", AccessDenied),
        (403, "InvalidClientTokenId", AccessDenied),
        (403, "InvalidSecurity", AccessDenied),
        (400, "KMSAccessDenied", AccessDenied),
        (403, "KMSOptInRequired", AccessDenied),
        (400, "Throttling", Throttled),
        (400, "KMSThrottling", Throttled),
        (500, "InternalError", ServiceUnavailable),
        (400, "InvalidParameter", Unexpected),
        (400, "KMSDisabled", Unexpected),
        (400, "KMSInvalidState", Unexpected),
        (400, "KMSNotFound", Unexpected),
        (400, "ParameterValueInvalid", Unexpected),
        (400, "ValidationException", Unexpected),
    ];
    for (answer, name) in failed_answers(QueryError, &rows) {
        let run = invoke(succeeded(), [written(), ("Publish", answer.clone())]).await;
        assert_eq!(run.error().name, name, "{answer:?}");
        if name == TopicNotFound {
            let fact = format!("The topic {TOPIC} does not exist. The audit record was written.");
            assert_eq!(run.error().fact, fact);
        }
    }
}

#[tokio::test]
async fn the_step_succeeds_after_the_notification_even_if_the_row_cannot_be_marked() {
    for answer in [
        condition_failed(None).1,
        Error(400, "ResourceNotFoundException", "no"),
        Error(400, "AccessDeniedException", "no"),
        Error(400, "ThrottlingException", "slow"),
        Error(500, "InternalServerError", "later"),
        Error(400, "ValidationException", "bad"),
        Lost,
    ] {
        let answers = [written(), accepted(), ("UpdateItem", answer)];
        let run = invoke(succeeded(), answers).await;
        assert_eq!(run.message_id(), Some("m-1"));
    }
}

#[tokio::test]
async fn an_invalid_environment_or_payload_fails_before_any_call() {
    let service = Service::answering([]);
    let fact = "The function's environment: TOPIC_ARN is not set.";
    for input in [succeeded(), failed_event()] {
        let run = handle(&service, Err(fact.to_owned()), input, |_| ()).await;
        let error = run.error();
        assert_eq!((error.name, error.fact.as_str()), (Misconfigured, fact));
    }
    let invalid_run = json!({ "done": { "run": { "run_id": "x" } } });
    for (input, place) in [
        (invalid_run, "done.run.run_id: "),
        (event("RUNNING", json!({})), "detail.status: "),
    ] {
        let run = handle(&service, Ok(config()), input, |_| ()).await;
        let error = run.error();
        assert_eq!(error.name, Unexpected);
        assert!(error.fact.starts_with(place), "{}", error.fact);
    }
}
