//! Payloads and answers as nobody should send them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{DescribeSnapshotInput, DescribeSnapshotOutput, PruneSnapshotsInput};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::hostile::{mutated, texts};
use testkit::invoke;
use testkit::replay::{Answer, Service};

const NAME: &str = "custom_1795377747949";
const ACCEPTED: i64 = 1_795_377_748;

fn input() -> Value {
    json!({
        "run": {
            "run_id": 1_795_377_747_949_i64,
            "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
            "input": { "application_name": "orders", "ready_timeout_seconds": 3600 }
        },
        "snapshot": { "name": NAME, "accepted_at": "2026-11-22T20:02:28Z" },
        "snapshot_creation": "STARTED", "wait_seconds": 15
    })
}

fn details() -> Value {
    json!({ "SnapshotDetails": {
        "SnapshotName": NAME, "SnapshotStatus": "CREATING", "ApplicationVersionId": 7,
        "SnapshotCreationTimestamp": 1_795_377_748.42, "RuntimeEnvironment": "FLINK-1_20"
    }})
}

/// Any answer: one about the snapshot that is more or less whole, or a refusal.
fn answers() -> impl Strategy<Value = Answer> {
    let codes = prop_oneof![
        Just("ResourceNotFoundException".to_owned()),
        Just("InvalidArgumentException".to_owned()),
        Just("ThrottlingException".to_owned()),
        texts(),
    ];
    prop_oneof![
        6 => mutated(details()).prop_map(Answer::Ok),
        2 => (400_u16..600, codes, texts()).prop_map(|(status, code, message)| {
            Answer::Refusal(status, json!({ "__type": code, "message": message }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}

/// Any time, most often about that of the run.
fn times() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => ACCEPTED - 100_000..ACCEPTED + 100_000,
        1 => Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ]
    .prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn look(payload: &Value, answer: Answer, now: Timestamp) -> Option<DescribeSnapshotOutput> {
    let service = Service::answering_by(move |_, _| answer.clone());
    let flink = Client::new(&service.config());
    let handler = |input| describe_snapshot::handle(&flink, input, now);
    invoke(handler, payload).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_worst_of_any_payload_answer_and_clock_is_a_typed_error_and_what_is_handed_on_is_taken(
        payload in mutated(input()), answer in answers(), now in times()
    ) {
        if let Some(output) = look(&payload, answer, now) {
            let next = serde_json::to_value(&output).unwrap();
            serde_json::from_value::<DescribeSnapshotInput>(next.clone()).unwrap();
            serde_json::from_value::<PruneSnapshotsInput>(next).unwrap();
            prop_assert!((1..=300).contains(&output.wait_seconds));
        }
    }

    #[test]
    fn no_timestamp_of_the_services_makes_a_run_wait_longer_than_it_was_told_to(
        created in -1e12_f64..1e12
    ) {
        let mut details = details();
        details["SnapshotDetails"]["SnapshotCreationTimestamp"] = created.into();
        let now = Timestamp::from_second(ACCEPTED).unwrap() + SignedDuration::from_secs(3_600);
        prop_assert!(look(&input(), Answer::Ok(details), now).is_none());
    }
}
