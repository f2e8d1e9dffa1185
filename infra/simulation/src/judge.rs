//! What is held against a course when it is over.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use contract::{ErrorName, NextStep, is_managed};
use serde_json::{Map, Value, json};

use crate::backend::lock;
use crate::executions::{End, Execution, Status};
use crate::invariants::{Invariants, list};
use crate::services::{Services, plain};
use crate::simulation::{APPLICATION, Course};
use crate::state_machine::of_aws;
use crate::transport::Listing;
use crate::world::World;

/// What is wrong after all.
pub fn judge(world: &World) -> Course {
    let mut violations = judge_runs(world);
    let backend = &world.backend;
    let invariants = lock(&backend.invariants);
    violations.extend(invariants.violations.clone());
    if !lock(&backend.undelivered).is_empty() {
        violations.push("an event is not handled even by its replay".to_owned());
    }
    // A redrive of the first step takes it anew when another run has deleted it meanwhile.
    for (name, times) in &invariants.created {
        if *times > 1 + invariants.removed.get(name).copied().unwrap_or(0) {
            violations.push(format!("{name} was created {times} times"));
        }
    }
    for (arn, execution) in lock(&backend.executions).iter() {
        if let Status::Failed(error, _) = &execution.status
            && cure_of(error) == Some(NextStep::Redrive)
        {
            violations.push(format!("{arn} failed with {error} after all was well"));
        }
    }
    Course {
        violations,
        coverage: invariants.coverage.clone(),
        trace: invariants.trace.clone(),
    }
}

/// What is wrong with the runs that have ended, those aside whose events could not be handled yet.
pub fn judge_runs(world: &World) -> Vec<String> {
    let backend = &world.backend;
    let mut services = lock(&backend.services);
    let there = list(&mut services, APPLICATION, backend.now());
    let mut judge = Judge {
        services: &services,
        invariants: &mut lock(&backend.invariants),
        printed: &lock(&backend.printed),
        there: there
            .iter()
            .filter(|snapshot| snapshot["SnapshotStatus"] != "DELETING")
            .map(|snapshot| snapshot["SnapshotName"].as_str().unwrap())
            .collect(),
    };
    let undelivered = lock(&backend.undelivered);
    let executions = lock(&backend.executions);
    let told = executions.iter().filter(|(arn, _)| {
        let mut waiting = undelivered.iter();
        waiting.all(|event| event["detail"]["executionArn"] != arn.as_str())
    });
    told.flat_map(|(arn, execution)| {
        let wrong = judge.run(arn, execution);
        wrong.into_iter().map(move |what| format!("{arn} {what}"))
    })
    .collect()
}

/// What the cure of an error is, if it is one of ours.
fn cure_of(error: &str) -> Option<NextStep> {
    let ours = ErrorName::ALL
        .into_iter()
        .find(|name| name.as_str() == error);
    ours.map(ErrorName::next_step)
}

/// All that a run is held against.
struct Judge<'a> {
    services: &'a Services,
    invariants: &'a mut Invariants,
    printed: &'a [Value],
    /// The names of the snapshots that there are.
    there: Vec<&'a str>,
}

