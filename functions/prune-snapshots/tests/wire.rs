//! The handler on the wire: which requests it sends, and what it makes of each answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use contract::{
    Action, ErrorName, HeldBackCause, PruneSnapshotsInput, PruneSnapshotsOutput, Pruning,
};
use serde_json::{Value, json};
use shell::StepError;
use shell::replay::{Answer, Service};

type Exchange = (&'static str, Value, Answer);

const RUN_ID: i64 = 1_795_377_747_949;

async fn prune(
    input: Value,
    exchanges: impl IntoIterator<Item = Exchange>,
) -> Result<PruneSnapshotsOutput, StepError> {
    let service = Service::expecting(exchanges);
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
    let input: PruneSnapshotsInput = serde_json::from_value(input).unwrap();
    let now = "2026-11-22T20:03:30Z".parse().unwrap();
    let answer = prune_snapshots::handle(&flink, input, now).await;
    service.assert_done();
    answer
}

/// A run that keeps the newest `keep_last`, with what else its input says.
fn input(mode: &str, keep_last: u32, brake: u32) -> Value {
    json!({ "run": {
        "run_id": RUN_ID,
        "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
        "input": {
            "application_name": "orders",
            "mode": mode,
            "retention": { "keep_last": keep_last, "max_deletions_per_run": brake }
        }
    }})
}

/// The same in the middle of the loop.
fn with_batch(mut input: Value, batch: &[i64], progress: Value) -> Value {
    input["batch"] = batch
        .iter()
        .map(|day| {
            json!({
                "snapshot_name": name(*day),
                "created_at": created_text(*day),
                "application_version_id": 3,
                "reason": "not among the newest 1 (keep_last)"
            })
        })
        .collect();
    input["progress"] = progress;
    input
}

/// The managed snapshot of so many days before the run; 0 is the run's own.
fn name(days_before: i64) -> String {
    format!("custom_{}", RUN_ID - days_before * 86_400_000)
}

/// With a fraction that no binary number is equal to.
fn created(days_before: i64) -> Value {
    serde_json::from_str(&format!("{}.949", RUN_ID / 1_000 - days_before * 86_400)).unwrap()
}

/// As a listing that was read by the SDK gives it to the next batch.
fn created_text(days_before: i64) -> String {
    let seconds = RUN_ID / 1_000 - days_before * 86_400;
    let time = jiff::Timestamp::new(seconds, 948_999_881).unwrap();
    time.to_string()
}

fn summary(days_before: i64, status: &str) -> Value {
    json!({
        "SnapshotName": name(days_before), "SnapshotStatus": status,
        "ApplicationVersionId": 3, "SnapshotCreationTimestamp": created(days_before)
    })
}

fn describe_application(answer: Answer) -> Exchange {
    (
        "DescribeApplication",
        json!({ "ApplicationName": "orders" }),
        answer,
    )
}

fn application(status: &str, restore: Option<Value>) -> Exchange {
    let mut detail = json!({
        "ApplicationARN": "a", "ApplicationName": "orders", "RuntimeEnvironment": "FLINK-1_20",
        "ApplicationStatus": status, "ApplicationVersionId": 3
    });
    if let Some(restore) = restore {
        detail["ApplicationConfigurationDescription"] = json!({
            "RunConfigurationDescription": { "ApplicationRestoreConfigurationDescription": restore }
        });
    }
    describe_application(Answer::Ok(json!({ "ApplicationDetail": detail })))
}

fn running() -> Exchange {
    application("RUNNING", None)
}

fn page(token: Option<&str>, answer: Answer) -> Exchange {
    let mut request = json!({ "ApplicationName": "orders", "Limit": 50 });
    if let Some(token) = token {
        request["NextToken"] = token.into();
    }
    ("ListApplicationSnapshots", request, answer)
}

fn listed(summaries: impl IntoIterator<Item = Value>) -> Exchange {
    let summaries: Vec<Value> = summaries.into_iter().collect();
    page(None, Answer::Ok(json!({ "SnapshotSummaries": summaries })))
}

fn ready(days: impl IntoIterator<Item = i64>) -> Exchange {
    listed(days.into_iter().map(|day| summary(day, "READY")))
}

fn delete(days_before: i64, answer: Answer) -> Exchange {
    let request = json!({
        "ApplicationName": "orders",
        "SnapshotName": name(days_before),
        "SnapshotCreationTimestamp": created(days_before)
    });
    ("DeleteApplicationSnapshot", request, answer)
}

fn deleted(days_before: i64) -> Exchange {
    delete(days_before, Answer::Ok(json!({})))
}

fn look(days_before: i64, answer: Answer) -> Exchange {
    let request = json!({ "ApplicationName": "orders", "SnapshotName": name(days_before) });
    ("DescribeApplicationSnapshot", request, answer)
}

fn looked(days_before: i64, status: &str) -> Exchange {
    look(
        days_before,
        Answer::Ok(json!({ "SnapshotDetails": summary(days_before, status) })),
    )
}

fn batch_names(output: &PruneSnapshotsOutput) -> Vec<&str> {
    output
        .batch
        .iter()
        .map(|doomed| doomed.snapshot_name.as_str())
        .collect()
}

#[tokio::test]
async fn the_first_entry_deletes_nothing_and_plans_the_oldest_first() {
    let output = prune(input("RUN", 2, 25), [running(), ready([0, 3, 1, 2])])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Continue);
    assert_eq!(batch_names(&output), [name(3), name(2)]);
    assert_eq!(output.batch[0].created_at, created_text(3));
    assert_eq!(output.progress.deleted_count, 0);
    assert_eq!((output.snapshots_ready, output.snapshots_total), (4, 4));
    assert_eq!(output.deletions_wanted, 2);
    assert!(output.verdicts.is_empty(), "the batch says it");
}

