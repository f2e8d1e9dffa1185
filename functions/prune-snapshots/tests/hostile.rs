//! Payloads, listings and answers as nobody should send them.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeSet;

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, RunSummary};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use testkit::hostile::{mutated, texts, values};
use testkit::invoke;
use testkit::replay::{Answer, Service};

const RUN_ID: i64 = 1_795_377_747_949;
const RESTORE_POINT: u64 = 3;

fn name(number: u64) -> String {
    format!("custom_{:013}", RUN_ID.unsigned_abs() - number * 86_400_000)
}

fn run(mode: &str, scope: &str) -> Value {
    json!({
        "run_id": RUN_ID, "definition": 2,
        "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
        "input": {
            "application_name": "orders", "mode": mode,
            "retention": {
                "keep_last": 1, "keep_last_versions": 1, "scope": scope,
                "max_deletions_per_run": 1_000
            }
        }
    })
}

fn application() -> Value {
    json!({ "ApplicationDetail": {
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": "RUNNING", "ApplicationVersionId": 3,
        "ApplicationConfigurationDescription": { "RunConfigurationDescription": {
            "ApplicationRestoreConfigurationDescription": {
                "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                "SnapshotName": name(RESTORE_POINT)
            }
        }}
    }})
}

/// A snapshot as a listing has it: of few names, so that some are listed twice, and of any status and
/// time, so that what is listed twice seldom is the same.
fn summaries() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        8 => (0_u64..8).prop_map(name),
        1 => Just("before-upgrade".to_owned()),
        1 => Just("n".repeat(256)),
    ];
    let status = prop_oneof![
        6 => Just("READY".to_owned()),
        1 => Just("CREATING".to_owned()),
        1 => Just("DELETING".to_owned()),
        1 => Just("FAILED".to_owned()),
        1 => texts(),
    ];
    let time = prop_oneof![
        8 => (0_i64..10).prop_map(|days| json!(RUN_ID / 1_000 - days * 86_400)),
        1 => select(vec![json!(1e300), json!(-1e300), json!(253_402_207_200_i64), json!(-1), json!(null)]),
    ];
    let of = |(name, status, time, version): (String, String, Value, i64)| {
        let mut summary = json!({
            "SnapshotName": name, "SnapshotStatus": status, "ApplicationVersionId": version
        });
        if !time.is_null() {
            summary["SnapshotCreationTimestamp"] = time;
        }
        summary
    };
    (
        name,
        status,
        time,
        prop_oneof![8 => Just(3), 1 => any::<i64>()],
    )
        .prop_map(of)
}

/// Pages of a listing, in any order, some of them empty.
fn listings() -> impl Strategy<Value = Vec<Value>> {
    vec(vec(summaries(), 0..6).prop_map(Value::from), 1..4)
}

fn refusals() -> impl Strategy<Value = Answer> {
    let code = prop_oneof![
        select(vec![
            "ResourceNotFoundException",
            "InvalidArgumentException",
            "ThrottlingException",
            "ResourceInUseException",
            "AccessDeniedException",
            "ConcurrentModificationException",
        ])
        .prop_map(str::to_owned),
        texts(),
    ];
    prop_oneof![
        6 => (400_u16..600, code, texts()).prop_map(|(status, code, message)| {
            Answer::Refusal(status, json!({ "__type": code, "message": message }))
        }),
        1 => (200_u16..600, texts()).prop_map(|(status, text)| Answer::Page(status, text)),
        1 => Just(Answer::Lost),
    ]
}

/// A service that lists these pages, and answers other operations in turn.
fn service(application: Answer, pages: Vec<Answer>, others: Vec<Answer>) -> Service {
    let mut turn = 0;
    Service::answering_by(move |operation, body| match operation {
        "DescribeApplication" => application.clone(),
        "ListApplicationSnapshots" => {
            let page = body["NextToken"]
                .as_str()
                .map_or(0, |token| token.parse().unwrap_or(0));
            pages[page % pages.len()].clone()
        }
        _ => {
            turn += 1;
            others[turn % others.len()].clone()
        }
    })
}

/// Whole pages, each with the token of the next.
fn pages(listing: &[Value]) -> Vec<Answer> {
    let of = |(number, summaries): (usize, &Value)| {
        let mut page = json!({ "SnapshotSummaries": summaries });
        if number + 1 < listing.len() {
            page["NextToken"] = (number + 1).to_string().into();
        }
        Answer::Ok(page)
    };
    listing.iter().enumerate().map(of).collect()
}