impl Judge<'_> {
    fn run(&mut self, arn: &str, execution: &Execution) -> Vec<String> {
        let rows = self.services.table.values().map(plain);
        let rows: Vec<Map<String, Value>> =
            rows.filter(|row| row["execution_arn"] == arn).collect();
        let Some(last) = execution.ends.last() else {
            return vec!["has no end".to_owned()];
        };
        if execution.status == Status::Running {
            return vec!["has no end".to_owned()];
        }
        let heard_of = execution.ends.iter().any(End::is_heard_of);
        let row = match rows.as_slice() {
            [row] => row,
            [] if !heard_of => return Vec::new(),
            _ => return vec![format!("has {} records: {rows:?}", rows.len())],
        };
        let mut wrong = Vec::new();
        if row["snapshot_manager_run_id"] != execution.started.as_millisecond() {
            wrong.push("has a record of another run id".to_owned());
        }
        if let Status::Failed(error, _) = &last.status
            && cure_of(error).is_none()
            && !of_aws(execution.follower.state()).contains(error)
        {
            wrong.push(format!("failed with {error}"));
        }
        // The place of an event without a count among the ends after redrives is for clocks to say.
        let is_uncertain = execution
            .ends
            .iter()
            .any(|end| end.is_bare && end.redrives > 0);
        if !last.is_heard_of() || is_uncertain && !last.is_success() {
            self.cover_variant("an end that nobody hears of");
            self.announcements_in_number(arn, execution, &mut wrong);
            return wrong;
        }
        let (outcome, silent) = match &last.status {
            Status::Running => unreachable!("it has ended"),
            Status::Succeeded(_) => self.success(arn, execution, row, &mut wrong),
            Status::Failed(..) => ("FAILED", false),
            Status::TimedOut => ("TIMED_OUT", false),
            Status::Aborted => ("ABORTED", false),
        };
        self.cover_variant(outcome);
        if row["outcome"] != outcome {
            wrong.push(format!("was {outcome}, recorded is {}", row["outcome"]));
        }
        if !last.is_success() {
            failure(execution, last, row, &mut wrong);
        }
        self.announcements(arn, execution, (outcome, silent), &mut wrong);
        self.announcements_in_number(arn, execution, &mut wrong);
        wrong
    }

    fn cover_variant(&mut self, what: &str) {
        self.invariants.coverage.insert(what.to_owned());
    }

    /// The outcome of a run that came to its last state, and whether nobody wants to hear of it.
    fn success(
        &self,
        arn: &str,
        execution: &Execution,
        row: &Map<String, Value>,
        wrong: &mut Vec<String>,
    ) -> (&'static str, bool) {
        let given = self.services.histories[arn].iter().rev().find_map(|event| {
            let entered = &event["stateEnteredEventDetails"];
            (entered["name"] == "RecordAndNotify").then(|| entered["input"].as_str())?
        });
        let given: Value = serde_json::from_str(given.unwrap()).unwrap();
        let outcome = outcome(&given);
        wrong.extend(miscounted(&given, row, self.invariants, arn, &self.there));
        if row.contains_key("failed_state") || row.contains_key("error_name") {
            wrong.push("has succeeded, and its record has an error".to_owned());
        }
        let taken = given["snapshot"]["seconds"].is_u64() && given["run"]["input"]["mode"] == "RUN";
        if outcome == "SUCCEEDED"
            && taken
            && let Some(listing) = &execution.rests_on
            && is_lost(&given["run"], listing)
        {
            wrong.push("has succeeded, and its snapshot is gone".to_owned());
        }
        let problems = given["run"]["input"]["notify_on"] == "PROBLEMS";
        (outcome, problems && outcome != "PRUNE_INCOMPLETE")
    }

    /// What was announced of an execution, in order.
    fn about(&self, arn: &str) -> Vec<&Value> {
        let all = self.services.published.iter().map(|told| &told.record);
        all.filter(|record| record["execution_arn"] == arn)
            .collect()
    }

    /// Whether what was announced is how it ended.
    fn announcements(
        &mut self,
        arn: &str,
        execution: &Execution,
        (outcome, silent): (&str, bool),
        wrong: &mut Vec<String>,
    ) {
        let about = self.about(arn);
        let all: Vec<&Value> = about.iter().map(|record| &record["outcome"]).collect();
        // What runs at the same time, or is lost on its way, comes in any order.
        let is_orderly = self.invariants.disturbances(arn) == 0;
        let is_told = if is_orderly {
            all.last().is_some_and(|last| **last == outcome)
        } else {
            all.iter().any(|told| **told == outcome)
        };
        let bad = ["FAILED", "TIMED_OUT", "ABORTED"];
        let bad_is_told = all.iter().any(|told| bad.iter().any(|bad| *told == bad));
        let is_wrong = if silent {
            is_told && is_orderly && !bad_is_told
        } else {
            !is_told
        };
        if is_wrong {
            wrong.push(format!("was {outcome}, announced is {all:?}"));
        }
        for (place, end) in execution.ends.iter().enumerate() {
            let alone = end
                .redriven
                .is_none_or(|redriven| end.handled.is_some_and(|handled| handled < redriven));
            let is_certain = end.handled.is_some() && !(end.is_bare && end.redrives > 0);
            let mut told = about.iter();
            if alone
                && is_certain
                && told.all(|record| record["finished_at"] != end.at.as_millisecond())
            {
                wrong.push(format!("its end {place} is not announced, but {all:?}"));
            }
        }
        let is_late = |end: &End| end.handled > end.redriven && end.redriven.is_some();
        let met = [
            (
                execution.ends.iter().any(is_late),
                "a later end before the event of an earlier one",
            ),
            (
                bad_is_told && is_told && !silent && !bad.contains(&outcome),
                "a last announcement of a redrive's success",
            ),
        ];
        for (is_met, what) in met {
            if is_met {
                self.cover_variant(what);
            }
        }
    }

    /// Whether there are as many announcements and lines of metrics as ends, disturbances aside.
    fn announcements_in_number(&self, arn: &str, execution: &Execution, wrong: &mut Vec<String>) {
        let ends = execution.ends.len();
        let cut_off = execution
            .ends
            .iter()
            .filter(|end| end.in_last_state && !end.is_success());
        let disturbances = self.invariants.disturbances(arn) + cut_off.count();
        let told = self.about(arn).len();
        if told > ends + disturbances {
            wrong.push(format!(
                "has {ends} ends, {disturbances} disturbances, announced are {told}"
            ));
        }
        let printed = self.printed.iter();
        let printed = printed.filter(|line| line["ExecutionArn"] == arn).count();
        if printed > ends + disturbances {
            wrong.push(format!(
                "has {ends} ends, {disturbances} disturbances, metrics are {printed}"
            ));
        }
        if printed == 0 && execution.ends.iter().any(End::is_heard_of) {
            wrong.push("has no metrics".to_owned());
        }
    }
}

