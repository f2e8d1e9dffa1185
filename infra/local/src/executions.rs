//! What moto's Step Functions lacks: redrive, paged and reversed histories, and the events of
//! executions that did not succeed.
//!
//! An execution that was redriven consists of legs. The first is what the client started; every
//! redrive starts another one, on a temporary state machine that begins at the state which failed
//! and has the original execution's identity written into its definition. Clients see one
//! execution. Differences from AWS:
//!
//! - A Map or Parallel state that failed is run again as a whole.
//! - Variables (`Assign`) are lost in a redrive.
//! - The history shows the redriven state as entered again.
//! - `$$.Execution` and `$$.StateMachine` can be redriven in payload templates (`"x.$"`); where
//!   the language wants a path (`InputPath`, `Variable`, …) the redrive is refused.
//! - moto cannot tell us that an execution ended, so we ask it every 50 to 500 ms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::lambda::{Lambda, function_name, request_id, respond};
use crate::moto::{Refused, Upstream};
use crate::permissions::{self, Access};

/// Begins the names of temporary state machines.
const TEMPORARY: &str = "local-redrive-";
/// Input and output together, in bytes; above, an event leaves them out (248 KB, `EventBridge` events of Step Functions).
const EVENT_DATA_LIMIT: usize = 248 * 1024;
/// `maxResults` by default and at most, as the API reference has them.
const PAGE: (usize, usize) = (100, 1000);
/// Failed looks in a row after which moto counts as gone.
const LOOKS: u32 = 20;

/// The `EventBridge` rule on "Step Functions Execution Status Change".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRule {
    /// Its ARN.
    pub arn: String,
    /// ARNs of the state machines whose executions it matches.
    pub state_machines: Vec<String>,
    /// The statuses that it matches.
    pub statuses: Vec<String>,
    /// The ARN of the function that gets the event, as an asynchronous invocation.
    pub function_arn: String,
    /// That function's resource policy.
    pub function_policy: Value,
    /// The ARN of the queue for events that cannot be delivered.
    pub dead_letter_queue: String,
    /// That queue's policy.
    pub queue_policy: Value,
}

/// The executions that clients started.
#[derive(Debug)]
pub struct Executions {
    moto: Upstream,
    lambda: Arc<Lambda>,
    region: String,
    account: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rule: Option<FailureRule>,
    records: HashMap<String, Arc<Record>>,
    watchers: Vec<AbortHandle>,
}

