//! The promises that are checked after the runs have ended.
//!
//! An execution ends once after its start and once after each redrive. Each of these is "an end" here.
//!
//! For each run:
//! - Its execution ends.
//! - It has exactly one record, under its own run id. If it failed and its event was lost, it may have none.
//! - If it failed, its error is documented, or is an AWS error that the state's Retry lists.
//! - The record shows how the execution ended last: the outcome, or the state, error and time of the failure.
//! - The record counts each deletion of the run once. It counts no snapshot that the run did not plan to delete or that
//!   still exists.
//! - A run whose snapshot was lost does not succeed.
//! - For each end that record-and-notify learns of, there is a notification and a line of metrics, unless a later end
//!   had already been recorded.
//! - With `notify_on` PROBLEMS, a completed run has a notification if it is `PRUNE_INCOMPLETE` or has warnings, or if a
//!   failure of the same run was notified earlier. Otherwise it has none.
//! - A run has at most as many notifications, and at most as many lines of metrics, as it has ends and injected faults
//!   in record-and-notify (disturbances) together.
//!
//! For the whole course, after each failed run was redriven or started again:
//! - Every event was handled.
//! - No snapshot was created twice, unless it was deleted in between.
//! - No run has failed with an error that a redrive cures.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use contract::{Remedy, is_managed};
use serde_json::{Map, Value};

use crate::backend::lock;
use crate::executions::{End, Execution, Status};
use crate::invariants::Invariants;
use crate::lambda::documented_error;
use crate::services::{Services, managed_name_in, name, names, own_name_in};
use crate::state_machine::aws_errors;
use crate::transport::Listing;
use crate::world::World;

pub fn judge(world: &World) -> Vec<String> {
    let mut violations = judge_runs(world);
    let backend = &world.backend;
    let invariants = lock(&backend.invariants);
    violations.extend(invariants.violations.clone());
    if !lock(&backend.undelivered).is_empty() {
        violations.push("an event was not handled, even when it was replayed".to_owned());
    }
    for (name, times) in &invariants.creations {
        // If another run has deleted the snapshot, a redrive of the first state creates it again.
        if *times > 1 + invariants.deletions.get(name).copied().unwrap_or(0) {
            violations.push(format!("{name} was created {times} times"));
        }
    }
    for (arn, execution) in lock(&backend.executions).iter() {
        if let Status::Failed(error, _) = &execution.status
            && documented_error(error).is_some_and(|error| error.remedy() == Remedy::Redrive)
        {
            violations.push(format!("{arn} failed with {error} after the faults ended"));
        }
    }
    violations
}

/// The violations of the runs. Runs with an event that could not be handled are left out.
pub fn judge_runs(world: &World) -> Vec<String> {
    let backend = &world.backend;
    let mut existing = backend.snapshots();
    existing.retain(|snapshot| snapshot["SnapshotStatus"] != "DELETING");
    let mut judge = Judge {
        services: &lock(&backend.services),
        invariants: &mut lock(&backend.invariants),
        metrics: &lock(&backend.metrics),
        existing: names(&existing),
    };
    let undelivered = lock(&backend.undelivered);
    let executions = lock(&backend.executions);
    let handled = executions.iter().filter(|(arn, _)| {
        let mut waiting = undelivered.iter();
        waiting.all(|event| event["detail"]["executionArn"] != arn.as_str())
    });
    let mut violations = Vec::new();
    for (arn, execution) in handled {
        let wrong = judge.judge_run(arn, execution);
        violations.extend(wrong.into_iter().map(|what| format!("{arn} {what}")));
    }
    violations
}

struct Judge<'a> {
    services: &'a Services,
    invariants: &'a mut Invariants,
    metrics: &'a [Value],
    existing: Vec<String>,
}

