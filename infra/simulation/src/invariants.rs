//! The promises that are checked at every call of a function. The checks use no code of the functions, except for
//! `is_managed`. They judge by the state of the services and of the executions.
//!
//! - A run creates only its own snapshots. It creates another one only if each snapshot that it created before is
//!   FAILED or gone.
//! - When the function that deletes a batch is invoked, the plan of the batch is at most a minute old. Both the listing
//!   of the plan and the application, as the function last described it, allow the deletion: see
//!   `promise_broken_by_plan`.
//! - A listing can lag behind. So a deletion is also checked against the true states since its plan. It breaks a
//!   promise if it was wrong in all of these states: see `promise_broken_in_every_state`.
//! - A run deletes no more READY snapshots than its limit `max_deletions_per_run` allows: see the module `brake`.
//! - No run waits for an application that is `ROLLED_BACK`. A run waits for a busy application until its timeout, not
//!   shorter and not longer.
//!
//! [`judge`](crate::judge) has the promises that are checked after the runs have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use contract::is_managed;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::backend::lock;
use crate::brake;
use crate::busy_waits::busy_wait_violation;
use crate::lambda::Failure;
use crate::services::{
    APPLICATION, Services, managed_name_in, name, own_name_in, possible_own_names,
};
use crate::transport::{Invocation, Listing};

/// The largest difference between the clocks of two invocations.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_secs(2);

/// How long a plan is valid by the true time. By the functions' clocks, it is valid for a minute, and these clocks may
/// differ by two seconds.
const PLAN_VALIDITY: SignedDuration = SignedDuration::from_secs(62);

/// The largest lag of a listing.
pub const MAX_LAG: SignedDuration = SignedDuration::from_secs(2);

/// What the checks need to remember, and what they have found.
#[derive(Debug, Default)]
pub struct Invariants {
    /// The promises that were broken, in words.
    pub violations: Vec<String>,
    /// The names of the situations that have occurred in this course.
    pub coverage: BTreeSet<String>,
    /// A log of everything that happened, a line for each event.
    pub trace: String,
    /// How often the service has accepted the creation of a snapshot, by its name.
    pub creations: BTreeMap<String, usize>,
    /// How often the service has accepted the deletion of a snapshot, by its name.
    pub deletions: BTreeMap<String, usize>,
    /// The snapshots that were in the batches of an execution, by its ARN.
    pub planned: BTreeMap<String, BTreeSet<String>>,
    /// The snapshots that an execution has deleted, by its ARN and by their names. The value is the invocation that
    /// deleted the snapshot, and whether the deletion took effect only after the function had stopped waiting for the
    /// response.
    pub deleted: BTreeMap<String, BTreeMap<String, (Arc<Invocation>, bool)>>,
    /// All invocations of record-and-notify.
    record_invocations: Vec<Arc<Invocation>>,
    /// How many invocations of record-and-notify are in progress for an execution, by its ARN.
    records_in_progress: BTreeMap<String, u32>,
}

/// How the effect of a call relates to its caller in time.
#[derive(Clone, Copy, Debug)]
pub struct CallTiming {
    /// Whether the execution had ended before the call took effect.
    pub execution_has_ended: bool,
    /// Whether the function had stopped waiting for the response before the call took effect.
    pub is_late: bool,
}

impl Invariants {
    pub fn log(&mut self, now: Timestamp, what: &str) {
        let _ = writeln!(self.trace, "{now:.3} {what}");
    }

    pub fn cover(&mut self, what: &str) {
        self.coverage.insert(what.to_owned());
    }

    /// How often an invocation of record-and-notify for this execution was disturbed: a response was lost, or the
    /// update that marks the row as notified, or the process; or another invocation ran at the same time.
    pub fn disturbances(&self, execution: &str) -> usize {
        let all = self.record_invocations.iter();
        all.filter(|invocation| invocation.execution == execution)
            .map(|invocation| invocation.disturbances.load(Ordering::SeqCst))
            .sum()
    }

    pub fn invocation_began(&mut self, invocation: &Arc<Invocation>) {
        let execution = &invocation.execution;
        if invocation.function == "record-and-notify" {
            self.record_invocations.push(invocation.clone());
            let in_progress = self
                .records_in_progress
                .entry(execution.clone())
                .or_default();
            if *in_progress > 0 {
                invocation.disturb();
            }
            *in_progress += 1;
        }
        let batch = invocation.state_input["batch"].as_array();
        if batch.is_some_and(|batch| !batch.is_empty()) && is_plan_expired(invocation) {
            self.cover("a batch whose plan has expired");
        }
        for snapshot in batch.into_iter().flatten() {
            let planned = self.planned.entry(execution.clone()).or_default();
            planned.insert(text(&snapshot["snapshot_name"]));
        }
    }

