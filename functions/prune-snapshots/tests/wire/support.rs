//! Inputs, calls and answers. A snapshot is identified by the days between it and the run.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::{HeldBackCause, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning};
use serde_json::{Value, json};
use step::StepError;
use testkit::fixtures::{self, Exchange, RUN_ID, describe_snapshot, list_snapshots};
use testkit::replay::Answer::{self, Error};
use testkit::replay::Service;

/// When the state is entered, unless a test says otherwise.
pub(crate) const NOW: &str = "2026-11-22T20:03:30Z";

pub(crate) async fn handle(
    service: &Service,
    input: Value,
    now: &str,
) -> Result<PruneSnapshotsOutput, StepError> {
    let flink = Client::new(&service.config());
    let input: PruneSnapshotsInput = serde_json::from_value(input).unwrap();
    let answer = prune_snapshots::handle(&flink, input, now.parse().unwrap());
    let answer = Box::pin(answer).await;
    service.assert_done();
    answer
}

/// Enters the state once, and expects that the step succeeds.
pub(crate) async fn prune(
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> PruneSnapshotsOutput {
    let service = Service::expecting(exchanges);
    handle(&service, input, NOW).await.unwrap()
}

/// Enters the state once, and expects that the step fails.
pub(crate) async fn prune_fails(
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> StepError {
    let service = Service::expecting(exchanges);
    handle(&service, input, NOW).await.unwrap_err()
}

/// The input of the next entry.
pub(crate) fn next(output: PruneSnapshotsOutput) -> Value {
    serde_json::to_value(output).unwrap()
}

/// What the state machine does next, and how many snapshots are deleted and have failed.
pub(crate) fn result(output: &PruneSnapshotsOutput) -> (Pruning, u32, u32) {
    let progress = &output.progress;
    (
        output.pruning,
        progress.deleted_count,
        progress.failed_count,
    )
}

/// Why deletions are held back, and how many.
pub(crate) fn held_back(output: &PruneSnapshotsOutput) -> Option<(HeldBackCause, u32)> {
    let held_back = output.held_back.as_ref()?;
    Some((held_back.cause, held_back.deletions_wanted))
}

pub(crate) fn batch_names(output: &PruneSnapshotsOutput) -> Vec<&str> {
    let batch = output.batch.iter();
    batch.map(|doomed| doomed.snapshot_name.as_str()).collect()
}

/// The first entry of a run that keeps the newest `keep_last` and deletes at most `brake`.
pub(crate) fn input(mode: &str, keep_last: u32, brake: u32) -> Value {
    let retention = json!({ "keep_last": keep_last, "max_deletions_per_run": brake });
    let run = fixtures::run(json!({ "mode": mode, "retention": retention }));
    let mut input = json!({ "run": run });
    if mode == "RUN" {
        input["snapshot"] = json!({
            "name": name(0), "accepted_at": "2026-11-22T20:02:28Z",
            "created_at": "2026-11-22T20:02:27.949Z", "application_version_id": 3, "seconds": 60
        });
    }
    input
}

/// A run that keeps the newest snapshot and deletes at most 25.
pub(crate) fn first_entry() -> Value {
    input("RUN", 1, 25)
}

/// The same, in the middle of the loop: it planned to delete these half a minute ago.
pub(crate) fn deleting(days: &[i64]) -> Value {
    with_batch(first_entry(), days)
}

pub(crate) fn with_batch(mut input: Value, days: &[i64]) -> Value {
    input["planned_at"] = "2026-11-22T20:03:00Z".into();
    input["batch"] = days.iter().map(|days| doomed(*days)).collect();
    input
}

/// A snapshot of a batch.
pub(crate) fn doomed(days: i64) -> Value {
    json!({
        "snapshot_name": name(days), "created_at": created_text(days), "application_version_id": 3,
        "reason": "no rule keeps it"
    })
}

/// As the definition of release 0.1.0 passes it on.
pub(crate) fn of_the_first_definition(mut input: Value) -> Value {
    let run = input["run"].as_object_mut().unwrap();
    run.remove("definition").unwrap();
    input
}

/// The managed snapshot that is this many days older than the run; 0 is the run's own.
pub(crate) fn name(days: i64) -> String {
    format!("custom_{}", RUN_ID - days * 86_400_000)
}

/// With a fraction that has no exact binary representation.
pub(crate) fn created(days: i64) -> Value {
    serde_json::from_str(&format!("{}.949", RUN_ID / 1_000 - days * 86_400)).unwrap()
}

/// The same as the SDK reads it from a listing, and as the next entry gets it.
pub(crate) fn created_text(days: i64) -> String {
    let seconds = RUN_ID / 1_000 - days * 86_400;
    let time = jiff::Timestamp::new(seconds, 948_999_881).unwrap();
    time.to_string()
}

pub(crate) fn snapshot(days: i64, status: &str) -> Value {
    fixtures::snapshot(&name(days), status, 3, created(days))
}

pub(crate) fn application(status: &str, restore: Option<Value>) -> Exchange {
    let configuration = restore.map(|restore| {
        json!({
            "RunConfigurationDescription": { "ApplicationRestoreConfigurationDescription": restore }
        })
    });
    let application = fixtures::application(status, configuration);
    fixtures::describe_application(Answer::Ok(application))
}

pub(crate) fn running() -> Exchange {
    application("RUNNING", None)
}

pub(crate) fn listed(snapshots: impl IntoIterator<Item = Value>) -> Exchange {
    let snapshots: Vec<Value> = snapshots.into_iter().collect();
    list_snapshots(None, Answer::Ok(json!({ "SnapshotSummaries": snapshots })))
}

pub(crate) fn listed_as<const N: usize>(snapshots: [(i64, &str); N]) -> Exchange {
    listed(snapshots.map(|(days, status)| snapshot(days, status)))
}

pub(crate) fn ready(days: impl IntoIterator<Item = i64>) -> Exchange {
    listed(days.into_iter().map(|days| snapshot(days, "READY")))
}

pub(crate) fn delete(days: i64, answer: Answer) -> Exchange {
    let request = json!({
        "ApplicationName": "orders", "SnapshotName": name(days),
        "SnapshotCreationTimestamp": created(days)
    });
    ("DeleteApplicationSnapshot", request, answer)
}

pub(crate) fn deleted(days: i64) -> Exchange {
    delete(days, Answer::Ok(json!({})))
}

pub(crate) fn throttled(days: i64) -> Exchange {
    delete(days, Error(400, "ThrottlingException", "slow"))
}

pub(crate) fn refused(days: i64) -> Exchange {
    delete(days, Error(400, "InvalidRequestException", "never"))
}

pub(crate) fn describe(days: i64, answer: Answer) -> Exchange {
    describe_snapshot(&name(days), answer)
}

pub(crate) fn found(days: i64, status: &str) -> Exchange {
    let details = json!({ "SnapshotDetails": snapshot(days, status) });
    describe(days, Answer::Ok(details))
}

pub(crate) fn gone(days: i64) -> Exchange {
    describe(days, Error(400, "ResourceNotFoundException", "no"))
}
