//! Evaluates the template's alarms on made-up histories, with an evaluator that follows CloudWatch's rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cloudwatch;
mod given;

use std::collections::BTreeSet;

use cloudwatch::{DAY, HOUR, MINUTE};
use contract::RunInput;
use given::{End, History, alarms, deployed};
use stack::template::Template;

/// How many periods more than needed CloudWatch may look back to find data. The number is not documented, so each test
/// runs with several.
const EXTRA: [usize; 3] = [0, 2, 5];

/// The beginning of the tenth day.
const START: i64 = 10 * DAY;

/// Asserts that an alarm goes into the state ALARM once, within a period after `starts`, and leaves it within a period
/// after `stops`. Both may be later by the periods that CloudWatch looks back further.
#[track_caller]
fn assert_alarms(history: &History<'_>, id: &str, starts: i64, stops: i64, until: i64) {
    for extra in EXTRA {
        let found = history.alarm_times(id, START - 2 * DAY, until, extra);
        let [(start, Some(end))] = found.as_slice() else {
            panic!("{id} goes off {} times: {found:?}", found.len());
        };
        let period = history.alarm(id).period;
        let late = period + i64::try_from(extra).unwrap() * period;
        for (what, is, expected) in [("goes off", *start, starts), ("stops", *end, stops)] {
            let after = is - expected;
            assert!(
                (0..=late).contains(&after),
                "{id} {what} {after} s after the time, with {extra} periods more"
            );
        }
    }
}

#[track_caller]
fn assert_quiet(history: &History<'_>, id: &str, until: i64) {
    for extra in EXTRA {
        let found = history.alarm_times(id, START - 2 * DAY, until, extra);
        assert!(
            found.is_empty(),
            "{id}, with {extra} periods more: {found:?}"
        );
    }
}

#[test]
fn a_month_of_successful_runs_starts_no_alarm() {
    for (parameters, every) in [
        (&[][..], DAY),
        (
            &[
                ("ScheduleExpression", "rate(1 hour)"),
                ("MaxHoursWithoutSnapshot", "3"),
            ][..],
            HOUR,
        ),
    ] {
        let template = deployed(parameters);
        let mut history = History::of(&template);
        history.runs(START - 5 * DAY, START + 30 * DAY, every, End::Succeeded);
        for (id, _) in alarms(&template) {
            assert_quiet(&history, id, START + 30 * DAY);
        }
    }
}

#[test]
fn the_alarms_on_missing_snapshots_last_until_a_run_takes_a_snapshot_and_other_runs_do_not_count() {
    let template = deployed(&[]);
    for others in [
        None,
        Some((End::Pruned, HOUR)),
        Some((End::Planned, HOUR)),
        Some((End::Failed, DAY)),
    ] {
        let mut history = History::of(&template);
        history.runs(START - 5 * DAY, START + 1, DAY, End::Succeeded);
        if let Some((end, every)) = others {
            history.runs(START + HOUR, START + 4 * DAY, every, end);
        }
        history.runs(START + 4 * DAY, START + 6 * DAY, DAY, End::Succeeded);
        // The rest of the hour of the last run, and 30 hours.
        let (starts, stops) = (START + 31 * HOUR, START + 4 * DAY);
        for id in ["NoHealthyRunAlarm", "NoSnapshotAlarm"] {
            assert_alarms(&history, id, starts, stops, START + 6 * DAY);
        }
    }
}

#[test]
fn an_application_that_stays_stopped_starts_its_own_alarm() {
    let template = deployed(&[]);
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START + 1, DAY, End::Succeeded);
    history.runs(START + DAY, START + 4 * DAY, DAY, End::Skipped);
    history.runs(START + 4 * DAY, START + 6 * DAY, DAY, End::Succeeded);
    let (starts, stops) = (START + 31 * HOUR, START + 4 * DAY);
    assert_alarms(&history, "NoSnapshotAlarm", starts, stops, START + 6 * DAY);
    assert_quiet(&history, "NoHealthyRunAlarm", START + 6 * DAY);
    // If the application is stopped only once between two snapshots, no alarm starts.
    let template = deployed(&[("MaxHoursWithoutSnapshot", "3")]);
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START, HOUR, End::Succeeded);
    history.run(START + MINUTE, End::Skipped);
    history.runs(START + HOUR, START + 2 * DAY, HOUR, End::Succeeded);
    assert_quiet(&history, "NoSnapshotAlarm", START + 2 * DAY);
}

