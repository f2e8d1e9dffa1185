//! Property tests with invalid payloads, events, histories and answers.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use contract::{AuditRecord, RecordAndNotifyOutput};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use testkit::fixtures::{self, EXECUTION, RUN_ID, any_failed_answer, own_snapshot};
use testkit::hostile::{is_plain_line, mutated, places, texts, values};
use testkit::invoke;
use testkit::replay::{Answer, Service};

/// A run that has come to its last state, with every field.
fn done() -> Value {
    json!({
        "run": fixtures::run(json!({ "retention": { "keep_last": 2 } })),
        "skip_reason": "The application orders is READY, not RUNNING.",
        "snapshot": own_snapshot(),
        "progress": {
            "deleted_count": 1,
            "deleted": [{
                "snapshot_name": "custom_1795118547949", "created_at": "2026-11-19T20:02:28.42Z",
                "application_version_id": 6, "reason": "no rule keeps it"
            }],
            "failed_count": 1,
            "failed": [{ "snapshot_name": "custom_1795032147949", "reason": "in use." }]
        },
        "deletions_wanted": 3,
        "held_back": {
            "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 3, "message": "Three are held back."
        },
        "snapshots_ready": 2, "snapshots_total": 3, "newest_ready_at": "2026-11-22T20:02:28.42Z",
        "verdicts": [{
            "snapshot_name": "custom_1795118547949", "action": "DELETE",
            "reasons": ["no rule keeps it"]
        }],
        "warnings": ["The restore point before-upgrade is not listed."]
    })
}

fn cause() -> Value {
    json!({ "errorType": "SnapshotTimedOut", "errorMessage": "Still CREATING.", "trace": [] })
}

fn event(input: &Value, cause: &Value) -> Value {
    json!({
        "version": "0", "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": EXECUTION, "status": "FAILED", "startDate": RUN_ID,
            "stopDate": 1_795_384_991_500_i64, "input": input.to_string(),
            "error": "SnapshotTimedOut", "cause": cause.to_string(), "name": "nightly", "output": null
        }
    })
}

fn history(input: &Value, cause: &Value) -> Value {
    json!({ "events": [
        {
            "timestamp": 1_795_384_991.5, "type": "ExecutionFailed", "id": 9, "previousEventId": 8,
            "executionFailedEventDetails": { "error": "SnapshotTimedOut", "cause": cause.to_string() }
        },
        {
            "timestamp": 1_795_384_991, "type": "TaskStateEntered", "id": 8, "previousEventId": 7,
            "stateEnteredEventDetails": { "name": "PruneSnapshots", "input": input.to_string() }
        }
    ]})
}

/// The document with changes at any place, or with other texts in up to four places that have one.
fn changed(document: Value) -> impl Strategy<Value = Value> {
    let mut textual = places(&document);
    textual.retain(|at| document.pointer(at).is_some_and(Value::is_string));
    let changes = vec((any::<Index>(), texts()), 1..5);
    let with_texts = (changes, Just(document.clone())).prop_map(move |(changes, mut document)| {
        for (index, text) in changes {
            let place: &String = index.get(&textual);
            *document.pointer_mut(place).unwrap() = text.into();
        }
        document
    });
    prop_oneof![mutated(document), with_texts]
}

/// The input of the last state, or an event.
fn payloads() -> impl Strategy<Value = Value> {
    let run_input = mutated(json!({ "application_name": "orders", "mode": "RUN" }));
    let events = (run_input, mutated(cause()))
        .prop_flat_map(|(input, cause)| changed(event(&input, &cause)));
    prop_oneof![changed(done()), events]
}

fn histories() -> impl Strategy<Value = Value> {
    (changed(done()), mutated(cause()))
        .prop_flat_map(|(input, cause)| changed(history(&input, &cause)))
}

fn row() -> Value {
    json!({ "Attributes": {
        "app_name": { "S": "orders" }, "execution_arn": { "S": EXECUTION },
        "notified": { "M": {
            "outcome": { "S": "SUCCEEDED" }, "finished_at": { "N": "1795377760000" },
            "message_id": { "S": "m-0" }
        }}
    }})
}

/// Refused calls; some with a row, as a failed condition answers.
fn refusals() -> impl Strategy<Value = Answer> {
    let refusals = any_failed_answer(&[
        "ConditionalCheckFailedException",
        "ResourceNotFoundException",
        "ThrottlingException",
    ]);
    (refusals, values()).prop_map(|(answer, row)| match answer {
        Answer::ErrorBody(status, mut body) => {
            body["Item"] = row;
            Answer::ErrorBody(status, body)
        }
        other => other,
    })
}

