//! `cargo plan` predicts what a run does: with the same listing, policy and time, the command and the function must
//! decide the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{HeldBack, HeldBackCause, PruneSnapshotsOutput, Retention, SnapshotName};
use jiff::Timestamp;
use plan::listing::snapshots;
use plan::preview::{Preview, PreviewedRun};
use proptest::prelude::*;
use proptest::sample::select;
use retention::{doomed_names, time_zone};
use serde_json::{Value, json};
use testkit::fixtures::{RUN_ID, SNAPSHOT, application, own_snapshot, run, snapshot};
use testkit::invoke;
use testkit::replay::{Answer, Service};

/// Everything on which the decisions of a run depend.
#[derive(Clone, Debug)]
struct Case {
    mode: &'static str,
    policy: Value,
    /// The snapshots that the service lists, without the run's own.
    listing: Vec<Value>,
    application_version: i64,
    runtime: String,
    restore_point: Option<String>,
    /// The name of the run's own snapshot, if the input has one.
    snapshot_name: Option<SnapshotName>,
}

/// The names of the snapshots that the plan deletes, and why the run deletes none of them, if it does not.
type Decided = (BTreeSet<String>, Option<HeldBack>);

fn preview(case: &Case) -> Preview {
    let policy: Retention = serde_json::from_value(case.policy.clone()).unwrap();
    let run = PreviewedRun {
        zone: &time_zone(&policy.timezone).unwrap(),
        policy: &policy,
        takes_snapshot: case.mode != "PRUNE",
        snapshot_name: case.snapshot_name.as_ref(),
        restore_point: case.restore_point.as_deref(),
        application_version: Some(case.application_version),
        runtime: Some(&case.runtime),
        now: Timestamp::from_millisecond(RUN_ID).unwrap(),
    };
    let listing = json!({ "SnapshotSummaries": case.listing });
    run.preview(&snapshots(&listing).unwrap())
}

fn by_the_command(case: &Case) -> Decided {
    let preview = preview(case);
    let doomed = doomed_names(&preview.verdicts).map(str::to_owned);
    (doomed.collect(), preview.held_back)
}

/// Invokes the function as the first pass of `PruneSnapshots` does, with the run's own snapshot READY.
fn by_the_function(case: &Case) -> Decided {
    let mut payload = json!({
        "run": run(json!({ "mode": case.mode, "retention": case.policy }))
    });
    let mut listing = case.listing.clone();
    if case.mode == "RUN" {
        payload["snapshot"] = own_snapshot();
        let name = case.snapshot_name.as_ref().map(SnapshotName::as_str);
        if name.is_some() {
            payload["run"]["input"]["snapshot_name"] = json!(name);
        }
        let name = name.unwrap_or(SNAPSHOT);
        payload["snapshot"]["name"] = name.into();
        let created: Value = serde_json::from_str("1795377747.949").unwrap();
        let mut own = snapshot(name, "READY", case.application_version, created);
        own["RuntimeEnvironment"] = case.runtime.as_str().into();
        listing.push(own);
    }
    let restore = case.restore_point.as_ref().map(|name| {
        json!({ "RunConfigurationDescription": { "ApplicationRestoreConfigurationDescription": {
            "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": name
        }}})
    });
    let mut application = application("RUNNING", restore);
    application["ApplicationDetail"]["ApplicationVersionId"] = case.application_version.into();
    application["ApplicationDetail"]["RuntimeEnvironment"] = case.runtime.as_str().into();
    let service = Service::answering_with(move |operation, _| match operation {
        "DescribeApplication" => Answer::Ok(application.clone()),
        _ => Answer::Ok(json!({ "SnapshotSummaries": listing })),
    });
    let flink = Client::new(&service.config());
    let now = Timestamp::from_millisecond(RUN_ID).unwrap();
    let handler = |input| prune_snapshots::handle(&flink, input, now);
    let output: PruneSnapshotsOutput = invoke(handler, &payload).ok().unwrap();
    let batch = output.batch.into_iter().map(|doomed| doomed.snapshot_name);
    let held = doomed_names(&output.verdicts).map(str::to_owned);
    (batch.chain(held).collect(), output.held_back)
}

fn assert_agreed(case: &Case) {
    let (doomed, held_back) = by_the_command(case);
    let (doomed_by_run, held_back_by_run) = by_the_function(case);
    assert_eq!(doomed, doomed_by_run, "{case:?}");
    assert_eq!(held_back, held_back_by_run, "{case:?}");
}