#[test]
fn if_the_deletion_limit_stops_runs_for_a_day_an_alarm_lasts_until_a_run_prunes_completely() {
    let template = deployed(&[("MaxHoursWithoutSnapshot", "3")]);
    let id = "PruneIncompleteAlarm";
    let hourly = |held: i64| {
        let mut history = History::of(&template);
        history.runs(START - 5 * DAY, START, HOUR, End::Succeeded);
        history.run(START + MINUTE, End::Succeeded);
        history.runs(START + HOUR, START + held, HOUR, End::HeldBack);
        history.run(START + held + MINUTE, End::Succeeded);
        history
    };
    let (starts, stops) = (START + DAY + MINUTE, START + 30 * HOUR + MINUTE);
    let history = hourly(30 * HOUR);
    for extra in EXTRA {
        let found = history.alarm_times(id, START - 2 * DAY, START + 3 * DAY, extra);
        let expected = (starts + MINUTE, Some(stops + MINUTE));
        assert_eq!(found, [expected]);
    }
    assert_quiet(&hourly(20 * HOUR), id, START + 3 * DAY);

    // Between two runs, the alarm does not change. So it stays as it is if the schedule has stopped.
    let mut history = History::of(&template);
    history.run(START, End::HeldBack);
    history.run(START + 12 * DAY, End::Skipped);
    let found = history.alarm_times(id, START, START + 14 * DAY, 2);
    assert_eq!(found, [(START + MINUTE, None)]);
}

#[test]
fn an_execution_that_does_not_succeed_starts_an_alarm_that_ends_by_itself() {
    let template = deployed(&[]);
    let (at, until) = (START + 17 * MINUTE, START + 2 * HOUR);
    for (id, metric) in [
        ("ExecutionsFailedAlarm", "ExecutionsFailed"),
        ("ExecutionsTimedOutAlarm", "ExecutionsTimedOut"),
        ("ExecutionsAbortedAlarm", "ExecutionsAborted"),
        ("RedrivenExecutionsFailedAlarm", "RedrivenExecutionsFailed"),
        (
            "RedrivenExecutionsTimedOutAlarm",
            "RedrivenExecutionsTimedOut",
        ),
        (
            "RedrivenExecutionsAbortedAlarm",
            "RedrivenExecutionsAborted",
        ),
        ("ExecutionsThrottledAlarm", "ExecutionThrottled"),
    ] {
        let mut history = History::of(&template);
        history.execution(at, metric);
        assert_alarms(&history, id, at, at + 5 * MINUTE, until);
    }
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START + 1, DAY, End::Succeeded);
    history.run(START + DAY, End::Failed);
    history.runs(START + 2 * DAY, START + 3 * DAY, DAY, End::Succeeded);
    let (starts, stops) = (START + DAY, START + DAY + 5 * MINUTE);
    let until = START + 3 * DAY;
    assert_alarms(&history, "ExecutionsFailedAlarm", starts, stops, until);
}

#[test]
fn a_message_in_a_queue_starts_an_alarm_that_lasts_until_it_is_received() {
    let template = deployed(&[]);
    let (from, until) = (START + 17 * MINUTE, START + 9 * HOUR);
    for (id, queue) in [
        ("ScheduleDeadLetterAlarm", "ScheduleDeadLetterQueue"),
        ("FailureRuleDeadLetterAlarm", "FailureRuleDeadLetterQueue"),
        ("RecordAndNotifyFailureAlarm", "RecordAndNotifyFailureQueue"),
    ] {
        let mut history = History::of(&template);
        history.message(queue, from, until);
        // The queue goes on to report zeros, so no data is missing for long.
        assert_alarms(&history, id, from, until, until + 2 * HOUR);
    }
}