fn of_sns() -> impl Strategy<Value = Answer> {
    let accepted = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult>\
                    </PublishResponse>";
    let error = |(status, code, message): (u16, String, String)| {
        let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Answer::Page(status, format!("<ErrorResponse>{error}</ErrorResponse>"))
    };
    prop_oneof![
        3 => Just(Answer::Page(200, accepted.to_owned())),
        2 => (200_u16..600, texts(), texts()).prop_map(error),
        1 => Just(Answer::Lost),
    ]
}

/// Invokes the function, and checks what it writes, announces and answers.
fn run(payload: &Value, history: Answer, update: Answer, publish: Answer, now: Timestamp) {
    let service = Service::answering_with(move |operation, _| match operation {
        "GetExecutionHistory" => history.clone(),
        "UpdateItem" => update.clone(),
        _ => publish.clone(),
    });
    let config = Ok(Config {
        table_name: "snapshot_manager_status".to_owned(),
        topic_arn: "arn:aws:sns:eu-central-1:123456789012:snapshots".to_owned(),
        application_name: None,
        record_retention_days: Some(u32::MAX),
    });
    let clients = Clients::new(&service.config());
    let handler = |input| record_and_notify::handle(&clients, &config, input, now, |_| ());
    let answer = invoke(handler, payload);
    for (operation, body) in service.sent() {
        match operation.as_str() {
            "Publish" => assert_announcement(&body),
            "UpdateItem" => assert_row(&body),
            _ => (),
        }
    }
    if let Ok(output) = answer {
        let output = serde_json::to_value(output).unwrap();
        serde_json::from_value::<RecordAndNotifyOutput>(output).unwrap();
    }
}

/// No text from outside begins a line of the subject, the SMS or the e-mail.
fn assert_announcement(body: &Value) {
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let subject = text("Subject");
    assert!(is_plain_line(&subject), "{subject:?}");
    assert!((1..100).contains(&subject.chars().count()), "{subject}");
    let message: Value = serde_json::from_str(&text("Message")).unwrap();
    let record = message["default"].as_str().unwrap();
    let record: AuditRecord = serde_json::from_str(record).unwrap();
    let sms = message["sms"].as_str().unwrap();
    assert!(is_plain_line(sms) && sms.chars().count() <= 140, "{sms:?}");
    let email = message["email"].as_str().unwrap();
    for line in email.split('\n') {
        assert!(is_plain_line(line), "{line:?}");
    }
    for start in ["Execution: ", "Record: "] {
        let lines = email.split('\n').filter(|line| line.starts_with(start));
        assert_eq!(lines.count(), 1, "{email}");
    }
    // Ten paragraphs with a line between any two, one of them with a second line and the failures, one with a line
    // for each warning, and the planned deletions with the number of the rest.
    let failures = record.snapshots_failed_to_be_deleted;
    let failures = failures.map_or(0, |failures| failures.len().min(10));
    let planned = record.plan.map_or(0, |plan| plan.len().min(20) + 1);
    let most = 10 + 9 + 1 + failures + record.warnings.len() + planned;
    assert!(email.split('\n').count() <= most, "{email}");
}

/// The texts that the line of metrics takes from the row are plain.
fn assert_row(body: &Value) {
    for name in [
        ":execution_arn",
        ":failed_state",
        ":error_name",
        ":error_message",
    ] {
        if let Some(text) = body["ExpressionAttributeValues"][name]["S"].as_str() {
            assert!(is_plain_line(text), "{name} {text:?}");
        }
    }
}

fn times() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second())
        .prop_map(|second| Timestamp::from_second(second).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_of_a_payload_or_history_forges_a_line_of_a_message_a_row_or_the_log(
        payload in payloads(), history in histories(), now in times()
    ) {
        let published = Answer::Page(200, "<PublishResponse/>".to_owned());
        run(&payload, Answer::Ok(history), Answer::Ok(json!({})), published, now);
    }

    #[test]
    fn any_answers_give_a_named_error_or_an_output(
        payload in payloads(),
        history in prop_oneof![histories().prop_map(Answer::Ok), refusals()],
        update in prop_oneof![mutated(row()).prop_map(Answer::Ok), refusals()],
        publish in of_sns(), now in times()
    ) {
        run(&payload, history, update, publish, now);
    }
}
