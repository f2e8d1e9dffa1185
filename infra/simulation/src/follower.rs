//! Interprets the state machine's definition as Step Functions does. It has no clock and makes no calls: the caller
//! waits and invokes functions, and passes the results to the follower. It supports the parts of the language that the
//! definition uses, and panics at others. The end-to-end tests compare it with MiniStack.

use std::time::Duration;

use serde_json::{Map, Value};

/// An execution that is at one of the states of the definition.
#[derive(Clone, Debug)]
pub struct Follower {
    definition: Value,
    context: Value,
    pub state: String,
    pub data: Value,
    /// How often each retrier of the state was used.
    retried: Vec<u64>,
    /// The states that were entered and left, in order, for the history.
    pub passed: Vec<Passed>,
}

/// A state that was entered with its input, or left with its output.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    Entered(String, Value),
    Left(String, Value),
}

/// What the caller has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Invoke the function with this ARN. The result goes to [`Follower::answered`] or [`Follower::failed`].
    Invoke {
        function: String,
        payload: Value,
        within: Duration,
    },
    /// Wait, then call [`Follower::waited`].
    Wait(Duration),
    /// Call [`Follower::enter`] to enter the next state.
    Enter,
    /// Nothing: the execution has succeeded with this output.
    End(Value),
}

impl Follower {
    /// An execution that is at the first state. All `${}` in the definition must have been substituted. The context
    /// object needs no redrive count and no input.
    pub fn new(definition: Value, mut context: Value, input: Value) -> Self {
        context["Execution"]["RedriveCount"] = 0.into();
        context["Execution"]["Input"] = input.clone();
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

    /// Counts a redrive of the execution.
    pub fn redriven(&mut self) {
        let count = &mut self.context["Execution"]["RedriveCount"];
        *count = (count.as_u64().unwrap() + 1).into();
    }

    /// Enters the current state.
    pub fn enter(&mut self) -> Next {
        self.passed
            .push(Passed::Entered(self.state.clone(), self.data.clone()));
        self.retried = vec![0; self.retriers().len()];
        let state = self.current();
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
                let rule = rule.unwrap_or_else(|| panic!("no rule of {} matches", self.state));
                let next = text(&rule["Next"]).to_owned();
                self.leave(self.data.clone(), next)
            }
            other => panic!("a {other} is not interpreted"),
        }
    }

    /// The invocation for the current Task. It is the same for the first attempt and for a retry.
    pub fn task(&self) -> Next {
        let state = self.current();
        assert_eq!(state["Resource"], "arn:aws:states:::lambda:invoke");
        Next::Invoke {
            function: text(&state["Parameters"]["FunctionName"]).to_owned(),
            payload: match self.fill(&state["Parameters"]) {
                Value::Object(mut parameters) => parameters.remove("Payload").unwrap(),
                other => panic!("{other}"),
            },
            within: Duration::from_secs(state["TimeoutSeconds"].as_u64().unwrap()),
        }
    }

    /// The wait of the current Wait state is over.
    pub fn waited(&mut self) -> Next {
        self.continue_with(self.data.clone())
    }

    /// The function of the current Task has returned this output.
    pub fn answered(&mut self, payload: Value) -> Next {
        assert_eq!(self.current()["OutputPath"], "$.Payload");
        self.continue_with(payload)
    }

    /// The current Task has failed with this error. Returns the wait before its retry, without jitter, or `None` if the
    /// execution fails.
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

    fn current(&self) -> &Value {
        &self.definition["States"][&self.state]
    }

    fn retriers(&self) -> &[Value] {
        self.current()["Retry"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    fn continue_with(&mut self, output: Value) -> Next {
        let state = self.current();
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
        Next::Enter
    }

    /// The parameters of a Task, with values in the place of paths.
    fn fill(&self, template: &Value) -> Value {
        let Value::Object(fields) = template else {
            return template.clone();
        };
        let filled = fields.iter().map(|(name, value)| {
            let Some(plain) = name.strip_suffix(".$") else {
                return (name.clone(), self.fill(value));
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

/// The value at a path like `$` or `$.a.b`.
fn pick<'a>(data: &'a Value, path: &str) -> &'a Value {
    let path = path.strip_prefix('$').unwrap();
    let pointer = path.replace('.', "/");
    data.pointer(&pointer)
        .unwrap_or_else(|| panic!("no ${path} in {data}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
