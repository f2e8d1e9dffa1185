//! Compares the follower of the simulation with MiniStack: the follower repeats each end-to-end run.

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};
use serde_json::Value;

use simulation::follower::{Follower, Next, Passed};

/// Lets the follower repeat an execution of MiniStack. Asserts that both pass through the same states in the same
/// order, with the same inputs, outputs, invocations, retries and end.
pub fn assert_follower_agrees(history: &[HistoryEvent], definition: &Value, context: &Value) {
    let data = |text: Option<&str>| -> Value { serde_json::from_str(text.unwrap()).unwrap() };
    let mut follower: Option<Follower> = None;
    let mut expected: Vec<Passed> = Vec::new();
    // What the follower expects next.
    let mut due: Option<Next> = None;
    let mut retry = true;
    for event in history {
        match event.r#type {
            Type::ExecutionStarted => {
                let started = event.execution_started_event_details().unwrap();
                let input = data(started.input());
                follower = Some(Follower::new(definition.clone(), context.clone(), input));
                due = Some(Next::Enter);
            }
            Type::ExecutionRedriven => {
                // The state is not entered again, but its retries start anew.
                let follower = follower.as_mut().unwrap();
                follower.redriven();
                let passed = follower.passed.len();
                due = Some(follower.enter());
                follower.passed.truncate(passed);
                retry = true;
            }
            Type::LambdaFunctionScheduled | Type::TaskScheduled => {
                let details = event.task_scheduled_event_details().unwrap();
                let parameters = data(Some(details.parameters()));
                let Some(Next::Invoke {
                    function, payload, ..
                }) = due.take()
                else {
                    panic!("the follower expects {due:?}, not an invocation");
                };
                assert_eq!(parameters["FunctionName"], function);
                assert_eq!(parameters["Payload"], payload);
            }
            Type::TaskSucceeded => {
                let details = event.task_succeeded_event_details().unwrap();
                let output = data(details.output());
                let follower = follower.as_mut().unwrap();
                due = Some(follower.answered(output["Payload"].clone()));
            }
            Type::TaskFailed | Type::TaskTimedOut => {
                let error = match event.task_failed_event_details() {
                    Some(details) => details.error().unwrap(),
                    None => "States.Timeout",
                };
                let follower = follower.as_mut().unwrap();
                retry = follower.failed(error).is_some();
                due = retry.then(|| follower.task());
            }
            Type::WaitStateExited => {
                assert!(matches!(due, Some(Next::Wait(_))), "{due:?}");
                due = Some(follower.as_mut().unwrap().waited());
                expected.push(left(event));
            }
            Type::ExecutionSucceeded => {
                let details = event.execution_succeeded_event_details().unwrap();
                assert_eq!(due, Some(Next::End(data(details.output()))));
            }
            Type::ExecutionFailed => assert!(!retry, "the follower expects {due:?}"),
            _ => {}
        }
        if event.state_entered_event_details().is_some() {
            assert_eq!(due, Some(Next::Enter), "{event:?}");
            due = follower.as_mut().map(Follower::enter);
            expected.push(entered(event));
        } else if event.state_exited_event_details().is_some()
            && event.r#type != Type::WaitStateExited
        {
            expected.push(left(event));
        }
    }
    let passed = follower.map(|follower| follower.passed).unwrap_or_default();
    // An execution that was stopped has passed through only a part of the states that the follower has passed through.
    let same = passed
        .iter()
        .zip(&expected)
        .all(|(ours, theirs)| ours == theirs);
    assert!(
        same && expected.len() <= passed.len(),
        "{passed:#?}\n{expected:#?}"
    );
    let ended = history.iter().any(|event| {
        matches!(
            event.r#type,
            Type::ExecutionSucceeded | Type::ExecutionFailed
        )
    });
    assert!(
        !ended || expected.len() == passed.len(),
        "{passed:#?}\n{expected:#?}"
    );
}

fn entered(event: &HistoryEvent) -> Passed {
    let details = event.state_entered_event_details().unwrap();
    let input = serde_json::from_str(details.input().unwrap()).unwrap();
    Passed::Entered(details.name().to_owned(), input)
}

fn left(event: &HistoryEvent) -> Passed {
    let details = event.state_exited_event_details().unwrap();
    let output = serde_json::from_str(details.output().unwrap()).unwrap();
    Passed::Left(details.name().to_owned(), output)
}