/// A random listed snapshot. There are only a few names, so some snapshots are listed twice, and then often with
/// different data. No creation time is a whole number of minutes before or after the start of the run, because the
/// function's clock moves on.
fn summaries() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        12 => (1_i64..30).prop_map(|number| format!("custom_{}", RUN_ID - number)),
        // Of a later run.
        1 => (1_i64..3).prop_map(|minutes| format!("custom_{}", RUN_ID + 60_000 * minutes)),
        2 => (1..4).prop_map(|number| format!("by-hand-{number}")),
    ];
    let status = select(vec![
        "READY", "READY", "READY", "READY", "READY", "FAILED", "CREATING", "DELETING", "NEW",
    ]);
    let minutes =
        prop_oneof![1 => -3_i64..1, 4 => 0_i64..9_000, 2 => 0_i64..100_000, 1 => 0_i64..2_000_000];
    let created = minutes.prop_map(|minutes| json!(RUN_ID / 1_000 - 60 * minutes - 30));
    let created = prop_oneof![12 => created, 1 => Just(Value::Null)];
    let runtime = prop::option::weighted(0.9, runtimes());
    (name, status, 1_i64..6, created, runtime).prop_map(
        |(name, status, version, created, runtime)| {
            let mut snapshot = snapshot(&name, status, version, created);
            snapshot["RuntimeEnvironment"] = runtime.into();
            snapshot
        },
    )
}

fn runtimes() -> impl Strategy<Value = &'static str> {
    select(vec!["FLINK-1_18", "FLINK-1_19", "FLINK-1_20", "FLINK-2_2"])
}

