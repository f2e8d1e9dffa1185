//! Property tests with invalid payloads, listings and answers.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeSet;

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{PruneSnapshotsInput, PruneSnapshotsOutput, Pruning, RunSummary};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use testkit::fixtures::{self, RUN_ID, any_failed_answer, own_snapshot, snapshot};
use testkit::hostile::{mutated, texts, values};
use testkit::invoke;
use testkit::replay::{Answer, Service};

const RESTORE_POINT: i64 = 3;

/// The managed snapshot that is this many days older than the run; 0 is the run's own.
fn name(days: i64) -> String {
    format!("custom_{}", RUN_ID - days * 86_400_000)
}

fn created(days: i64) -> i64 {
    RUN_ID / 1_000 - days * 86_400
}

fn run(mode: &str, scope: &str) -> Value {
    fixtures::run(json!({
        "mode": mode,
        "retention": {
            "keep_last": 1, "keep_last_versions": 1, "scope": scope, "max_deletions_per_run": 1_000
        }
    }))
}

fn application() -> Value {
    let configuration = json!({ "RunConfigurationDescription": {
        "ApplicationRestoreConfigurationDescription": {
            "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
            "SnapshotName": name(RESTORE_POINT)
        }
    }});
    fixtures::application("RUNNING", Some(configuration))
}

/// A listed snapshot. There are few names, so that some are listed twice, and then often differ.
fn summaries() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        8 => (0_i64..8).prop_map(name),
        1 => Just("before-upgrade".to_owned()),
        1 => Just("n".repeat(256)),
    ];
    let status = prop_oneof![
        6 => Just("READY".to_owned()),
        3 => select(vec!["CREATING", "DELETING", "FAILED"]).prop_map(str::to_owned),
        1 => texts(),
    ];
    let time = prop_oneof![
        8 => (0_i64..10).prop_map(|days| json!(created(days))),
        1 => select(vec![json!(1e300), json!(-1e300), json!(253_402_207_200_i64), json!(-1), json!(null)]),
    ];
    let version = prop_oneof![8 => Just(3), 1 => any::<i64>()];
    (name, status, version, time)
        .prop_map(|(name, status, version, time)| snapshot(&name, &status, version, time))
}

/// Pages of a listing, in any order, some of them empty.
fn listings() -> impl Strategy<Value = Vec<Value>> {
    vec(vec(summaries(), 0..6).prop_map(Value::from), 1..4)
}

fn refusals() -> impl Strategy<Value = Answer> {
    any_failed_answer(&[
        "ResourceNotFoundException",
        "InvalidArgumentException",
        "ThrottlingException",
        "ResourceInUseException",
        "AccessDeniedException",
        "ConcurrentModificationException",
    ])
}

/// A service that lists these pages, and answers the other operations with `others` in turn.
fn service(application: Value, pages: Vec<Answer>, others: Vec<Answer>) -> Service {
    let mut turn = 0;
    Service::answering_with(move |operation, body| match operation {
        "DescribeApplication" => Answer::Ok(application.clone()),
        "ListApplicationSnapshots" => {
            let token = body["NextToken"].as_str();
            let page = token.map_or(0, |token| token.parse().unwrap_or(0));
            pages[page % pages.len()].clone()
        }
        _ => {
            turn += 1;
            others[turn % others.len()].clone()
        }
    })
}