#[tokio::test]
async fn the_next_entry_deletes_the_batch_with_the_listed_timestamps_and_is_done() {
    let after = listed([
        summary(0, "READY"),
        summary(1, "READY"),
        summary(2, "DELETING"),
    ]);
    let input = with_batch(input("RUN", 2, 25), &[3, 2], json!({}));
    let output = prune(input, [running(), deleted(3), deleted(2), after])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 2);
    let first = &output.progress.deleted[0];
    assert_eq!(first.snapshot_name, name(3));
    assert_eq!(first.created_at, "2026-11-19T20:02:27.949Z");
    assert_eq!(first.application_version_id, 3);
    assert_eq!((output.snapshots_ready, output.snapshots_total), (2, 3));
    let newest = output.newest_ready_at.as_deref();
    assert_eq!(newest, Some("2026-11-22T20:02:27.949Z"));
    let actions: Vec<Action> = output
        .verdicts
        .iter()
        .map(|verdict| verdict.action)
        .collect();
    assert_eq!(actions, [Action::Keep, Action::Keep, Action::Ignore]);
    assert_eq!(output.held_back, None);
}

#[tokio::test]
async fn a_repeated_batch_finds_its_work_done_and_counts_the_same() {
    let gone = [
        Answer::Error(400, "ResourceNotFoundException", "no"),
        Answer::Error(400, "InvalidArgumentException", "Snapshot does not exist"),
    ];
    for answer in gone {
        let input = with_batch(input("RUN", 1, 25), &[3], json!({ "deleted_count": 4 }));
        let output = prune(input, [running(), delete(3, answer), ready([0])])
            .await
            .unwrap();
        assert_eq!(output.progress.deleted_count, 5);
        assert_eq!(output.progress.failed_count, 0);
    }
    let busy = delete(3, Answer::Error(400, "ResourceInUseException", "busy"));
    let input = with_batch(input("RUN", 1, 25), &[3], json!({}));
    let exchanges = [running(), busy, looked(3, "DELETING"), ready([0])];
    let output = prune(input, exchanges).await.unwrap();
    assert_eq!(output.progress.deleted_count, 1);
}

