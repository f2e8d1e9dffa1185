//! What must never happen, looked at while it would happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use contract::is_managed;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::backend::lock;
use crate::services::{Answer, Services};
use crate::transport::{Invocation, Listing};

/// Sees every call. What it finds wrong is in `violations`.
#[derive(Debug, Default)]
pub struct Invariants {
    pub violations: Vec<String>,
    /// How often the service has accepted a snapshot of that name.
    pub created: BTreeMap<String, usize>,
    /// How often one of that name was deleted.
    pub removed: BTreeMap<String, usize>,
    /// By execution: the snapshots that its own Delete has deleted, and whose it was; late if nobody waited for the
    /// answer any more.
    pub deleted: BTreeMap<String, BTreeMap<String, (Arc<Invocation>, bool)>>,
    /// By execution: those that were in a batch of it.
    pub planned: BTreeMap<String, BTreeSet<String>>,
    /// The invocations of record-and-notify.
    recordings: Vec<Arc<Invocation>>,
    /// By execution: how many of them are under way.
    recording: BTreeMap<String, u32>,
    /// What the snapshots were since the plan that the Delete at hand rests on.
    since: Vec<Vec<Value>>,
    /// What this course has come across.
    pub coverage: BTreeSet<String>,
    /// All that happened, in order.
    pub trace: String,
}

impl Invariants {
    /// Adds to the trace.
    pub fn tell(&mut self, now: Timestamp, what: &str) {
        let _ = writeln!(self.trace, "{now:.3} {what}");
    }

    /// How often an invocation of record-and-notify for this execution has lost an answer, its mark or its process,
    /// or has run beside another one.
    pub fn disturbances(&self, execution: &str) -> usize {
        let all = self.recordings.iter();
        all.filter(|invocation| invocation.execution == execution)
            .map(|invocation| invocation.disturbances.load(Ordering::SeqCst))
            .sum()
    }

    pub fn begun(&mut self, invocation: &Arc<Invocation>) {
        if invocation.function == "record-and-notify" {
            self.recordings.push(invocation.clone());
            let recording = self.recording.entry(invocation.execution.clone());
            let recording = recording.or_default();
            invocation
                .disturbances
                .fetch_add(usize::from(*recording > 0), Ordering::SeqCst);
            *recording += 1;
        }
        let mut batch = invocation.given["batch"].as_array().into_iter().flatten();
        let age = age_of_plan(invocation).filter(|_| batch.clone().next().is_some());
        if age.is_some_and(|age| age > GOOD_FOR) {
            self.coverage.insert("a batch of an old plan".to_owned());
        }
        for doomed in batch.by_ref() {
            let planned = self.planned.entry(invocation.execution.clone());
            planned.or_default().insert(text(&doomed["snapshot_name"]));
        }
    }

    /// A function sends a call.
    pub fn sent(&mut self, invocation: &Invocation, operation: &str, body: &Value) {
        let run = &invocation.given["run"];
        if operation == "CreateApplicationSnapshot" {
            let started = text(&invocation.payload["execution_started_at"]);
            let started: Timestamp = started.parse().unwrap();
            if body["SnapshotName"] != format!("custom_{}", started.as_millisecond()) {
                self.violations
                    .push(format!("created a foreign name: {body}"));
            }
        }
        if operation != "DeleteApplicationSnapshot" {
            return;
        }
        let name = text(&body["SnapshotName"]);
        let learned = lock(&invocation.learned).application.clone();
        let wrong = match (&invocation.rests_on, learned) {
            (Some(listing), Some(application)) => why_not(&name, body, run, listing, &application)
                .or_else(|| {
                    let age = age_of_plan(invocation).filter(|age| *age > GOOD_FOR);
                    age.map(|age| format!("by a plan of {} s ago", age.as_secs()))
                }),
            _ => Some("without a plan or a look at the application".to_owned()),
        };
        if let Some(wrong) = wrong {
            self.violations.push(format!("deleted {name}, {wrong}"));
        }
    }

    /// A call of a function is about to have its effect.
    pub fn before(
        &mut self,
        invocation: &Invocation,
        operation: &str,
        body: &Value,
        services: &mut Services,
        now: Timestamp,
    ) {
        if operation == "DeleteApplicationSnapshot" {
            // What has come to be so later than this the plan need not know.
            let asked = invocation.rests_on.as_ref().map(|listing| listing.asked);
            let oldest = invocation.began - GOOD_FOR;
            let since = asked.map_or(oldest, |asked| asked.max(oldest)) - MOST_LAG;
            let application = text(&body["ApplicationName"]);
            self.since = services.flink.snapshots_since(&application, since, now);
        }
    }

