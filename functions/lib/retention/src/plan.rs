//! Makes the plan: one verdict for each snapshot, with the reasons for the verdict.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use contract::{Action, Bounded, KeepWithin, Retention, Scope, Verdict, is_managed};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::{Snapshot, Status};

/// How long a FAILED snapshot is kept, so that people can examine it.
const KEEP_FAILED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The names of the two protected snapshots that only the caller knows. The other protections follow from the listing
/// and the policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunProtection<'a> {
    /// The run's own snapshot.
    pub own: Option<&'a str>,
    /// The snapshot from which the application is configured to restore.
    pub restore_point: Option<&'a str>,
}

/// Returns one verdict for each snapshot, newest first. Snapshots without a creation time come last.
///
/// The rules of the policy apply to the READY snapshots in its scope that have a creation time. Protected snapshots
/// count for the rules too. A READY snapshot in the scope is deleted if no rule keeps it and it is not protected. A
/// managed FAILED snapshot is deleted after a day unless it is protected. Periods such as days and months begin and end
/// in `zone`.
///
/// The page `resources/docs/retention.md` describes the rules, and how they differ from those of restic 0.14.
#[must_use]
pub fn plan(
    snapshots: &[Snapshot],
    policy: &Retention,
    zone: &TimeZone,
    run_protection: RunProtection<'_>,
    now: Timestamp,
) -> Vec<Verdict> {
    let newest_first = newest_first(snapshots);
    let candidates = candidates(&newest_first, policy, zone);
    let mut kept = protections(&newest_first, policy, run_protection);
    apply_rules(&candidates, policy, now, &mut kept);

    newest_first
        .into_iter()
        .map(|snapshot| {
            let (action, reasons) = if let Some(reasons) = kept.remove(snapshot.name.as_str()) {
                (Action::Keep, reasons)
            } else {
                let (action, reason) = judge_remaining(snapshot, policy, now);
                (action, vec![reason])
            };
            Verdict {
                snapshot_name: snapshot.name.clone(),
                action,
                reasons,
            }
        })
        .collect()
}

/// Returns the names of the snapshots that the plan deletes, in the order of the verdicts.
pub fn doomed_names(verdicts: &[Verdict]) -> impl Iterator<Item = &str> {
    let doomed = verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete);
    doomed.map(|verdict| verdict.snapshot_name.as_str())
}

/// Returns the start of the window of the rule `keep_within`. Of the snapshots to which the rules apply, `keep_within`
/// keeps those that were created after this time. `None` if the policy has no such rule, or if no start limits the rule.
#[must_use]
pub fn keep_within_start(
    snapshots: &[Snapshot],
    policy: &Retention,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let candidates = candidates(&newest_first(snapshots), policy, zone);
    window_start(&candidates, policy.keep_within.as_ref()?, now)
}

fn newest_first(snapshots: &[Snapshot]) -> Vec<&Snapshot> {
    let mut newest_first: Vec<&Snapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|snapshot| Reverse((snapshot.created_at, &snapshot.name)));
    newest_first
}

/// Returns the snapshots to which the rules apply, in the same order.
fn candidates<'a>(
    newest_first: &[&'a Snapshot],
    policy: &Retention,
    zone: &TimeZone,
) -> Vec<Candidate<'a>> {
    newest_first
        .iter()
        .filter(|snapshot| {
            snapshot.status == Status::Ready && is_in_scope(&snapshot.name, policy.scope)
        })
        .filter_map(|snapshot| {
            Some(Candidate {
                name: &snapshot.name,
                created_at: snapshot.created_at?.to_zoned(zone.clone()),
            })
        })
        .collect()
}

/// Whether a snapshot with this name is in the scope of a policy.
#[must_use]
pub fn is_in_scope(snapshot_name: &str, scope: Scope) -> bool {
    scope == Scope::All || is_managed(snapshot_name)
}

/// A snapshot to which the rules apply.
struct Candidate<'a> {
    name: &'a str,
    created_at: Zoned,
}

/// The names of the snapshots that are kept, each with the reasons to keep it.
type Kept<'a> = HashMap<&'a str, Vec<String>>;

