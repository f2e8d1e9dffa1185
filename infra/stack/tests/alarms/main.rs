//! The template's alarms, played by an evaluator of CloudWatch's rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cloudwatch;
mod given;

use std::collections::BTreeSet;

use cloudwatch::{DAY, HOUR, MINUTE};
use given::{End, History, alarms, deployed};
use stack::template::Template;

/// How many periods further than needed CloudWatch may look back. That is not documented, so each number must do.
const EXTRA: [usize; 3] = [0, 2, 5];

/// The tenth day begins.
const START: i64 = 10 * DAY;

/// Asserts that an alarm goes off once, within a period after `rings`, and stops within a period after `stops`. It may be
/// later by the periods that CloudWatch looks back further.
#[track_caller]
fn assert_rings(history: &History<'_>, id: &str, rings: i64, stops: i64, until: i64) {
    for extra in EXTRA {
        let found = history.rings(id, START - 2 * DAY, until, extra);
        let [(start, Some(end))] = found.as_slice() else {
            panic!("{id} goes off {} times: {found:?}", found.len());
        };
        let period = history.alarm(id).period;
        let late = period + i64::try_from(extra).unwrap() * period;
        for (what, is, expected) in [("goes off", *start, rings), ("stops", *end, stops)] {
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
        let found = history.rings(id, START - 2 * DAY, until, extra);
        assert!(
            found.is_empty(),
            "{id}, with {extra} periods more: {found:?}"
        );
    }
}

#[test]
fn a_month_of_runs_is_quiet() {
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
fn silence_rings_until_a_run_takes_a_snapshot_and_other_runs_do_not_count() {
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
        // The hour of the last run, and 26 hours.
        let (rings, stops) = (START + 27 * HOUR, START + 4 * DAY);
        for id in ["NoHealthyRunAlarm", "NoSnapshotAlarm"] {
            assert_rings(&history, id, rings, stops, START + 6 * DAY);
        }
    }
}

#[test]
fn an_application_that_stays_stopped_rings_an_alarm_of_its_own() {
    let template = deployed(&[]);
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START + 1, DAY, End::Succeeded);
    history.runs(START + DAY, START + 4 * DAY, DAY, End::Skipped);
    history.runs(START + 4 * DAY, START + 6 * DAY, DAY, End::Succeeded);
    let (rings, stops) = (START + 27 * HOUR, START + 4 * DAY);
    assert_rings(&history, "NoSnapshotAlarm", rings, stops, START + 6 * DAY);
    assert_quiet(&history, "NoHealthyRunAlarm", START + 6 * DAY);
    // One stop between two snapshots is no alarm.
    let template = deployed(&[("MaxHoursWithoutSnapshot", "3")]);
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START, HOUR, End::Succeeded);
    history.run(START + MINUTE, End::Skipped);
    history.runs(START + HOUR, START + 2 * DAY, HOUR, End::Succeeded);
    assert_quiet(&history, "NoSnapshotAlarm", START + 2 * DAY);
}

#[test]
fn a_brake_that_holds_for_a_day_rings_until_a_run_is_complete() {
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
    let (rings, stops) = (START + DAY + MINUTE, START + 30 * HOUR + MINUTE);
    let history = hourly(30 * HOUR);
    for extra in EXTRA {
        let found = history.rings(id, START - 2 * DAY, START + 3 * DAY, extra);
        let expected = (rings + MINUTE, Some(stops + MINUTE));
        assert_eq!(found, [expected]);
    }
    assert_quiet(&hourly(20 * HOUR), id, START + 3 * DAY);

    // Between two runs, nothing changes: the alarm of a schedule that has stopped stays as it is.
    let mut history = History::of(&template);
    history.run(START, End::HeldBack);
    history.run(START + 12 * DAY, End::Skipped);
    let found = history.rings(id, START, START + 14 * DAY, 2);
    assert_eq!(found, [(START + MINUTE, None)]);
}

#[test]
fn an_execution_that_does_not_succeed_rings_once_and_stops() {
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
        assert_rings(&history, id, at, at + 5 * MINUTE, until);
    }
    let mut history = History::of(&template);
    history.runs(START - 5 * DAY, START + 1, DAY, End::Succeeded);
    history.run(START + DAY, End::Failed);
    history.runs(START + 2 * DAY, START + 3 * DAY, DAY, End::Succeeded);
    let (rings, stops) = (START + DAY, START + DAY + 5 * MINUTE);
    let until = START + 3 * DAY;
    assert_rings(&history, "ExecutionsFailedAlarm", rings, stops, until);
}

#[test]
fn a_message_in_a_queue_rings_until_it_is_received() {
    let template = deployed(&[]);
    let (from, until) = (START + 17 * MINUTE, START + 9 * HOUR);
    for (id, queue) in [
        ("ScheduleDeadLetterAlarm", "ScheduleDeadLetterQueue"),
        ("FailureRuleDeadLetterAlarm", "FailureRuleDeadLetterQueue"),
        ("RecordAndNotifyFailureAlarm", "RecordAndNotifyFailureQueue"),
    ] {
        let mut history = History::of(&template);
        history.message(queue, from, until);
        // The queue goes on to send zeros, so that nothing is missing for long.
        assert_rings(&history, id, from, until, until + 2 * HOUR);
    }
}

