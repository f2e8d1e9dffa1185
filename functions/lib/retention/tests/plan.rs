//! The plan: a table first, laws second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::{BTreeSet, HashMap};

use contract::{Action, Retention, Verdict};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use retention::{Protected, Snapshot, Status};
use serde_json::{Value, json};

fn plan(
    snapshots: &[Snapshot],
    policy: &Retention,
    protected: Protected<'_>,
    now: Timestamp,
) -> Vec<Verdict> {
    let zone = TimeZone::get(policy.timezone.as_str()).unwrap();
    retention::plan(snapshots, policy, &zone, protected, now)
}

const NOW: &str = "2026-11-22T20:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn policy(keep_last: u32) -> Retention {
    of(json!({ "keep_last": keep_last }))
}

fn of(policy: Value) -> Retention {
    serde_json::from_value(policy).unwrap()
}

/// A managed READY snapshot of that time, named for it.
fn taken_at(time: &str) -> Snapshot {
    let created_at: Timestamp = time.parse().unwrap();
    Snapshot {
        name: custom(created_at.as_millisecond().unsigned_abs()),
        status: Status::Ready,
        created_at: Some(created_at),
        application_version_id: 1,
    }
}

/// Which of snapshots of these times a policy keeps by rule, with the rules' reasons, newest first.
fn kept_by_rule(times: &[&str], policy: Value, now: &str) -> Vec<(String, Vec<String>)> {
    let listing: Vec<Snapshot> = times.iter().map(|time| taken_at(time)).collect();
    let verdicts = plan(
        &listing,
        &of(policy),
        Protected::default(),
        now.parse().unwrap(),
    );
    let times: HashMap<String, &str> = listing
        .iter()
        .zip(times)
        .map(|(snapshot, time)| (snapshot.name.clone(), *time))
        .collect();
    verdicts
        .into_iter()
        .filter_map(|verdict| {
            let reasons = verdict.reasons.into_iter();
            let rules: Vec<String> = reasons
                .filter(|reason| !reason.starts_with("protected") && reason != "no rule keeps it")
                .collect();
            (!rules.is_empty()).then(|| (times[&verdict.snapshot_name].to_owned(), rules))
        })
        .collect()
}

/// A snapshot that was taken so many hours ago.
fn snapshot(name: &str, status: Status, hours_ago: i64) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        status,
        created_at: Some(now() - SignedDuration::from_hours(hours_ago)),
        application_version_id: 1,
    }
}

/// A managed name.
fn custom(number: u64) -> String {
    format!("custom_{number:013}")
}

fn verdict<'a>(verdicts: &'a [Verdict], name: &str) -> (Action, Vec<&'a str>) {
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict.snapshot_name == name)
        .unwrap();
    (
        verdict.action,
        verdict.reasons.iter().map(String::as_str).collect(),
    )
}

