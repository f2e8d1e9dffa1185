//! Listings, policies and verdicts.

use std::collections::BTreeSet;

use contract::{Action, Retention, Verdict};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use retention::{RunProtection, Snapshot, Status};
use serde_json::Value;

pub(crate) const NOW: &str = "2026-11-22T20:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(crate) fn policy_of(policy: Value) -> Retention {
    serde_json::from_value(policy).unwrap()
}

pub(crate) fn plan(
    snapshots: &[Snapshot],
    policy: &Retention,
    protected: RunProtection<'_>,
    now: Timestamp,
) -> Vec<Verdict> {
    let zone = TimeZone::get(policy.timezone.as_str()).unwrap();
    retention::plan(snapshots, policy, &zone, protected, now)
}

/// The plan at [`NOW`], with nothing protected by name.
pub(crate) fn plan_now(snapshots: &[Snapshot], policy: &Retention) -> Vec<Verdict> {
    plan(snapshots, policy, RunProtection::default(), now())
}

/// A managed name.
pub(crate) fn custom(number: u64) -> String {
    format!("custom_{number:013}")
}

/// A snapshot that was taken this many hours ago.
pub(crate) fn snapshot(name: &str, status: Status, hours_ago: i64) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        status,
        created_at: Some(now() - SignedDuration::from_hours(hours_ago)),
        application_version_id: 1,
        runtime: None,
    }
}

pub(crate) fn ready(name: &str, hours_ago: i64) -> Snapshot {
    snapshot(name, Status::Ready, hours_ago)
}

/// A managed READY snapshot that was taken then.
pub(crate) fn taken_at(time: Timestamp) -> Snapshot {
    Snapshot {
        created_at: Some(time),
        ..ready(&custom(time.as_millisecond().unsigned_abs()), 0)
    }
}

/// Which of the snapshots that were taken at these times are kept by a rule: the time and the reasons,
/// newest first.
pub(crate) fn kept_by_rule(times: &[&str], policy: Value, now: &str) -> Vec<String> {
    let listing: Vec<Snapshot> = times
        .iter()
        .map(|time| taken_at(time.parse().unwrap()))
        .collect();
    let policy = policy_of(policy);
    let verdicts = plan(
        &listing,
        &policy,
        RunProtection::default(),
        now.parse().unwrap(),
    );
    let line = |verdict: &Verdict| {
        let place = listing
            .iter()
            .position(|snapshot| snapshot.name == verdict.snapshot_name);
        let reasons = verdict.reasons.iter().map(String::as_str);
        let rules: Vec<&str> = reasons
            .filter(|reason| !reason.starts_with("protected") && *reason != "no rule keeps it")
            .collect();
        (!rules.is_empty()).then(|| format!("{} {}", times[place.unwrap()], rules.join(", ")))
    };
    verdicts.iter().filter_map(line).collect()
}

/// The action for a snapshot, and its reasons.
pub(crate) fn verdict(verdicts: &[Verdict], name: &str) -> (Action, String) {
    let is_of = |verdict: &&Verdict| verdict.snapshot_name == name;
    let verdict = verdicts.iter().find(is_of).unwrap();
    (verdict.action, verdict.reasons.join(", "))
}

pub(crate) fn deletions(verdicts: &[Verdict]) -> BTreeSet<String> {
    let deleted = verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete);
    deleted
        .map(|verdict| verdict.snapshot_name.clone())
        .collect()
}