#[tokio::test]
async fn what_keeps_failing_is_tried_in_two_batches_then_reported_and_leaves_the_loop() {
    let busy = || delete(3, Answer::Error(400, "ResourceInUseException", "in use"));
    let first = with_batch(input("RUN", 1, 25), &[3], json!({}));
    let exchanges = [running(), busy(), looked(3, "READY"), ready([0, 3])];
    let output = prune(first, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Continue);
    assert_eq!(output.progress.unanswered, [name(3)]);
    assert_eq!(batch_names(&output), [name(3)]);

    let again = serde_json::to_value(output).unwrap();
    let exchanges = [running(), busy(), looked(3, "READY"), ready([0, 3])];
    let output = prune(again, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.failed_count, 1);
    assert_eq!(output.progress.failed[0].snapshot_name, name(3));
    assert_eq!(
        output.progress.failed[0].reason,
        "DeleteApplicationSnapshot: ResourceInUseException: in use."
    );
}

#[tokio::test]
async fn a_deletion_refused_for_good_is_reported_at_once() {
    let refused = delete(3, Answer::Error(400, "InvalidRequestException", "never"));
    let input = with_batch(input("RUN", 1, 25), &[3, 2], json!({}));
    let exchanges = [
        running(),
        refused,
        looked(3, "READY"),
        deleted(2),
        ready([0, 3]),
    ];
    let output = prune(input, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(
        (output.progress.deleted_count, output.progress.failed_count),
        (1, 1)
    );
}

#[tokio::test]
async fn a_throttled_deletion_goes_into_the_next_batch_and_a_throttled_batch_fails_the_step() {
    let throttled = || delete(3, Answer::Error(400, "ThrottlingException", "slow"));
    let two = with_batch(input("RUN", 1, 25), &[3, 2], json!({}));
    let output = prune(two, [running(), throttled(), deleted(2), ready([0, 3])])
        .await
        .unwrap();
    assert_eq!(batch_names(&output), [name(3)]);
    assert_eq!(
        (output.progress.deleted_count, output.progress.failed_count),
        (1, 0)
    );

    let one = with_batch(input("RUN", 1, 25), &[3], json!({}));
    let exchanges = [running(), throttled(), ready([0, 3])];
    let error = prune(one, exchanges).await.unwrap_err();
    assert_eq!(error.name, ErrorName::Throttled);
}

#[tokio::test]
async fn a_look_that_is_throttled_after_a_refusal_fails_no_deletion_however_often() {
    let refused = || delete(3, Answer::Error(400, "InvalidRequestException", "in use"));
    let throttled = || look(3, Answer::Error(400, "ThrottlingException", "slow"));
    let mut progress = json!({});
    for _ in 0..3 {
        let two = with_batch(input("RUN", 1, 25), &[3, 2], progress);
        let exchanges = [running(), refused(), throttled(), deleted(2), ready([0, 3])];
        let output = prune(two, exchanges).await.unwrap();
        assert_eq!(batch_names(&output), [name(3)]);
        assert_eq!(output.progress.failed_count, 0);
        progress = serde_json::to_value(output.progress).unwrap();
    }
}

#[tokio::test]
async fn a_function_that_may_not_delete_fails_the_step() {
    let denied = delete(
        3,
        Answer::Error(400, "AccessDeniedException", "not allowed"),
    );
    let input = with_batch(input("RUN", 1, 25), &[3], json!({}));
    let exchanges = [running(), denied, looked(3, "READY"), ready([0, 3])];
    let error = prune(input, exchanges).await.unwrap_err();
    assert_eq!(error.name, ErrorName::AccessDenied);
}

#[tokio::test]
async fn a_deletion_that_the_listing_shows_is_counted_though_every_answer_was_lost() {
    let lost = || [delete(3, Answer::Lost), look(3, Answer::Lost)];
    for left in [vec![], vec![summary(3, "DELETING")]] {
        let input = with_batch(input("RUN", 1, 25), &[3], json!({}));
        let [deletion, look] = lost();
        let shown = listed([summary(0, "READY")].into_iter().chain(left));
        let exchanges = [running(), deletion, look, shown];
        let output = prune(input, exchanges).await.unwrap();
        assert_eq!(output.progress.deleted_count, 1);
        assert_eq!(output.progress.unanswered, [""; 0]);
        assert_eq!(output.pruning, Pruning::Done);
    }
}

#[tokio::test]
async fn a_deletion_that_the_listing_does_not_show_is_not_counted_whatever_its_answer() {
    let answers = [
        Answer::Ok(json!({})),
        Answer::Text("<html>A proxy was here.</html>".to_owned()),
        Answer::Error(400, "ResourceNotFoundException", "no"),
    ];
    for answer in answers {
        let first = with_batch(input("RUN", 1, 25), &[3], json!({}));
        let exchanges = [running(), delete(3, answer.clone()), ready([0, 3])];
        let output = prune(first, exchanges).await.unwrap();
        assert_eq!(batch_names(&output), [name(3)]);
        assert_eq!(output.progress.deleted_count, 0);
        assert_eq!(output.progress.unanswered, [name(3)]);

        let progress = serde_json::to_value(output.progress).unwrap();
        let second = with_batch(input("RUN", 1, 25), &[3], progress);
        let exchanges = [running(), delete(3, answer), ready([0, 3])];
        let output = prune(second, exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Done);
        assert_eq!(output.progress.deleted_count, 0);
        assert_eq!(
            output.progress.failed[0].reason,
            format!("{} is still listed after its deletion.", name(3))
        );
    }
}

#[tokio::test]
async fn a_deletion_without_an_answer_is_reported_when_the_gate_closes_before_its_second_try() {
    let input = with_batch(
        input("RUN", 1, 25),
        &[3],
        json!({ "unanswered": [name(3)] }),
    );
    let exchanges = [application("STOPPING", None), ready([0, 3])];
    let output = prune(input, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.failed_count, 1);
    assert_eq!(output.progress.failed[0].snapshot_name, name(3));
    assert_eq!(
        output.progress.failed[0].reason,
        "Not seen to be deleted, and no second try: it may be deleted yet."
    );
}

#[tokio::test]
async fn a_restore_point_named_since_the_plan_is_dropped_from_the_batch() {
    let restore = json!({
        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": name(3)
    });
    let input = with_batch(input("RUN", 1, 25), &[3, 2], json!({}));
    let exchanges = [
        application("RUNNING", Some(restore)),
        deleted(2),
        ready([0, 3]),
    ];
    let output = prune(input, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 1);
    assert_eq!(
        output.verdicts[1].reasons,
        ["protected: restore point of the application"]
    );
}

#[tokio::test]
async fn an_application_that_stops_in_the_middle_closes_the_gate_before_the_batch() {
    let input = with_batch(input("RUN", 1, 25), &[3], json!({ "deleted_count": 2 }));
    let output = prune(input, [application("UPDATING", None), ready([0, 3])])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 2);
    assert_eq!(
        output.held_back.unwrap().cause,
        HeldBackCause::ApplicationNotRunning
    );
}

