//! Which snapshots each rule keeps.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use retention::{Snapshot, keep_within_start};
use serde_json::json;

use crate::support::{NOW, kept_by_rule, now, policy_of, ready, taken_at};

#[test]
fn each_rule_keeps_the_newest_snapshot_of_each_period() {
    // A policy, and what it keeps. `keep_within` keeps what is strictly newer than its start.
    const TABLE: &str = r#"
        { "keep_last": 2 }
        2026-11-22T19:50:00Z last 1 of 2
        2026-11-22T19:10:00Z last 2 of 2

        { "keep_hourly": 3 }
        2026-11-22T19:50:00Z hourly 2026-11-22 19:00
        2026-11-22T18:30:00Z hourly 2026-11-22 18:00
        2026-11-21T23:59:59Z hourly 2026-11-21 23:00

        { "keep_daily": 3 }
        2026-11-22T19:50:00Z daily 2026-11-22
        2026-11-21T23:59:59Z daily 2026-11-21
        2026-11-15T12:00:00Z daily 2026-11-15

        { "keep_weekly": 9 }
        2026-11-22T19:50:00Z weekly 2026-W47
        2026-11-15T12:00:00Z weekly 2026-W46
        2026-10-31T12:00:00Z weekly 2026-W44
        2025-12-31T12:00:00Z weekly 2026-W01
        2021-01-03T12:00:00Z weekly 2020-W53

        { "keep_monthly": 2 }
        2026-11-22T19:50:00Z monthly 2026-11
        2026-10-31T12:00:00Z monthly 2026-10

        { "keep_yearly": 9 }
        2026-11-22T19:50:00Z yearly 2026
        2025-12-31T12:00:00Z yearly 2025
        2021-01-03T12:00:00Z yearly 2021

        { "keep_within": "PT40M" }
        2026-11-22T19:50:00Z within PT40M

        { "keep_within": "PT41M" }
        2026-11-22T19:50:00Z within PT41M
        2026-11-22T19:10:00Z within PT41M
    "#;
    let times = [
        "2026-11-22T19:50:00Z",
        "2026-11-22T19:10:00Z",
        "2026-11-22T18:30:00Z",
        "2026-11-21T23:59:59Z",
        "2026-11-21T00:00:00Z",
        // A Sunday, and the Monday before it.
        "2026-11-15T12:00:00Z",
        "2026-11-09T12:00:00Z",
        "2026-10-31T12:00:00Z",
        "2025-12-31T12:00:00Z",
        // In the ISO week 53 of 2020.
        "2021-01-03T12:00:00Z",
    ];
    for row in TABLE.trim().split("\n\n") {
        let mut lines = row.lines().map(str::trim);
        let policy = lines.next().unwrap();
        let kept = kept_by_rule(&times, serde_json::from_str(policy).unwrap(), NOW);
        assert_eq!(kept, lines.collect::<Vec<_>>(), "{policy}");
    }
}

#[test]
fn a_snapshot_that_several_rules_keep_has_the_reasons_of_all_of_them() {
    let policy = json!({
        "keep_last": 1, "keep_hourly": 1, "keep_daily": 1, "keep_weekly": 1,
        "keep_monthly": 1, "keep_yearly": 1, "keep_within": "P1D"
    });
    let kept = kept_by_rule(&["2026-11-22T19:50:00Z"], policy, NOW);
    let reasons = "last 1 of 1, hourly 2026-11-22 19:00, daily 2026-11-22, weekly 2026-W47, \
                   monthly 2026-11, yearly 2026, within P1D";
    assert_eq!(kept, [format!("2026-11-22T19:50:00Z {reasons}")]);
}

#[test]
fn a_period_keeps_only_its_newest_snapshot() {
    for times in [
        // A run on demand after the scheduled run of the day, and the next scheduled one.
        [
            "2026-11-22T15:00:00Z",
            "2026-11-22T03:00:00Z",
            "2026-11-21T03:00:00Z",
        ],
        // Due at 23:50 each day, and on the 21st started after midnight.
        [
            "2026-11-22T23:52:00Z",
            "2026-11-22T00:04:00Z",
            "2026-11-20T23:51:00Z",
        ],
    ] {
        let kept = kept_by_rule(&times, json!({ "keep_daily": 30 }), NOW);
        let expected =
            [0, 2].map(|place| format!("{} daily {}", times[place], &times[place][..10]));
        assert_eq!(kept, expected);
    }
}

#[test]
fn keep_within_counts_back_from_the_newest_snapshot_that_is_not_in_the_future() {
    let times = [
        "2026-11-23T20:00:00Z",
        "2026-11-20T12:00:00Z",
        "2026-11-19T13:00:00Z",
        "2026-11-19T11:00:00Z",
    ];
    let kept = kept_by_rule(&times, json!({ "keep_within": "P1D" }), NOW);
    let expected = [0, 1, 2].map(|place| format!("{} within P1D", times[place]));
    assert_eq!(kept, expected);
    // If all are in the future, or the window is longer than the calendar, everything is kept.
    for (within, now) in [("P1D", "2020-01-01T00:00:00Z"), ("P15000Y", NOW)] {
        let kept = kept_by_rule(&times, json!({ "keep_within": within }), now);
        assert_eq!(kept.len(), 4, "{within}");
    }
}

#[test]
fn keep_within_start_is_a_time_unless_the_rule_keeps_every_snapshot() {
    let taken = |time: &str| taken_at(time.parse().unwrap());
    let listing = [
        taken("2026-11-23T20:00:00Z"),
        taken("2026-11-20T12:00:00Z"),
        taken("2026-11-19T11:00:00Z"),
        ready("by-hand", 1),
    ];
    let all: &[Snapshot] = &listing;
    let in_zurich = json!({ "keep_within": "P1M", "timezone": "Europe/Zurich" });
    for (policy, listing, begin) in [
        (
            json!({ "keep_within": "P1D" }),
            all,
            Some("2026-11-19T12:00:00Z"),
        ),
        // The clock has changed in between.
        (in_zurich, all, Some("2026-10-20T11:00:00Z")),
        (
            json!({ "keep_within": "P1D", "scope": "ALL" }),
            all,
            Some("2026-11-21T19:00:00Z"),
        ),
        (json!({ "keep_within": "P15000Y" }), all, None),
        (json!({ "keep_within": "P1D" }), &all[..1], None),
        (json!({ "keep_last": 1 }), all, None),
    ] {
        let policy = policy_of(policy);
        let zone = TimeZone::get(policy.timezone.as_str()).unwrap();
        let begin = begin.map(|time| time.parse::<Timestamp>().unwrap());
        assert_eq!(
            keep_within_start(listing, &policy, &zone, now()),
            begin,
            "{policy:?}"
        );
    }
}

#[test]
fn one_month_before_the_31st_is_the_last_day_of_a_shorter_month() {
    let times = [
        "2026-03-31T12:00:00Z",
        "2026-02-28T12:00:01Z",
        "2026-02-28T12:00:00Z",
    ];
    let kept = kept_by_rule(&times, json!({ "keep_within": "P1M" }), NOW);
    assert_eq!(kept.len(), 2, "{kept:?}");
}