    /// A call of a function has had its effect; its execution may have ended before.
    pub fn after(
        &mut self,
        invocation: &Arc<Invocation>,
        operation: &str,
        body: &Value,
        (status, _): &Answer,
        (ended, late): (bool, bool),
    ) {
        if *status != 200 {
            return;
        }
        let name = || text(&body["SnapshotName"]);
        match operation {
            "CreateApplicationSnapshot" => *self.created.entry(name()).or_default() += 1,
            "DeleteApplicationSnapshot" => {
                *self.removed.entry(name()).or_default() += 1;
                let run = &invocation.given["run"];
                // What comes after the end of its execution nobody can have counted.
                if !ended {
                    let deleted = self.deleted.entry(invocation.execution.clone());
                    let deleted = deleted.or_default();
                    deleted.insert(name(), (invocation.clone(), late));
                    let counted = deleted.values().filter(|(_, late)| !late).count();
                    let brake = run["input"]["retention"]["max_deletions_per_run"].as_u64();
                    if counted as u64 > brake.unwrap_or(DEFAULT_BRAKE) {
                        let violation = format!("{counted} deletions, the brake is {brake:?}");
                        self.violations.push(violation);
                    }
                }
                let listing = invocation.rests_on.as_deref();
                if let Some(wrong) = why_never(&name(), run, &self.since, listing) {
                    self.violations.push(format!("deleted {}, {wrong}", name()));
                }
            }
            _ => {}
        }
    }

    /// An invocation has ended.
    pub fn ended(&mut self, invocation: &Invocation, ended: &Result<Value, (String, String)>) {
        if invocation.function == "record-and-notify" {
            *self.recording.get_mut(&invocation.execution).unwrap() -= 1;
        }
        match ended {
            Ok(output) => {
                let held_back = output["held_back"]["cause"].as_str();
                let waits = output["pruning"]
                    .as_str()
                    .filter(|pruning| *pruning == "WAIT");
                let seen = [held_back, output["recorded"].as_str(), waits];
                self.coverage
                    .extend(seen.into_iter().flatten().map(str::to_owned));
                let mut batch = output["batch"].as_array().into_iter().flatten();
                let unanswered = batch.any(|doomed| doomed["tried"] == true);
                self.coverage
                    .extend(unanswered.then(|| "no answer to a deletion".to_owned()));
            }
            Err((error, _)) => {
                self.coverage.insert(error.clone());
            }
        }
        if invocation.function == "create-snapshot" {
            let learned = lock(&invocation.learned);
            let status = learned.application.as_ref();
            let status = status.map(|application| &application["ApplicationStatus"]);
            if status.is_some_and(|status| status == "ROLLED_BACK") {
                self.coverage.insert("ROLLED_BACK".to_owned());
                let waited = match ended {
                    Ok(output) => output["snapshot_creation"] == "BUSY",
                    Err((error, _)) => error == "ApplicationBusy",
                };
                if waited {
                    let violation = "waited for an application that is ROLLED_BACK";
                    self.violations.push(violation.to_owned());
                }
            }
        }
    }
}

/// The most that the clocks of two invocations differ by.
const CLOCKS: SignedDuration = SignedDuration::from_secs(2);

/// How long a plan is good for: a minute, by two clocks.
const GOOD_FOR: SignedDuration = SignedDuration::from_secs(62);

/// The most that a listing lags.
pub const MOST_LAG: SignedDuration = SignedDuration::from_secs(2);

/// The brake of a policy that names none.
const DEFAULT_BRAKE: u64 = 25;

/// How old the plan of its batch was when an invocation began.
fn age_of_plan(invocation: &Invocation) -> Option<SignedDuration> {
    let listing = invocation.rests_on.as_ref()?;
    Some(invocation.began.duration_since(listing.answered_at))
}

/// All snapshots of the application.
pub fn list(services: &mut Services, application: &str, now: Timestamp) -> Vec<Value> {
    services.flink.snapshots(application, now)
}

fn key(snapshot: &Value) -> Option<(i64, String)> {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds")]
    let at = (snapshot["SnapshotCreationTimestamp"].as_f64()? * 1_000.0).round() as i64;
    Some((at, text(&snapshot["SnapshotName"])))
}

/// READY ones with a timestamp, the newest first.
fn ready(snapshots: &[Value]) -> Vec<&Value> {
    let ready = snapshots.iter().filter(|s| s["SnapshotStatus"] == "READY");
    let mut ready: Vec<&Value> = ready.filter(|snapshot| key(snapshot).is_some()).collect();
    ready.sort_by_key(|snapshot| std::cmp::Reverse(key(snapshot)));
    ready
}