fn prune(payload: &Value, service: &Service, now: Timestamp) -> Option<PruneSnapshotsOutput> {
    let flink = Client::new(&service.config());
    let handler = |input| prune_snapshots::handle(&flink, input, now);
    invoke(handler, payload).ok()
}

fn times() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => RUN_ID / 1_000 - 1_000_000..RUN_ID / 1_000 + 1_000_000,
        1 => Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ]
    .prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn modes() -> impl Strategy<Value = &'static str> {
    select(vec!["RUN", "PRUNE", "PLAN"])
}

fn scopes() -> impl Strategy<Value = &'static str> {
    select(vec!["MANAGED", "ALL"])
}

/// What may go, by what the pages say of it: of one mind, READY or FAILED, with a timestamp, in scope,
/// and neither the newest READY one, nor the run's own, nor the restore point.
fn may_go(listing: &[Value], scope: &str) -> BTreeSet<String> {
    let all: Vec<&Value> = listing
        .iter()
        .flat_map(|page| page.as_array().unwrap())
        .collect();
    let name_of = |summary: &Value| summary["SnapshotName"].as_str().unwrap().to_owned();
    let time_of = |summary: &Value| {
        let seconds = summary["SnapshotCreationTimestamp"].as_f64()?;
        (-377_705_023_201.0..=253_402_207_200.0)
            .contains(&seconds)
            .then_some(seconds)
    };
    let judged: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|summary| {
            all.iter()
                .all(|other| name_of(other) != name_of(summary) || other == summary)
        })
        .collect();
    let newest = judged
        .iter()
        .filter(|summary| summary["SnapshotStatus"] == "READY")
        .filter_map(|summary| Some((time_of(summary)?, name_of(summary))))
        .max_by(|a, b| a.partial_cmp(b).unwrap());
    judged
        .into_iter()
        .filter(|summary| {
            let name = name_of(summary);
            let managed = contract::is_managed(&name);
            (summary["SnapshotStatus"] == "READY" && (managed || scope == "ALL")
                || summary["SnapshotStatus"] == "FAILED" && managed)
                && time_of(summary).is_some()
                && newest.as_ref().is_none_or(|(_, newest)| *newest != name)
                && name != self::name(0)
                && name != self::name(RESTORE_POINT)
        })
        .map(name_of)
        .collect()
}