    pub fn call_sent(&mut self, invocation: &Invocation, operation: &str, body: &Value) {
        if operation == "CreateApplicationSnapshot" {
            if !possible_own_names(&invocation.payload).any(|own| own == name(body)) {
                let violation = format!("a run creates only its own snapshots: {body}");
                self.violations.push(violation);
            }
        } else if operation == "DeleteApplicationSnapshot" {
            let application = lock(&invocation.learned).application.clone();
            let broken = match (&invocation.planned_from, application) {
                _ if is_plan_expired(invocation) => {
                    Some("a plan that is older than a minute deletes nothing")
                }
                (Some(listing), Some(application)) => {
                    promise_broken_by_plan(body, &invocation.state_input, listing, &application)
                }
                _ => Some("a function plans, and describes the application, before it deletes"),
            };
            self.report_broken_promise(broken, body);
        }
    }

    /// Checks a request for a snapshot. `existing` has the snapshots that exist at this time.
    pub fn snapshot_requested(&mut self, payload: &Value, requested: &str, existing: &[Value]) {
        let alive = existing.iter().filter(|snapshot| {
            let status = &snapshot["SnapshotStatus"];
            status == "CREATING" || status == "READY"
        });
        let alive: Vec<&str> = alive.map(name).collect();
        for own in possible_own_names(payload).take_while(|own| own != requested) {
            if alive.contains(&own.as_str()) {
                let violation = format!("{own} has not failed, but {requested} is requested");
                self.violations.push(violation);
            }
        }
    }

    /// Checks and counts a call that has succeeded. `states` has the true states since the plan of the deletion.
    pub fn call_took_effect(
        &mut self,
        invocation: &Arc<Invocation>,
        operation: &str,
        body: &Value,
        states: &[Vec<Value>],
        timing: CallTiming,
    ) {
        let snapshot = || name(body).to_owned();
        if operation == "CreateApplicationSnapshot" {
            *self.creations.entry(snapshot()).or_default() += 1;
            if !is_managed(name(body)) {
                self.cover("a snapshot with a name from the run's input");
            }
        } else if operation == "DeleteApplicationSnapshot" {
            *self.deletions.entry(snapshot()).or_default() += 1;
            // A run cannot count a snapshot that is deleted after the end of the run.
            if !timing.execution_has_ended {
                let deleted = self.deleted.entry(invocation.execution.clone());
                let deleted = deleted.or_default();
                deleted.insert(snapshot(), (invocation.clone(), timing.is_late));
                self.violations
                    .extend(brake::violation(invocation, deleted));
            }
            let listing = invocation.planned_from.as_deref();
            let state_input = &invocation.state_input;
            let broken = promise_broken_in_every_state(name(body), state_input, states, listing);
            self.report_broken_promise(broken, body);
        }
    }

    /// Adds a violation if a deletion has broken a promise.
    fn report_broken_promise(&mut self, promise: Option<&str>, body: &Value) {
        let name = name(body);
        let violation = promise.map(|promise| format!("{promise}: {name} is deleted"));
        self.violations.extend(violation);
    }

    pub fn invocation_ended(&mut self, invocation: &Invocation, ended: &Result<Value, Failure>) {
        if invocation.function == "record-and-notify" {
            *self
                .records_in_progress
                .get_mut(&invocation.execution)
                .unwrap() -= 1;
        }
        match ended {
            Ok(output) => {
                let waits = output["pruning"]
                    .as_str()
                    .filter(|pruning| *pruning == "WAIT");
                let busy = output["snapshot_creation"]
                    .as_str()
                    .filter(|creation| *creation == "BUSY");
                let since = &output["progress"]["application_busy_since"];
                let busy_later = since.as_str().map(|_| "busy before pruning");
                let next = output["snapshot_status"] == "FAILED";
                let next = next.then_some("another snapshot attempt");
                let held_back = output["held_back"]["cause"].as_str();
                let mut batch = output["batch"].as_array().into_iter().flatten();
                let is_unanswered = batch.any(|snapshot| snapshot["tried"] == true);
                let unanswered = is_unanswered.then_some("a deletion without a response");
                let recorded = output["recorded"].as_str();
                let seen = [
                    waits, busy, busy_later, next, held_back, recorded, unanswered,
                ];
                self.coverage
                    .extend(seen.into_iter().flatten().map(str::to_owned));
            }
            Err((error, _)) => self.cover(error),
        }
        let application = lock(&invocation.learned).application.clone();
        let broken = busy_wait_violation(invocation, ended, application.as_ref());
        self.violations.extend(broken.map(str::to_owned));
        let is_rolled_back = application.is_some_and(|it| it["ApplicationStatus"] == "ROLLED_BACK");
        if invocation.function == "create-snapshot" && is_rolled_back {
            self.cover("ROLLED_BACK");
            let waits = match ended {
                Ok(output) => output["snapshot_creation"] == "BUSY",
                Err((error, _)) => error == "ApplicationBusy",
            };
            if waits {
                let violation = "no run waits for an application that is ROLLED_BACK";
                self.violations.push(violation.to_owned());
            }
        }
    }
}

