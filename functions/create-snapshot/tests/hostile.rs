//! Property tests with invalid run inputs and answers.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{
    CreateSnapshotOutput, DescribeSnapshotInput, PruneSnapshotsInput, RunSummary, SnapshotCreation,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, SNAPSHOT, any_failed_answer, application, snapshot};
use testkit::hostile::mutated;
use testkit::invoke;
use testkit::replay::{Answer, Service};

fn payload() -> Value {
    json!({
        "execution_arn": EXECUTION, "execution_started_at": "2026-11-22T20:02:27.949Z", "definition": 3,
        "input": {
            "application_name": "orders", "mode": "RUN",
            "retention": {
                "keep_last": 14, "keep_within": "P7D", "keep_names": ["before-upgrade"],
                "timezone": "Europe/Zurich", "scope": "ALL", "max_deletions_per_run": 10,
                "keep_last_runtimes": 2
            },
            "poll_interval_seconds": 30, "ready_timeout_seconds": 3600, "snapshot_attempts": 2, "notify_on": "PROBLEMS"
        }
    })
}

/// What the service answers to each operation; of two answers, the first one once.
#[derive(Clone, Debug)]
struct Answers {
    own: [Answer; 2],
    application: [Answer; 2],
    create: Answer,
    list: Answer,
}

fn service() -> impl Strategy<Value = Answers> {
    let twice = |document: Value| [answers(document.clone()), answers(document)];
    let own = snapshot(SNAPSHOT, "CREATING", 7, 1_795_377_748.42);
    let configuration =
        json!({ "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": true } });
    let listed = ["READY", "CREATING"].map(|status| snapshot(status, status, 1, Value::Null));
    (
        twice(json!({ "SnapshotDetails": own })),
        twice(application("RUNNING", Some(configuration))),
        answers(json!({})),
        answers(json!({ "SnapshotSummaries": listed })),
    )
        .prop_map(|(own, application, create, list)| Answers {
            own,
            application,
            create,
            list,
        })
}

fn answers(document: Value) -> impl Strategy<Value = Answer> {
    const MISSING: &str = "ResourceNotFoundException";
    // The more often the snapshot is missing, the more calls a run makes.
    const CODES: &[&str] = &[
        MISSING,
        MISSING,
        MISSING,
        MISSING,
        "LimitExceededException",
        "InvalidApplicationConfigurationException",
    ];
    prop_oneof![
        3 => Just(Answer::Ok(document.clone())),
        6 => mutated(document).prop_map(Answer::Ok),
        7 => any_failed_answer(CODES),
    ]
}

fn create(
    payload: &Value,
    answers: Answers,
    now: Timestamp,
) -> (Option<CreateSnapshotOutput>, Service) {
    let mut calls = [0, 0];
    let service = Service::answering_with(move |operation, _| {
        let mut later = |which: usize| {
            calls[which] += 1;
            usize::from(calls[which] > 1)
        };
        match operation {
            "DescribeApplicationSnapshot" => answers.own[later(0)].clone(),
            "DescribeApplication" => answers.application[later(1)].clone(),
            "CreateApplicationSnapshot" => answers.create.clone(),
            _ => answers.list.clone(),
        }
    });
    let flink = Client::new(&service.config());
    let handler = |input| create_snapshot::handle(&flink, input, now);
    (invoke(handler, payload).ok(), service.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_input_answers_and_clock_give_a_named_error_or_an_output_that_the_next_state_accepts(
        payload in mutated(payload()),
        answers in service(),
        now in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let (output, service) = create(&payload, answers, now);
        let sent = service.sent();
        let creations = sent.iter().filter(|(operation, _)| operation == "CreateApplicationSnapshot");
        prop_assert!(creations.count() <= 1);
        if let Some(output) = output {
            let next = serde_json::to_value(&output).unwrap();
            match output.snapshot_creation {
                SnapshotCreation::Started => {
                    let next: DescribeSnapshotInput = serde_json::from_value(next).unwrap();
                    prop_assert!(output.run.snapshot_names().any(|name| name == next.snapshot.name));
                }
                SnapshotCreation::Busy => {
                    prop_assert!((1..=300).contains(&output.wait_seconds));
                    prop_assert!(output.run.definition_handles_busy_and_failed());
                }
                SnapshotCreation::NotWanted => {
                    serde_json::from_value::<PruneSnapshotsInput>(next).unwrap();
                }
                SnapshotCreation::Skipped => {
                    let next: RunSummary = serde_json::from_value(next).unwrap();
                    prop_assert!(next.skip_reason.is_some());
                }
            }
        }
    }
}