impl Judge<'_> {
    fn judge_run(&mut self, arn: &str, execution: &Execution) -> Vec<String> {
        let last = match execution.ends.last() {
            Some(last) if execution.status != Status::Running => last,
            _ => return vec!["has not ended".to_owned()],
        };
        let rows = self.services.rows(arn);
        let row = match rows.as_slice() {
            [row] => row,
            [] if !execution.ends.iter().any(End::is_reported) => return Vec::new(),
            _ => return vec![format!("has {} records: {rows:?}", rows.len())],
        };
        let mut wrong = Vec::new();
        if row["snapshot_manager_run_id"] != execution.started.as_millisecond() {
            wrong.push("has a record with another run id".to_owned());
        }
        if let Status::Failed(error, _) = &last.status
            && documented_error(error).is_none()
            && !aws_errors(&execution.follower.state).contains(error)
        {
            wrong.push(format!("failed with {error}, which is not documented"));
        }
        // Without a redrive count, record-and-notify has to compare times to find out which end is later.
        let is_uncertain = execution.ends.iter().any(End::has_uncertain_order);
        if !last.is_reported() || is_uncertain && !last.is_success() {
            self.invariants
                .cover("an end whose event is not handled, or whose order is uncertain");
        } else {
            let (outcome, suppressed_by_setting) = match last.status.failure() {
                Some(outcome) => {
                    compare_failure(execution, last, row, &mut wrong);
                    (outcome, false)
                }
                None => self.compare_success(arn, execution, row, &mut wrong),
            };
            self.invariants.cover(outcome);
            if row["outcome"] != outcome {
                let recorded = &row["outcome"];
                wrong.push(format!("ended {outcome}, recorded is {recorded}"));
            }
            self.compare_notifications(
                arn,
                execution,
                (outcome, suppressed_by_setting),
                &mut wrong,
            );
        }
        self.count_notifications(arn, execution, &mut wrong);
        wrong
    }

    /// Compares the record with the input of the last state. Returns the outcome, and whether `notify_on` suppresses
    /// the notification. It does so only if no failure of the same run was notified earlier.
    fn compare_success(
        &self,
        arn: &str,
        execution: &Execution,
        row: &Map<String, Value>,
        wrong: &mut Vec<String>,
    ) -> (&'static str, bool) {
        let input = self.services.histories[arn].iter().rev().find_map(|event| {
            let entered = &event["stateEnteredEventDetails"];
            (entered["name"] == "RecordAndNotify").then(|| entered["input"].as_str())?
        });
        let input: Value = serde_json::from_str(input.unwrap()).unwrap();
        let run = &input["run"];
        let outcome = outcome(&input);
        wrong.extend(self.miscounted(arn, &input, row));
        if row.contains_key("failed_state") || row.contains_key("error_name") {
            wrong.push("has succeeded, but its record has an error".to_owned());
        }
        let has_snapshot = input["snapshot"]["seconds"].is_u64() && run["input"]["mode"] == "RUN";
        if outcome == "SUCCEEDED"
            && has_snapshot
            && let Some(listing) = &execution.planned_from
            && is_lost(&input, listing)
        {
            wrong.push("has succeeded, but its snapshot is lost".to_owned());
        }
        if row.get("warnings") != input.get("warnings") {
            wrong.push("has other warnings in its record".to_owned());
        }
        let only_problems = run["input"]["notify_on"] == "PROBLEMS";
        let is_problem = outcome == "PRUNE_INCOMPLETE" || input.get("warnings").is_some();
        (outcome, only_problems && !is_problem)
    }

    /// The records in the notifications about an execution, oldest first.
    fn notified_records(&self, arn: &str) -> Vec<&Value> {
        let all = self.services.published.iter().map(|it| &it.record);
        all.filter(|record| record["execution_arn"] == arn)
            .collect()
    }

    fn compare_notifications(
        &mut self,
        arn: &str,
        execution: &Execution,
        (outcome, suppressed_by_setting): (&str, bool),
        wrong: &mut Vec<String>,
    ) {
        let records = self.notified_records(arn);
        let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
        // If record-and-notify was disturbed, notifications may come in any order.
        let is_orderly = self.invariants.disturbances(arn) == 0;
        let is_notified = if is_orderly {
            outcomes.last().is_some_and(|last| **last == outcome)
        } else {
            outcomes.iter().any(|other| **other == outcome)
        };
        let failures = ["FAILED", "TIMED_OUT", "ABORTED"];
        let has_failure = outcomes
            .iter()
            .any(|other| failures.iter().any(|failure| *other == failure));
        // The last end is a success, so every earlier end is a failure.
        let must_announce_recovery =
            suppressed_by_setting && execution.ends.iter().any(is_handled_before_redrive);
        let is_wrong = if must_announce_recovery {
            is_orderly && !is_notified
        } else if suppressed_by_setting {
            is_notified && is_orderly && !has_failure
        } else {
            !is_notified
        };
        if is_wrong {
            wrong.push(format!(
                "ended {outcome}, but its notifications are {outcomes:?}"
            ));
        }
        for (place, end) in execution.ends.iter().enumerate() {
            let at = end.at.as_millisecond();
            if is_handled_before_redrive(end) && records.iter().all(|it| it["finished_at"] != at) {
                wrong.push(format!(
                    "has no notification of end {place}, but {outcomes:?}"
                ));
            }
        }
        let is_success_after_failure =
            has_failure && is_notified && !suppressed_by_setting && !failures.contains(&outcome);
        self.cover_notifications(execution, must_announce_recovery, is_success_after_failure);
    }

    /// Adds the rare kinds of notifications that have occurred to the coverage.
    fn cover_notifications(
        &mut self,
        execution: &Execution,
        must_announce_recovery: bool,
        is_success_after_failure: bool,
    ) {
        if must_announce_recovery {
            self.invariants
                .cover("the success after a notified failure");
        }
        let is_event_late = |end: &End| end.handled > end.redriven && end.redriven.is_some();
        if execution.ends.iter().any(is_event_late) {
            let covered = "a later end before the event of an earlier one";
            self.invariants.cover(covered);
        }
        if is_success_after_failure {
            let covered = "a last notification of a redrive's success";
            self.invariants.cover(covered);
        }
    }

    fn count_notifications(&self, arn: &str, execution: &Execution, wrong: &mut Vec<String>) {
        let ends = execution.ends.len();
        let cut_off = execution.ends.iter();
        let cut_off = cut_off.filter(|end| end.in_last_state && !end.is_success());
        let disturbances = self.invariants.disturbances(arn) + cut_off.count();
        let notified = self.notified_records(arn).len();
        let lines = self.metrics.iter();
        let measured = lines.filter(|line| line["ExecutionArn"] == arn).count();
        if notified.max(measured) > ends + disturbances {
            wrong.push(format!(
                "has {ends} ends and {disturbances} disturbances, but {notified} notifications and {measured} lines of metrics"
            ));
        }
        if measured == 0 && execution.ends.iter().any(End::is_reported) {
            wrong.push("has no metrics".to_owned());
        }
    }

    /// Describes how the record's count of deletions is wrong, if it is. The record must count each deletion of the run
    /// once, and no snapshot that the run did not plan to delete or that still exists.
    fn miscounted(&self, arn: &str, input: &Value, row: &Map<String, Value>) -> Option<String> {
        if input["run"]["input"]["mode"] == "PLAN" || input["progress"].is_null() {
            return None;
        }
        let Some(count) = row.get("snapshots_deleted_count").and_then(Value::as_u64) else {
            return Some("counts no deletions".to_owned());
        };
        let listed = |attribute: &str| -> BTreeSet<&str> {
            let entries = row[attribute].as_array().unwrap().iter();
            entries
                .map(|entry| entry["snapshot_name"].as_str().unwrap())
                .collect()
        };
        let deleted = listed("snapshots_deleted");
        let failed = listed("snapshots_failed_to_be_deleted");
        let none = BTreeSet::default();
        let planned = self.invariants.planned.get(arn).unwrap_or(&none);
        let deleted_by_run = self.invariants.deleted.get(arn).into_iter().flatten();
        let missing = deleted_by_run.filter(|(name, (invocation, took_effect_late))| {
            // If an invocation was lost, nobody learns of a deletion that took effect late.
            let is_known = !took_effect_late || invocation.is_used.load(Ordering::SeqCst);
            is_known && !deleted.contains(name.as_str()) && !failed.contains(name.as_str())
        });
        let missing: Vec<&String> = missing.map(|(name, _)| name).collect();
        let creations = |name: &str| self.invariants.creations.get(name).copied().unwrap_or(0);
        let wrongly_counted = deleted.iter().filter(|&&name| {
            let exists = self.existing.iter().any(|existing| existing == name);
            // A deleted snapshot exists only if it was created again. A managed one then has at least two creations.
            // One with another name may have existed at the start, so that one creation is enough.
            let before = usize::from(is_managed(name));
            !planned.contains(name) || exists && creations(name) <= before
        });
        let wrongly_counted: Vec<&&str> = wrongly_counted.collect();
        let is_right =
            missing.is_empty() && wrongly_counted.is_empty() && count == deleted.len() as u64;
        (!is_right).then(|| {
            format!(
                "counts {count} deletions; deleted and not recorded: {missing:?}; recorded, but not planned or not gone: {wrongly_counted:?}"
            )
        })
    }
}