/// Returns the protected snapshots with the reasons. `judge_remaining` handles snapshots that are CREATING or DELETING,
/// and protects those without a creation time.
fn protections<'a>(
    newest_first: &[&'a Snapshot],
    policy: &Retention,
    run_protection: RunProtection<'_>,
) -> Kept<'a> {
    let is_ready = |it: &&&Snapshot| it.status == Status::Ready && it.created_at.is_some();
    let ready: Vec<&Snapshot> = newest_first.iter().filter(is_ready).copied().collect();
    let name = |snapshot: &&'a Snapshot| snapshot.name.as_str();
    let newest_ready = ready.first().map(name);
    let newest_managed = ready.iter().find(|it| is_managed(&it.name)).map(name);
    let last_versions = newest_of_last_versions(&ready, policy.keep_last_versions.get() as usize);
    let last_runtimes = newest_of_last_runtimes(&ready, policy.keep_last_runtimes.get() as usize);
    let mut kept = Kept::new();
    for snapshot in newest_first {
        if matches!(snapshot.status, Status::Creating | Status::Deleting) {
            continue;
        }
        let name = snapshot.name.as_str();
        let mut protect = |reason: String| kept.entry(name).or_default().push(reason);
        if Some(name) == run_protection.own {
            protect("protected: this run's own snapshot".to_owned());
        }
        if Some(name) == run_protection.restore_point {
            protect("protected: restore point of the application".to_owned());
        }
        if policy.keep_names.contains(name) {
            protect("protected: named in keep_names".to_owned());
        }
        if Some(name) == newest_ready {
            protect("protected: newest READY snapshot".to_owned());
        } else if Some(name) == newest_managed {
            // The newest READY snapshot was not taken by a run. The person who took it may delete it, so the newest
            // managed one is protected too.
            protect("protected: newest READY managed snapshot".to_owned());
        }
        if let Some(version) = last_versions.get(name) {
            protect(format!(
                "protected: newest of application version {version}"
            ));
        }
        if let Some((runtime, _)) = last_runtimes.iter().find(|(_, newest)| *newest == name) {
            protect(format!("protected: newest of runtime {runtime}"));
        }
    }
    kept
}

/// Returns the newest snapshot of each of the `count` highest application versions, with the version. A rollback needs
/// these snapshots.
fn newest_of_last_versions<'a>(ready: &[&'a Snapshot], count: usize) -> HashMap<&'a str, i64> {
    let mut versions: BTreeMap<i64, &str> = BTreeMap::new();
    for snapshot in ready {
        versions
            .entry(snapshot.application_version_id)
            .or_insert(&snapshot.name);
    }
    let highest_first = versions.into_iter().rev().take(count);
    highest_first
        .map(|(version, name)| (name, version))
        .collect()
}

/// Returns the last `count` runtimes, each with its newest snapshot. The runtime of the newest snapshot comes first.
fn newest_of_last_runtimes<'a>(ready: &[&'a Snapshot], count: usize) -> Vec<(&'a str, &'a str)> {
    let mut runtimes: Vec<(&str, &str)> = Vec::new();
    for snapshot in ready {
        if let Some(runtime) = snapshot.runtime.as_deref()
            && runtimes.iter().all(|(seen, _)| *seen != runtime)
        {
            runtimes.push((runtime, &snapshot.name));
        }
    }
    runtimes.truncate(count);
    runtimes
}

/// The numbers that identify a period, for example year, month and day.
type Period = [i16; 4];

/// A rule that keeps the newest snapshot of each of the last `count` periods that have one.
struct PeriodRule {
    name: &'static str,
    count: Option<u32>,
    period: fn(&Zoned) -> Period,
    label: fn(Period) -> String,
}