#[test]
fn every_kind_of_snapshot_has_its_verdict_and_its_reasons() {
    let mut timeless = snapshot(&custom(8), Status::Ready, 0);
    timeless.created_at = None;
    let listing = [
        snapshot(&custom(1), Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(3), Status::Ready, 3),
        snapshot(&custom(4), Status::Ready, 4),
        snapshot(&custom(5), Status::Ready, 400),
        snapshot(&custom(6), Status::Creating, 500),
        snapshot(&custom(7), Status::Deleting, 500),
        timeless,
        snapshot(&custom(9), Status::Failed, 24),
        snapshot(&custom(10), Status::Failed, 25),
        snapshot(&custom(11), Status::Failed, 72),
        snapshot(&custom(12), Status::Other("NEW".to_owned()), 500),
        snapshot("before-upgrade", Status::Ready, 500),
        snapshot("by-hand-failed", Status::Failed, 500),
    ];
    let (own, restore_point) = (custom(2), custom(4));
    let protected = Protected {
        own: Some(&own),
        restore_point: Some(&restore_point),
    };
    let verdicts = plan(&listing, &policy(2), protected, now());
    for (name, action, reasons) in [
        (
            custom(1),
            Action::Keep,
            vec![
                "protected: newest READY snapshot",
                "protected: newest of application version 1",
                "last 1 of 2",
            ],
        ),
        (
            custom(2),
            Action::Keep,
            vec!["protected: this run's own snapshot", "last 2 of 2"],
        ),
        (custom(3), Action::Delete, vec!["no rule keeps it"]),
        (
            custom(4),
            Action::Keep,
            vec!["protected: restore point of the application"],
        ),
        (custom(5), Action::Delete, vec!["no rule keeps it"]),
        (custom(6), Action::Ignore, vec!["CREATING"]),
        (custom(7), Action::Ignore, vec!["DELETING"]),
        (
            custom(8),
            Action::Keep,
            vec!["protected: no creation timestamp"],
        ),
        (custom(9), Action::Keep, vec!["failed within the last day"]),
        (custom(10), Action::Delete, vec!["failed 1 day ago"]),
        (custom(11), Action::Delete, vec!["failed 3 days ago"]),
        (custom(12), Action::Ignore, vec!["unknown status NEW"]),
        (
            "before-upgrade".to_owned(),
            Action::Ignore,
            vec!["not managed: the name is not custom_ and 13 digits"],
        ),
        (
            "by-hand-failed".to_owned(),
            Action::Ignore,
            vec!["not managed: the name is not custom_ and 13 digits"],
        ),
    ] {
        assert_eq!(verdict(&verdicts, &name), (action, reasons), "{name}");
    }
    let names: Vec<&str> = verdicts.iter().map(|v| v.snapshot_name.as_str()).collect();
    assert_eq!(names[0], custom(1), "newest first");
    assert_eq!(
        names[names.len() - 1],
        custom(8),
        "without a timestamp last"
    );
}

#[test]
fn failed_snapshots_do_not_count_towards_keep_last() {
    let listing = [
        snapshot(&custom(3), Status::Failed, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(1), Status::Ready, 3),
    ];
    let verdicts = plan(&listing, &policy(2), Protected::default(), now());
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.action == Action::Keep),
        "{verdicts:?}"
    );
}

#[test]
fn snapshots_that_are_not_managed_do_not_count_towards_keep_last_but_may_be_the_newest() {
    let listing = [
        snapshot("service-made", Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(1), Status::Ready, 3),
    ];
    let verdicts = plan(&listing, &policy(1), Protected::default(), now());
    assert_eq!(
        verdict(&verdicts, "service-made"),
        (
            Action::Keep,
            vec![
                "protected: newest READY snapshot",
                "protected: newest of application version 1"
            ]
        )
    );
    assert_eq!(verdict(&verdicts, &custom(2)).0, Action::Keep);
    assert_eq!(verdict(&verdicts, &custom(1)).0, Action::Delete);
}

#[test]
fn snapshots_of_the_same_time_are_ordered_by_name() {
    let listing = [
        snapshot(&custom(1), Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 1),
    ];
    let verdicts = plan(&listing, &policy(1), Protected::default(), now());
    assert_eq!(verdict(&verdicts, &custom(1)).0, Action::Delete);
    assert_eq!(verdict(&verdicts, &custom(2)).0, Action::Keep);
}

