//! Holds the follower to MiniStack: each end-to-end run is gone through once more.

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};
use serde_json::Value;

use simulation::follower::{Follower, Next, Passed};

/// Goes once more through what MiniStack went through: the same states in the same order with the same inputs and
/// outputs, the same invocations, retries and end.
pub fn hold_to(history: &[HistoryEvent], definition: &Value, context: &Value) {
    let data = |text: Option<&str>| -> Value { serde_json::from_str(text.unwrap()).unwrap() };
    let mut follower: Option<Follower> = None;
    let mut expected: Vec<Passed> = Vec::new();
    // What is due: the invocation after an entry or a failure, or the execution's output.
    let mut due: Option<Next> = None;
    let mut retry = true;
    for event in history {
        match event.r#type {
            Type::ExecutionStarted => {
                let started = event.execution_started_event_details().unwrap();
                let input = data(started.input());
                follower = Some(Follower::new(definition.clone(), context.clone(), input));
                due = Some(Next::On);
            }
            Type::ExecutionRedriven => {
                // The state goes on without being entered anew; its retries begin anew.
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
                    panic!("{due:?} is due, not an invocation");
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
            Type::ExecutionFailed => assert!(!retry, "{due:?} is due"),
            _ => {}
        }
        if event.state_entered_event_details().is_some() {
            assert_eq!(due, Some(Next::On), "{event:?}");
            due = follower.as_mut().map(Follower::enter);
            expected.push(entered(event));
        } else if event.state_exited_event_details().is_some()
            && event.r#type != Type::WaitStateExited
        {
            expected.push(left(event));
        }
    }
    let passed = follower.map(|follower| follower.passed).unwrap_or_default();
    // One that was stopped is somewhere on the follower's way.
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