/// The rules with calendar periods. An hour that occurs twice because of a clock change counts as one period.
fn period_rules(policy: &Retention) -> [PeriodRule; 5] {
    [
        PeriodRule {
            name: "hourly",
            count: policy.keep_hourly.map(Bounded::get),
            period: |at| {
                [
                    at.year(),
                    at.month().into(),
                    at.day().into(),
                    at.hour().into(),
                ]
            },
            label: |[year, month, day, hour]| format!("{year}-{month:02}-{day:02} {hour:02}:00"),
        },
        PeriodRule {
            name: "daily",
            count: policy.keep_daily.map(Bounded::get),
            period: |at| [at.year(), at.month().into(), at.day().into(), 0],
            label: |[year, month, day, _]| format!("{year}-{month:02}-{day:02}"),
        },
        PeriodRule {
            name: "weekly",
            count: policy.keep_weekly.map(Bounded::get),
            period: |at| {
                let week = at.date().iso_week_date();
                [week.year(), week.week().into(), 0, 0]
            },
            label: |[year, week, ..]| format!("{year}-W{week:02}"),
        },
        PeriodRule {
            name: "monthly",
            count: policy.keep_monthly.map(Bounded::get),
            period: |at| [at.year(), at.month().into(), 0, 0],
            label: |[year, month, ..]| format!("{year}-{month:02}"),
        },
        PeriodRule {
            name: "yearly",
            count: policy.keep_yearly.map(Bounded::get),
            period: |at| [at.year(), 0, 0, 0],
            label: |[year, ..]| year.to_string(),
        },
    ]
}

/// Adds the snapshots that the rules keep, with the reasons. `candidates` have to be sorted from the newest.
fn apply_rules<'a>(
    candidates: &[Candidate<'a>],
    policy: &Retention,
    now: Timestamp,
    kept: &mut Kept<'a>,
) {
    let mut keep = |name: &'a str, reason| kept.entry(name).or_default().push(reason);
    if let Some(count) = policy.keep_last {
        for (candidate, number) in candidates.iter().zip(1..=count.get()) {
            keep(candidate.name, format!("last {number} of {count}"));
        }
    }
    for rule in period_rules(policy) {
        let count = rule.count.unwrap_or(0) as usize;
        // A set, because a clock change can repeat an earlier period.
        let mut periods = HashSet::new();
        for candidate in candidates {
            if periods.len() == count {
                break;
            }
            let period = (rule.period)(&candidate.created_at);
            if periods.insert(period) {
                let label = (rule.label)(period);
                keep(candidate.name, format!("{} {label}", rule.name));
            }
        }
    }
    if let Some(within) = &policy.keep_within {
        let start = window_start(candidates, within, now);
        for candidate in candidates {
            if start.is_none_or(|start| candidate.created_at.timestamp() > start) {
                keep(candidate.name, format!("within {within}"));
            }
        }
    }
}

/// Returns the start of the period for which `within` keeps candidates. The period ends at the newest candidate that is
/// not in the future.
///
/// `None` means that `within` keeps every candidate, because all candidates are in the future, or because the period
/// starts before the earliest date that can be represented.
fn window_start(
    candidates: &[Candidate<'_>],
    within: &KeepWithin,
    now: Timestamp,
) -> Option<Timestamp> {
    let newest = candidates
        .iter()
        .find(|candidate| candidate.created_at.timestamp() <= now)?;
    let start = newest.created_at.checked_sub(within.span()).ok()?;
    Some(start.timestamp())
}

/// Decides about a snapshot that no rule keeps and that [`protections`] does not contain.
fn judge_remaining(snapshot: &Snapshot, policy: &Retention, now: Timestamp) -> (Action, String) {
    match (&snapshot.status, snapshot.created_at) {
        (Status::Creating, _) => (Action::Ignore, "CREATING".to_owned()),
        (Status::Deleting, _) => (Action::Ignore, "DELETING".to_owned()),
        (Status::Other(status), _) => (Action::Ignore, format!("unknown status {status}")),
        _ if !is_in_scope(&snapshot.name, policy.scope) => (
            Action::Ignore,
            "not managed: the name is not custom_<13 digits>".to_owned(),
        ),
        (Status::Failed, _) if !is_managed(&snapshot.name) => {
            (Action::Ignore, "FAILED, and not managed".to_owned())
        }
        (Status::Ready | Status::Failed, None) => {
            (Action::Keep, "protected: no creation timestamp".to_owned())
        }
        (Status::Ready, Some(_)) => (Action::Delete, "no rule keeps it".to_owned()),
        (Status::Failed, Some(created_at)) => {
            let age = now.duration_since(created_at);
            if age > KEEP_FAILED_FOR {
                let days = age.as_hours() / 24;
                let unit = if days == 1 { "day" } else { "days" };
                (Action::Delete, format!("FAILED, created {days} {unit} ago"))
            } else {
                (
                    Action::Keep,
                    "FAILED, created within the last day".to_owned(),
                )
            }
        }
    }
}