#[test]
fn many_errors_of_all_functions_together_ring() {
    let template = deployed(&[]);
    let (at, until) = (START + 17 * MINUTE, START + 4 * HOUR);
    for (prune, rings) in [(5, false), (6, true)] {
        let mut history = History::of(&template);
        history.errors("CreateSnapshotFunction", at - 10 * MINUTE, 6);
        history.errors("PruneSnapshotsFunction", at, prune);
        if rings {
            let stops = at + 5 * MINUTE;
            assert_rings(&history, "FunctionErrorsAlarm", at, stops, until);
        } else {
            assert_quiet(&history, "FunctionErrorsAlarm", until);
        }
    }
}

#[test]
fn a_full_quota_rings_until_a_run_sees_fewer_snapshots() {
    for (parameters, most) in [(&[][..], 800), (&[("SnapshotQuota", "500")], 400)] {
        let template = deployed(parameters);
        let mut history = History::of(&template);
        for (day, above) in [(-1, -10), (0, 1), (1, 2), (2, 0), (3, 1)] {
            history.snapshots(START + day * DAY, most + above);
        }
        let (rings, stops) = (START, START + 2 * DAY);
        let until = START + 3 * DAY;
        assert_rings(&history, "SnapshotQuotaAlarm", rings, stops, until);
    }
}

/// The worst that the parameters allow: near the end of an hour, the schedule's runs start at the beginning of their
/// window, and from [`START`] on at its end, and they take half an hour longer.
fn worst(template: &Template, interval: i64, window: i64) -> History<'_> {
    let mut history = History::of(template);
    let mut scheduled = START - 20 * DAY + 59 * MINUTE;
    while scheduled < START + 20 * DAY {
        let is_late = scheduled >= START;
        let delay = if is_late { window + 30 * MINUTE } else { 0 };
        history.run(scheduled + delay, End::Succeeded);
        scheduled += interval;
    }
    history
}

#[test]
fn a_rule_refuses_a_schedule_that_rings_the_alarm_on_silence_by_itself() {
    for (rate, interval, window, hours, is_refused) in [
        ("rate(1 hour)", HOUR, 60, 2, true),
        ("rate(1 hour)", HOUR, 60, 3, false),
        ("rate(2 hours)", 2 * HOUR, 60, 3, true),
        ("rate(2 hours)", 2 * HOUR, 60, 4, false),
        ("rate(3 hours)", 3 * HOUR, 60, 4, true),
        ("rate(3 hours)", 3 * HOUR, 60, 5, false),
        ("rate(4 hours)", 4 * HOUR, 60, 5, true),
        ("rate(4 hours)", 4 * HOUR, 60, 6, false),
        ("rate(6 hours)", 6 * HOUR, 60, 7, true),
        ("rate(6 hours)", 6 * HOUR, 60, 8, false),
        ("rate(8 hours)", 8 * HOUR, 60, 9, true),
        ("rate(8 hours)", 8 * HOUR, 60, 10, false),
        ("rate(12 hours)", 12 * HOUR, 60, 13, true),
        ("rate(12 hours)", 12 * HOUR, 60, 14, false),
        ("rate(1 day)", DAY, 60, 25, true),
        ("rate(1 day)", DAY, 60, 26, false),
        ("rate(1 day)", DAY, 240, 26, true),
        ("rate(1 day)", DAY, 1440, 48, true),
        ("rate(1 day)", DAY, 1440, 50, false),
        ("rate(2 days)", 2 * DAY, 60, 48, true),
        ("rate(2 days)", 2 * DAY, 60, 50, false),
    ] {
        let (hours, minutes) = (hours.to_string(), window.to_string());
        let case = format!("{rate} within {minutes} minutes, {hours} hours");
        let all = [
            ("ScheduleExpression", rate),
            ("ScheduleWindowMinutes", minutes.as_str()),
            ("MaxHoursWithoutSnapshot", hours.as_str()),
        ];
        let template = deployed(&all);
        let refused = template.broken_rule().unwrap();
        assert_eq!(refused.is_some(), is_refused, "{case}");
        let history = worst(&template, interval, window * MINUTE);
        let until = START + 15 * DAY;
        let rings = history.rings("NoHealthyRunAlarm", START, until, 0);
        assert_eq!(!rings.is_empty(), is_refused, "{case}: {rings:?}");
        // Where there is no alarm, the schedule does not matter.
        for no_alarm in [
            ("MaxHoursWithoutSnapshot", "0"),
            ("ScheduleState", "DISABLED"),
            ("Mode", "PRUNE"),
        ] {
            let without = all.iter().filter(|(name, _)| *name != no_alarm.0);
            let without: Vec<(&str, &str)> = without.copied().chain([no_alarm]).collect();
            assert_eq!(deployed(&without).broken_rule().unwrap(), None, "{case}");
        }
    }
    // The defaults, and the longest alarm.
    assert_eq!(deployed(&[]).broken_rule().unwrap(), None);
}

/// Of `PutMetricAlarm`, and of alarms on metric math.
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
fn every_alarm_is_played() {
    // The tests above name each alarm that they play in quotes.
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