/// An execution that a client started.
#[derive(Debug)]
struct Record {
    /// The state machine as it was at the start.
    machine: Value,
    legs: Mutex<Vec<Leg>>,
    /// Held during a redrive, so that only one of two at a time starts a leg.
    redrive: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Leg {
    arn: String,
    /// When this leg was begun by a redrive; the first one was not.
    redriven: Option<Timestamp>,
    /// `error` and `cause` of a `StopExecution`, which moto forgets.
    stopped_with: Value,
}

impl Executions {
    /// No executions yet, and no rule.
    #[must_use]
    pub fn new(moto: Upstream, lambda: Arc<Lambda>, region: &str, account: &str) -> Self {
        Self {
            moto,
            lambda,
            region: region.to_owned(),
            account: account.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Sets the rule for executions, and redrives, that start from now on.
    pub fn set_failure_rule(&self, rule: Option<FailureRule>) {
        lock(&self.state).rule = rule;
    }

    /// Ends all watching.
    pub(crate) fn abort(&self) {
        lock(&self.state)
            .watchers
            .drain(..)
            .for_each(|watcher| watcher.abort());
    }

    /// Answers a call of Step Functions, or `None` when moto's own answer will do.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        operation: &str,
        body: &[u8],
    ) -> Option<Response<Body>> {
        let input: Value = serde_json::from_slice(body).ok()?;
        let execution = input["executionArn"].as_str();
        let record = execution.and_then(|arn| lock(&self.state).records.get(arn).cloned());
        let answer = match (operation, record) {
            ("StartExecution", _) => self.start(input).await,
            ("ListStateMachines", _) => self.list_machines(&input).await,
            ("ListExecutions", _) if input["stateMachineArn"].is_string() => {
                self.list(&input).await
            }
            ("RedriveExecution", Some(record)) => self.redrive(&record).await,
            ("RedriveExecution", None) => Err(refused(
                "ExecutionDoesNotExist",
                &format!(
                    "Execution Does Not Exist: '{}'",
                    execution.unwrap_or_default()
                ),
            )),
            ("DescribeExecution", Some(record)) => self.describe(&record, record.leg_count()).await,
            ("GetExecutionHistory", Some(record)) => self.history(&record, &input).await,
            ("StopExecution", Some(record)) => self.stop(&record, &input).await,
            ("DescribeStateMachineForExecution", Some(record)) => Ok(record.machine.clone()),
            _ => return None,
        };
        Some(wire(answer))
    }

    /// Starts an execution, named if the client did not name it: moto would call it `None`.
    async fn start(self: &Arc<Self>, mut input: Value) -> Result<Value, Refused> {
        if input["name"].as_str().is_none_or(str::is_empty) {
            input["name"] = request_id().into();
        }
        let which = json!({"stateMachineArn": input["stateMachineArn"]});
        let machine = self.moto.states("DescribeStateMachine", &which).await?;
        let started = self.moto.states("StartExecution", &input).await?;
        let arn = started["executionArn"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let record = Arc::new(Record {
            legs: Mutex::new(vec![Leg {
                arn: arn.clone(),
                redriven: None,
                stopped_with: Value::Null,
            }]),
            machine,
            redrive: tokio::sync::Mutex::default(),
        });
        // The same name and input again answers for the execution that is known already.
        if let std::collections::hash_map::Entry::Vacant(place) =
            lock(&self.state).records.entry(arn)
        {
            place.insert(record.clone());
        } else {
            return Ok(started);
        }
        self.watch(record, 1);
        Ok(started)
    }

    /// Runs the execution again from the state that failed.
    async fn redrive(self: &Arc<Self>, record: &Arc<Record>) -> Result<Value, Refused> {
        let _one_at_a_time = record.redrive.lock().await;
        let legs = record.leg_count();
        let description = self.describe(record, legs).await?;
        let status = description["status"].as_str().unwrap_or_default();
        if !is_redrivable(status) {
            return Err(refused("ExecutionNotRedrivable", &not_redrivable(status)));
        }

        let now = Timestamp::now();
        let mut definition = definition(&record.machine)?;
        let last = record.leg(legs - 1);
        let events = self.events(&last).await?;
        let (state, input) = failed_state(&definition, &events)
            .or_else(|| first_state(&definition, &events))
            .ok_or_else(|| {
                refused(
                    "ExecutionNotRedrivable",
                    "No state of this execution was entered.",
                )
            })?;
        let context = context(&record.machine, &description, legs, now);
        begin_at(&mut definition, &state, &context)
            .map_err(|reason| refused("ExecutionNotRedrivable", &reason))?;

        let created = json!({
            "name": format!("{TEMPORARY}{}", request_id()),
            "definition": definition.to_string(),
            "roleArn": record.machine["roleArn"],
            "type": "STANDARD",
        });
        let created = self.moto.states("CreateStateMachine", &created).await?;
        let started = json!({
            "stateMachineArn": created["stateMachineArn"],
            "name": description["name"],
            "input": input,
        });
        let started = self.moto.states("StartExecution", &started).await?;
        lock(&record.legs).push(Leg {
            arn: started["executionArn"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            redriven: Some(now),
            stopped_with: Value::Null,
        });
        self.watch(record.clone(), legs + 1);
        Ok(json!({"redriveDate": seconds(now)}))
    }

    /// The execution as it was, or is, in its first `legs` legs.
    async fn describe(&self, record: &Record, legs: usize) -> Result<Value, Refused> {
        let first = self.describe_leg(&record.leg(0)).await?;
        let last = record.leg(legs - 1);
        let latest = if legs == 1 {
            first.clone()
        } else {
            self.describe_leg(&last).await?
        };
        Ok(as_one(first, &latest, legs - 1, last.redriven))
    }

    async fn describe_leg(&self, leg: &Leg) -> Result<Value, Refused> {
        let which = json!({"executionArn": leg.arn});
        let mut description = self.moto.states("DescribeExecution", &which).await?;
        // moto does not say when an execution timed out; its history does.
        if description["status"] == "TIMED_OUT" && description["stopDate"].is_null() {
            let events = self.events(leg).await?;
            if let Some(last) = events.last() {
                description["stopDate"] = last["timestamp"].clone();
            }
        }
        if description["status"] == "ABORTED" {
            merge(&mut description, &leg.stopped_with);
        }
        Ok(description)
    }

    /// A leg's events in order.
    async fn events(&self, leg: &Leg) -> Result<Vec<Value>, Refused> {
        let which = json!({"executionArn": leg.arn});
        let mut history = self.moto.states("GetExecutionHistory", &which).await?;
        let Value::Array(mut events) = history["events"].take() else {
            return Ok(Vec::new());
        };
        if let Some(last) = events.last_mut()
            && last["type"] == "ExecutionAborted"
        {
            last["executionAbortedEventDetails"] = json!({});
            merge(&mut last["executionAbortedEventDetails"], &leg.stopped_with);
        }
        Ok(events)
    }

    async fn history(&self, record: &Record, input: &Value) -> Result<Value, Refused> {
        let legs = lock(&record.legs).clone();
        let mut all = Vec::new();
        for leg in &legs {
            all = stitched(all, self.events(leg).await?, leg.redriven);
        }
        if input["reverseOrder"] == true {
            all.reverse();
        }
        paged("events", all, input)
    }

    async fn stop(&self, record: &Record, input: &Value) -> Result<Value, Refused> {
        let last = record.leg_count() - 1;
        let leg = record.leg(last);
        let running = self.describe_leg(&leg).await?["status"] == "RUNNING";
        let which = json!({"executionArn": leg.arn});
        if running {
            let mut with = Map::new();
            for name in ["error", "cause"] {
                if let Some(value) = input.get(name).filter(|value| value.is_string()) {
                    with.insert(name.to_owned(), value.clone());
                }
            }
            lock(&record.legs)[last].stopped_with = with.into();
            self.moto.states("StopExecution", &which).await?;
        }
        let stopped = self.describe_leg(&leg).await?["stopDate"].take();
        let now = || Value::from(seconds(Timestamp::now()));
        Ok(json!({"stopDate": if stopped.is_null() { now() } else { stopped }}))
    }

    /// All items of a list that moto pages.
    async fn all(
        &self,
        operation: &str,
        mut input: Value,
        items: &str,
    ) -> Result<Vec<Value>, Refused> {
        let mut all = Vec::new();
        loop {
            let mut page = self.moto.states(operation, &input).await?;
            if let Value::Array(found) = page[items].take() {
                all.extend(found);
            }
            match page["nextToken"].take() {
                Value::String(token) => input["nextToken"] = token.into(),
                _ => return Ok(all),
            }
        }
    }

    async fn list(&self, input: &Value) -> Result<Value, Refused> {
        let which = json!({"stateMachineArn": input["stateMachineArn"]});
        let mut all = self.all("ListExecutions", which, "executions").await?;
        for item in &mut all {
            let arn = item["executionArn"].as_str().unwrap_or_default();
            let Some(record) = lock(&self.state).records.get(arn).cloned() else {
                continue;
            };
            let legs = record.leg_count();
            item["redriveCount"] = (legs - 1).into();
            if legs > 1 || item["status"] == "TIMED_OUT" {
                let description = self.describe(&record, legs).await?;
                item["stopDate"] = Value::Null;
                for name in ["status", "stopDate", "redriveDate"] {
                    item[name] = description[name].clone();
                }
                without_nulls(item);
            }
        }
        all.retain(|item| {
            let status = &input["statusFilter"];
            let redriven = match input["redriveFilter"].as_str() {
                Some("REDRIVEN") => item["redriveCount"] != 0,
                Some("NOT_REDRIVEN") => item["redriveCount"] == 0,
                _ => true,
            };
            redriven && (status.is_null() || *status == item["status"])
        });
        paged("executions", all, input)
    }

    async fn list_machines(&self, input: &Value) -> Result<Value, Refused> {
        let mut all = self
            .all("ListStateMachines", json!({}), "stateMachines")
            .await?;
        all.retain(|machine| {
            let name = machine["name"].as_str().unwrap_or_default();
            !name.starts_with(TEMPORARY)
        });
        paged("stateMachines", all, input)
    }

    /// Hands the event of an execution that has ended to the rule's function, or else to its
    /// dead-letter queue.
    async fn deliver(&self, rule: &FailureRule, description: &Value) {
        let event = status_change(description, &request_id(), &self.region, &self.account);
        let event = event.to_string();
        let may = |policy: &Value, action: &str, resource: &str| {
            let access = Access {
                action: action.to_owned(),
                resource: resource.to_owned(),
                context: Vec::new(),
            };
            permissions::lets_service(policy, "events.amazonaws.com", &rule.arn, &access)
        };
        let refused = if may(
            &rule.function_policy,
            "lambda:InvokeFunction",
            &rule.function_arn,
        ) {
            let function = function_name(&rule.function_arn);
            let sent = self
                .lambda
                .send_event(&function, event.clone().into_bytes());
            sent.err()
                .map(|refusal| self.lambda.told(&refusal, &function))
        } else {
            let message = format!("{} does not let {} invoke it", rule.function_arn, rule.arn);
            Some(("NO_PERMISSIONS", message))
        };
        if let Some((code, message)) = refused
            && may(
                &rule.queue_policy,
                "sqs:SendMessage",
                &rule.dead_letter_queue,
            )
        {
            let attributes = [
                ("RULE_ARN", rule.arn.as_str()),
                ("TARGET_ARN", &rule.function_arn),
                ("ERROR_CODE", code),
                ("ERROR_MESSAGE", &message),
            ];
            self.moto
                .send_message(&rule.dead_letter_queue, &event, &attributes)
                .await;
        }
    }

    /// Watches the newest of `legs` legs if the rule wants it, and delivers its event.
    fn watch(self: &Arc<Self>, record: Arc<Record>, legs: usize) {
        let mut state = lock(&self.state);
        let machine = record.machine["stateMachineArn"]
            .as_str()
            .unwrap_or_default();
        let Some(rule) = state
            .rule
            .clone()
            .filter(|rule| rule.state_machines.iter().any(|arn| arn == machine))
        else {
            return;
        };
        let watched = until_ended(Arc::downgrade(self), record, legs, rule);
        state.watchers.retain(|watcher| !watcher.is_finished());
        state.watchers.push(tokio::spawn(watched).abort_handle());
    }
}

async fn until_ended(
    executions: Weak<Executions>,
    record: Arc<Record>,
    legs: usize,
    rule: FailureRule,
) {
    let begun = Instant::now();
    let mut failed_looks = 0;
    while failed_looks < LOOKS {
        tokio::time::sleep(look_again_after(begun.elapsed())).await;
        let Some(executions) = executions.upgrade() else {
            return;
        };
        match executions.describe(&record, legs).await {
            Ok(description) if description["status"] == "RUNNING" => failed_looks = 0,
            Ok(description) => {
                let status = description["status"].as_str().unwrap_or_default();
                if rule.statuses.iter().any(|wanted| wanted == status) {
                    executions.deliver(&rule, &description).await;
                }
                return;
            }
            Err(_) => failed_looks += 1,
        }
    }
}

impl Record {
    fn leg_count(&self) -> usize {
        lock(&self.legs).len()
    }

    fn leg(&self, index: usize) -> Leg {
        lock(&self.legs)[index].clone()
    }
}

/// A twentieth of the age, within 50 and 500 ms: prompt for short executions, cheap for long ones.
fn look_again_after(age: Duration) -> Duration {
    (age / 20).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

fn is_redrivable(status: &str) -> bool {
    matches!(status, "FAILED" | "TIMED_OUT" | "ABORTED")
}

fn not_redrivable(status: &str) -> String {
    format!("Execution is {status} and cannot be redriven")
}

/// The description of an execution from those of its first and latest leg.
fn as_one(first: Value, latest: &Value, count: usize, redriven: Option<Timestamp>) -> Value {
    let mut one = first;
    for name in [
        "status",
        "stopDate",
        "output",
        "outputDetails",
        "error",
        "cause",
    ] {
        one[name] = latest[name].clone();
    }
    let status = latest["status"].as_str().unwrap_or_default();
    one["redriveCount"] = count.into();
    one["redriveDate"] = redriven.map_or(Value::Null, |at| seconds(at).into());
    if is_redrivable(status) {
        one["redriveStatus"] = "REDRIVABLE".into();
    } else {
        one["redriveStatus"] = "NOT_REDRIVABLE".into();
        one["redriveStatusReason"] = not_redrivable(status).into();
    }
    without_nulls(&mut one);
    one
}

/// The state of the machine's own level that was entered last and not left, with its input. In a
/// Map or Parallel state that is the state around the one that failed.
fn failed_state(definition: &Value, events: &[Value]) -> Option<(String, String)> {
    let mut open = None;
    for event in events {
        let (entered, exited) = (
            &event["stateEnteredEventDetails"],
            &event["stateExitedEventDetails"],
        );
        let is_ours = |details: &Value| {
            let name = details["name"].as_str();
            name.is_some_and(|name| definition["States"].get(name).is_some())
        };
        if is_ours(entered) {
            let input = entered["input"].as_str().unwrap_or("{}");
            open = Some((entered["name"].as_str()?.to_owned(), input.to_owned()));
        } else if is_ours(exited) {
            open = None;
        }
    }
    open
}

/// Where an execution begins that ended before it entered a state.
fn first_state(definition: &Value, events: &[Value]) -> Option<(String, String)> {
    let started = &events.first()?["executionStartedEventDetails"];
    let state = definition["StartAt"].as_str()?.to_owned();
    let entered = events
        .iter()
        .any(|event| event["stateEnteredEventDetails"].is_object());
    (!entered).then(|| (state, started["input"].as_str().unwrap_or("{}").to_owned()))
}

fn definition(machine: &Value) -> Result<Value, Refused> {
    let text = machine["definition"].as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|error| refused("InvalidDefinition", &error.to_string()))
}

/// The parts of the context object that a temporary machine would have wrong.
fn context(machine: &Value, description: &Value, redrives: usize, now: Timestamp) -> Value {
    let input = description["input"].as_str().unwrap_or("{}");
    json!({
        "Execution": {
            "Id": description["executionArn"],
            "Name": description["name"],
            "Input": serde_json::from_str::<Value>(input).unwrap_or_default(),
            "RoleArn": machine["roleArn"],
            "StartTime": written(&description["startDate"]),
            "RedriveCount": redrives,
            "RedriveTime": format!("{now:.3}"),
        },
        "StateMachine": {
            "Id": machine["stateMachineArn"],
            "Name": machine["name"],
        },
    })
}

/// Makes a definition begin at `state` and replaces what it says of the execution and the state
/// machine in its payload templates by literals. A name that the context lacks stays, and fails
/// the state as it did before.
///
/// # Errors
/// Where a literal cannot stand.
fn begin_at(definition: &mut Value, state: &str, context: &Value) -> Result<(), String> {
    with_literals(definition, context)?;
    definition["StartAt"] = state.into();
    Ok(())
}

fn with_literals(value: &mut Value, context: &Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| with_literals(item, context)),
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                let (name, value) = match &value {
                    Value::String(text) if mentions(text) => {
                        if name.ends_with(".$") {
                            literal_field(&name, text, context)?
                        } else if name.ends_with("Path") || name == "Variable" {
                            return Err(format!(
                                "The local engine cannot redrive a state machine that has {name} {text}"
                            ));
                        } else {
                            (name, value)
                        }
                    }
                    _ => {
                        with_literals(&mut value, context)?;
                        (name, value)
                    }
                };
                fields.insert(name, value);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn mentions(text: &str) -> bool {
    text.contains("$$.Execution") || text.contains("$$.StateMachine")
}

/// The field `"x.$": text` with literals: `"x"` for a mere path, an intrinsic with quoted literals otherwise.
fn literal_field(name: &str, text: &str, context: &Value) -> Result<(String, Value), String> {
    if text.starts_with("$$.") {
        return Ok(match found(text, context)? {
            Some(literal) => (name.trim_end_matches(".$").to_owned(), literal.clone()),
            None => (name.to_owned(), text.into()),
        });
    }
    let mut written = String::new();
    let mut rest = text;
    while let Some(position) = rest.find("$$.") {
        let (before, path) = rest.split_at(position);
        let end = path.find([',', ')', ' ']).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        written.push_str(before);
        match found(path, context)? {
            Some(Value::String(literal)) => {
                let escaped = literal.replace('\\', r"\\").replace('\'', r"\'");
                let escaped = escaped.replace('{', r"\{").replace('}', r"\}");
                written.extend(["'", &escaped, "'"]);
            }
            Some(literal @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => {
                written.push_str(&literal.to_string());
            }
            Some(_) => {
                return Err(format!(
                    "The local engine cannot redrive a state machine that has {path} in {text}"
                ));
            }
            None => written.push_str(path),
        }
        rest = after;
    }
    written.push_str(rest);
    Ok((name.to_owned(), written.into()))
}

/// What a path of plain names leads to, in the parts of the context that we replace.
fn found<'a>(path: &str, context: &'a Value) -> Result<Option<&'a Value>, String> {
    if path.contains(['[', '*', '?']) || path.contains("..") {
        return Err(format!(
            "The local engine cannot redrive a state machine that has {path}"
        ));
    }
    let pointer = path.trim_start_matches("$$").replace('.', "/");
    Ok(context.pointer(&pointer))
}

/// A history with the events of a further leg. The leg's own start gives way to `ExecutionRedriven`.
fn stitched(mut history: Vec<Value>, leg: Vec<Value>, redriven: Option<Timestamp>) -> Vec<Value> {
    let Some(at) = redriven else {
        return leg;
    };
    let last = history.len();
    let earlier = history
        .iter()
        .filter(|event| event["type"] == "ExecutionRedriven");
    let count = earlier.count() + 1;
    history.push(json!({
        "timestamp": seconds(at),
        "type": "ExecutionRedriven",
        "id": last + 1,
        "previousEventId": last,
        "executionRedrivenEventDetails": {"redriveCount": count},
    }));
    // The leg's event 1 is its start, and moto refers to it as 0 too.
    let renumbered = |id: &Value| last as u64 + id.as_u64().unwrap_or_default().max(1);
    for mut event in leg.into_iter().skip(1) {
        event["id"] = renumbered(&event["id"]).into();
        event["previousEventId"] = renumbered(&event["previousEventId"]).into();
        history.push(event);
    }
    history
}

/// The page that `maxResults` and `nextToken` ask for; the token is the number of items before.
fn paged(name: &str, items: Vec<Value>, input: &Value) -> Result<Value, Refused> {
    let (by_default, at_most) = PAGE;
    let size = match input["maxResults"].as_u64() {
        None | Some(0) => by_default,
        Some(size) => usize::try_from(size).unwrap_or(at_most).min(at_most),
    };
    let skipped = match input["nextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse()
            .ok()
            .filter(|skipped| *skipped <= items.len())
            .ok_or_else(|| refused("InvalidToken", &format!("Invalid Token: '{token}'")))?,
    };
    let rest = items.len() - skipped;
    let page: Vec<Value> = items.into_iter().skip(skipped).take(size).collect();
    let mut answer = json!({ name: page });
    if rest > size {
        answer["nextToken"] = (skipped + size).to_string().into();
    }
    Ok(answer)
}

/// The event "Step Functions Execution Status Change" for an execution as described.
fn status_change(description: &Value, id: &str, region: &str, account: &str) -> Value {
    let milliseconds = |name: &str| instant(&description[name]).map(Timestamp::as_millisecond);
    let size = |name: &str| description[name].as_str().map_or(0, str::len);
    let included = size("input") + size("output") <= EVENT_DATA_LIMIT;
    let mut detail = json!({
        "executionArn": description["executionArn"],
        "stateMachineArn": description["stateMachineArn"],
        "stateMachineVersionArn": null,
        "stateMachineAliasArn": null,
        "name": description["name"],
        "status": description["status"],
        "startDate": milliseconds("startDate"),
        "stopDate": milliseconds("stopDate"),
        "inputDetails": {"included": included},
        "output": null,
        "outputDetails": null,
        "redriveCount": description["redriveCount"],
        "redriveDate": milliseconds("redriveDate"),
        "redriveStatus": description["redriveStatus"],
        "redriveStatusReason": description["redriveStatusReason"],
    });
    if included {
        detail["input"] = description["input"].clone();
    }
    for name in ["error", "cause"] {
        if let Some(value) = description.get(name) {
            detail[name] = value.clone();
        }
    }
    let time = instant(&description["stopDate"]).map(|time| format!("{time:.0}"));
    json!({
        "version": "0",
        "id": id,
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": account,
        "time": time,
        "region": region,
        "resources": [description["executionArn"]],
        "detail": detail,
    })
}

/// An instant from the JSON protocol's seconds, to the millisecond, which is all that moto writes.
fn instant(seconds: &Value) -> Option<Timestamp> {
    let milliseconds = (seconds.as_f64()? * 1000.0).round();
    #[allow(
        clippy::cast_possible_truncation,
        reason = "out of range saturates, and is refused next"
    )]
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

/// An instant as the context object has it, with three digits.
fn written(seconds: &Value) -> Value {
    instant(seconds).map_or(Value::Null, |time| format!("{time:.3}").into())
}

fn seconds(time: Timestamp) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 need 41 bits"
    )]
    let milliseconds = time.as_millisecond() as f64;
    milliseconds / 1000.0
}