impl End {
    /// Whether anybody can know of it.
    fn is_heard_of(&self) -> bool {
        self.is_success() || self.handled.is_some()
    }
}

/// Whether the record is of the end that it was.
fn failure(execution: &Execution, last: &End, row: &Map<String, Value>, wrong: &mut Vec<String>) {
    if let Status::Failed(error, _) = &last.status
        && row.get("error_name") != Some(&json!(error))
    {
        let recorded = row.get("error_name");
        wrong.push(format!("failed with {error}, recorded is {recorded:?}"));
    }
    let state = row.get("failed_state");
    if state != Some(&json!(execution.follower.state())) {
        wrong.push(format!("failed elsewhere than at {state:?}"));
    }
    let at = last.at.as_millisecond();
    if row["finished_at"] != at {
        wrong.push(format!("ended at {at}, recorded is {}", row["finished_at"]));
    }
}

/// Whether the run's own snapshot is not there any more, as far as the last listing shows and in truth, and no later
/// run has one.
fn is_lost(run: &Value, listing: &Listing) -> bool {
    let own = format!("custom_{}", run["run_id"]);
    let name = |snapshot: &Value| snapshot["SnapshotName"].as_str().unwrap().to_owned();
    let is_gone = |all: &[Value]| {
        let mut left = all.iter().filter(|s| s["SnapshotStatus"] != "DELETING");
        left.all(|snapshot| name(snapshot) != own)
    };
    let mut later = listing
        .snapshots
        .iter()
        .filter(|s| s["SnapshotStatus"] == "READY");
    is_gone(&listing.snapshots)
        && is_gone(&listing.truth)
        && !later.any(|snapshot| is_managed(&name(snapshot)) && name(snapshot) > own)
}

/// How a run has ended that came to its last state with this.
fn outcome(given: &Value) -> &'static str {
    let held_back = given["held_back"]["cause"].as_str();
    if given["run"]["input"]["mode"] == "PLAN" {
        "PLANNED"
    } else if given["skip_reason"].is_string() {
        "SKIPPED"
    } else if given["progress"]["failed_count"] != 0
        || held_back.is_some_and(|cause| cause != "LEFT_TO_LATER_RUN")
    {
        "PRUNE_INCOMPLETE"
    } else {
        "SUCCEEDED"
    }
}

/// Whether the record counts what was deleted: all that this run's calls have deleted, each once, and nothing that
/// it has not planned to or that is still there.
fn miscounted(
    given: &Value,
    row: &Map<String, Value>,
    invariants: &Invariants,
    arn: &str,
    there: &[&str],
) -> Option<String> {
    if given["run"]["input"]["mode"] == "PLAN" || given["progress"].is_null() {
        return None;
    }
    let names = |list: &Value| -> Vec<String> {
        let entries = list.as_array().unwrap().iter();
        entries
            .map(|entry| entry["snapshot_name"].as_str().unwrap().to_owned())
            .collect()
    };
    let counted = row.get("snapshots_deleted_count").and_then(Value::as_u64);
    let Some(counted) = counted.and_then(|counted| usize::try_from(counted).ok()) else {
        return Some("counts no deletions".to_owned());
    };
    let (deleted, failed) = (
        names(&row["snapshots_deleted"]),
        names(&row["snapshots_failed_to_be_deleted"]),
    );
    let none = BTreeSet::default();
    let planned = invariants.planned.get(arn).unwrap_or(&none);
    let own = invariants.deleted.get(arn).into_iter().flatten();
    let missing: Vec<&String> = own
        .filter(|(name, (invocation, late))| {
            // Of a late effect of a try that was lost nobody knows.
            let is_known = !late || invocation.heard.load(Ordering::SeqCst);
            is_known && !deleted.contains(name) && !failed.contains(name)
        })
        .map(|(name, _)| name)
        .collect();
    let foreign: Vec<&String> = deleted
        .iter()
        .filter(|name| {
            let taken_anew = invariants
                .created
                .get(*name)
                .is_some_and(|times| *times > 1);
            !planned.contains(*name) || there.contains(&name.as_str()) && !taken_anew
        })
        .collect();
    let once: BTreeSet<&String> = deleted.iter().collect();
    if missing.is_empty() && foreign.is_empty() && counted == once.len() {
        None
    } else {
        Some(format!(
            "{counted} counted, {missing:?} deleted and not recorded, {foreign:?} recorded and not planned or not gone"
        ))
    }
}
