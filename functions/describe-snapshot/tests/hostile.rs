//! Property tests with invalid payloads and answers.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{DescribeSnapshotInput, DescribeSnapshotOutput, PruneSnapshotsInput};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::fixtures::{SNAPSHOT, any_failed_answer, run, snapshot};
use testkit::hostile::mutated;
use testkit::invoke;
use testkit::replay::{Answer, Service};

const ACCEPTED: i64 = 1_795_377_748;

fn input() -> Value {
    json!({
        "run": run(json!({ "ready_timeout_seconds": 3600 })),
        "snapshot": { "name": SNAPSHOT, "accepted_at": "2026-11-22T20:02:28Z" },
        "snapshot_creation": "STARTED", "wait_seconds": 15
    })
}

fn details(created: f64) -> Value {
    json!({ "SnapshotDetails": snapshot(SNAPSHOT, "CREATING", 7, created) })
}

fn answers() -> impl Strategy<Value = Answer> {
    const CODES: &[&str] = &[
        "ResourceNotFoundException",
        "InvalidArgumentException",
        "ThrottlingException",
    ];
    prop_oneof![
        6 => mutated(details(1_795_377_748.42)).prop_map(Answer::Ok),
        4 => any_failed_answer(CODES),
    ]
}

/// Any time, most often close to the run.
fn times() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => ACCEPTED - 100_000..ACCEPTED + 100_000,
        1 => Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ]
    .prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn describe(payload: &Value, answer: Answer, now: Timestamp) -> Option<DescribeSnapshotOutput> {
    let service = Service::answering_with(move |_, _| answer.clone());
    let flink = Client::new(&service.config());
    let handler = |input| describe_snapshot::handle(&flink, input, now);
    invoke(handler, payload).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_payload_answer_and_clock_give_a_named_error_or_an_output_that_the_next_states_accept(
        payload in mutated(input()), answer in answers(), now in times()
    ) {
        if let Some(output) = describe(&payload, answer, now) {
            let next = serde_json::to_value(&output).unwrap();
            serde_json::from_value::<DescribeSnapshotInput>(next.clone()).unwrap();
            serde_json::from_value::<PruneSnapshotsInput>(next).unwrap();
            prop_assert!((1..=300).contains(&output.wait_seconds));
        }
    }

    #[test]
    fn no_creation_timestamp_makes_a_run_wait_longer_than_its_timeout(created in -1e12_f64..1e12) {
        let now = Timestamp::from_second(ACCEPTED).unwrap() + SignedDuration::from_secs(3_600);
        prop_assert!(describe(&input(), Answer::Ok(details(created)), now).is_none());
    }
}
