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
use step::StepError;
use testkit::replay::{Answer, Service};

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
    let run = json!({
        "run_id": RUN_ID,
        "execution_arn": "arn:aws:states:eu-central-1:123456789012:execution:m:n",
        "definition": 2,
        "input": {
            "application_name": "orders",
            "mode": mode,
            "retention": { "keep_last": keep_last, "max_deletions_per_run": brake }
        }
    });
    let mut input = json!({ "run": run });
    if mode == "RUN" {
        input["snapshot"] = json!({
            "name": name(0), "accepted_at": "2026-11-22T20:02:28Z",
            "created_at": "2026-11-22T20:02:27.949Z", "application_version_id": 3, "seconds": 60
        });
    }
    input
}

/// The same in the middle of the loop, half a minute after the plan.
fn with_batch(mut input: Value, batch: &[i64], progress: Value) -> Value {
    input["planned_at"] = "2026-11-22T20:03:00Z".into();
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

fn gone(days_before: i64) -> Exchange {
    look(
        days_before,
        Answer::Error(400, "ResourceNotFoundException", "no"),
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
    assert_eq!(batch_names(&output), [name(3)]);
    assert!(output.batch[0].tried);

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
async fn a_throttled_deletion_goes_into_the_next_batch_and_a_throttled_batch_waits_longer_and_longer()
 {
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

    let mut next = with_batch(input("RUN", 1, 25), &[3], json!({}));
    for wait in [15, 30, 60, 120, 240] {
        let exchanges = [running(), throttled(), ready([0, 3])];
        let output = prune(next, exchanges).await.unwrap();
        assert_eq!((output.pruning, output.wait_seconds), (Pruning::Wait, wait));
        // After the wait it is planned anew.
        let waited = serde_json::to_value(output).unwrap();
        let output = prune(waited, [running(), ready([0, 3])]).await.unwrap();
        assert_eq!(output.pruning, Pruning::Continue);
        assert_eq!(output.progress.failed_count, 0);
        next = serde_json::to_value(output).unwrap();
    }
    let mut well_again = next.clone();
    let exchanges = [running(), throttled(), ready([0, 3])];
    let output = prune(next, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    let failed = &output.progress.failed[0];
    assert!(failed.reason.contains("ThrottlingException"), "{failed:?}");

    well_again["batch"] = json!([well_again["batch"][0], {
        "snapshot_name": name(2), "created_at": created_text(2), "application_version_id": 3,
        "reason": "no rule keeps it"
    }]);
    let exchanges = [running(), throttled(), deleted(2), ready([0, 3])];
    let output = prune(well_again, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Continue);
    assert_eq!(output.progress.throttled_batches, 0);
}

#[tokio::test]
async fn what_an_earlier_delivery_deleted_is_counted_although_the_repeat_was_throttled() {
    // The first delivery has deleted it, and the listing is behind.
    let repeat = with_batch(input("RUN", 1, 25), &[3], json!({}));
    let throttled = delete(3, Answer::Error(400, "ThrottlingException", "slow"));
    let output = prune(repeat, [running(), throttled, ready([0, 3])])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Wait);
    assert_eq!(
        (batch_names(&output), output.planned_at.as_deref()),
        (vec![name(3).as_str()], None)
    );
    let waited = serde_json::to_value(output).unwrap();
    let output = prune(waited, [running(), ready([0]), gone(3)])
        .await
        .unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 1);
}

#[tokio::test]
async fn a_look_that_is_throttled_after_a_refusal_fails_no_deletion_however_often() {
    let refused = || delete(3, Answer::Error(400, "InvalidRequestException", "in use"));
    let throttled = || look(3, Answer::Error(400, "ThrottlingException", "slow"));
    let mut progress = json!({});
    for other in [2, 4, 5] {
        let two = with_batch(input("RUN", 1, 25), &[3, other], progress);
        let exchanges = [
            running(),
            refused(),
            throttled(),
            deleted(other),
            ready([0, 3]),
        ];
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
        let [deletion, look_for_it] = lost();
        let is_listed = !left.is_empty();
        let shown = listed([summary(0, "READY")].into_iter().chain(left));
        let mut exchanges = vec![running(), deletion, look_for_it, shown];
        if !is_listed {
            exchanges.push(gone(3));
        }
        let output = prune(input, exchanges).await.unwrap();
        assert_eq!(output.progress.deleted_count, 1);
        assert_eq!(output.pruning, Pruning::Done);
    }
}

#[tokio::test]
async fn what_is_accepted_and_still_listed_is_waited_for_tried_once_more_and_then_has_failed() {
    let answers = [
        Answer::Ok(json!({})),
        Answer::Text("<html>A proxy was here.</html>".to_owned()),
        Answer::Error(400, "ResourceNotFoundException", "no"),
    ];
    for answer in answers {
        let first = with_batch(input("RUN", 1, 25), &[3], json!({}));
        let exchanges = [running(), delete(3, answer.clone()), ready([0, 3])];
        let waiting = prune(first, exchanges).await.unwrap();
        assert_eq!(waiting.pruning, Pruning::Wait);
        assert_eq!(waiting.wait_seconds, 15);
        assert_eq!(batch_names(&waiting), [name(3)]);
        assert_eq!(waiting.planned_at, None);
        assert_eq!(waiting.progress.deleted_count, 0);
        let waiting = serde_json::to_value(waiting).unwrap();

        // Gone after the wait.
        let exchanges = [running(), ready([0]), gone(3)];
        let output = prune(waiting.clone(), exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Done);
        assert_eq!(output.progress.deleted_count, 1);

        // Still there: the new plan wants it again.
        let output = prune(waiting, [running(), ready([0, 3])]).await.unwrap();
        assert_eq!(output.pruning, Pruning::Continue);
        assert!(output.batch[0].tried);
        let again = serde_json::to_value(output).unwrap();
        let second = |by_name| [running(), delete(3, answer.clone()), ready([0, 3]), by_name];
        // A listing that is far behind fails no deletion.
        let deleting = second(looked(3, "DELETING"));
        let output = prune(again.clone(), deleting).await.unwrap();
        assert_eq!(output.progress.deleted_count, 1);
        assert_eq!(output.progress.failed_count, 0);
        // Whoever lists it and says that there is none is not believed.
        let output = prune(again.clone(), second(gone(3))).await.unwrap();
        assert_eq!(output.progress.deleted_count, 0);
        assert_eq!(output.progress.failed_count, 1);

        let output = prune(again, second(looked(3, "READY"))).await.unwrap();
        assert_eq!(output.pruning, Pruning::Done);
        assert_eq!(output.progress.deleted_count, 0);
        assert_eq!(
            output.progress.failed[0].reason,
            format!("{} is still listed after its deletion.", name(3))
        );
    }
}

#[tokio::test]
async fn an_execution_of_the_first_definition_is_not_told_to_wait() {
    let mut first = with_batch(input("RUN", 1, 25), &[3], json!({}));
    first["run"].as_object_mut().unwrap().remove("definition");
    let exchanges = [running(), deleted(3), ready([0, 3])];
    let output = prune(first, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Continue);
    assert_eq!((output.planned_at, output.batch.len()), (None, 1));

    let mut own_unlisted = input("RUN", 1, 25);
    own_unlisted["run"]
        .as_object_mut()
        .unwrap()
        .remove("definition");
    let exchanges = [running(), ready([3]), looked(0, "READY")];
    let output = prune(own_unlisted, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    let held = output.held_back.unwrap();
    assert_eq!(held.cause, HeldBackCause::SnapshotNotReady);
}

#[tokio::test]
async fn a_plan_is_good_for_a_minute_and_nothing_of_an_older_one_is_deleted() {
    for (planned_at, is_fresh) in [
        (Some("2026-11-22T20:03:29Z"), true),
        (Some("2026-11-22T20:02:31Z"), true),
        // The clock of the one who planned is ahead.
        (Some("2026-11-22T20:03:31Z"), true),
        (Some("2026-11-22T20:02:29.999Z"), false),
        (Some("2026-11-13T20:03:00Z"), false),
        (Some("2026-11-22T20:04:31Z"), false),
        (Some("yesterday"), false),
        (None, false),
    ] {
        let mut input = with_batch(input("RUN", 1, 25), &[3], json!({}));
        input["planned_at"] = json!(planned_at);
        let mut exchanges = vec![running()];
        if is_fresh {
            exchanges.extend([deleted(3), listed([summary(0, "READY")])]);
        } else {
            exchanges.push(ready([0, 3]));
        }
        let output = prune(input, exchanges).await.unwrap();
        let expected = if is_fresh {
            (Pruning::Done, 1)
        } else {
            (Pruning::Continue, 0)
        };
        let found = (output.pruning, output.progress.deleted_count);
        assert_eq!(found, expected, "{planned_at:?}");
        if !is_fresh {
            assert_eq!(batch_names(&output), [name(3)], "{planned_at:?}");
            let planned_at = output.planned_at.unwrap();
            assert!(
                planned_at.starts_with("2026-11-22T20:03:30"),
                "{planned_at}"
            );
        }
    }
}

#[tokio::test]
async fn an_old_batch_is_looked_for_counted_and_planned_anew_behind_todays_gate() {
    // Three later runs, whose policy keeps more.
    let later = |days: i64| {
        let mut later = summary(0, "READY");
        later["SnapshotName"] = name(-days).into();
        later["SnapshotCreationTimestamp"] = created(-days);
        later
    };
    let mut redriven = with_batch(input("RUN", 1, 25), &[5, 4, 3], json!({}));
    redriven["planned_at"] = "2026-11-22T20:02:00Z".into();
    let snapshots = [
        summary(3, "READY"),
        summary(4, "READY"),
        summary(0, "READY"),
        later(1),
        later(2),
        later(3),
    ];
    let service = Service::expecting([running(), listed(snapshots), gone(5)]);
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
    let input: PruneSnapshotsInput = serde_json::from_value(redriven).unwrap();
    let now = "2026-11-26T20:03:30Z".parse().unwrap();
    let output = prune_snapshots::handle(&flink, input, now).await.unwrap();
    service.assert_done();
    assert_eq!(output.pruning, Pruning::Done);
    assert_eq!(output.progress.deleted_count, 1);
    let held = output.held_back.unwrap();
    assert_eq!(
        (held.cause, held.deletions_wanted),
        (HeldBackCause::LeftToLaterRun, 4)
    );
}

#[tokio::test]
async fn what_was_just_refused_and_is_not_listed_is_asked_for_by_name_before_it_counts() {
    let throttled = || delete(3, Answer::Error(400, "ThrottlingException", "slow"));
    let refused = || delete(3, Answer::Error(400, "InvalidRequestException", "never"));
    let unknown = || look(3, Answer::Error(503, "Unavailable", "later"));
    // Deletion, what follows it, what the service says by name, and what is made of it.
    for (deletion, by_name, pruning, counts) in [
        (vec![throttled()], gone(3), Pruning::Done, (1, 0)),
        (
            vec![throttled()],
            looked(3, "DELETING"),
            Pruning::Done,
            (1, 0),
        ),
        (vec![throttled()], looked(3, "READY"), Pruning::Wait, (0, 0)),
        (vec![throttled()], unknown(), Pruning::Wait, (0, 0)),
        (
            vec![refused(), looked(3, "READY")],
            gone(3),
            Pruning::Done,
            (1, 0),
        ),
        (
            vec![refused(), looked(3, "READY")],
            looked(3, "READY"),
            Pruning::Done,
            (0, 1),
        ),
    ] {
        let what = format!("{by_name:?}");
        let input = with_batch(input("RUN", 1, 25), &[3], json!({}));
        let exchanges = [running()]
            .into_iter()
            .chain(deletion)
            .chain([ready([0]), by_name]);
        let output = prune(input, exchanges).await.unwrap();
        assert_eq!(output.pruning, pruning, "{what}");
        let found = (output.progress.deleted_count, output.progress.failed_count);
        assert_eq!(found, counts, "{what}");
        if pruning == Pruning::Wait {
            // The next look finds it nowhere: it may be there all the same.
            let waiting = serde_json::to_value(output).unwrap();
            let exchanges = [running(), ready([0]), looked(3, "READY")];
            let output = prune(waiting, exchanges).await.unwrap();
            assert_eq!(output.pruning, Pruning::Done);
            assert_eq!(output.progress.failed_count, 1);
        }
    }
}

#[tokio::test]
async fn the_own_snapshot_that_is_gone_is_a_problem_whether_or_not_anything_was_to_go() {
    for (others, wanted) in [(vec![], 0), (vec![1], 0), (vec![1, 2], 1)] {
        for (by_name, words) in [
            (gone(0), "was READY and now is gone"),
            (looked(0, "DELETING"), "was READY and now is DELETING"),
            (looked(0, "FAILED"), "was READY and now is FAILED"),
        ] {
            let exchanges = [running(), ready(others.clone()), by_name];
            let output = prune(input("RUN", 1, 25), exchanges).await.unwrap();
            assert_eq!(output.pruning, Pruning::Done);
            let held = output.held_back.unwrap();
            assert_eq!(
                (held.cause, held.deletions_wanted),
                (HeldBackCause::SnapshotNotReady, wanted)
            );
            assert!(held.message.contains(words), "{}", held.message);
        }
    }
}

#[tokio::test]
async fn the_own_snapshot_that_a_later_run_pruned_is_left_to_it() {
    let later = |at: Value, status: &str| {
        let mut later = summary(0, status);
        later["SnapshotName"] = name(-1).into();
        later["SnapshotCreationTimestamp"] = at;
        later
    };
    let mut by_hand = summary(0, "READY");
    by_hand["SnapshotName"] = "by-hand".into();
    let soon = json!(RUN_ID / 1_000 + 61);
    for (newer, is_left) in [
        (later(soon.clone(), "READY"), true),
        (later(soon.clone(), "CREATING"), false),
        // Taken before ours, or in the future: no later run's.
        (later(created(1), "READY"), false),
        (later(created(-2), "READY"), false),
        (by_hand, false),
    ] {
        let what = newer.to_string();
        for old in [vec![], vec![summary(3, "READY"), summary(4, "READY")]] {
            let wants = !old.is_empty();
            let shown = listed(old.into_iter().chain([newer.clone()]));
            let exchanges = [running(), shown, gone(0)];
            let output = prune(input("RUN", 1, 25), exchanges).await.unwrap();
            let cause = output.held_back.map(|held| held.cause);
            let expected = match (is_left, wants) {
                (true, true) => Some(HeldBackCause::LeftToLaterRun),
                (true, false) => None,
                (false, _) => Some(HeldBackCause::SnapshotNotReady),
            };
            assert_eq!(cause, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn a_listing_that_is_behind_the_own_snapshot_is_waited_for_a_minute() {
    for shown in [
        ready([2, 3]),
        listed([summary(0, "CREATING"), summary(3, "READY")]),
    ] {
        let exchanges = [running(), shown, looked(0, "READY")];
        let output = prune(input("RUN", 1, 25), exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Wait);
        assert_eq!(output.held_back, None);
        let since = output.progress.waiting_since.clone().unwrap();
        assert!(since.starts_with("2026-11-22T20:03:30"), "{since}");
        let waiting = serde_json::to_value(output).unwrap();

        let exchanges = [running(), ready([0, 2, 3])];
        let output = prune(waiting.clone(), exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Continue);
        assert_eq!(output.progress.waiting_since, None);

        let mut too_long = waiting;
        too_long["progress"]["waiting_since"] = "2026-11-22T20:02:30Z".into();
        let exchanges = [running(), ready([2, 3]), looked(0, "READY")];
        let output = prune(too_long, exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Done);
        let held = output.held_back.unwrap();
        assert_eq!(held.cause, HeldBackCause::SnapshotNotReady);
    }
}

#[tokio::test]
async fn the_own_snapshot_listed_without_a_time_closes_the_gate() {
    let mut own = summary(0, "READY");
    own.as_object_mut()
        .unwrap()
        .remove("SnapshotCreationTimestamp");
    let shown = listed([own, summary(2, "READY"), summary(3, "READY")]);
    let output = prune(input("RUN", 1, 25), [running(), shown.clone()])
        .await
        .unwrap();
    let held = output.held_back.unwrap();
    assert_eq!(held.cause, HeldBackCause::SnapshotNotReady);
    let nothing_to_go = prune(input("RUN", 9, 25), [running(), shown])
        .await
        .unwrap();
    assert_eq!(nothing_to_go.held_back, None);
    assert!(
        held.message.contains("without a creation time"),
        "{}",
        held.message
    );
}

#[tokio::test]
async fn what_was_never_begun_and_is_not_listed_is_left_to_the_new_plan() {
    let mut old = with_batch(input("RUN", 1, 25), &[3], json!({}));
    old["planned_at"] = "2026-11-13T20:03:00Z".into();
    let exchanges = [running(), ready([0]), looked(3, "READY")];
    let output = prune(old, exchanges).await.unwrap();
    assert_eq!(output.pruning, Pruning::Done);
    let counts = (output.progress.deleted_count, output.progress.failed_count);
    assert_eq!(counts, (0, 0));
}

#[tokio::test]
async fn a_policy_with_a_rule_of_a_newer_release_deletes_nothing() {
    for mode in ["RUN", "PRUNE", "PLAN"] {
        let mut input = input(mode, 1, 25);
        input["run"]["input"]["retention"]["keep_fortnightly"] = 4.into();
        let exchanges = [running(), ready([0, 2, 3])];
        let output = prune(input, exchanges).await.unwrap();
        assert_eq!(output.pruning, Pruning::Done);
        let held = output.held_back.unwrap();
        assert_eq!(held.cause, HeldBackCause::PolicyUnknown, "{mode}");
        assert!(
            held.message.contains("keep_fortnightly"),
            "{}",
            held.message
        );
        let unknown = &output.run.input.retention.unknown;
        assert_eq!(unknown["keep_fortnightly"], 4, "it is handed on");
    }
}

#[tokio::test]
async fn failures_that_are_not_named_are_not_wanted_again() {
    let doomed: Vec<i64> = (1..=131).collect();
    let mut input = with_batch(input("PRUNE", 1, 1_000), &doomed, json!({}));
    // The last deletion is accepted and not seen, so that the machine enters the state once more.
    for next in [Pruning::Wait, Pruning::Done] {
        let service = Service::answering_by({
            let listing: Vec<Value> = (0..=140).map(|day| summary(day, "READY")).collect();
            move |operation, body| match operation {
                "DescribeApplication" => running().2,
                "ListApplicationSnapshots" => Answer::Ok(json!({ "SnapshotSummaries": listing })),
                "DescribeApplicationSnapshot" => {
                    Answer::Ok(json!({ "SnapshotDetails": summary(1, "READY") }))
                }
                _ if body["SnapshotName"] == name(131) => Answer::Ok(json!({})),
                _ => Answer::Error(400, "InvalidRequestException", "never"),
            }
        });
        let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
        let now = "2026-11-22T20:03:30Z".parse().unwrap();
        let entered: PruneSnapshotsInput = serde_json::from_value(input).unwrap();
        let output = prune_snapshots::handle(&flink, entered, now).await.unwrap();
        assert_eq!(output.pruning, next);
        assert_eq!(output.progress.failed.len(), 100);
        let held = output.held_back.clone().unwrap();
        assert_eq!(
            (held.cause, held.deletions_wanted),
            (HeldBackCause::TooManyFailures, 10)
        );
        input = serde_json::to_value(&output).unwrap();
    }
    assert_eq!(input["progress"]["failed_count"], 131);
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
    let output = prune(input, [application("UPDATING", None), left, gone(5)])
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
        newer["SnapshotCreationTimestamp"] = json!(RUN_ID / 1_000 + 60);
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
    let left = Some(HeldBackCause::LeftToLaterRun);
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
        ("RUN", "RUNNING", None, with_newer.clone(), left),
        // Whoever redrives an old PRUNE does not delete by its policy.
        ("PRUNE", "RUNNING", None, with_newer, left),
    ] {
        let mut exchanges = vec![application(status, restore), listed(snapshots.clone())];
        if cause == Some(HeldBackCause::SnapshotNotReady) {
            exchanges.push(gone(0));
        }
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
        "failed_count": 50, "failed": vec![failure; 50]
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
    let output = prune(most.clone(), exchanges).await.unwrap();
    assert_eq!(output.batch.len(), 250);
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);

    // A whole batch of the longest names that is waited for.
    let doomed: Vec<Value> = (1_000..1_250)
        .map(|number| {
            json!({
                "snapshot_name": long(number), "created_at": created_text(1),
                "application_version_id": 999_999_999, "reason": "no rule keeps it"
            })
        })
        .collect();
    most["batch"] = json!(doomed);
    let service = Service::answering_by(move |operation, _| match operation {
        "DescribeApplication" => running().2,
        "ListApplicationSnapshots" => Answer::Ok(json!({ "SnapshotSummaries": [] })),
        _ => Answer::Error(503, "Unavailable", "later"),
    });
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&service.config());
    let most: PruneSnapshotsInput = serde_json::from_value(most).unwrap();
    let now = "2026-11-22T20:03:30Z".parse().unwrap();
    let output = prune_snapshots::handle(&flink, most, now).await.unwrap();
    assert_eq!((output.pruning, output.batch.len()), (Pruning::Wait, 250));
    assert!(output.batch.iter().all(|doomed| doomed.tried));
    assert!(serde_json::to_vec(&output).unwrap().len() < LIMIT);
}