#[test]
fn many_errors_of_all_functions_together_start_an_alarm() {
    let template = deployed(&[]);
    let (at, until) = (START + 17 * MINUTE, START + 4 * HOUR);
    for (prune, rings) in [(5, false), (6, true)] {
        let mut history = History::of(&template);
        history.errors("CreateSnapshotFunction", at - 10 * MINUTE, 6);
        history.errors("PruneSnapshotsFunction", at, prune);
        if rings {
            let stops = at + 5 * MINUTE;
            assert_alarms(&history, "FunctionErrorsAlarm", at, stops, until);
        } else {
            assert_quiet(&history, "FunctionErrorsAlarm", until);
        }
    }
}

#[test]
fn the_quota_alarm_lasts_until_a_run_sees_fewer_snapshots() {
    for (parameters, most) in [(&[][..], 800), (&[("SnapshotQuota", "500")], 400)] {
        let template = deployed(parameters);
        let mut history = History::of(&template);
        for (day, above) in [(-1, -10), (0, 1), (1, 2), (2, 0), (3, 1)] {
            history.snapshots(START + day * DAY, most + above);
        }
        let (starts, stops) = (START, START + 2 * DAY);
        let until = START + 3 * DAY;
        assert_alarms(&history, "SnapshotQuotaAlarm", starts, stops, until);
    }
}

/// The worst case for a schedule. Its runs are scheduled near the end of an hour. Before [`START`], they end at once;
/// from then on, they end `later` seconds later. `interval` is the time between two runs, in seconds.
fn worst_case(template: &Template, interval: i64, later: i64) -> History<'_> {
    let mut history = History::of(template);
    let mut scheduled = START - 20 * DAY + 59 * MINUTE;
    while scheduled < START + 20 * DAY {
        let delay = if scheduled >= START { later } else { 0 };
        history.run(scheduled + delay, End::Succeeded);
        scheduled += interval;
    }
    history
}

#[test]
fn the_slowest_run_that_the_defaults_allow_starts_no_alarm() {
    let template = deployed(&[]);
    let machine = template.properties("StateMachine").unwrap();
    let schedule = &machine["Events"]["Schedule"]["Properties"];
    let window = &schedule["FlexibleTimeWindow"]["MaximumWindowInMinutes"];
    let window: i64 = window.as_str().unwrap().parse().unwrap();
    let input: RunInput = serde_json::from_str(schedule["Input"].as_str().unwrap()).unwrap();
    // The run waits for the application, then for its snapshot, and before its deletions for the application again.
    let (application, ready) = (
        input.application_timeout_seconds,
        input.ready_timeout_seconds,
    );
    let waits = 2 * i64::from(application.get()) + i64::from(ready.get());
    let later = window * MINUTE + waits;
    let alarms = ["NoHealthyRunAlarm", "NoSnapshotAlarm"];
    for id in alarms {
        assert_quiet(&worst_case(&template, DAY, later), id, START + 15 * DAY);
    }
    let template = deployed(&[("MaxHoursWithoutSnapshot", "28")]);
    for id in alarms {
        let alarms_found =
            worst_case(&template, DAY, later).alarm_times(id, START, START + 15 * DAY, 0);
        assert!(!alarms_found.is_empty(), "{id}");
    }
}

/// The schedule rates in the template's Rule, and their intervals in hours.
fn known_rates() -> Vec<(String, i64)> {
    let hours = (2..=24).chain((2..=7).map(|days| 24 * days));
    let hours = hours.map(|hours| (format!("rate({hours} hours)"), hours));
    let days = (2..=7).map(|days| (format!("rate({days} days)"), 24 * days));
    let others = [
        ("rate(1 hour)", 1),
        ("rate(60 minutes)", 1),
        ("rate(1440 minutes)", 24),
        ("rate(1 day)", 24),
        ("cron(0 3 * * ? *)", 24),
    ];
    let others = others.map(|(rate, hours)| (rate.to_owned(), hours));
    hours.chain(days).chain(others).collect()
}

/// The lowest value of `MaxHoursWithoutSnapshot` that the Rule accepts.
fn fewest(interval: i64, window: i64) -> i64 {
    if window <= 60 {
        interval + 2
    } else {
        (interval + 23) / 24 * 24 + 26
    }
}

/// The description of the Rule that these parameters break.
fn refused(rate: &str, window: i64, hours: i64, more: &[(&str, &str)]) -> Option<String> {
    let (window, hours) = (window.to_string(), hours.to_string());
    let parameters = [
        ("ScheduleExpression", rate),
        ("ScheduleWindowMinutes", window.as_str()),
        ("MaxHoursWithoutSnapshot", hours.as_str()),
    ];
    let template = deployed(&[&parameters, more].concat());
    template.broken_rule().unwrap().map(str::to_owned)
}