/// Pages with the token of the next one.
fn pages(listing: &[Value]) -> Vec<Answer> {
    let page = |(number, summaries): (usize, &Value)| {
        let mut page = json!({ "SnapshotSummaries": summaries });
        if number + 1 < listing.len() {
            page["NextToken"] = (number + 1).to_string().into();
        }
        Answer::Ok(page)
    };
    listing.iter().enumerate().map(page).collect()
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

/// What may be deleted: each snapshot whose entries agree, that is READY or FAILED, has a timestamp
/// and is in scope, and is not the newest READY one, the run's own, or the restore point.
fn may_be_deleted(listing: &[Value], scope: &str) -> BTreeSet<String> {
    let pages = listing.iter().map(|page| page.as_array().unwrap());
    let all: Vec<&Value> = pages.flatten().collect();
    let name_of = |summary: &Value| summary["SnapshotName"].as_str().unwrap().to_owned();
    let time_of = |summary: &Value| {
        let seconds = summary["SnapshotCreationTimestamp"].as_f64()?;
        (-377_705_023_201.0..=253_402_207_200.0)
            .contains(&seconds)
            .then_some(seconds)
    };
    let agrees = |summary: &&Value| {
        let mut others = all.iter();
        others.all(|other| name_of(other) != name_of(summary) || other == summary)
    };
    let known: Vec<&Value> = all.iter().copied().filter(agrees).collect();
    let newest = known
        .iter()
        .filter(|summary| summary["SnapshotStatus"] == "READY")
        .filter_map(|summary| Some((time_of(summary)?, name_of(summary))))
        .max_by(|a, b| a.partial_cmp(b).unwrap());
    let is_in_scope = |summary: &Value, name: &str| {
        let is_managed = contract::is_managed(name);
        (summary["SnapshotStatus"] == "READY" && (is_managed || scope == "ALL"))
            || (summary["SnapshotStatus"] == "FAILED" && is_managed)
    };
    known
        .into_iter()
        .filter(|summary| time_of(summary).is_some() && is_in_scope(summary, &name_of(summary)))
        .map(name_of)
        .filter(|name| newest.as_ref().is_none_or(|(_, newest)| newest != name))
        .filter(|name| ![self::name(0), self::name(RESTORE_POINT)].contains(name))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_listing_makes_a_run_delete_what_is_protected_or_unclear(
        listing in listings(),
        mode in select(vec!["RUN", "PRUNE", "PLAN"]),
        scope in select(vec!["MANAGED", "ALL"]),
        now in times(),
        refusals in vec(refusals(), 1..4)
    ) {
        let mut payload = json!({ "run": run(mode, scope) });
        let may_be_deleted = may_be_deleted(&listing, scope);
        let mut answers = vec![Answer::Ok(json!({}))];
        answers.extend(refusals);
        // As the state machine does, the state is entered again while it says so.
        for _ in 0..4 {
            let service = service(application(), pages(&listing), answers.clone());
            let Some(output) = prune(&payload, &service, now) else { break };
            for (operation, body) in service.sent() {
                if operation == "DeleteApplicationSnapshot" {
                    let name = body["SnapshotName"].as_str().unwrap();
                    prop_assert!(may_be_deleted.contains(name), "{} was deleted", name);
                }
            }
            for doomed in &output.batch {
                prop_assert!(may_be_deleted.contains(&doomed.snapshot_name), "{:?} is planned", doomed);
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
    fn any_payload_and_answers_give_a_named_error_or_an_output_that_the_next_state_accepts(
        payload in mutated(payload()), application in mutated(application()),
        pages in vec(mutated(page()), 1..3), others in vec(refusals(), 1..4), now in times()
    ) {
        let pages = pages.into_iter().map(Answer::Ok).collect();
        let service = service(application, pages, others);
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
    fn an_endless_listing_fails_the_step(token in texts(), page in values()) {
        let endless = Answer::Ok(json!({ "NextToken": token, "SnapshotSummaries": [], "More": page }));
        let service = service(application(), vec![endless], vec![Answer::Lost]);
        let output = prune(&json!({ "run": run("PRUNE", "ALL") }), &service, Timestamp::UNIX_EPOCH);
        prop_assert!(output.is_none() || token.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_brake_holds_whatever_was_counted_before(
        deleted in prop_oneof![any::<u32>(), u32::MAX - 100..=u32::MAX],
        failed in prop_oneof![any::<u32>(), 0_u32..60],
    ) {
        let listing = [page()["SnapshotSummaries"].clone()];
        let service = service(application(), pages(&listing), vec![Answer::Lost]);
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
fn the_longest_names_and_messages_fit_into_the_payload() {
    let long = |number: usize| format!("{number:0>256}");
    let doomed = |number| {
        json!({
            "snapshot_name": long(number), "created_at": "2026-11-17T20:02:28.420000076Z",
            "application_version_id": i64::MAX, "reason": "no rule keeps it"
        })
    };
    let batch: Vec<Value> = (0..101).map(doomed).collect();
    for character in ["\u{1}", "\"", "\\", "\u{1f980}"] {
        let text = character.repeat(400);
        let summary = |number| snapshot(&long(number), &text, i64::MAX, Value::Null);
        let page = |page: usize| -> Value { (page * 50..page * 50 + 50).map(summary).collect() };
        let listing: Vec<Value> = (0..6).map(page).collect();
        let refused = json!({ "__type": "InvalidRequestException", "message": text });
        let refused = Answer::ErrorBody(400, refused);
        let service = service(application(), pages(&listing), vec![refused]);
        let payload = json!({
            "run": run("PRUNE", "ALL"), "batch": batch, "planned_at": "1970-01-01T00:00:00Z"
        });
        let output = prune(&payload, &service, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(output.progress.failed_count, 101);
        assert_eq!(output.progress.failed.len(), 100);
        assert!(!output.verdicts.is_empty());
    }
}

/// A payload in the middle of the loop, with every field.
fn payload() -> Value {
    let doomed = json!({
        "snapshot_name": name(5), "created_at": "2026-11-17T20:02:28.420000076Z",
        "application_version_id": 3, "reason": "no rule keeps it"
    });
    json!({
        "run": run("RUN", "ALL"), "snapshot": own_snapshot(),
        "batch": [doomed, doomed], "planned_at": "2026-11-22T20:02:40Z",
        "progress": {
            "deleted_count": 1, "deleted": [doomed], "failed_count": 1,
            "failed": [{ "snapshot_name": name(6), "reason": "in use." }],
            "unanswered": [name(5)], "waiting_since": "2026-11-22T20:02:40Z",
            "application_busy_since": "2026-11-22T20:02:40Z"
        }
    })
}

fn page() -> Value {
    let summaries = [0, 1, 2, 3, 4].map(|days| snapshot(&name(days), "READY", 3, created(days)));
    json!({ "SnapshotSummaries": summaries })
}