#[tokio::test]
async fn what_a_killed_try_deleted_is_counted_though_the_gate_has_closed_since() {
    let input = with_batch(
        input("RUN", 1, 25),
        &[5, 4, 3],
        json!({ "deleted_count": 2 }),
    );
    let left = listed([
        summary(0, "READY"),
        summary(3, "READY"),
        summary(4, "DELETING"),
    ]);
    let output = prune(input, [application("UPDATING", None), left])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 4);
    let names =
        [&output.progress.deleted[0], &output.progress.deleted[1]].map(|d| &d.snapshot_name);
    assert_eq!(names, [&name(5), &name(4)]);
    let held = output.held_back.unwrap();
    assert_eq!(
        (held.cause, held.deletions_wanted),
        (HeldBackCause::ApplicationNotRunning, 1)
    );
}

#[tokio::test]
async fn the_gate_holds_the_plan_back_for_each_of_its_reasons() {
    let unnamed = json!({ "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT" });
    let unknown = json!({ "ApplicationRestoreType": "SOMETHING_NEW" });
    let latest = json!({ "ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT" });
    let skip = json!({ "ApplicationRestoreType": "SKIP_RESTORE_FROM_SNAPSHOT" });
    let newer = {
        let mut newer = summary(0, "READY");
        newer["SnapshotName"] = name(-1).into();
        newer["SnapshotCreationTimestamp"] = created(-1);
        newer
    };
    let old = || vec![summary(0, "READY"), summary(3, "READY")];
    let mut with_newer = old();
    with_newer.push(newer);
    let own_creating = vec![
        summary(0, "CREATING"),
        summary(2, "READY"),
        summary(3, "READY"),
    ];
    let own_missing = vec![summary(2, "READY"), summary(3, "READY")];
    for (mode, status, restore, snapshots, cause) in [
        ("RUN", "RUNNING", None, old(), None),
        ("RUN", "RUNNING", Some(latest), old(), None),
        ("RUN", "RUNNING", Some(skip), old(), None),
        (
            "RUN",
            "UPDATING",
            None,
            old(),
            Some(HeldBackCause::ApplicationNotRunning),
        ),
        (
            "PRUNE",
            "READY",
            None,
            old(),
            Some(HeldBackCause::ApplicationNotRunning),
        ),
        (
            "RUN",
            "RUNNING",
            Some(unnamed.clone()),
            old(),
            Some(HeldBackCause::RestorePointUnknown),
        ),
        (
            "PRUNE",
            "RUNNING",
            Some(unnamed),
            old(),
            Some(HeldBackCause::RestorePointUnknown),
        ),
        (
            "RUN",
            "RUNNING",
            Some(unknown),
            old(),
            Some(HeldBackCause::RestorePointUnknown),
        ),
        (
            "RUN",
            "RUNNING",
            None,
            own_creating,
            Some(HeldBackCause::SnapshotNotReady),
        ),
        (
            "RUN",
            "RUNNING",
            None,
            own_missing.clone(),
            Some(HeldBackCause::SnapshotNotReady),
        ),
        ("PRUNE", "RUNNING", None, own_missing, None),
        (
            "RUN",
            "RUNNING",
            None,
            with_newer.clone(),
            Some(HeldBackCause::LeftToLaterRun),
        ),
        ("PRUNE", "RUNNING", None, with_newer, None),
    ] {
        let exchanges = [application(status, restore), listed(snapshots.clone())];
        let output = prune(input(mode, 1, 25), exchanges).await.unwrap();
        let held = output.held_back.as_ref();
        assert_eq!(
            held.map(|held| held.cause),
            cause,
            "{mode} {status} {snapshots:?}"
        );
        assert_eq!(output.pruning == Pruning::Continue, cause.is_none());
        assert_eq!(output.batch.is_empty(), cause.is_some());
    }
}

