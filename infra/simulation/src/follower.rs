//! Goes through the definition as Step Functions does, without time and without calls: whoever drives it
//! waits, invokes and answers. It knows what the definition uses and refuses the rest. `held_to_ministack` holds it
//! to MiniStack.

use std::time::Duration;

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
    /// An execution of a definition without `${}`. `context` is `$$`, without its count of redrives.
    pub fn new(definition: Value, mut context: Value, input: Value) -> Self {
        context["Execution"]["RedriveCount"] = 0.into();
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

    /// It is redriven from the state at hand.
    pub fn redriven(&mut self) {
        let count = &mut self.context["Execution"]["RedriveCount"];
        *count = (count.as_u64().unwrap() + 1).into();
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