#[test]
fn each_rule_keeps_the_newest_of_its_periods() {
    let times = [
        "2026-11-22T19:50:00Z",
        "2026-11-22T19:10:00Z",
        "2026-11-22T18:30:00Z",
        "2026-11-21T23:59:59Z",
        "2026-11-21T00:00:00Z",
        // A Sunday, and the Monday after it.
        "2026-11-15T12:00:00Z",
        "2026-11-09T12:00:00Z",
        "2026-10-31T12:00:00Z",
        "2025-12-31T12:00:00Z",
        // Of the ISO week 53 of 2020.
        "2021-01-03T12:00:00Z",
    ];
    for (policy, expected) in [
        (
            json!({ "keep_last": 2 }),
            vec![
                ("2026-11-22T19:50:00Z", "last 1 of 2"),
                ("2026-11-22T19:10:00Z", "last 2 of 2"),
            ],
        ),
        (
            json!({ "keep_hourly": 3 }),
            vec![
                ("2026-11-22T19:50:00Z", "hourly 2026-11-22 19:00"),
                ("2026-11-22T18:30:00Z", "hourly 2026-11-22 18:00"),
                ("2026-11-21T23:59:59Z", "hourly 2026-11-21 23:00"),
            ],
        ),
        (
            json!({ "keep_daily": 3 }),
            vec![
                ("2026-11-22T19:50:00Z", "daily 2026-11-22"),
                ("2026-11-21T23:59:59Z", "daily 2026-11-21"),
                ("2026-11-15T12:00:00Z", "daily 2026-11-15"),
            ],
        ),
        (
            json!({ "keep_weekly": 9 }),
            vec![
                ("2026-11-22T19:50:00Z", "weekly 2026-W47"),
                ("2026-11-15T12:00:00Z", "weekly 2026-W46"),
                ("2026-10-31T12:00:00Z", "weekly 2026-W44"),
                ("2025-12-31T12:00:00Z", "weekly 2026-W01"),
                ("2021-01-03T12:00:00Z", "weekly 2020-W53"),
            ],
        ),
        (
            json!({ "keep_monthly": 2 }),
            vec![
                ("2026-11-22T19:50:00Z", "monthly 2026-11"),
                ("2026-10-31T12:00:00Z", "monthly 2026-10"),
            ],
        ),
        (
            json!({ "keep_yearly": 9 }),
            vec![
                ("2026-11-22T19:50:00Z", "yearly 2026"),
                ("2025-12-31T12:00:00Z", "yearly 2025"),
                ("2021-01-03T12:00:00Z", "yearly 2021"),
            ],
        ),
        (
            // Strictly newer than the newest minus the duration.
            json!({ "keep_within": "PT40M" }),
            vec![("2026-11-22T19:50:00Z", "within PT40M")],
        ),
        (
            json!({ "keep_within": "PT41M" }),
            vec![
                ("2026-11-22T19:50:00Z", "within PT41M"),
                ("2026-11-22T19:10:00Z", "within PT41M"),
            ],
        ),
    ] {
        let kept = kept_by_rule(&times, policy.clone(), NOW);
        let expected: Vec<(String, Vec<String>)> = expected
            .into_iter()
            .map(|(time, reason)| (time.to_owned(), vec![reason.to_owned()]))
            .collect();
        assert_eq!(kept, expected, "{policy}");
    }
}

#[test]
fn a_snapshot_that_several_rules_keep_has_all_their_reasons() {
    let kept = kept_by_rule(
        &["2026-11-22T19:50:00Z"],
        json!({
            "keep_last": 1, "keep_hourly": 1, "keep_daily": 1, "keep_weekly": 1,
            "keep_monthly": 1, "keep_yearly": 1, "keep_within": "P1D"
        }),
        NOW,
    );
    let reasons = [
        "last 1 of 1",
        "hourly 2026-11-22 19:00",
        "daily 2026-11-22",
        "weekly 2026-W47",
        "monthly 2026-11",
        "yearly 2026",
        "within P1D",
    ];
    assert_eq!(kept[0].1, reasons);
}

#[test]
fn periods_begin_in_the_policys_time_zone() {
    let times = ["2026-11-22T23:30:00Z", "2026-11-22T22:30:00Z"];
    let daily = |zone: &str| {
        let policy = json!({ "keep_daily": 5, "timezone": zone });
        kept_by_rule(&times, policy, "2026-11-23T00:00:00Z").len()
    };
    // In Zurich a day begins at 23:00 UTC in winter.
    assert_eq!((daily("UTC"), daily("Europe/Zurich")), (1, 2));
}

