//! Periods in time zones, across clock changes, and across a year of runs.

use std::collections::BTreeSet;

use contract::Retention;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use retention::{RunProtection, Snapshot};
use serde_json::{Value, json};

use crate::support::{deletions, kept_by_rule, plan, policy_of, taken_at};

#[test]
fn periods_start_in_the_time_zone_of_the_policy() {
    let times = ["2026-11-22T23:30:00Z", "2026-11-22T22:30:00Z"];
    // In Zurich a day starts at 23:00 UTC in winter.
    for (zone, count) in [("UTC", 1), ("Europe/Zurich", 2)] {
        let policy = json!({ "keep_daily": 5, "timezone": zone });
        let kept = kept_by_rule(&times, policy, "2026-11-23T00:00:00Z");
        assert_eq!(kept.len(), count, "{zone}");
    }
}

fn in_zurich(rule: &str) -> Value {
    json!({ rule: 9, "timezone": "Europe/Zurich" })
}

#[test]
fn a_repeated_hour_and_a_day_of_25_hours_are_one_period() {
    // 02:30 comes twice on that day: at 00:30 and at 01:30 UTC.
    let times = [
        "2026-10-25T22:59:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-24T22:00:00Z",
    ];
    let kept = kept_by_rule(&times, in_zurich("keep_hourly"), "2026-10-26T00:00:00Z");
    let expected = [
        "2026-10-25T22:59:00Z hourly 2026-10-25 23:00",
        "2026-10-25T01:30:00Z hourly 2026-10-25 02:00",
        "2026-10-24T22:00:00Z hourly 2026-10-25 00:00",
    ];
    assert_eq!(kept, expected);
    let kept = kept_by_rule(&times, in_zurich("keep_daily"), "2026-10-26T00:00:00Z");
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn two_hours_that_a_clock_change_repeats_are_one_period_each() {
    // At Troll the clock goes back by two hours: 01:30 and 02:30 come twice, in turn.
    let times = [
        "2026-10-25T02:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-24T23:30:00Z",
        "2026-10-24T22:30:00Z",
        "2026-10-24T21:30:00Z",
    ];
    let policy = json!({ "keep_hourly": 3, "timezone": "Antarctica/Troll" });
    let expected = [
        "2026-10-25T02:30:00Z hourly 2026-10-25 02:00",
        "2026-10-25T01:30:00Z hourly 2026-10-25 01:00",
        "2026-10-24T22:30:00Z hourly 2026-10-25 00:00",
    ];
    assert_eq!(
        kept_by_rule(&times, policy, "2026-10-26T00:00:00Z"),
        expected
    );
}

#[test]
fn a_day_of_23_hours_is_one_period_and_lacks_an_hour() {
    // There is no 02:30 on that day.
    let times = [
        "2026-03-29T21:59:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T00:59:00Z",
        "2026-03-28T23:00:00Z",
    ];
    let kept = kept_by_rule(&times, in_zurich("keep_daily"), "2026-03-30T00:00:00Z");
    assert_eq!(kept.len(), 1, "{kept:?}");
    let kept = kept_by_rule(&times, in_zurich("keep_hourly"), "2026-03-30T00:00:00Z");
    assert_eq!(kept[1], "2026-03-29T01:00:00Z hourly 2026-03-29 03:00");
    assert_eq!(kept[2], "2026-03-29T00:59:00Z hourly 2026-03-29 01:00");
}

/// Takes a snapshot five minutes after each full hour, and prunes after each.
fn hourly_runs(policy: &Retention, from: &str, to: &str) -> BTreeSet<Timestamp> {
    let (mut at, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
    let mut listing: Vec<Snapshot> = Vec::new();
    while at <= to {
        listing.push(taken_at(at));
        let deleted = deletions(&plan(&listing, policy, RunProtection::default(), at));
        listing.retain(|snapshot| !deleted.contains(&snapshot.name));
        at += SignedDuration::from_hours(1);
    }
    listing.iter().filter_map(|s| s.created_at).collect()
}

#[test]
fn a_year_of_hourly_runs_leaves_one_snapshot_for_each_hour_day_and_month_of_the_policy() {
    const MONTHS: [&str; 11] = [
        "01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31",
        "11-30",
    ];
    let policy = policy_of(json!({
        "keep_hourly": 24, "keep_daily": 30, "keep_monthly": 12, "timezone": "Europe/Zurich"
    }));
    // The last snapshot of a day in Zurich.
    let last_of = |day: &str| -> Zoned {
        let time = format!("2026-{day}T23:05:00[Europe/Zurich]");
        time.parse().unwrap()
    };
    for (to, (hours, days, last_day), months) in [
        // Noon after the change in spring. The hour that was left out is not among the 24.
        ("2026-03-29T10:05:00Z", (24, 29, "03-28"), &MONTHS[..1]),
        // Noon after the change in autumn. The repeated hour counts once, with its second snapshot.
        ("2026-10-25T11:05:00Z", (25, 29, "10-24"), &MONTHS[..8]),
        ("2026-12-31T22:05:00Z", (24, 30, "12-31"), &MONTHS[..]),
    ] {
        let newest: Timestamp = to.parse().unwrap();
        let last_day = last_of(last_day);
        let hours = (0..hours).map(|hours| newest - SignedDuration::from_hours(hours));
        let hours = hours.filter(|at| at.to_string() != "2026-10-25T00:05:00Z");
        let days = (0_i64..days).map(|days| last_day.checked_sub(days.days()).unwrap());
        let days = days.map(|last| last.timestamp());
        let months = months.iter().map(|day| last_of(day).timestamp());
        let expected: BTreeSet<Timestamp> = hours.chain(days).chain(months).collect();
        assert_eq!(
            hourly_runs(&policy, "2025-12-31T23:05:00Z", to),
            expected,
            "{to}"
        );
    }
}