/// Whether snapshots of this name are in the scope of a policy.
pub fn is_in_scope(name: &str, policy: &Value) -> bool {
    policy["scope"] == "ALL" || is_managed(name)
}

/// Whether the plan of an invocation's batch was no longer valid when the invocation began.
fn is_plan_expired(invocation: &Invocation) -> bool {
    let listing = invocation.planned_from.as_ref();
    listing.is_some_and(|it| invocation.began.duration_since(it.received) > PLAN_VALIDITY)
}

/// The true states from the plan of a deletion until now: all snapshots, as they were at the time of the plan and after
/// each change since. A deletion may be wrong in a later state, because the plan cannot know of later changes. It must
/// not be wrong in all of them.
pub fn states_since_plan(
    invocation: &Invocation,
    operation: &str,
    services: &mut Services,
    now: Timestamp,
) -> Vec<Vec<Value>> {
    if operation != "DeleteApplicationSnapshot" {
        return Vec::new();
    }
    let oldest = invocation.began - PLAN_VALIDITY;
    let requested = invocation.planned_from.as_ref().map(|it| it.requested);
    let since = requested.map_or(oldest, |requested| requested.max(oldest)) - MAX_LAG;
    services.flink.states_since(APPLICATION, since, now)
}

/// The key by which snapshots are ordered: the timestamp in milliseconds, and the name. `None` without a timestamp.
fn key(snapshot: &Value) -> Option<(i64, &str)> {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds")]
    let at = (snapshot["SnapshotCreationTimestamp"].as_f64()? * 1_000.0).round() as i64;
    Some((at, name(snapshot)))
}

/// The READY snapshots that have a timestamp, newest first.
fn ready(snapshots: &[Value]) -> Vec<&Value> {
    let ready = snapshots.iter().filter(|s| s["SnapshotStatus"] == "READY");
    let mut ready: Vec<&Value> = ready.filter(|snapshot| key(snapshot).is_some()).collect();
    ready.sort_by(|one, other| key(other).cmp(&key(one)));
    ready
}

/// The first promise that a deletion breaks according to the listing of its plan, and to the application as the
/// function last described it.
fn promise_broken_by_plan(
    request: &Value,
    state_input: &Value,
    listing: &Listing,
    application: &Value,
) -> Option<&'static str> {
    let input = &state_input["run"]["input"];
    let (mode, policy) = (&input["mode"], &input["retention"]);
    let (deleted, own) = (name(request), own_name_in(state_input));
    let configuration = &application["ApplicationConfigurationDescription"];
    let restore_point = &configuration["RunConfigurationDescription"]["ApplicationRestoreConfigurationDescription"]
        ["SnapshotName"];
    let mut pinned = policy["keep_names"].as_array().unwrap().iter();
    let is_deleted = |other: &&Value| name(other) == deleted;
    let Some(snapshot) = listing.snapshots.iter().find(is_deleted) else {
        return Some("only a listed snapshot is deleted");
    };
    let Some((created_at, _)) = key(snapshot) else {
        return Some("a snapshot without a timestamp is kept");
    };
    let is_failed = snapshot["SnapshotStatus"] == "FAILED";
    let age = listing.received.as_millisecond() - created_at;
    let timestamp = |it: &Value| it["SnapshotCreationTimestamp"].as_f64().unwrap();
    let is_in_scope = |it: &Value| is_in_scope(name(it), policy);
    let ready = ready(&listing.snapshots);
    let latest = listing.began - MAX_CLOCK_DIFFERENCE;
    let mut newest_of_version: BTreeMap<i64, &str> = BTreeMap::new();
    for snapshot in &ready {
        let version = snapshot["ApplicationVersionId"].as_i64().unwrap();
        newest_of_version.entry(version).or_insert(name(snapshot));
    }
    let versions = usize::try_from(policy["keep_last_versions"].as_u64().unwrap()).unwrap();
    let mut last_versions = newest_of_version.values().rev().take(versions);
    let mut last_runtimes: Vec<(&Value, &str)> = Vec::new();
    for snapshot in &ready {
        let runtime = &snapshot["RuntimeEnvironment"];
        if runtime.is_string() && last_runtimes.iter().all(|(seen, _)| *seen != runtime) {
            last_runtimes.push((runtime, name(snapshot)));
        }
    }
    let runtimes = policy["keep_last_runtimes"].as_u64().unwrap_or(2);
    last_runtimes.truncate(usize::try_from(runtimes).unwrap());
    let newer = ready.iter().filter(|other| key(other) > key(snapshot));
    let newer = newer.filter(|other| is_in_scope(other)).count() as u64;
    Some(if application["ApplicationStatus"] != "RUNNING" {
        "nothing is deleted unless the application is RUNNING"
    } else if mode == "PLAN" {
        "a PLAN deletes nothing"
    } else if restore_point == deleted {
        "the restore point is kept"
    } else if deleted == own {
        "a run keeps its own snapshot"
    } else if pinned.any(|pin| pin == deleted) {
        "a pinned snapshot is kept"
    } else if !is_in_scope(snapshot) {
        "only managed snapshots are deleted, unless the scope is ALL"
    } else if (timestamp(request) - timestamp(snapshot)).abs() > 1e-6 {
        "the timestamp is sent as it is listed"
    } else if mode == "RUN" && ready.iter().all(|it| name(it) != own) {
        "a RUN deletes nothing unless its own snapshot is READY"
    } else if mode == "RUN" && later_run(state_input, &ready, latest).is_some() {
        "a RUN deletes nothing if a later run's snapshot is READY"
    } else if is_failed && !is_managed(deleted) {
        "a FAILED snapshot that is not managed is kept"
    } else if is_failed && age <= 24 * 3_600_000 - 2_000 {
        // The clock of the function may be ahead.
        "a FAILED snapshot is kept for a day"
    } else if is_failed {
        return None;
    } else if snapshot["SnapshotStatus"] != "READY" {
        "a snapshot that is CREATING or DELETING is kept"
    } else if ready.first().is_some_and(is_deleted) {
        "the newest READY snapshot is kept"
    } else if last_versions.any(|newest| *newest == deleted) {
        "the newest READY snapshot of each of the last versions is kept"
    } else if last_runtimes.iter().any(|(_, newest)| *newest == deleted) {
        "the newest READY snapshot of each of the last runtimes is kept"
    } else if policy["keep_last"]
        .as_u64()
        .is_some_and(|keep| newer < keep)
    {
        "the last READY snapshots are kept"
    } else {
        return None;
    })
}

