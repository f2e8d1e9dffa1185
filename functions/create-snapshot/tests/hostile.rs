//! Run inputs and answers as nobody should send them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{
    CreateSnapshotOutput, DescribeSnapshotInput, PruneSnapshotsInput, RunSummary, SnapshotCreation,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::hostile::{mutated, texts};
use testkit::invoke;
use testkit::replay::{Answer, Service};

const NAME: &str = "custom_1795377747949";

fn payload() -> Value {
    json!({
        "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
        "execution_started_at": "2026-11-22T20:02:27.949Z",
        "input": {
            "application_name": "orders", "mode": "RUN",
            "retention": {
                "keep_last": 14, "keep_within": "P7D", "keep_names": ["before-upgrade"],
                "timezone": "Europe/Zurich", "scope": "ALL", "max_deletions_per_run": 10
            },
            "poll_interval_seconds": 30, "ready_timeout_seconds": 3600, "notify_on": "PROBLEMS"
        }
    })
}

fn own() -> Value {
    json!({ "SnapshotDetails": {
        "SnapshotName": NAME, "SnapshotStatus": "CREATING", "ApplicationVersionId": 7,
        "SnapshotCreationTimestamp": 1_795_377_748.42
    }})
}

fn application() -> Value {
    json!({ "ApplicationDetail": {
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": "RUNNING", "ApplicationVersionId": 3,
        "ApplicationConfigurationDescription": {
            "ApplicationSnapshotConfigurationDescription": { "SnapshotsEnabled": true }
        }
    }})
}

fn listing() -> Value {
    json!({ "SnapshotSummaries": [
        { "SnapshotName": "a", "SnapshotStatus": "READY", "ApplicationVersionId": 1 },
        { "SnapshotName": "b", "SnapshotStatus": "CREATING", "ApplicationVersionId": 1 }
    ]})
}

/// The service in some mood: what it answers to each operation, the first and every later time.
#[derive(Clone, Debug)]
struct Mood {
    own: [Answer; 2],
    application: [Answer; 2],
    create: Answer,
    list: Answer,
}

fn moods() -> impl Strategy<Value = Mood> {
    let twice = |document: Value| [answers(document.clone()), answers(document)];
    (
        twice(own()),
        twice(application()),
        answers(json!({})),
        answers(listing()),
    )
        .prop_map(|(own, application, create, list)| Mood {
            own,
            application,
            create,
            list,
        })
}

fn answers(document: Value) -> impl Strategy<Value = Answer> {
    let code = prop_oneof![
        4 => Just("ResourceNotFoundException".to_owned()),
        1 => Just("LimitExceededException".to_owned()),
        1 => Just("InvalidApplicationConfigurationException".to_owned()),
        2 => texts(),
    ];
    prop_oneof![
        3 => Just(Answer::Ok(document.clone())),
        6 => mutated(document).prop_map(Answer::Ok),
        5 => (400_u16..600, code, texts()).prop_map(|(status, code, message)| {
            Answer::Refusal(status, json!({ "__type": code, "message": message }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}

fn create(payload: &Value, mood: Mood, now: Timestamp) -> (Option<CreateSnapshotOutput>, Service) {
    let mut looks = [0, 0];
    let service = Service::answering_by(move |operation, _| {
        let mut again = |which: usize| {
            looks[which] += 1;
            usize::from(looks[which] > 1)
        };
        match operation {
            "DescribeApplicationSnapshot" => mood.own[again(0)].clone(),
            "DescribeApplication" => mood.application[again(1)].clone(),
            "CreateApplicationSnapshot" => mood.create.clone(),
            _ => mood.list.clone(),
        }
    });
    let flink = Client::new(&service.config());
    let handler = |input| create_snapshot::handle(&flink, input, now);
    (invoke(handler, payload).ok(), service.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_worst_of_any_input_answers_and_clock_is_a_typed_error_and_what_is_handed_on_is_taken(
        payload in mutated(payload()),
        mood in moods(),
        now in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let (output, service) = create(&payload, mood, now);
        let creations = service
            .sent()
            .into_iter()
            .filter(|(operation, _)| operation == "CreateApplicationSnapshot")
            .count();
        prop_assert!(creations <= 1);
        if let Some(output) = output {
            let next = serde_json::to_value(&output).unwrap();
            match output.snapshot_creation {
                SnapshotCreation::Started => {
                    let next: DescribeSnapshotInput = serde_json::from_value(next).unwrap();
                    prop_assert_eq!(next.snapshot.name, output.run.snapshot_name());
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