#[test]
fn a_day_of_23_or_25_hours_and_a_repeated_hour_are_one_period() {
    let zurich = |rule: &str| json!({ rule: 9, "timezone": "Europe/Zurich" });
    // 2026-10-25 has 02:30 twice there: at 00:30 and at 01:30 UTC.
    let october = [
        "2026-10-25T22:59:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-24T22:00:00Z",
    ];
    let kept = kept_by_rule(&october, zurich("keep_hourly"), "2026-10-26T00:00:00Z");
    let times: Vec<&str> = kept.iter().map(|(time, _)| time.as_str()).collect();
    assert_eq!(times, [october[0], october[1], october[3]]);
    assert_eq!(kept[1].1, ["hourly 2026-10-25 02:00"]);
    let kept = kept_by_rule(&october, zurich("keep_daily"), "2026-10-26T00:00:00Z");
    assert_eq!(kept.len(), 1, "25 hours: {kept:?}");
    // At Troll the clock goes back by two hours: 01:30 and 02:30 come twice, in turn.
    let troll = [
        "2026-10-25T02:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-24T23:30:00Z",
        "2026-10-24T22:30:00Z",
        "2026-10-24T21:30:00Z",
    ];
    let policy = json!({ "keep_hourly": 3, "timezone": "Antarctica/Troll" });
    let kept = kept_by_rule(&troll, policy, "2026-10-26T00:00:00Z");
    let expected = [
        (troll[0], "hourly 2026-10-25 02:00"),
        (troll[1], "hourly 2026-10-25 01:00"),
        (troll[4], "hourly 2026-10-25 00:00"),
    ];
    let expected = expected.map(|(time, reason)| (time.to_owned(), vec![reason.to_owned()]));
    assert_eq!(kept, expected);
    // 2026-03-29 has no 02:30 there.
    let march = [
        "2026-03-29T21:59:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T00:59:00Z",
        "2026-03-28T23:00:00Z",
    ];
    let kept = kept_by_rule(&march, zurich("keep_daily"), "2026-03-30T00:00:00Z");
    assert_eq!(kept.len(), 1, "23 hours: {kept:?}");
    let kept = kept_by_rule(&march, zurich("keep_hourly"), "2026-03-30T00:00:00Z");
    assert_eq!(kept[1].1, ["hourly 2026-03-29 03:00"]);
    assert_eq!(kept[2].1, ["hourly 2026-03-29 01:00"]);
}

#[test]
fn a_window_is_counted_from_the_newest_snapshot_that_is_not_of_the_future() {
    let times = [
        "2026-11-23T20:00:00Z",
        "2026-11-20T12:00:00Z",
        "2026-11-19T13:00:00Z",
        "2026-11-19T11:00:00Z",
    ];
    let kept = kept_by_rule(&times, json!({ "keep_within": "P1D" }), NOW);
    let kept: Vec<&str> = kept.iter().map(|(time, _)| time.as_str()).collect();
    assert_eq!(kept, times[..3]);
    // All of the future, or a window longer than the calendar: everything stays.
    let kept = kept_by_rule(
        &times,
        json!({ "keep_within": "P1D" }),
        "2020-01-01T00:00:00Z",
    );
    assert_eq!(kept.len(), 4);
    let kept = kept_by_rule(&times, json!({ "keep_within": "P15000Y" }), NOW);
    assert_eq!(kept.len(), 4);
}

#[test]
fn a_month_before_the_31st_is_the_last_of_the_month_before() {
    let times = [
        "2026-03-31T12:00:00Z",
        "2026-02-28T12:00:01Z",
        "2026-02-28T12:00:00Z",
    ];
    let kept = kept_by_rule(&times, json!({ "keep_within": "P1M" }), NOW);
    assert_eq!(kept.len(), 2, "{kept:?}");
}

#[test]
fn pins_and_the_newest_of_the_highest_versions_are_protected() {
    let versioned = |number: u64, version: i64, hours_ago: i64| Snapshot {
        application_version_id: version,
        ..snapshot(&custom(number), Status::Ready, hours_ago)
    };
    let listing = [
        versioned(1, 9, 1),
        versioned(2, 9, 2),
        // A rollback to version 8, which came after version 9.
        versioned(3, 8, 3),
        versioned(4, 7, 4),
        versioned(5, 6, 5),
        Snapshot {
            application_version_id: 10,
            ..snapshot("by-hand", Status::Ready, 6)
        },
    ];
    let policy = of(json!({ "keep_last": 1, "keep_last_versions": 3, "keep_names": [custom(5)] }));
    let verdicts = plan(&listing, &policy, Protected::default(), now());
    for (name, action, reasons) in [
        (
            custom(1),
            Action::Keep,
            vec![
                "protected: newest READY snapshot",
                "protected: newest of application version 9",
                "last 1 of 1",
            ],
        ),
        (custom(2), Action::Delete, vec!["no rule keeps it"]),
        (
            custom(3),
            Action::Keep,
            vec!["protected: newest of application version 8"],
        ),
        (custom(4), Action::Delete, vec!["no rule keeps it"]),
        (
            custom(5),
            Action::Keep,
            vec!["protected: named in keep_names"],
        ),
        (
            "by-hand".to_owned(),
            Action::Keep,
            vec!["protected: newest of application version 10"],
        ),
    ] {
        assert_eq!(verdict(&verdicts, &name), (action, reasons), "{name}");
    }
}