#[tokio::test]
async fn a_gate_that_holds_nothing_back_is_not_mentioned() {
    let exchanges = [application("UPDATING", None), ready([0, 1])];
    let output = prune(input("RUN", 2, 25), exchanges).await.unwrap();
    assert_eq!(output.held_back, None);
    assert_eq!(output.pruning, Pruning::Done);
}

#[tokio::test]
async fn the_brake_counts_over_the_whole_run_and_says_how_to_acknowledge() {
    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2])])
        .await
        .unwrap();
    assert_eq!(output.batch.len(), 2, "as many as allowed are no problem");

    let output = prune(input("RUN", 1, 2), [running(), ready([0, 1, 2, 3])])
        .await
        .unwrap();
    let held = output.held_back.unwrap();
    assert_eq!(
        (held.cause, held.deletions_wanted),
        (HeldBackCause::MaxDeletionsPerRun, 3)
    );
    assert!(
        held.message
            .contains("mode PRUNE and retention.max_deletions_per_run 3")
    );

    let more = with_batch(input("RUN", 1, 2), &[3, 2], json!({}));
    let exchanges = [running(), deleted(3), deleted(2), ready([0, 1])];
    let output = prune(more, exchanges).await.unwrap();
    assert_eq!(
        output.held_back.unwrap().cause,
        HeldBackCause::MaxDeletionsPerRun
    );
    assert_eq!(output.progress.deleted_count, 2);
}

