//! Which runs send a notification, and how many.

use std::cell::RefCell;

use contract::Recorded;
use serde_json::json;
use testkit::replay::Service;

use crate::given::{
    NOW, ONLY_PROBLEMS, STOP, deletion_failed, event, failed_event, held_back, only_problems,
    planned, redriven_state, skipped, succeeded, warned, with,
};
use crate::invocation::{
    accepted, announced, announced_after, answers_to, config, handle, invoke, marked, notified,
    written, written_over,
};

#[tokio::test]
async fn a_run_that_notifies_on_problems_is_always_recorded_and_notifies_only_of_a_problem() {
    for (input, is_problem) in [
        (succeeded(), false),
        (skipped(), false),
        (planned(), false),
        (held_back("LEFT_TO_LATER_RUN"), false),
        (held_back("MAX_DELETIONS_PER_RUN"), true),
        (deletion_failed(), true),
        (warned(succeeded()), true),
        (warned(planned()), true),
        (warned(skipped()), true),
    ] {
        let answers = if is_problem {
            announced()
        } else {
            vec![written(), marked()]
        };
        let run = invoke(only_problems(input), answers).await;
        assert_eq!(run.output().recorded, Recorded::Written);
        assert_eq!(run.message_id(), is_problem.then_some("m-1"));
    }
    for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
        let event = event(status, json!({ "input": ONLY_PROBLEMS }));
        let run = invoke(event, announced_after(&[])).await;
        assert!(run.is_announced(), "{status}");
    }
}

#[tokio::test]
async fn no_second_notification_is_sent_for_the_same_outcome() {
    for (input, (outcome, finished_at), is_new) in [
        // A later retry of the last state.
        (succeeded(), ("SUCCEEDED", NOW - 5_000), false),
        (deletion_failed(), ("PRUNE_INCOMPLETE", NOW - 5_000), false),
        // A redrive that ends in another way.
        (succeeded(), ("FAILED", NOW - 5_000), true),
        (succeeded(), ("ABORTED", NOW), true),
        (deletion_failed(), ("SUCCEEDED", NOW - 5_000), true),
        // The same event again.
        (failed_event(), ("FAILED", STOP), false),
        // A redrive that failed again.
        (failed_event(), ("FAILED", STOP - 60_000), true),
        (failed_event(), ("TIMED_OUT", STOP), true),
        // The last state succeeded, but its answer was lost.
        (failed_event(), ("SUCCEEDED", STOP - 1), true),
    ] {
        let mut answers = vec![written_over(notified(outcome, finished_at))];
        if is_new {
            answers.extend([accepted(), marked()]);
        }
        let answers = answers_to(&input, answers);
        let run = invoke(input, answers).await;
        assert_eq!(run.output().recorded, Recorded::Written);
        assert_eq!(run.is_announced(), is_new, "{outcome}");
        let message_id = if is_new { "m-1" } else { "earlier" };
        assert_eq!(run.message_id(), Some(message_id), "{outcome}");
    }
}

#[tokio::test]
async fn success_after_a_notified_failure_sends_a_notification_and_removes_the_error() {
    let failed = written_over(notified("FAILED", NOW - 5_000));
    let run = invoke(succeeded(), [failed, accepted(), marked()]).await;
    assert_eq!(run.subject(), "orders: SUCCEEDED");
    for name in ["#failed_state", "#error_name", "#error_message"] {
        assert!(run.removed().contains(&name), "{name}");
    }
    let update = run.first("UpdateItem")["UpdateExpression"].as_str();
    let is_removed = update.unwrap().contains("notified");
    assert!(!is_removed, "the mark outlives a write");
}

#[tokio::test]
async fn a_run_that_notifies_on_problems_also_notifies_when_a_redrive_succeeds() {
    let printed = json!({ "measured": { "S": "SUCCEEDED" } });
    for (input, mark, is_announced) in [
        (succeeded(), notified("FAILED", NOW - 5_000), true),
        (succeeded(), notified("TIMED_OUT", NOW - 5_000), true),
        (succeeded(), notified("ABORTED", NOW), true),
        (skipped(), notified("FAILED", NOW - 5_000), true),
        // The last state printed its metrics, and the execution was stopped after that.
        (
            succeeded(),
            with(printed.clone(), notified("ABORTED", NOW)),
            true,
        ),
        // Metrics that are printed are no announcement of a problem.
        (
            deletion_failed(),
            json!({ "measured": { "S": "PRUNE_INCOMPLETE" } }),
            true,
        ),
        // The end of the failure is announced once.
        (succeeded(), notified("SUCCEEDED", NOW - 5_000), false),
        // Nobody heard of a failure.
        (succeeded(), json!({}), false),
        (succeeded(), printed, false),
    ] {
        let case = mark.to_string();
        let is_unmarked = mark == json!({});
        let mut answers = vec![written_over(mark)];
        if is_announced {
            answers.extend([accepted(), marked()]);
        } else if is_unmarked {
            answers.push(marked());
        }
        let run = invoke(only_problems(input), answers).await;
        assert_eq!(run.is_announced(), is_announced, "{case}");
    }
    // What was announced before was no failure.
    let incomplete = written_over(notified("PRUNE_INCOMPLETE", NOW - 5_000));
    let run = invoke(only_problems(succeeded()), [incomplete, marked()]).await;
    assert!(!run.is_announced());
}

#[tokio::test]
async fn a_run_without_a_notification_prints_its_metrics_once_even_if_the_last_step_is_repeated() {
    let lines = RefCell::new(Vec::new());
    let print = |line: &str| lines.borrow_mut().push(line.to_owned());
    let printed = || written_over(json!({ "measured": { "S": "SUCCEEDED" } }));
    for answers in [vec![written(), marked()], vec![printed()], vec![printed()]] {
        let service = Service::answering(answers);
        let input = redriven_state(0, &only_problems(succeeded()));
        let run = handle(&service, Ok(config()), input, print).await;
        assert_eq!(run.message_id(), None);
        if let Some((_, mark)) = run.sent.get(1) {
            assert_eq!(mark["UpdateExpression"], "SET measured = :mark");
            assert_eq!(mark["ExpressionAttributeValues"][":mark"]["S"], "SUCCEEDED");
        }
    }
    assert_eq!(lines.borrow().len(), 1);
}