#[test]
fn with_scope_all_snapshots_by_hand_count_and_go_but_not_their_failures() {
    let listing = [
        snapshot("by-hand-1", Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot("by-hand-3", Status::Ready, 3),
        snapshot(&custom(4), Status::Ready, 4),
        snapshot("by-hand-failed", Status::Failed, 72),
        snapshot(&custom(5), Status::Failed, 72),
    ];
    let policy = of(json!({ "keep_last": 1, "scope": "ALL" }));
    let verdicts = plan(&listing, &policy, Protected::default(), now());
    let action = |name: &str| verdict(&verdicts, name).0;
    assert_eq!(action("by-hand-1"), Action::Keep);
    // Whoever took the newer one by hand may delete it by hand.
    let newest_managed = vec!["protected: newest READY managed snapshot"];
    assert_eq!(
        verdict(&verdicts, &custom(2)),
        (Action::Keep, newest_managed)
    );
    assert_eq!(action(&custom(4)), Action::Delete);
    assert_eq!(action("by-hand-3"), Action::Delete);
    assert_eq!(action("by-hand-failed"), Action::Ignore);
    assert_eq!(action(&custom(5)), Action::Delete);
}

/// Takes a snapshot five minutes after each full hour, and prunes after each.
fn hourly_runs(policy: &Retention, from: &str, to: &str) -> Vec<Timestamp> {
    let (mut at, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
    let mut listing: Vec<Snapshot> = Vec::new();
    while at <= to {
        listing.push(taken_at(&at.to_string()));
        let deleted = deletions(&plan(&listing, policy, Protected::default(), at));
        listing.retain(|snapshot| !deleted.contains(&snapshot.name));
        at += SignedDuration::from_hours(1);
    }
    let mut survivors: Vec<Timestamp> = listing.iter().filter_map(|s| s.created_at).collect();
    survivors.sort();
    survivors
}

#[test]
fn a_year_of_hourly_runs_leaves_exactly_a_day_of_hours_a_month_of_days_and_a_year_of_months() {
    let policy = of(json!({
        "keep_hourly": 24, "keep_daily": 30, "keep_monthly": 12, "timezone": "Europe/Zurich"
    }));
    // In Zurich, the last snapshot of a day is that of 23:05: 21:05 UTC in summer, 22:05 in winter.
    let last_of =
        |day: &str, hour: &str| -> Timestamp { format!("{day}T{hour}:05:00Z").parse().unwrap() };
    let days = |count: i64, last: &str, hour: &str| -> Vec<Timestamp> {
        let last = last_of(last, hour);
        (0..count)
            .map(|day| last - SignedDuration::from_hours(24 * day))
            .collect()
    };
    let hours = |count: i64, last: &str| -> Vec<Timestamp> {
        let last: Timestamp = last.parse().unwrap();
        (0..count)
            .map(|hour| last - SignedDuration::from_hours(hour))
            .collect()
    };
    for (to, expected) in [
        // Noon after the spring's change: 24 hours back there is the hour that was left out.
        (
            "2026-03-29T10:05:00Z",
            [
                hours(24, "2026-03-29T10:05:00Z"),
                days(29, "2026-03-28", "22"),
                vec![last_of("2026-01-31", "22")],
            ],
        ),
        // Noon after the autumn's change: the hour that came twice counts once, its second snapshot stays.
        (
            "2026-10-25T11:05:00Z",
            [
                hours(25, "2026-10-25T11:05:00Z")
                    .into_iter()
                    .filter(|at| at.to_string() != "2026-10-25T00:05:00Z")
                    .collect(),
                days(29, "2026-10-24", "21"),
                ["2026-01-31", "2026-02-28"]
                    .map(|day| last_of(day, "22"))
                    .into_iter()
                    .chain(
                        [
                            "2026-03-31",
                            "2026-04-30",
                            "2026-05-31",
                            "2026-06-30",
                            "2026-07-31",
                            "2026-08-31",
                        ]
                        .map(|day| last_of(day, "21")),
                    )
                    .collect(),
            ],
        ),
        (
            "2026-12-31T22:05:00Z",
            [
                hours(24, "2026-12-31T22:05:00Z"),
                days(30, "2026-12-31", "22"),
                ["2026-01-31", "2026-02-28", "2026-10-31", "2026-11-30"]
                    .map(|day| last_of(day, "22"))
                    .into_iter()
                    .chain(
                        [
                            "2026-03-31",
                            "2026-04-30",
                            "2026-05-31",
                            "2026-06-30",
                            "2026-07-31",
                            "2026-08-31",
                            "2026-09-30",
                        ]
                        .map(|day| last_of(day, "21")),
                    )
                    .collect(),
            ],
        ),
    ] {
        let expected: BTreeSet<Timestamp> = expected.into_iter().flatten().collect();
        let survivors = hourly_runs(&policy, "2025-12-31T23:05:00Z", to);
        assert_eq!(survivors, expected.into_iter().collect::<Vec<_>>(), "{to}");
    }
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        6 => Just(Status::Ready),
        1 => Just(Status::Creating),
        1 => Just(Status::Deleting),
        2 => Just(Status::Failed),
        1 => Just(Status::Other("NEW".to_owned())),
    ]
}

/// Listings with unique names, some not managed, some without a timestamp, some of the same time.
fn listings() -> impl Strategy<Value = Vec<Snapshot>> {
    // Minutes ago: mostly of the last days, with some of the future and of earlier years.
    let age = prop_oneof![4 => -3_000_i64..9_000, 2 => 0_i64..100_000, 1 => 0_i64..2_000_000];
    let one = (
        status(),
        prop::option::weighted(0.9, age),
        prop::bool::weighted(0.8),
        1_i64..6,
    );
    prop::collection::vec(one, 0..40).prop_map(|rows| {
        rows.into_iter()
            .zip(0_u64..)
            .map(
                |((status, minutes_ago, managed, version), number)| Snapshot {
                    name: if managed {
                        custom(number)
                    } else {
                        format!("by-hand-{number}")
                    },
                    status,
                    created_at: minutes_ago
                        .map(|minutes| now() - SignedDuration::from_mins(minutes)),
                    application_version_id: version,
                },
            )
            .collect()
    })
}

/// Policies of any rules, at least one, in any scope and a few time zones.
fn policies() -> impl Strategy<Value = Value> {
    let counts = prop::array::uniform6(prop::option::weighted(0.4, 1_u32..8));
    let within = prop::option::weighted(0.4, 1_u32..2_000);
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Zurich",
        "America/St_Johns",
        "Asia/Kathmandu",
    ]);
    (
        counts,
        within,
        1_u32..5,
        prop::option::of(0_u64..40),
        zone,
        any::<bool>(),
    )
        .prop_map(|(counts, within, versions, pin, zone, all)| {
            let mut policy = json!({
                "keep_last_versions": versions, "timezone": zone,
                "scope": if all { "ALL" } else { "MANAGED" },
                "keep_names": pin.map(custom).into_iter().collect::<Vec<_>>(),
            });
            for (rule, count) in RULES.iter().zip(counts) {
                policy[rule] = json!(count);
            }
            policy["keep_within"] = json!(within.map(|hours| format!("PT{hours}H")));
            if !of(policy.clone()).has_rule() {
                policy["keep_last"] = json!(1);
            }
            policy
        })
}