/// Whether record-and-notify handled the event of this end before the execution was redriven, and did not have to
/// compare times.
fn is_handled_before_redrive(end: &End) -> bool {
    let is_before = |handled| end.redriven.is_none_or(|redriven| handled < redriven);
    end.handled.is_some_and(is_before) && !end.has_uncertain_order()
}

/// Compares the record with the failure with which the execution ended.
fn compare_failure(
    execution: &Execution,
    last: &End,
    row: &Map<String, Value>,
    wrong: &mut Vec<String>,
) {
    if let Status::Failed(error, _) = &last.status
        && row.get("error_name").is_none_or(|name| name != error)
    {
        let recorded = row.get("error_name");
        wrong.push(format!("failed with {error}, recorded is {recorded:?}"));
    }
    let (state, recorded) = (&execution.follower.state, row.get("failed_state"));
    if recorded.is_none_or(|recorded| recorded != state) {
        wrong.push(format!("failed at {state}, recorded is {recorded:?}"));
    }
    let (at, recorded) = (last.at.as_millisecond(), &row["finished_at"]);
    if *recorded != at {
        wrong.push(format!("ended at {at}, recorded is {recorded}"));
    }
}

/// Whether a run's own snapshot is missing both from the last listing and from the actual state of the service, and the
/// listing has no snapshot of a later run.
fn is_lost(state_input: &Value, listing: &Listing) -> bool {
    let own = own_name_in(state_input);
    let managed = managed_name_in(state_input);
    let is_gone = |all: &[Value]| {
        let mut left = all.iter().filter(|s| s["SnapshotStatus"] != "DELETING");
        left.all(|snapshot| name(snapshot) != own)
    };
    let ready = listing.snapshots.iter();
    let mut ready = ready.filter(|snapshot| snapshot["SnapshotStatus"] == "READY");
    is_gone(&listing.snapshots)
        && is_gone(&listing.truth)
        && !ready.any(|snapshot| is_managed(name(snapshot)) && name(snapshot) > managed.as_str())
}

fn outcome(input: &Value) -> &'static str {
    let held_back = input["held_back"]["cause"].as_str();
    if input["run"]["input"]["mode"] == "PLAN" {
        "PLANNED"
    } else if input["skip_reason"].is_string() {
        "SKIPPED"
    } else if input["progress"]["failed_count"] != 0
        || held_back.is_some_and(|cause| cause != "LEFT_TO_LATER_RUN")
    {
        "PRUNE_INCOMPLETE"
    } else {
        "SUCCEEDED"
    }
}
