//! What must never happen, looked at while it would happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use contract::is_managed;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::services::{Answer, Services};
use crate::stage::{Invocation, lock};

/// Sees every call. What it finds wrong is in `violations`.
#[derive(Debug, Default)]
pub struct Watch {
    pub violations: Vec<String>,
    /// By execution and batch: when it was planned, and from what listing.
    plans: HashMap<(String, String), (Timestamp, Vec<Value>)>,
    /// How often the service has accepted a snapshot of that name.
    pub created: BTreeMap<String, usize>,
    /// How often one of that name was deleted.
    pub removed: BTreeMap<String, usize>,
    /// By execution: the snapshots that a Delete was sent for.
    pub doomed: BTreeMap<String, BTreeSet<String>>,
    /// By execution: those that its own Delete has deleted.
    pub deleted: BTreeMap<String, BTreeSet<String>>,
    /// By execution: those that were in a batch of it.
    pub planned: BTreeMap<String, BTreeSet<String>>,
    /// The invocations of record-and-notify.
    recordings: Vec<Arc<Invocation>>,
    /// By execution: how many of them are under way.
    recording: BTreeMap<String, u32>,
    newest: Option<String>,
    /// What this course has come across.
    pub met: BTreeSet<String>,
    /// All that happened, in order.
    pub story: String,
}

impl Watch {
    /// Adds to the story.
    pub fn tell(&mut self, now: Timestamp, what: &str) {
        let _ = writeln!(self.story, "{now:.3} {what}");
    }

    /// How often an invocation of record-and-notify for this execution has lost an answer, its mark or its process,
    /// or has run beside another one.
    pub fn harms(&self, execution: &str) -> usize {
        let all = self.recordings.iter();
        all.filter(|invocation| invocation.execution == execution)
            .map(|invocation| invocation.harms.load(Ordering::SeqCst))
            .sum()
    }

    pub fn begun(&mut self, invocation: &Arc<Invocation>) {
        if invocation.function == "record-and-notify" {
            self.recordings.push(invocation.clone());
            let recording = self.recording.entry(invocation.execution.clone());
            let recording = recording.or_default();
            invocation
                .harms
                .fetch_add(usize::from(*recording > 0), Ordering::SeqCst);
            *recording += 1;
        }
        for doomed in invocation.payload["batch"].as_array().into_iter().flatten() {
            let planned = self.planned.entry(invocation.execution.clone());
            planned.or_default().insert(text(&doomed["snapshot_name"]));
        }
    }

    /// A function sends a call.
    pub fn sent(&mut self, invocation: &Invocation, operation: &str, body: &Value) {
        let run = &invocation.payload["run"];
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
        let all = self.doomed.entry(invocation.execution.clone()).or_default();
        all.insert(name.clone());
        let brake = run["input"]["retention"]["max_deletions_per_run"].as_u64();
        if all.len() as u64 > brake.unwrap() {
            let violation = format!("{} deletions, the brake is {brake:?}", all.len());
            self.violations.push(violation);
        }
        let batch = invocation.payload["batch"].to_string();
        let plan = self.plans.get(&(invocation.execution.clone(), batch));
        let told = lock(&invocation.told).application.clone();
        let wrong = match (plan, told) {
            (Some(listed), Some(application)) => why_not(&name, body, run, listed, &application),
            _ => Some("without a plan or a look at the application".to_owned()),
        };
        if let Some(wrong) = wrong {
            self.violations.push(format!("deleted {name}, {wrong}"));
        }
    }

    /// A call of a function is about to have its effect.
    pub fn before(
        &mut self,
        operation: &str,
        body: &Value,
        services: &mut Services,
        now: Timestamp,
    ) {
        if operation == "DeleteApplicationSnapshot" {
            let application = text(&body["ApplicationName"]);
            let all = list(services, &application, now);
            self.newest = ready(&all)
                .first()
                .map(|snapshot| text(&snapshot["SnapshotName"]));
        }
    }

    /// A call of a function has had its effect; its execution may have ended before.
    pub fn after(
        &mut self,
        invocation: &Invocation,
        operation: &str,
        body: &Value,
        (status, _): &Answer,
        ended: bool,
    ) {
        if *status != 200 {
            return;
        }
        let name = || text(&body["SnapshotName"]);
        match operation {
            "CreateApplicationSnapshot" => *self.created.entry(name()).or_default() += 1,
            "DeleteApplicationSnapshot" => {
                *self.removed.entry(name()).or_default() += 1;
                // What comes after the end of its execution nobody can have counted.
                if !ended {
                    let deleted = self.deleted.entry(invocation.execution.clone());
                    deleted.or_default().insert(name());
                }
                if self.newest == Some(name()) {
                    let violation = format!("deleted {}, the newest READY one", name());
                    self.violations.push(violation);
                }
            }
            _ => {}
        }
    }

    /// A function is given an answer.
    pub fn told(
        invocation: &Invocation,
        operation: &str,
        request: &Value,
        (status, body): &Answer,
    ) {
        let Ok(answer) = serde_json::from_str::<Value>(body) else {
            return;
        };
        let mut told = lock(&invocation.told);
        match operation {
            "DescribeApplication" if *status == 200 => {
                told.application = Some(answer["ApplicationDetail"].clone());
            }
            "ListApplicationSnapshots" if *status == 200 => {
                if request["NextToken"].is_null() {
                    told.snapshots.clear();
                }
                let page = answer["SnapshotSummaries"].as_array().cloned();
                told.snapshots.extend(page.unwrap_or_default());
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
                let met = [held_back, output["recorded"].as_str()];
                self.met
                    .extend(met.into_iter().flatten().map(str::to_owned));
                let unanswered = output["progress"]["unanswered"].is_array();
                self.met
                    .extend(unanswered.then(|| "no answer to a deletion".to_owned()));
            }
            Err((error, _)) => {
                self.met.insert(error.clone());
            }
        }
        if let (Ok(output), "prune-snapshots") = (ended, invocation.function.as_str()) {
            let listed = lock(&invocation.told).snapshots.clone();
            let plan = (invocation.began, listed);
            let batch = output["batch"].to_string();
            self.plans
                .insert((invocation.execution.clone(), batch), plan);
        }
    }
}

/// All snapshots of the application.
pub fn list(services: &mut Services, application: &str, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    let mut request = json!({ "ApplicationName": application });
    loop {
        let (status, answer) = services.answer("ListApplicationSnapshots", &request, now);
        if status != 200 {
            return all;
        }
        let answer: Value = serde_json::from_str(&answer).unwrap();
        all.extend(answer["SnapshotSummaries"].as_array().unwrap().clone());
        if answer["NextToken"].is_null() {
            return all;
        }
        request["NextToken"] = answer["NextToken"].clone();
    }
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
    (planned_at, listed): &(Timestamp, Vec<Value>),
    application: &Value,
) -> Option<String> {
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
        let managed = ready
            .iter()
            .find(|s| is_managed(s["SnapshotName"].as_str().unwrap()));
        if managed.is_none_or(|newest| newest["SnapshotName"] != own) {
            return no("without a newest snapshot of its own");
        }
    }
    match snapshot["SnapshotStatus"].as_str().unwrap() {
        "READY" => {}
        "FAILED" => {
            let age = planned_at.as_millisecond() - created_at;
            let young = age <= 24 * 3_600_000;
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

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