/// Why nobody may delete that snapshot, if so: what the policy, the listing that the plan was made from, and the last
/// look at the application say.
fn why_not(
    name: &str,
    request: &Value,
    run: &Value,
    listing: &Listing,
    application: &Value,
) -> Option<String> {
    let listed = &listing.snapshots;
    let no = |why: &str| Some(why.to_owned());
    let policy = &run["input"]["retention"];
    let own = format!("custom_{}", run["run_id"]);
    let configuration = &application["ApplicationConfigurationDescription"];
    let restore = &configuration["RunConfigurationDescription"]["ApplicationRestoreConfigurationDescription"]
        ["SnapshotName"];
    if application["ApplicationStatus"] != "RUNNING" {
        return no("though the application was not RUNNING");
    }
    if restore == name {
        return no("its restore point");
    }
    if run["input"]["mode"] == "PLAN" {
        return no("in a PLAN");
    }
    if name == own {
        return no("its own");
    }
    let pins = policy["keep_names"].as_array().unwrap();
    if pins.iter().any(|pin| pin == name) {
        return no("which is pinned");
    }
    let Some(snapshot) = listed.iter().find(|s| s["SnapshotName"] == name) else {
        return no("which was not listed");
    };
    let Some((created_at, _)) = key(snapshot) else {
        return no("which has no timestamp");
    };
    let sent = request["SnapshotCreationTimestamp"].as_f64().unwrap();
    let as_listed = snapshot["SnapshotCreationTimestamp"].as_f64().unwrap();
    if (sent - as_listed).abs() > 1e-6 {
        return no("with another timestamp");
    }
    let in_scope = |snapshot: &Value| {
        policy["scope"] == "ALL" || is_managed(snapshot["SnapshotName"].as_str().unwrap())
    };
    if !in_scope(snapshot) {
        return no("which is not managed");
    }
    let ready = ready(listed);
    if run["input"]["mode"] == "RUN" {
        if !ready.iter().any(|snapshot| snapshot["SnapshotName"] == own) {
            return no("without a READY snapshot of its own");
        }
        if let Some(later) = later_run(run, &ready, listing.began - CLOCKS) {
            return Some(format!("though the later run's {later} was READY"));
        }
    }
    match snapshot["SnapshotStatus"].as_str().unwrap() {
        "READY" => {}
        "FAILED" => {
            let age = listing.answered_at.as_millisecond() - created_at;
            // By a clock that may be ahead.
            let young = age <= 24 * 3_600_000 - 2_000;
            let foreign = !is_managed(name);
            return (young || foreign).then(|| "which has failed and is to stay".to_owned());
        }
        other => return Some(format!("which was {other}")),
    }
    if ready
        .first()
        .is_some_and(|newest| newest["SnapshotName"] == name)
    {
        return no("the newest READY one");
    }
    let mut versions: BTreeMap<i64, &Value> = BTreeMap::new();
    for snapshot in &ready {
        let version = snapshot["ApplicationVersionId"].as_i64().unwrap();
        versions.entry(version).or_insert(&snapshot["SnapshotName"]);
    }
    let most = usize::try_from(policy["keep_last_versions"].as_u64().unwrap()).unwrap();
    if versions
        .values()
        .rev()
        .take(most)
        .any(|newest| *newest == name)
    {
        return no("which a rollback needs");
    }
    if let Some(last) = policy["keep_last"].as_u64() {
        let newer = ready
            .iter()
            .filter(|other| in_scope(other) && key(other) > key(snapshot));
        if (newer.count() as u64) < last {
            return no("one of the last");
        }
    }
    None
}

/// The READY snapshot of a run that began later and took it after this run's own, if its timestamp is not after
/// `now`.
fn later_run(run: &Value, ready: &[&Value], now: Timestamp) -> Option<String> {
    let own = format!("custom_{}", run["run_id"]);
    let (own_at, _) = key(ready.iter().find(|s| s["SnapshotName"] == own)?)?;
    let later = ready.iter().filter_map(|snapshot| key(snapshot));
    let mut later = later.filter(|(at, name)| {
        is_managed(name) && *name > own && *at > own_at && *at <= now.as_millisecond()
    });
    later.next().map(|(_, name)| name)
}

/// Why nobody may ever delete that snapshot, if so: what all states since the plan have in common.
fn why_never(
    name: &str,
    run: &Value,
    states: &[Vec<Value>],
    listing: Option<&Listing>,
) -> Option<String> {
    let always = |is_so: &dyn Fn(&[&Value]) -> bool| {
        !states.is_empty() && states.iter().all(|all| is_so(&ready(all)))
    };
    let is_managed = |s: &Value| is_managed(s["SnapshotName"].as_str().unwrap());
    let is_first = |first: Option<&&Value>| first.is_some_and(|s| s["SnapshotName"] == name);
    let of_runs = run["input"]["mode"] == "RUN" || run["input"]["retention"]["scope"] != "ALL";
    if always(&|ready| is_first(ready.first())) {
        return Some("the newest READY one".to_owned());
    }
    if of_runs && always(&|ready| is_first(ready.iter().find(|s| is_managed(s)))) {
        return Some("the newest READY managed one".to_owned());
    }
    if run["input"]["mode"] != "RUN" {
        return None;
    }
    let own = format!("custom_{}", run["run_id"]);
    if always(&|ready| !ready.iter().any(|s| s["SnapshotName"] == own)) {
        return Some("while its own was not READY".to_owned());
    }
    // A page that has shifted may have hidden it from the plan.
    let shown = |name: &str| {
        listing.is_none_or(|listing| listing.snapshots.iter().any(|s| s["SnapshotName"] == name))
    };
    let later = |ready: &[&Value]| {
        let latest = listing.map_or(Timestamp::MAX, |listing| listing.began - CLOCKS);
        later_run(run, ready, latest)
    };
    let is_later = |ready: &[&Value]| later(ready).is_some_and(|name| shown(&name));
    always(&is_later).then(|| "while a later run's was READY".to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
