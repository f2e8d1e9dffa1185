//! Payloads, events, histories and answers as nobody should send them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use testkit::hostile::{is_plain_line, mutated, places, texts, values};
use testkit::invoke;
use testkit::replay::{Answer, Service};

const EXECUTION: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:nightly";
const RUN_ID: i64 = 1_795_377_747_949;
const STOP: i64 = 1_795_384_991_500;

/// A run that has come to its last state, with all that it may have done.
fn done() -> Value {
    let verdict = json!({
        "snapshot_name": "custom_1795118547949", "action": "DELETE", "reasons": ["no rule keeps it"]
    });
    json!({
        "run": {
            "run_id": RUN_ID, "execution_arn": EXECUTION,
            "input": { "application_name": "orders", "retention": { "keep_last": 2 } }
        },
        "skip_reason": "The application orders is READY, not RUNNING.",
        "snapshot": {
            "name": "custom_1795377747949", "accepted_at": "2026-11-22T20:02:28.401Z",
            "created_at": "2026-11-22T20:02:28.42Z", "application_version_id": 7, "seconds": 46
        },
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
        "verdicts": [verdict]
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
            "executionArn": EXECUTION, "status": "FAILED", "startDate": RUN_ID, "stopDate": STOP,
            "input": input.to_string(), "error": "SnapshotTimedOut", "cause": cause.to_string(),
            "name": "nightly", "output": null
        }
    })
}

fn history(given: &Value, cause: &Value) -> Value {
    json!({ "events": [
        {
            "timestamp": 1_795_384_991.5, "type": "ExecutionFailed", "id": 9, "previousEventId": 8,
            "executionFailedEventDetails": { "error": "SnapshotTimedOut", "cause": cause.to_string() }
        },
        {
            "timestamp": 1_795_384_991, "type": "TaskStateEntered", "id": 8, "previousEventId": 7,
            "stateEnteredEventDetails": { "name": "PruneSnapshots", "input": given.to_string() }
        }
    ]})
}

/// What the function is given: the last state's input or an event, in each of which any text may be
/// one that nobody should have written.
fn payloads() -> impl Strategy<Value = Value> {
    let run_input = mutated(json!({ "application_name": "orders", "mode": "RUN" }));
    let events = (run_input, mutated(cause()))
        .prop_flat_map(|(input, cause)| mutated(event(&input, &cause)));
    prop_oneof![
        mutated(done()),
        with_texts(done()),
        events,
        with_texts(event(&json!({}), &cause()))
    ]
}

fn histories() -> impl Strategy<Value = Value> {
    let given = prop_oneof![mutated(done()), with_texts(done())];
    (given, mutated(cause())).prop_flat_map(|(given, cause)| {
        let history = history(&given, &cause);
        prop_oneof![mutated(history.clone()), with_texts(history)]
    })
}

/// The document with other texts in up to four places that have one.
fn with_texts(document: Value) -> impl Strategy<Value = Value> {
    let textual: Vec<String> = places(&document)
        .into_iter()
        .filter(|at| document.pointer(at).is_some_and(Value::is_string))
        .collect();
    vec((any::<Index>(), texts()), 1..5).prop_map(move |changes| {
        let mut document = document.clone();
        for (place, text) in changes {
            let place: &String = place.get(&textual);
            *document.pointer_mut(place).unwrap() = text.into();
        }
        document
    })
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

fn refusals() -> impl Strategy<Value = Answer> {
    let code = prop_oneof![
        select(vec![
            "ConditionalCheckFailedException",
            "ResourceNotFoundException",
            "ThrottlingException"
        ])
        .prop_map(str::to_owned),
        texts(),
    ];
    prop_oneof![
        4 => (400_u16..600, code, texts(), values()).prop_map(|(status, code, message, item)| {
            Answer::Refusal(status, json!({ "__type": code, "message": message, "Item": item }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}

fn of_sns() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Text(
            "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>".to_owned()
        )),
        2 => (200_u16..600, texts(), texts()).prop_map(|(status, code, message)| Answer::Page(
            status,
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
        )),
        1 => Just(Answer::Lost),
    ]
}

/// Invokes the function and holds what it has written and announced to what always holds.
fn run(payload: &Value, history: Answer, update: Answer, publish: Answer, now: Timestamp) {
    let service = Service::answering_by(move |operation, _| match operation {
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
        serde_json::from_value::<contract::RecordAndNotifyOutput>(output).unwrap();
    }
}

/// No text from outside begins a line of the subject, the SMS or the mail.
fn assert_announcement(body: &Value) {
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let subject = text("Subject");
    assert!(is_plain_line(&subject), "{subject:?}");
    assert!((1..100).contains(&subject.chars().count()), "{subject}");
    let message: Value = serde_json::from_str(&text("Message")).unwrap();
    let record: Value = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
    serde_json::from_value::<contract::AuditRecord>(record.clone()).unwrap();
    let sms = message["sms"].as_str().unwrap();
    assert!(is_plain_line(sms) && sms.chars().count() <= 140, "{sms:?}");
    let mail = message["email"].as_str().unwrap();
    for line in mail.split('\n') {
        assert!(is_plain_line(line), "{line:?}");
    }
    let begun = |begin: &str| {
        mail.split('\n')
            .filter(|line| line.starts_with(begin))
            .count()
    };
    assert_eq!(begun("Execution: "), 1, "{mail}");
    assert_eq!(begun("Record: "), 1, "{mail}");
    // Nine paragraphs with a line between any two, of which one has a line more, and the failures.
    let failures = record["snapshots_failed_to_be_deleted"]
        .as_array()
        .map_or(0, Vec::len);
    assert!(
        mail.split('\n').count() <= 9 + 8 + 1 + failures.min(10),
        "{mail}"
    );
}

/// What the line of metrics is made of is plain, as the console of the table shows it.
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
    fn no_text_of_a_payload_or_history_forges_a_line_of_what_is_announced_recorded_or_logged(
        payload in payloads(), history in histories(), now in times()
    ) {
        let published = Answer::Text("<PublishResponse/>".to_owned());
        run(&payload, Answer::Ok(history), Answer::Ok(json!({})), published, now);
    }

    #[test]
    fn the_worst_of_any_answers_is_a_typed_error(
        payload in payloads(),
        history in prop_oneof![histories().prop_map(Answer::Ok), refusals()],
        update in prop_oneof![mutated(row()).prop_map(Answer::Ok), refusals()],
        publish in of_sns(), now in times()
    ) {
        run(&payload, history, update, publish, now);
    }
}