const RULES: [&str; 6] = [
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
];

/// The same policy with every count and window at least as large.
fn larger(policy: &Value, more: &[u32]) -> Value {
    let mut larger = policy.clone();
    for (rule, more) in RULES.iter().chain(&["keep_last_versions"]).zip(more) {
        if let Some(count) = policy[rule].as_u64() {
            larger[rule] = json!(count + u64::from(*more));
        } else if more % 2 == 1 {
            larger[rule] = json!(more);
        }
    }
    if let Some(within) = policy["keep_within"].as_str() {
        let hours: u32 = within[2..within.len() - 1].parse().unwrap();
        larger["keep_within"] = json!(format!("PT{}H", hours + more[0] * 24));
    }
    larger
}

fn deletions(verdicts: &[Verdict]) -> BTreeSet<String> {
    verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete)
        .map(|verdict| verdict.snapshot_name.clone())
        .collect()
}

/// What a policy deletes of a listing.
fn deleted(listing: &[Snapshot], policy: &Value) -> BTreeSet<String> {
    deletions(&plan(
        listing,
        &of(policy.clone()),
        Protected::default(),
        now(),
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn verdicts_partition_the_listing_and_each_has_a_reason(listing in listings(), policy in policies()) {
        let verdicts = plan(&listing, &of(policy), Protected::default(), now());
        let judged: BTreeSet<&str> = verdicts.iter().map(|v| v.snapshot_name.as_str()).collect();
        let listed: BTreeSet<&str> = listing.iter().map(|s| s.name.as_str()).collect();
        prop_assert_eq!(verdicts.len(), listing.len());
        prop_assert_eq!(judged, listed);
        prop_assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
    }

    #[test]
    fn the_newest_ready_snapshot_is_always_kept(listing in listings(), policy in policies()) {
        let deleted = deleted(&listing, &policy);
        let newest = listing
            .iter()
            .filter(|s| s.status == Status::Ready && s.created_at.is_some())
            .max_by_key(|s| (s.created_at, s.name.clone()));
        prop_assert!(newest.is_none_or(|newest| !deleted.contains(&newest.name)));
    }

    #[test]
    fn only_ready_or_failed_snapshots_in_scope_with_a_timestamp_are_deleted(
        listing in listings(), policy in policies()
    ) {
        let deleted = deleted(&listing, &policy);
        for snapshot in listing.iter().filter(|s| deleted.contains(&s.name)) {
            prop_assert!(snapshot.created_at.is_some());
            match snapshot.status {
                Status::Ready => prop_assert!(policy["scope"] == "ALL" || contract::is_managed(&snapshot.name)),
                Status::Failed => prop_assert!(contract::is_managed(&snapshot.name)),
                _ => prop_assert!(false, "{:?}", snapshot),
            }
        }
    }

    #[test]
    fn what_is_protected_by_name_is_never_deleted(
        listing in listings(), policy in policies(), own in 0_u64..40, restore in 0_u64..40
    ) {
        let (own, restore) = (custom(own), custom(restore));
        let protected = Protected { own: Some(&own), restore_point: Some(&restore) };
        let policy = of(policy);
        let deleted = deletions(&plan(&listing, &policy, protected, now()));
        prop_assert!(!deleted.contains(&own) && !deleted.contains(&restore));
        prop_assert!(deleted.iter().all(|name| !policy.keep_names.contains(name)));
    }

    #[test]
    fn larger_counts_and_windows_delete_a_subset(
        listing in listings(), policy in policies(), more in prop::collection::vec(0_u32..5, 7)
    ) {
        let few = deleted(&listing, &policy);
        let fewer = deleted(&listing, &larger(&policy, &more));
        prop_assert!(fewer.is_subset(&few), "{:?} of {:?}", fewer, few);
    }

    #[test]
    fn what_goes_in_scope_managed_goes_in_scope_all(listing in listings(), policy in policies()) {
        let mut scoped = policy;
        scoped["scope"] = json!("MANAGED");
        let managed = deleted(&listing, &scoped);
        scoped["scope"] = json!("ALL");
        let all = deleted(&listing, &scoped);
        prop_assert!(managed.is_subset(&all), "{:?} of {:?}", managed, all);
    }

    #[test]
    fn planning_the_survivors_again_deletes_nothing(listing in listings(), policy in policies()) {
        let gone = deleted(&listing, &policy);
        let survivors: Vec<Snapshot> =
            listing.into_iter().filter(|s| !gone.contains(&s.name)).collect();
        let again = deleted(&survivors, &policy);
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn a_snapshot_missing_from_the_listing_never_makes_another_one_be_deleted(
        listing in listings(), policy in policies(), missing in any::<prop::sample::Index>()
    ) {
        prop_assume!(!listing.is_empty());
        let whole = deleted(&listing, &policy);
        let mut partial = listing.clone();
        partial.remove(missing.index(listing.len()));
        let partial = deleted(&partial, &policy);
        prop_assert!(partial.is_subset(&whole), "{:?} of {:?}", partial, whole);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (listing, shuffled) in listings().prop_flat_map(|listing| {
            (Just(listing.clone()), Just(listing).prop_shuffle())
        }),
        policy in policies()
    ) {
        let policy = of(policy);
        let verdicts = plan(&listing, &policy, Protected::default(), now());
        prop_assert_eq!(verdicts, plan(&shuffled, &policy, Protected::default(), now()));
    }
}