#[test]
fn a_rule_refuses_a_schedule_that_would_start_the_alarm_on_missing_snapshots_by_itself() {
    for (rate, interval) in known_rates() {
        for window in [1, 60, 61, 1440] {
            let fewest = fewest(interval, window);
            // The parameter accepts at most 168.
            let hours = [0, 1, fewest - 1, fewest, 168].map(|hours| hours.min(168));
            for hours in hours {
                let found = refused(&rate, window, hours, &[]);
                let case = format!("{rate} within {window} minutes, {hours} hours: {found:?}");
                assert_eq!(found.is_some(), hours != 0 && hours < fewest, "{case}");
            }
        }
    }
    // Without the alarm, the Rule accepts any schedule.
    for no_alarm in [("ScheduleState", "DISABLED"), ("Mode", "PRUNE")] {
        assert_eq!(refused("rate(7 days)", 1440, 1, &[no_alarm]), None);
    }
    assert_eq!(deployed(&[]).broken_rule().unwrap(), None);
}

/// A value that the Rule accepts is high enough for runs of half an hour. A value that it refuses is too low, if the
/// window is at most an hour.
#[test]
fn with_the_lowest_value_that_the_rule_accepts_no_alarm_starts_but_with_a_lower_one_it_does() {
    for (rate, interval) in known_rates() {
        for window in [60, 1440] {
            let fewest = fewest(interval, window);
            let later = (window + 30) * MINUTE;
            let alarms_with = |hours: i64| {
                let hours = hours.to_string();
                let parameters = [
                    ("ScheduleExpression", rate.as_str()),
                    ("MaxHoursWithoutSnapshot", hours.as_str()),
                ];
                let template = deployed(&parameters);
                let history = worst_case(&template, interval * HOUR, later);
                history.alarm_times("NoHealthyRunAlarm", START, START + 15 * DAY, 0)
            };
            if fewest <= 168 {
                let found = alarms_with(fewest);
                assert!(
                    found.is_empty(),
                    "{rate} within {window} minutes: {found:?}"
                );
            }
            let is_exact = window == 60 && fewest <= 169;
            assert!(!is_exact || !alarms_with(fewest - 1).is_empty(), "{rate}");
        }
    }
}

/// The limits of `PutMetricAlarm`, and of alarms on metric math.
#[test]
fn every_alarm_is_within_the_limits_of_cloudwatch() {
    let template = deployed(&[]);
    let parameters = &template.document()["Parameters"]["MaxHoursWithoutSnapshot"];
    let most = parameters["MaxValue"].to_string();
    for hours in ["1", most.as_str()] {
        let template = deployed(&[("MaxHoursWithoutSnapshot", hours)]);
        for (id, alarm) in alarms(&template) {
            let (n, m) = (alarm.evaluation_periods, alarm.breaching_needed);
            assert!((1..=n).contains(&m), "{id}: {m} of {n}");
            let period = alarm.period;
            let is_period = [10, 20, 30].contains(&period) || period % 60 == 0;
            assert!(is_period && period > 0, "{id}: {period} s");
            let longest = if period >= HOUR { 7 * DAY } else { DAY };
            assert!(period * i64::try_from(n).unwrap() <= longest, "{id}");
            assert!((1..=10).contains(&alarm.metrics()), "{id}");
            let properties = template.properties(id).unwrap();
            let description = properties["AlarmDescription"].as_str().unwrap();
            assert!(description.len() <= 1_024, "{id}: {}", description.len());
        }
    }
}

#[test]
fn every_alarm_has_a_test() {
    // The tests above contain the name of each alarm that they evaluate, in quotes.
    let tests = include_str!("main.rs");
    let (played, _) = tests.split_once("every_alarm_is_within").unwrap();
    let template = deployed(&[]);
    let left: BTreeSet<&str> = alarms(&template)
        .into_iter()
        .map(|(id, _)| id)
        .filter(|id| !played.contains(&format!("\"{id}\"")))
        .collect();
    assert_eq!(left, BTreeSet::new());
}