/// The first promise that a deletion breaks in each of the true states since its plan.
fn promise_broken_in_every_state(
    deleted: &str,
    state_input: &Value,
    states: &[Vec<Value>],
    listing: Option<&Listing>,
) -> Option<&'static str> {
    let input = &state_input["run"]["input"];
    let own = own_name_in(state_input);
    let is_run = input["mode"] == "RUN";
    let must_keep_newest_managed = is_run || input["retention"]["scope"] != "ALL";
    let in_every_state = |holds: &dyn Fn(&[&Value]) -> bool| {
        !states.is_empty() && states.iter().all(|all| holds(&ready(all)))
    };
    let is_deleted = |newest: Option<&&Value>| newest.is_some_and(|it| name(it) == deleted);
    let is_listed = |later: &str| {
        listing.is_none_or(|listing| listing.snapshots.iter().any(|it| name(it) == later))
    };
    let latest = listing.map_or(Timestamp::MAX, |it| it.began - MAX_CLOCK_DIFFERENCE);
    Some(if in_every_state(&|ready| is_deleted(ready.first())) {
        "the newest READY snapshot is kept"
    } else if must_keep_newest_managed
        && in_every_state(&|ready| is_deleted(ready.iter().find(|it| is_managed(name(it)))))
    {
        "the newest READY managed snapshot is kept"
    } else if is_run && in_every_state(&|ready| ready.iter().all(|it| name(it) != own)) {
        "a RUN deletes nothing unless its own snapshot is READY"
    } else if is_run
        && in_every_state(&|ready| later_run(state_input, ready, latest).is_some_and(is_listed))
    {
        // If the positions of pages have shifted, a later run's snapshot may be missing from the listing of the plan.
        // Then the plan cannot know of it.
        "a RUN deletes nothing if a later run's snapshot is READY"
    } else {
        return None;
    })
}

/// The name of a READY snapshot of a run that started later than this one. It must have been created after this run's
/// own snapshot, and not after `latest`.
fn later_run<'a>(state_input: &Value, ready: &[&'a Value], latest: Timestamp) -> Option<&'a str> {
    let own = own_name_in(state_input);
    let managed = managed_name_in(state_input);
    let (own_at, _) = key(ready.iter().find(|snapshot| name(snapshot) == own)?)?;
    let mut later = ready.iter().copied().filter_map(key);
    let (_, name) = later.find(|(at, name)| {
        is_managed(name)
            && *name > managed.as_str()
            && *at > own_at
            && *at <= latest.as_millisecond()
    })?;
    Some(name)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