fn merge(into: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

fn without_nulls(object: &mut Value) {
    if let Value::Object(fields) = object {
        fields.retain(|_, value| !value.is_null());
    }
}

fn refused(code: &str, message: &str) -> Refused {
    Refused {
        status: StatusCode::BAD_REQUEST,
        body: json!({"__type": code, "message": message})
            .to_string()
            .into_bytes(),
    }
}

fn wire(answer: Result<Value, Refused>) -> Response<Body> {
    let (status, body) = match answer {
        Ok(output) => (StatusCode::OK, output.to_string().into_bytes()),
        Err(refused) => (refused.status, refused.body),
    };
    let headers = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amzn-requestid", &request_id()),
    ];
    respond(status, body, &headers)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn entered(id: u64, name: &str, input: &str) -> Value {
        json!({"id": id, "previousEventId": id - 1, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name, "input": input}})
    }

    fn exited(id: u64, name: &str) -> Value {
        json!({"id": id, "previousEventId": id - 1, "type": "TaskStateExited", "stateExitedEventDetails": {"name": name}})
    }

    fn started() -> Value {
        json!({"id": 1, "previousEventId": 0, "type": "ExecutionStarted", "executionStartedEventDetails": {"input": "{\"run\":1}"}})
    }

    fn machine() -> Value {
        json!({"StartAt": "A", "States": {"A": {}, "B": {"Iterator": {"StartAt": "Inner", "States": {"Inner": {}}}}}})
    }

    #[test]
    fn the_failed_state_is_the_outermost_one_entered_and_not_left() {
        let some = |name: &str, input: &str| Some((name.to_owned(), input.to_owned()));
        for (events, expected) in [
            (vec![started(), entered(2, "A", "1")], some("A", "1")),
            (
                vec![
                    started(),
                    entered(2, "A", "1"),
                    exited(3, "A"),
                    entered(4, "B", "2"),
                ],
                some("B", "2"),
            ),
            (
                vec![started(), entered(2, "B", "1"), entered(3, "Inner", "2")],
                some("B", "1"),
            ),
            (
                vec![
                    started(),
                    entered(2, "B", "1"),
                    entered(3, "Inner", "2"),
                    exited(4, "Inner"),
                ],
                some("B", "1"),
            ),
            (vec![started(), entered(2, "A", "1"), exited(3, "A")], None),
            (vec![started()], None),
        ] {
            assert_eq!(failed_state(&machine(), &events), expected, "{events:?}");
        }
    }

    #[test]
    fn an_execution_that_entered_no_state_begins_at_the_beginning() {
        assert_eq!(
            first_state(&machine(), &[started()]),
            Some(("A".to_owned(), "{\"run\":1}".to_owned()))
        );
        assert_eq!(
            first_state(&machine(), &[started(), entered(2, "A", "1")]),
            None
        );
    }

    fn original() -> Value {
        let machine = json!({"stateMachineArn": "arn:sm", "name": "sm", "roleArn": "arn:role"});
        let description = json!({"executionArn": "arn:e", "name": "it's {1}", "input": "{\"mode\":\"RUN\",\"n\":{\"m\":1}}", "startDate": 1_795_378_698.983});
        context(&machine, &description, 2, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_redriven_definition_carries_the_original_identity_as_literals() {
        for (field, expected) in [
            (json!({"x.$": "$$.Execution.Id"}), json!({"x": "arn:e"})),
            (
                json!({"x.$": "$$.Execution.StartTime"}),
                json!({"x": "2026-11-22T20:18:18.983Z"}),
            ),
            (
                json!({"x.$": "$$.Execution.Input.mode"}),
                json!({"x": "RUN"}),
            ),
            (
                json!({"x.$": "$$.Execution.Input"}),
                json!({"x": {"mode": "RUN", "n": {"m": 1}}}),
            ),
            (json!({"x.$": "$$.Execution.RedriveCount"}), json!({"x": 2})),
            (json!({"x.$": "$$.StateMachine.Id"}), json!({"x": "arn:sm"})),
            (
                json!({"x.$": "$$.Execution.Input.gone"}),
                json!({"x.$": "$$.Execution.Input.gone"}),
            ),
            (
                json!({"x.$": "$$.State.Name", "y.$": "$.a"}),
                json!({"x.$": "$$.State.Name", "y.$": "$.a"}),
            ),
            (
                json!({"x.$": "States.Format('{} {}', $$.Execution.Name, $$.Execution.Input.n.m)"}),
                json!({"x.$": r"States.Format('{} {}', 'it\'s \{1\}', 1)"}),
            ),
            (
                json!({"Comment": "uses $$.Execution.Id"}),
                json!({"Comment": "uses $$.Execution.Id"}),
            ),
        ] {
            let mut definition =
                json!({"StartAt": "A", "States": {"B": {"Parameters": {"Payload": [field]}}}});
            begin_at(&mut definition, "B", &original()).unwrap();
            assert_eq!(definition["StartAt"], "B");
            assert_eq!(
                definition["States"]["B"]["Parameters"]["Payload"][0],
                expected
            );
        }
    }

    #[test]
    fn a_definition_with_the_execution_where_only_paths_stand_is_refused() {
        for state in [
            json!({"InputPath": "$$.Execution.Input"}),
            json!({"Choices": [{"Variable": "$$.Execution.Input.mode"}]}),
            json!({"Parameters": {"x.$": "$$.Execution.Input['mode']"}}),
            json!({"Parameters": {"x.$": "States.JsonToString($$.Execution.Input)"}}),
        ] {
            let mut definition = json!({"States": {"B": state}});
            assert!(
                begin_at(&mut definition, "B", &original()).is_err(),
                "{definition}"
            );
        }
    }

    #[test]
    fn a_stitched_history_is_numbered_through_and_tells_each_redrive() {
        let failed =
            |id: u64| json!({"id": id, "previousEventId": id - 1, "type": "ExecutionFailed"});
        let leg = || {
            let mut first = entered(2, "A", "1");
            first["previousEventId"] = 0.into();
            vec![started(), first, failed(3)]
        };
        let redriven = Some(Timestamp::from_millisecond(1500).unwrap());
        let all = stitched(
            stitched(stitched(vec![], leg(), None), leg(), redriven),
            leg(),
            redriven,
        );
        let of = |name: &str| {
            all.iter()
                .map(|event| event[name].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("type"),
            [
                "ExecutionStarted",
                "TaskStateEntered",
                "ExecutionFailed",
                "ExecutionRedriven",
                "TaskStateEntered",
                "ExecutionFailed",
                "ExecutionRedriven",
                "TaskStateEntered",
                "ExecutionFailed"
            ]
        );
        assert_eq!(of("id"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(of("previousEventId"), [0, 0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(all[3]["timestamp"], 1.5);
        assert_eq!(all[6]["executionRedrivenEventDetails"]["redriveCount"], 2);
    }

    #[test]
    fn a_redriven_execution_keeps_its_start_and_shows_its_latest_end() {
        let first = json!({"executionArn": "arn:e", "status": "FAILED", "startDate": 1.0, "stopDate": 2.0, "error": "X", "cause": "why", "input": "{}"});
        let running = as_one(
            first.clone(),
            &json!({"status": "RUNNING", "startDate": 3.0}),
            1,
            Some(Timestamp::from_second(3).unwrap()),
        );
        assert_eq!(
            running,
            json!({"executionArn": "arn:e", "status": "RUNNING", "startDate": 1.0, "input": "{}", "redriveCount": 1, "redriveDate": 3.0, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": "Execution is RUNNING and cannot be redriven"})
        );
        let alone = as_one(first.clone(), &first, 0, None);
        assert_eq!(alone["redriveStatus"], "REDRIVABLE");
        assert_eq!(alone["redriveCount"], 0);
        assert_eq!(alone["error"], "X");
        assert!(alone.get("redriveDate").is_none());
    }

    #[test]
    fn the_event_of_a_failure_has_the_envelope_and_milliseconds() {
        let description = json!({"executionArn": "arn:e", "stateMachineArn": "arn:sm", "name": "n", "status": "FAILED", "startDate": 1_795_378_698.983, "stopDate": 1_795_378_699.5, "input": "{\"a\":1}", "error": "X", "redriveCount": 0, "redriveStatus": "REDRIVABLE"});
        let event = status_change(&description, "id", "us-east-1", "123456789012");
        assert_eq!(
            event["detail-type"],
            "Step Functions Execution Status Change"
        );
        assert_eq!(event["source"], "aws.states");
        assert_eq!(event["time"], "2026-11-22T20:18:19Z");
        assert_eq!(event["resources"], json!(["arn:e"]));
        let detail = &event["detail"];
        assert_eq!(detail["startDate"], 1_795_378_698_983_i64);
        assert_eq!(detail["stopDate"], 1_795_378_699_500_i64);
        assert_eq!(detail["input"], "{\"a\":1}");
        assert_eq!(detail["error"], "X");
        assert!(detail.get("cause").is_none());
        assert_eq!(detail["output"], Value::Null);
    }

    #[test]
    fn an_event_leaves_out_an_input_over_248_kb() {
        for (length, included) in [(253_952, true), (253_953, false)] {
            let description = json!({"input": "x".repeat(length)});
            let detail = &status_change(&description, "id", "r", "a")["detail"];
            assert_eq!(detail["inputDetails"]["included"], included);
            assert_eq!(detail.get("input").is_some(), included);
        }
    }

    #[test]
    fn pages_follow_each_other_and_a_foreign_token_is_refused() {
        let items = || (0..5).map(Value::from).collect::<Vec<_>>();
        let page = |input: Value| paged("events", items(), &input);
        assert_eq!(
            page(json!({"maxResults": 2})).unwrap(),
            json!({"events": [0, 1], "nextToken": "2"})
        );
        assert_eq!(
            page(json!({"maxResults": 2, "nextToken": "4"})).unwrap(),
            json!({"events": [4]})
        );
        assert_eq!(
            page(json!({"maxResults": 5})).unwrap(),
            json!({"events": [0, 1, 2, 3, 4]})
        );
        assert_eq!(
            page(json!({"maxResults": 0})).unwrap()["events"]
                .as_array()
                .unwrap()
                .len(),
            5
        );
        assert!(page(json!({"nextToken": "six"})).is_err());
        assert!(page(json!({"nextToken": "6"})).is_err());
    }

    #[test]
    fn a_long_execution_is_looked_at_less_often() {
        let after =
            |milliseconds| look_again_after(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!([after(0), after(2000), after(60_000)], [50, 100, 500]);
    }
}