fn deletions(service: &Service) -> Vec<String> {
    service
        .sent()
        .into_iter()
        .filter(|(operation, _)| operation == "DeleteApplicationSnapshot")
        .map(|(_, body)| body["SnapshotName"].as_str().unwrap().to_owned())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..Default::default() })]

    #[test]
    fn of_any_listing_nothing_is_deleted_that_cannot_be_judged_or_is_protected(
        listing in listings(), mode in modes(), scope in scopes(), now in times(),
        refusals in vec(refusals(), 1..4)
    ) {
        let mut payload = json!({ "run": run(mode, scope) });
        let may_go = may_go(&listing, scope);
        let mut answers = vec![Answer::Ok(json!({}))];
        answers.extend(refusals);
        // As the machine does: the state again, while it says so.
        for _ in 0..4 {
            let service = service(Answer::Ok(application()), pages(&listing), answers.clone());
            let Some(output) = prune(&payload, &service, now) else { break };
            for gone in deletions(&service) {
                prop_assert!(may_go.contains(&gone), "{} was deleted", gone);
            }
            for doomed in &output.batch {
                prop_assert!(may_go.contains(&doomed.snapshot_name), "{:?} is to be deleted", doomed);
            }
            prop_assert!(mode != "PLAN" || output.batch.is_empty());
            let pruning = output.pruning;
            payload = serde_json::to_value(output).unwrap();
            serde_json::from_value::<RunSummary>(payload.clone()).unwrap();
            if pruning == Pruning::Done {
                break;
            }
        }
    }

    #[test]
    fn the_worst_of_any_payload_and_answers_is_a_typed_error_and_what_is_handed_on_is_taken(
        payload in mutated(batch()), application in mutated(application()),
        pages in vec(mutated(page()), 1..3), others in vec(refusals(), 1..4), now in times()
    ) {
        let pages = pages.into_iter().map(Answer::Ok).collect();
        let service = service(Answer::Ok(application), pages, others);
        if let Some(output) = prune(&payload, &service, now) {
            let judged = output.verdicts.iter().map(|verdict| &verdict.snapshot_name);
            for name in judged.chain(output.batch.iter().map(|doomed| &doomed.snapshot_name)) {
                prop_assert!(contract::is_snapshot_name(name), "{:?} is judged", name);
            }
            let next = serde_json::to_value(&output).unwrap();
            serde_json::from_value::<PruneSnapshotsInput>(next.clone()).unwrap();
            serde_json::from_value::<RunSummary>(next).unwrap();
        }
    }

    #[test]
    fn a_listing_without_an_end_ends_the_step(token in texts(), page in values()) {
        let endless = Answer::Ok(json!({ "NextToken": token, "SnapshotSummaries": [], "More": page }));
        let service = service(Answer::Ok(application()), vec![endless], vec![Answer::Lost]);
        let output = prune(&json!({ "run": run("PRUNE", "ALL") }), &service, Timestamp::UNIX_EPOCH);
        prop_assert!(output.is_none() || token.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_brake_holds_however_many_were_counted_before(
        deleted in prop_oneof![any::<u32>(), u32::MAX - 100..=u32::MAX],
        failed in prop_oneof![any::<u32>(), 0_u32..60],
    ) {
        let listing = [page()["SnapshotSummaries"].clone()];
        let service = service(Answer::Ok(application()), pages(&listing), vec![Answer::Lost]);
        let payload = json!({
            "run": run("PRUNE", "ALL"),
            "progress": { "deleted_count": deleted, "failed_count": failed }
        });
        let output = prune(&payload, &service, Timestamp::UNIX_EPOCH).unwrap();
        let total = u64::from(deleted) + u64::from(failed) + u64::from(output.deletions_wanted);
        prop_assert_eq!(output.held_back.is_some(), total > 1_000 || failed > 50);
    }
}

#[test]
fn the_longest_words_of_the_service_fit_a_payload() {
    let long = |number: usize| format!("{number:0>256}");
    let batch: Vec<Value> = (0..101)
        .map(|number| {
            json!({
                "snapshot_name": long(number), "created_at": "2026-11-17T20:02:28.420000076Z",
                "application_version_id": i64::MAX, "reason": "no rule keeps it"
            })
        })
        .collect();
    for character in ["\u{1}", "\"", "\\", "\u{1f980}"] {
        let words = character.repeat(400);
        let listing: Vec<Value> = (0..6)
            .map(|page| {
                (0..50)
                    .map(|number| {
                        json!({
                            "SnapshotName": long(page * 50 + number), "SnapshotStatus": words,
                            "ApplicationVersionId": i64::MAX
                        })
                    })
                    .collect()
            })
            .collect();
        let refused = json!({ "__type": "InvalidRequestException", "message": words });
        let service = service(
            Answer::Ok(application()),
            pages(&listing),
            vec![Answer::Refusal(400, refused)],
        );
        let payload = json!({
            "run": run("PRUNE", "ALL"), "batch": batch, "planned_at": "1970-01-01T00:00:00Z"
        });
        let output = prune(&payload, &service, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(output.progress.failed_count, 101);
        assert_eq!(output.progress.failed.len(), 100);
        assert!(!output.verdicts.is_empty());
    }
}

/// A payload in the middle of the loop, with all that it may have.
fn batch() -> Value {
    let doomed = json!({
        "snapshot_name": name(5), "created_at": "2026-11-17T20:02:28.420000076Z",
        "application_version_id": 3, "reason": "no rule keeps it"
    });
    json!({
        "run": run("RUN", "ALL"),
        "snapshot": {
            "name": name(0), "accepted_at": "2026-11-22T20:02:28.401Z",
            "created_at": "2026-11-22T20:02:28.42Z", "application_version_id": 3, "seconds": 46
        },
        "batch": [doomed, doomed], "planned_at": "2026-11-22T20:02:40Z",
        "progress": {
            "deleted_count": 1, "deleted": [doomed], "failed_count": 1,
            "failed": [{ "snapshot_name": name(6), "reason": "in use." }],
            "unanswered": [name(5)], "waiting_since": "2026-11-22T20:02:40Z"
        }
    })
}

fn page() -> Value {
    let summaries: Vec<Value> = (0..5)
        .map(|number| {
            json!({
                "SnapshotName": name(number), "SnapshotStatus": "READY", "ApplicationVersionId": 3,
                "SnapshotCreationTimestamp": RUN_ID / 1_000 - i64::try_from(number).unwrap() * 86_400
            })
        })
        .collect();
    json!({ "SnapshotSummaries": summaries })
}