#[tokio::test]
async fn a_plan_counts_this_runs_own_snapshot_and_needs_no_running_application() {
    let exchanges = [application("READY", None), ready([1, 2, 3])];
    let output = prune(input("PLAN", 2, 1), exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.deletions_wanted, 2);
    assert_eq!(output.snapshots_total, 3);
    let judged: Vec<(&str, Action)> = output
        .verdicts
        .iter()
        .map(|v| (v.snapshot_name.as_str(), v.action))
        .collect();
    assert_eq!(
        judged,
        [
            (name(1).as_str(), Action::Keep),
            (name(2).as_str(), Action::Delete),
            (name(3).as_str(), Action::Delete)
        ]
    );
    assert_eq!(
        output.held_back.unwrap().cause,
        HeldBackCause::MaxDeletionsPerRun
    );
}

#[tokio::test]
async fn every_page_is_listed_and_a_repeated_snapshot_counts_once() {
    let first = page(
        None,
        Answer::Ok(json!({
            "SnapshotSummaries": [summary(0, "READY"), summary(1, "READY")], "NextToken": "a"
        })),
    );
    let second = page(
        Some("a"),
        Answer::Ok(json!({
            "SnapshotSummaries": [summary(1, "READY"), summary(2, "READY")]
        })),
    );
    let output = prune(input("RUN", 2, 25), [running(), first, second])
        .await
        .unwrap();
    assert_eq!(output.snapshots_total, 3);
    assert_eq!(batch_names(&output), [name(2)]);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_step_and_an_expired_token_begins_anew_once() {
    let first = || {
        page(
            None,
            Answer::Ok(json!({
                "SnapshotSummaries": [summary(0, "READY")], "NextToken": "a"
            })),
        )
    };
    let expired = || {
        page(
            Some("a"),
            Answer::Error(400, "InvalidArgumentException", "token"),
        )
    };
    let broken = page(Some("a"), Answer::Error(500, "InternalFailure", "oops"));

    let error = prune(input("RUN", 1, 25), [running(), first(), broken])
        .await
        .unwrap_err();
    assert_eq!(error.name, ErrorName::ServiceUnavailable);

    let exchanges = [running(), first(), expired(), ready([0, 1])];
    let output = prune(input("RUN", 1, 25), exchanges).await.unwrap();
    assert_eq!(output.snapshots_total, 2);

    let exchanges = [running(), first(), expired(), first(), expired()];
    let error = prune(input("RUN", 1, 25), exchanges).await.unwrap_err();
    assert_eq!(error.name, ErrorName::Unexpected);
}

#[tokio::test]
async fn each_refused_look_has_a_name() {
    for (answer, name) in [
        (
            Answer::Error(400, "ResourceNotFoundException", "no"),
            ErrorName::ApplicationNotFound,
        ),
        (
            Answer::Error(400, "AccessDeniedException", "no"),
            ErrorName::AccessDenied,
        ),
        (
            Answer::Error(400, "ThrottlingException", "slow"),
            ErrorName::Throttled,
        ),
        (
            Answer::Error(503, "Unavailable", "later"),
            ErrorName::ServiceUnavailable,
        ),
        (Answer::Lost, ErrorName::ServiceUnavailable),
        (
            Answer::Error(400, "InvalidRequestException", "bad"),
            ErrorName::Unexpected,
        ),
    ] {
        let described = describe_application(answer.clone());
        let error = prune(input("RUN", 1, 25), [described]).await.unwrap_err();
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn the_largest_payloads_stay_within_256_kib() {
    const LIMIT: usize = 262_144;
    // Names that are managed are short; the longest that a plan meets are refused by the service
    // with the longest messages, or are not managed.
    let long = |number: usize| format!("{number:0>256}");
    let listing = |count: i64| -> Vec<Exchange> {
        let days: Vec<i64> = (1..=count).collect();
        let pages: Vec<&[i64]> = days.chunks(50).collect();
        pages
            .iter()
            .enumerate()
            .map(|(number, days)| {
                let token = (number > 0).then(|| number.to_string());
                let mut summaries: Vec<Value> =
                    days.iter().map(|day| summary(*day, "READY")).collect();
                summaries.push(json!({
                    "SnapshotName": long(number), "SnapshotStatus": "READY",
                    "ApplicationVersionId": 3, "SnapshotCreationTimestamp": created(-2)
                }));
                let next = (number + 1 < pages.len()).then(|| (number + 1).to_string());
                let mut body = json!({ "SnapshotSummaries": summaries });
                if let Some(next) = next {
                    body["NextToken"] = next.into();
                }
                page(token.as_deref(), Answer::Ok(body))
            })
            .collect()
    };
    let mut before = input("PRUNE", 1, 10_000);
    let failure = json!({ "snapshot_name": long(1), "reason": "r".repeat(300) });
    let gone = json!({
        "snapshot_name": long(1), "created_at": created_text(1),
        "application_version_id": 999_999_999, "reason": "not among the newest 4294967295 (keep_last)"
    });
    before["progress"] = json!({
        "deleted_count": 4_000, "deleted": vec![gone; 100],
        "failed_count": 50, "failed": vec![failure; 50],
        "unanswered": Vec::<String>::new()
    });
    let exchanges = [running()].into_iter().chain(listing(1_000));
    let output = prune(before.clone(), exchanges).await.unwrap();
    assert_eq!(output.batch.len(), 250);
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);

    let exchanges = [application("READY", None)]
        .into_iter()
        .chain(listing(1_000));
    let output = prune(input("PLAN", 1, 10_000), exchanges).await.unwrap();
    assert_eq!(output.verdicts.len(), 200);
    assert_eq!(output.deletions_wanted, 1_000);
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);

    // Every rule keeps everything, and as many pins as there may be.
    let pins: Vec<String> = (0..100).map(long).collect();
    let everything = json!({
        "keep_last": 10_000, "keep_hourly": 10_000, "keep_daily": 10_000, "keep_weekly": 10_000,
        "keep_monthly": 10_000, "keep_yearly": 10_000, "keep_within": "P1000Y", "keep_names": pins,
        "scope": "ALL"
    });
    let mut plan = input("PLAN", 1, 10_000);
    plan["run"]["input"]["retention"] = everything;
    plan["progress"] = before["progress"].clone();
    let exchanges = [application("READY", None)]
        .into_iter()
        .chain(listing(1_000));
    let output = prune(plan, exchanges).await.unwrap();
    assert!(output.verdicts.len() > 100, "{}", output.verdicts.len());
    assert_eq!(output.deletions_wanted, 0);
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);

    let mut most = before;
    most["run"]["input"]["retention"]["keep_names"] = json!(pins);
    let exchanges = [running()].into_iter().chain(listing(1_000));
    let output = prune(most, exchanges).await.unwrap();
    assert_eq!(output.batch.len(), 250);
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);
}
