//! Deletions that are throttled, unconfirmed or refused, and when they are retried.

use contract::Pruning::{Continue, Done, Wait};
use serde_json::json;
use testkit::replay::Answer::{self, Error};

use crate::support::{
    application, batch_names, created, delete, deleted, deleting, describe, doomed, found, gone,
    listed, name, next, of_the_first_definition, prune, ready, refused, result, running, snapshot,
    throttled,
};

#[tokio::test]
async fn a_deletion_that_fails_in_two_batches_counts_as_failed() {
    let busy = || delete(3, Error(400, "ResourceInUseException", "in use"));
    let exchanges = || [running(), busy(), found(3, "READY"), ready([0, 3])];
    let output = prune(deleting(&[3]), exchanges()).await;
    assert_eq!(result(&output), (Continue, 0, 0));
    assert_eq!(batch_names(&output), [name(3)]);
    assert!(output.batch[0].tried);

    let output = prune(next(output), exchanges()).await;
    assert_eq!(result(&output), (Done, 0, 1));
    let failed = &output.progress.failed[0];
    assert_eq!(failed.snapshot_name, name(3));
    let reason = "DeleteApplicationSnapshot: ResourceInUseException: in use.";
    assert_eq!(failed.reason, reason);
}

#[tokio::test]
async fn snapshots_to_retry_come_first_in_the_batch() {
    let busy = delete(2, Error(400, "ResourceInUseException", "in use"));
    let exchanges = [running(), busy, found(2, "READY"), ready([0, 2, 3])];
    let output = prune(deleting(&[2]), exchanges).await;
    assert_eq!(output.pruning, Continue);
    assert_eq!(batch_names(&output), [name(2), name(3)]);
}

#[tokio::test]
async fn a_throttled_deletion_goes_into_the_next_batch_and_each_throttled_batch_lengthens_the_wait()
{
    let exchanges = [running(), throttled(3), deleted(2), ready([0, 3])];
    let output = prune(deleting(&[3, 2]), exchanges).await;
    assert_eq!(result(&output), (Continue, 1, 0));
    assert_eq!(batch_names(&output), [name(3)]);

    let mut input = deleting(&[3]);
    for wait in [15, 30, 60, 120, 240] {
        let output = prune(input, [running(), throttled(3), ready([0, 3])]).await;
        assert_eq!((output.pruning, output.wait_seconds), (Wait, wait));
        // After the wait it is planned again.
        let output = prune(next(output), [running(), ready([0, 3])]).await;
        assert_eq!(result(&output), (Continue, 0, 0));
        input = next(output);
    }
    let mut partly_throttled = input.clone();
    let output = prune(input, [running(), throttled(3), ready([0, 3])]).await;
    assert_eq!(result(&output), (Done, 0, 1));
    let failed = &output.progress.failed[0];
    assert!(failed.reason.contains("ThrottlingException"), "{failed:?}");

    let batch = partly_throttled["batch"].as_array_mut().unwrap();
    batch.push(doomed(2));
    let exchanges = [running(), throttled(3), deleted(2), ready([0, 3])];
    let output = prune(partly_throttled, exchanges).await;
    assert_eq!(output.pruning, Continue);
    assert_eq!(output.progress.throttled_batches, 0);
}

#[tokio::test]
async fn a_deletion_by_an_earlier_invocation_counts_even_if_the_repeated_call_is_throttled() {
    // The first invocation deleted the snapshot, and the listing is outdated.
    let exchanges = [running(), throttled(3), ready([0, 3])];
    let output = prune(deleting(&[3]), exchanges).await;
    assert_eq!(output.pruning, Wait);
    assert_eq!(batch_names(&output), [name(3)]);
    assert_eq!(output.planned_at, None);
    let output = prune(next(output), [running(), ready([0]), gone(3)]).await;
    assert_eq!(output.pruning, Done);
    assert_eq!(output.progress.deleted_count, 1);
}

