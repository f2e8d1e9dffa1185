//! Which record of an execution may overwrite which other record.

use contract::{ErrorName, Outcome, Recorded};
use record_and_notify::Config;
use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, RUN_ID};
use testkit::replay::Service;

use crate::given::{
    NOW, ONLY_PROBLEMS, STOP, event, failed_event, only_problems, redriven_event, redriven_state,
    skipped, succeeded, uncounted_event, with,
};
use crate::invocation::{
    accepted, announced, announced_after, answers_to, condition_failed, config, handle, invoke,
    invoke_with, marked, notified,
};
use crate::requests::{
    BY_THE_CLOCK, EVENT_MAY_WRITE, STATE_MAY_WRITE, UNCOUNTED_MAY_WRITE, condition,
};

/// The row of this execution after this end, with these marks.
fn row_after(outcome: &str, finished_at: i64, marks: Value) -> Value {
    let row = json!({
        "app_name": { "S": "orders" }, "execution_arn": { "S": EXECUTION },
        "snapshot_manager_run_id": { "N": RUN_ID.to_string() }, "outcome": { "S": outcome },
        "started_at": { "N": RUN_ID.to_string() }, "finished_at": { "N": finished_at.to_string() },
        "redrive_count": { "N": "1" }
    });
    with(row, marks)
}

#[tokio::test]
async fn the_redrive_count_and_the_source_of_a_record_decide_which_record_is_later() {
    for (input, count, may_write) in [
        (redriven_state(0, &succeeded()), Some("0"), STATE_MAY_WRITE),
        (redriven_state(3, &skipped()), Some("3"), STATE_MAY_WRITE),
        (redriven_event(0), Some("0"), EVENT_MAY_WRITE),
        (redriven_event(2), Some("2"), EVENT_MAY_WRITE),
        (uncounted_event(), None, UNCOUNTED_MAY_WRITE),
    ] {
        let answers = answers_to(&input, announced());
        let run = invoke(input, answers).await;
        let write = run.first("UpdateItem");
        assert_eq!(write["ConditionExpression"], condition(may_write));
        let values = &write["ExpressionAttributeValues"];
        assert_eq!(values[":redrive_count"]["N"].as_str(), count);
    }
}

#[tokio::test]
async fn the_time_decides_for_an_execution_of_the_first_definition() {
    // Its last state passes what the run did, and no redrive count.
    let service = Service::answering(announced());
    let run = handle(&service, Ok(config()), succeeded(), |_| ()).await;
    assert_eq!(run.output().outcome, Outcome::Succeeded);
    let write = run.first("UpdateItem");
    assert_eq!(write["ConditionExpression"], condition(BY_THE_CLOCK));
    assert!(run.removed().contains(&"#redrive_count"));
}

#[tokio::test]
async fn a_record_older_than_the_row_is_not_written_and_sends_no_notification() {
    let success = notified("SUCCEEDED", NOW - 5);
    let printed = json!({ "measured": { "S": "SUCCEEDED" } });
    // No record has an attribute of this type.
    let unreadable = json!({ "plan": { "B": "AAAA" } });
    for (row, is_silent) in [
        (row_after("SUCCEEDED", NOW, success), false),
        (row_after("FAILED", STOP, notified("FAILED", STOP)), false),
        (row_after("SUCCEEDED", NOW, printed), true),
        (row_after("SUCCEEDED", NOW, unreadable), false),
    ] {
        let mut event = failed_event();
        let mut done = succeeded();
        if is_silent {
            event["detail"]["input"] = ONLY_PROBLEMS.into();
            done = only_problems(done);
        }
        for input in [done, event] {
            let superseded = condition_failed(Some(row.clone()));
            let answers = answers_to(&input, [superseded]);
            let run = invoke(input, answers).await;
            assert_eq!(run.output().recorded, Recorded::Superseded);
            assert_eq!(run.message_id(), None);
        }
    }
}

#[tokio::test]
async fn the_missing_notification_of_a_later_record_is_sent_by_the_next_invocation() {
    // The announcement of an earlier failure is not that of the later one.
    let earlier_failure = notified("FAILED", STOP - 60_000);
    // The row may have lists, and attributes that a newer release has added.
    let newer_release = json!({
        "warnings": { "L": [{ "S": "A warning." }] }, "new_flag": { "BOOL": true }, "new_text": { "NULL": true },
    });
    for (outcome, finished_at, marks) in [
        ("SUCCEEDED", NOW, json!({})),
        ("SUCCEEDED", NOW, notified("FAILED", STOP)),
        ("SUCCEEDED", NOW, newer_release),
        ("ABORTED", STOP, json!({})),
        ("FAILED", STOP, earlier_failure),
    ] {
        let superseded = condition_failed(Some(row_after(outcome, finished_at, marks)));
        let run = invoke(succeeded(), [superseded, accepted(), marked()]).await;
        assert_eq!(run.output().recorded, Recorded::Superseded);
        assert_eq!(run.message_id(), None);
        let record = run.announced_record();
        assert_eq!(record["outcome"], outcome);
        assert_eq!(record["finished_at"], finished_at);
        let (_, mark) = run.sent.last().unwrap();
        let marked_end = &mark["ExpressionAttributeValues"][":finished_at"]["N"];
        assert_eq!(*marked_end, finished_at.to_string());
    }
}

#[tokio::test]
async fn the_missing_notification_of_a_successful_redrive_is_sent_by_the_next_invocation() {
    let mut event = failed_event();
    event["detail"]["input"] = ONLY_PROBLEMS.into();
    let row = row_after("SUCCEEDED", NOW, notified("FAILED", STOP));
    let answers = [condition_failed(Some(row)), accepted(), marked()];
    let answers = answers_to(&event, answers);
    let run = invoke(event, answers).await;
    assert_eq!(run.output().recorded, Recorded::Superseded);
    assert_eq!(run.subject(), "orders: SUCCEEDED");
}

#[tokio::test]
async fn a_row_of_another_execution_or_program_is_a_conflict() {
    const OTHER: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshots:by-hand";
    let row = |name: &str, value: &str| {
        Some(json!({ "app_name": { "S": "orders" }, name: { "S": value } }))
    };
    let other_execution = format!("the execution {OTHER}");
    let other_system = "another program";
    for (row, owner) in [
        (row("execution_arn", OTHER), other_execution.as_str()),
        (row("new_snapshot_name", "custom_1"), other_system),
        (None, other_system),
    ] {
        let run = invoke(succeeded(), [condition_failed(row)]).await;
        assert_eq!(run.error().name, ErrorName::RecordConflict);
        let fact =
            format!("The row (orders, {RUN_ID}) belongs to {owner}; nothing was overwritten.");
        assert_eq!(run.error().fact, fact);
    }
}

#[tokio::test]
async fn a_stack_for_one_application_records_another_application_as_unknown() {
    let mut done = succeeded();
    done["run"]["input"]["application_name"] = "payments".into();
    let event = event(
        "FAILED",
        json!({ "input": r#"{"application_name":"payments"}"# }),
    );
    for (input, answers) in [(done, announced()), (event, announced_after(&[]))] {
        for (stack, recorded) in [
            (Some("orders"), "(unknown)"),
            (Some("payments"), "payments"),
            (None, "payments"),
        ] {
            let config = Config {
                application_name: stack.map(str::to_owned),
                ..config()
            };
            let run = invoke_with(config, input.clone(), answers.clone()).await;
            assert_eq!(run.row()["app_name"], recorded);
            assert_eq!(run.output().app_name, recorded);
            let subject = run.subject();
            assert!(subject.starts_with(recorded), "{subject}");
        }
    }
}