fn policies() -> impl Strategy<Value = Value> {
    let count = || prop::option::weighted(0.4, 1_u32..6);
    let rules = (count(), count(), count(), count());
    let within = prop::option::weighted(0.4, 1_u32..400);
    let settings = (
        1_u32..4,
        1_u32..4,
        prop::option::of(1_i64..30),
        select(vec!["MANAGED", "ALL"]),
        prop::option::weighted(0.7, 1_u32..30),
    );
    (rules, within, settings).prop_map(|(rules, within, settings)| {
        let (last, hourly, daily, monthly) = rules;
        let (versions, runtimes, pin, scope, brake) = settings;
        let pins: Vec<String> = pin
            .map(|number| format!("custom_{}", RUN_ID - number))
            .into_iter()
            .collect();
        json!({
            "keep_last": last, "keep_hourly": hourly, "keep_daily": daily, "keep_monthly": monthly,
            "keep_within": within.map(|hours| format!("PT{hours}H")), "keep_yearly": 1,
            "keep_last_versions": versions, "keep_last_runtimes": runtimes, "keep_names": pins, "timezone": "Europe/Zurich",
            "scope": scope, "max_deletions_per_run": brake
        })
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let restore_point = prop::option::of(1_i64..30);
    let listing = prop::collection::vec(summaries(), 0..30);
    (
        select(vec!["RUN", "RUN", "PRUNE", "PLAN"]),
        policies(),
        listing,
        (1_i64..7, runtimes()),
        (
            restore_point,
            prop::option::weighted(0.3, Just("before-upgrade")),
        ),
    )
        .prop_map(
            |(mode, policy, listing, (version, runtime), (restore_point, name))| Case {
                mode,
                policy,
                listing,
                application_version: version,
                runtime: runtime.to_owned(),
                restore_point: restore_point.map(|number| format!("custom_{}", RUN_ID - number)),
                // Only mode RUN takes a snapshot.
                snapshot_name: name.filter(|_| mode == "RUN").map(snapshot_name),
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_command_deletes_the_same_snapshots_as_a_run_and_is_stopped_for_the_same_reason(case in cases()) {
        assert_agreed(&case);
    }
}

fn snapshot_name(name: &str) -> SnapshotName {
    name.to_owned().try_into().unwrap()
}

/// The listing on the retention page, with times in the format of the service.
fn listing_of_the_page() -> Vec<Value> {
    let text = include_str!("../../../resources/docs/list-application-snapshots.json");
    let mut page: Value = serde_json::from_str(text).unwrap();
    for summary in page["SnapshotSummaries"].as_array_mut().unwrap() {
        let time = &mut summary["SnapshotCreationTimestamp"];
        let created_at: Timestamp = time.as_str().unwrap().parse().unwrap();
        *time = json!(created_at.as_duration().as_secs_f64());
    }
    page["SnapshotSummaries"].as_array().unwrap().clone()
}

#[test]
fn the_examples_on_the_pages_and_one_from_the_first_of_november_agree_with_a_run() {
    let november_1 = 1_793_505_600;
    let two_of_november_1: Vec<Value> = [0, 3_600]
        .map(|later| {
            let created = november_1 + later;
            snapshot(&format!("custom_{created}000"), "READY", 4, created)
        })
        .to_vec();
    let window = json!({ "keep_within": "P1D" });
    let page = listing_of_the_page();
    let weekly = json!({ "keep_last": 2, "keep_weekly": 2 });
    for (listing, policy, deletes, keeps_by_prune) in [
        // The window begins a day before the newest snapshot, which is the run's own.
        (two_of_november_1, window, 2, 2),
        (page.clone(), weekly, 4, 4),
        (page, json!({ "keep_last": 30 }), 1, 6),
    ] {
        let case = |mode| Case {
            mode,
            policy: policy.clone(),
            listing: listing.clone(),
            application_version: 4,
            runtime: "FLINK-1_20".to_owned(),
            restore_point: None,
            snapshot_name: None,
        };
        for mode in ["RUN", "PRUNE", "PLAN"] {
            assert_agreed(&case(mode));
        }
        let (doomed, _) = by_the_command(&case("RUN"));
        assert_eq!(doomed.len(), deletes, "{policy}");
        let (doomed, _) = by_the_command(&case("PRUNE"));
        assert_eq!(listing.len() - doomed.len(), keeps_by_prune, "{policy}");
    }
}

/// The names of the snapshots that the command and the function delete.
fn deleted_by(listing: &[Value], policy: Value) -> BTreeSet<String> {
    let case = Case {
        mode: "PRUNE",
        policy,
        listing: listing.to_vec(),
        application_version: 1,
        runtime: "FLINK-1_20".to_owned(),
        restore_point: None,
        snapshot_name: None,
    };
    assert_agreed(&case);
    by_the_command(&case).0
}

#[test]
fn with_two_policies_on_one_application_each_deletes_what_the_other_keeps() {
    // One snapshot from each of the last five hours, and one from each of the five days before.
    let hours = [1, 2, 3, 4, 5, 24, 48, 72, 96, 120];
    let taken = |hours: i64| {
        let run_id = RUN_ID - hours * 3_600_000;
        snapshot(&format!("custom_{run_id}"), "READY", 1, run_id / 1_000)
    };
    let mut listing: Vec<Value> = hours.map(taken).to_vec();
    let name = |hours: i64| format!("custom_{}", RUN_ID - hours * 3_600_000);
    let names = |hours: &[i64]| -> BTreeSet<String> { hours.iter().map(|it| name(*it)).collect() };

    let daily = json!({ "keep_daily": 30, "max_deletions_per_run": 30 });
    let last = json!({ "keep_last": 3, "max_deletions_per_run": 30 });
    // One rule keeps the last three snapshots, and the other rule keeps one of each day.
    let both = json!({ "keep_daily": 30, "keep_last": 3, "max_deletions_per_run": 30 });
    assert_eq!(deleted_by(&listing, both), names(&[4, 5]));

    let by_days = deleted_by(&listing, daily.clone());
    assert_eq!(by_days, names(&[2, 3, 4, 5]), "two of the last three");
    listing.retain(|it| !by_days.contains(it["SnapshotName"].as_str().unwrap()));
    let by_number = deleted_by(&listing, last.clone());
    assert_eq!(by_number, names(&[72, 96, 120]), "three of the days");
    listing.retain(|it| !by_number.contains(it["SnapshotName"].as_str().unwrap()));
    for policy in [daily, last] {
        assert_eq!(deleted_by(&listing, policy), names(&[]), "both keep it");
    }
}

#[test]
fn the_command_leaves_the_deletions_to_a_later_run_as_a_run_that_starts_now_does() {
    let start = RUN_ID / 1_000;
    let old = snapshot("custom_1795000000000", "READY", 1, 1_795_000_000);
    // The name of a run that starts after this one. Its creation time may be by a clock that is ahead.
    let later_name = format!("custom_{}", RUN_ID + 60_000);
    for (mode, name, created, is_later) in [
        ("RUN", later_name.as_str(), start + 30, true),
        ("PRUNE", &later_name, start + 30, true),
        ("PLAN", &later_name, start + 30, true),
        ("PLAN", &later_name, start - 30, false),
        ("PLAN", &later_name, start + 90, false),
        ("PLAN", "by-hand", start + 30, false),
    ] {
        let case = Case {
            mode,
            policy: json!({ "keep_last": 1 }),
            listing: vec![old.clone(), snapshot(name, "READY", 1, created)],
            application_version: 1,
            runtime: "FLINK-1_20".to_owned(),
            restore_point: None,
            snapshot_name: None,
        };
        assert_agreed(&case);
        let (_, held_back) = by_the_command(&case);
        let reason = held_back.map(|held_back| held_back.cause);
        let expected = is_later.then_some(HeldBackCause::LeftToLaterRun);
        assert_eq!(reason, expected, "{mode} {name} {created}");
    }
}