#[tokio::test]
async fn a_throttled_lookup_after_a_refused_deletion_does_not_count_as_a_failed_deletion() {
    let slow = || describe(3, Error(400, "ThrottlingException", "slow"));
    let mut progress = json!({});
    for other in [2, 4, 5] {
        let mut input = deleting(&[3, other]);
        input["progress"] = progress;
        let exchanges = [running(), refused(3), slow(), deleted(other), ready([0, 3])];
        let output = prune(input, exchanges).await;
        assert_eq!(batch_names(&output), [name(3)]);
        assert!(!output.batch[0].tried, "it has both attempts left");
        assert_eq!(output.progress.failed_count, 0);
        progress = next(output)["progress"].take();
    }
}

#[tokio::test]
async fn a_deletion_is_tried_again_if_the_snapshot_could_not_be_looked_up() {
    let lost = [delete(3, Answer::Lost), describe(3, Answer::Lost)];
    let exchanges = [running()].into_iter().chain(lost).chain([ready([0, 3])]);
    let output = prune(deleting(&[3]), exchanges).await;
    assert_eq!(result(&output), (Continue, 0, 0));
    assert_eq!(batch_names(&output), [name(3)]);
    assert!(output.batch[0].tried);
}

#[tokio::test]
async fn an_accepted_deletion_is_retried_after_a_wait_if_the_snapshot_is_still_listed() {
    for answer in [
        Answer::Ok(json!({})),
        Error(400, "ResourceNotFoundException", "no"),
    ] {
        let exchanges = || [running(), delete(3, answer.clone()), ready([0, 3])];
        let waiting = prune(deleting(&[3]), exchanges()).await;
        assert_eq!(result(&waiting), (Wait, 0, 0));
        assert_eq!(waiting.wait_seconds, 15);
        assert_eq!(batch_names(&waiting), [name(3)]);
        assert_eq!(waiting.planned_at, None);
        let waiting = next(waiting);

        // Gone after the wait.
        let after_wait = [running(), ready([0]), gone(3)];
        let output = prune(waiting.clone(), after_wait).await;
        assert_eq!(result(&output), (Done, 1, 0));

        // Still listed: the new plan deletes it again.
        let output = prune(waiting, [running(), ready([0, 3])]).await;
        assert_eq!(output.pruning, Continue);
        assert!(output.batch[0].tried);
        let again = next(output);
        for (by_name, expected) in [
            // An outdated listing does not make the deletion fail.
            (found(3, "DELETING"), (Done, 1, 0)),
            // A snapshot that is listed counts as existing, even if the lookup by name does not find it.
            (gone(3), (Done, 0, 1)),
            (found(3, "READY"), (Done, 0, 1)),
        ] {
            let exchanges = exchanges().into_iter().chain([by_name]);
            let output = prune(again.clone(), exchanges).await;
            assert_eq!(result(&output), expected);
            if let Some(failed) = output.progress.failed.first() {
                let reason = format!("{} is still listed after its deletion.", name(3));
                assert_eq!(failed.reason, reason);
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_does_not_come_from_the_service_is_not_an_accepted_deletion() {
    let page = Answer::Page(200, "<html>A proxy was here.</html>".to_owned());
    for (by_name, expected) in [
        // The snapshot still exists, although no page of the listing has it.
        (found(3, "READY"), (Wait, 0, 0)),
        (found(3, "DELETING"), (Done, 1, 0)),
        (gone(3), (Done, 1, 0)),
    ] {
        let deletion = [running(), delete(3, page.clone()), by_name.clone()];
        let is_accepted = expected.1 == 1;
        let again = (!is_accepted).then_some(by_name);
        let exchanges = deletion.into_iter().chain([ready([0])]).chain(again);
        assert_eq!(result(&prune(deleting(&[3]), exchanges).await), expected);
    }
}

#[tokio::test]
async fn a_newer_snapshot_with_the_same_name_does_not_count_as_the_deleted_one() {
    // A redrive of an earlier run took a new snapshot with the same name.
    let newer = |seconds: u32| {
        let mut newer = snapshot(3, "READY");
        newer["SnapshotCreationTimestamp"] =
            (created(3).as_f64().unwrap() + f64::from(seconds)).into();
        newer
    };
    let described = |seconds| {
        let details = json!({ "SnapshotDetails": newer(seconds) });
        describe(3, Answer::Ok(details))
    };
    let with_newer = |seconds| listed([snapshot(0, "READY"), newer(seconds)]);

    let again = [running(), deleted(3), with_newer(3_600)];
    let output = prune(deleting(&[3]), again).await;
    assert_eq!(result(&output), (Done, 1, 0));

    // Of an old plan, so nothing is deleted.
    let mut old = deleting(&[3]);
    old["planned_at"] = "2026-11-22T05:00:00Z".into();
    for (seconds, deleted_count) in [(3_600, 1), (1, 0)] {
        let by_name = (deleted_count == 1).then(|| described(seconds));
        let exchanges = [running(), with_newer(seconds)].into_iter().chain(by_name);
        let output = prune(old.clone(), exchanges).await;
        assert_eq!(output.progress.deleted_count, deleted_count);
    }

    // Refused, because the timestamp is not that of the newer one.
    let exchanges = [running(), refused(3), described(3_600), with_newer(3_600)];
    let output = prune(deleting(&[3]), exchanges).await;
    assert_eq!(result(&output), (Done, 1, 0));
}

#[tokio::test]
async fn a_run_of_the_first_definition_gets_no_wait() {
    let input = of_the_first_definition(deleting(&[3]));
    let output = prune(input, [running(), deleted(3), ready([0, 3])]).await;
    assert_eq!(output.pruning, Continue);
    assert_eq!((output.planned_at, output.batch.len()), (None, 1));
}

#[tokio::test]
async fn an_unlisted_snapshot_whose_deletion_was_refused_is_looked_up_before_it_is_counted() {
    let refusal = || vec![refused(3), found(3, "READY")];
    let throttling = || vec![throttled(3)];
    let unavailable = describe(3, Error(503, "Unavailable", "later"));
    for (deletion, by_name, expected) in [
        (throttling(), gone(3), (Done, 1, 0)),
        (throttling(), found(3, "DELETING"), (Done, 1, 0)),
        (throttling(), found(3, "READY"), (Wait, 0, 0)),
        (throttling(), unavailable, (Wait, 0, 0)),
        (refusal(), gone(3), (Done, 1, 0)),
        (refusal(), found(3, "READY"), (Done, 0, 1)),
    ] {
        let case = format!("{by_name:?}");
        let listed = [ready([0]), by_name];
        let exchanges = [running()].into_iter().chain(deletion).chain(listed);
        let output = prune(deleting(&[3]), exchanges).await;
        assert_eq!(result(&output), expected, "{case}");
        if output.pruning == Wait {
            // After the wait, the snapshot is still not listed. It may exist nevertheless.
            let exchanges = [running(), ready([0]), found(3, "READY")];
            let output = prune(next(output), exchanges).await;
            assert_eq!(result(&output), (Done, 0, 1));
        }
    }
}

#[tokio::test]
async fn an_unconfirmed_deletion_fails_if_the_gate_closes_before_the_second_attempt() {
    let mut input = deleting(&[3]);
    input["progress"] = json!({ "unanswered": [name(3)] });
    let output = prune(input, [application("STOPPING", None), ready([0, 3])]).await;
    assert_eq!(result(&output), (Done, 0, 1));
    let failed = &output.progress.failed[0];
    assert_eq!(failed.snapshot_name, name(3));
    let reason = "The deletion was not confirmed and is not retried. The service may still delete the snapshot.";
    assert_eq!(failed.reason, reason);
}
