//! Goes through the definition as Step Functions does, without time and without calls: whoever drives it
//! waits, invokes and answers. It knows what the definition uses and refuses the rest, and each
//! end-to-end run is gone through once more with it, to hold it against moto.

use std::time::Duration;

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType as Type};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// An execution on its way through the definition.
#[derive(Clone, Debug)]
pub struct Follower {
    definition: Value,
    /// `$$`.
    context: Value,
    /// The state at hand, and its input.
    state: String,
    data: Value,
    /// How often each of the state's retriers has been used.
    retried: Vec<u64>,
    /// What was entered and left, in order.
    pub passed: Vec<Passed>,
}

/// A state was entered with an input, or left with an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    Entered(String, Value),
    Left(String, Value),
}

/// What an execution does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Invoke the function of that ARN; the answer goes to [`Follower::answered`] or
    /// [`Follower::failed`].
    Invoke {
        function: String,
        payload: Value,
        within: Duration,
    },
    /// Wait; then [`Follower::waited`].
    Wait(Duration),
    /// Enter the next state.
    On,
    /// It has succeeded with this output.
    End(Value),
}

impl Follower {
    /// An execution of a definition without `${}`. `context` is `$$`.
    pub fn new(definition: Value, context: Value, input: Value) -> Self {
        let state = text(&definition["StartAt"]).to_owned();
        Self {
            definition,
            context,
            state,
            data: input,
            retried: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// The state at hand.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The input of the state at hand.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// Gives the state at hand another input.
    pub fn set_data(&mut self, data: Value) {
        self.data = data;
    }

    /// Enters the state at hand.
    pub fn enter(&mut self) -> Next {
        self.passed
            .push(Passed::Entered(self.state.clone(), self.data.clone()));
        self.retried = vec![0; self.retriers().len()];
        let state = self.at_hand();
        match text(&state["Type"]) {
            "Task" => self.task(),
            "Wait" => {
                let seconds = pick(&self.data, text(&state["SecondsPath"]));
                Next::Wait(Duration::from_secs(seconds.as_u64().unwrap()))
            }
            "Choice" => {
                let rules = state["Choices"].as_array().unwrap();
                let rule = rules.iter().find(|rule| {
                    pick(&self.data, text(&rule["Variable"])) == &rule["StringEquals"]
                });
                let rule = rule.unwrap_or_else(|| panic!("{} has no way", self.state));
                let next = text(&rule["Next"]).to_owned();
                self.leave(self.data.clone(), next)
            }
            other => panic!("a {other} is not followed"),
        }
    }

    /// The invocation of the Task at hand, anew after a failure that is retried.
    pub fn task(&self) -> Next {
        let state = self.at_hand();
        assert_eq!(state["Resource"], "arn:aws:states:::lambda:invoke");
        Next::Invoke {
            function: text(&state["Parameters"]["FunctionName"]).to_owned(),
            payload: match self.filled(&state["Parameters"]) {
                Value::Object(mut parameters) => parameters.remove("Payload").unwrap(),
                other => panic!("{other}"),
            },
            within: Duration::from_secs(state["TimeoutSeconds"].as_u64().unwrap()),
        }
    }

    /// The wait is over.
    pub fn waited(&mut self) -> Next {
        self.go_on(self.data.clone())
    }

    /// The function has answered.
    pub fn answered(&mut self, payload: Value) -> Next {
        assert_eq!(self.at_hand()["OutputPath"], "$.Payload");
        self.go_on(payload)
    }

    /// The Task has failed: how long to wait before it is tried again, jitter aside, or `None` if the execution
    /// fails here.
    pub fn failed(&mut self, error: &str) -> Option<Duration> {
        let retriers = self.retriers().to_vec();
        let place = retriers.iter().position(|retrier| {
            let names = retrier["ErrorEquals"].as_array().unwrap();
            names.iter().any(|name| name == error)
        })?;
        let retrier = &retriers[place];
        let before = self.retried[place];
        if before >= retrier["MaxAttempts"].as_u64().unwrap() {
            return None;
        }
        self.retried[place] += 1;
        let rate = retrier["BackoffRate"].as_f64().unwrap();
        let first = retrier["IntervalSeconds"].as_f64().unwrap();
        let most = retrier["MaxDelaySeconds"].as_f64().unwrap();
        let exponent = i32::try_from(before).unwrap();
        Some(Duration::from_secs_f64(
            (first * rate.powi(exponent)).min(most),
        ))
    }

    fn at_hand(&self) -> &Value {
        &self.definition["States"][&self.state]
    }

    fn retriers(&self) -> &[Value] {
        self.at_hand()["Retry"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    fn go_on(&mut self, output: Value) -> Next {
        let state = self.at_hand();
        if state["End"] == true {
            self.passed
                .push(Passed::Left(self.state.clone(), output.clone()));
            return Next::End(output);
        }
        let next = text(&state["Next"]).to_owned();
        self.leave(output, next)
    }

    fn leave(&mut self, output: Value, next: String) -> Next {
        let left = std::mem::replace(&mut self.state, next);
        self.data = output.clone();
        self.passed.push(Passed::Left(left, output));
        Next::On
    }

    /// A template of parameters with its paths filled in.
    fn filled(&self, template: &Value) -> Value {
        let Value::Object(fields) = template else {
            return template.clone();
        };
        let filled = fields.iter().map(|(name, value)| {
            let Some(plain) = name.strip_suffix(".$") else {
                return (name.clone(), self.filled(value));
            };
            let path = text(value);
            let picked = match path.strip_prefix('$') {
                Some(path) if path.starts_with('$') => pick(&self.context, path),
                _ => pick(&self.data, path),
            };
            (plain.to_owned(), picked.clone())
        });
        Value::Object(filled.collect::<Map<_, _>>())
    }
}

/// What a path of the form `$` or `$.a.b` points at.
fn pick<'a>(data: &'a Value, path: &str) -> &'a Value {
    let path = path.strip_prefix('$').unwrap();
    let pointer = path.replace('.', "/");
    data.pointer(&pointer)
        .unwrap_or_else(|| panic!("no ${path} in {data}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Goes once more through what moto went through: the same states in the same order with the same inputs and
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
            Type::ExecutionRedriven => due = Some(Next::On),
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
                assert_eq!(
                    in_milliseconds(&parameters["Payload"]),
                    in_milliseconds(&payload)
                );
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
        .all(|(ours, motos)| ours == motos);
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

/// A payload with the start of the execution in whole milliseconds: moto and its redrives write it differently.
fn in_milliseconds(payload: &Value) -> Value {
    let mut payload = payload.clone();
    if let Some(Value::String(started)) = payload.get_mut("execution_started_at") {
        let time: Timestamp = started.parse().unwrap();
        *started = time.as_millisecond().to_string();
    }
    payload
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
