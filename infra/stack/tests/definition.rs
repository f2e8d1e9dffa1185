//! Checks the state machine's definition against the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use contract::{
    CreateSnapshotInput, CreateSnapshotOutput, DescribeSnapshotInput, DescribeSnapshotOutput,
    ErrorName, PruneSnapshotsInput, PruneSnapshotsOutput, RecordAndNotifyInput,
    RecordAndNotifyOutput, RunInput, RunSummary, wait_seconds,
};
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};
use stack::definition::DEFINITION;
use stack::{EVERY_APPLICATION, Stack};

/// The errors of Step Functions and Lambda that every Task retries.
const SERVICE_ERRORS: [&str; 9] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
    "States.Timeout",
];

static PARSED: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(DEFINITION).unwrap());
static STACK: LazyLock<Stack> = LazyLock::new(|| Stack::of(EVERY_APPLICATION).unwrap());

fn states() -> &'static Map<String, Value> {
    PARSED["States"].as_object().unwrap()
}

fn of_type(kind: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    let states = states().iter().filter(move |(_, it)| it["Type"] == kind);
    states.map(|(name, state)| (name.as_str(), state))
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn keys(value: &Value) -> Vec<&str> {
    let fields = value.as_object().unwrap();
    fields.keys().map(String::as_str).collect()
}

/// The name of the field in a path like `$.field`.
fn field(path: &Value) -> &str {
    str_of(path).strip_prefix("$.").unwrap()
}

/// `CreateSnapshot` -> `create-snapshot`.
fn crate_of(state: &str) -> String {
    let mut name = String::new();
    for c in state.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn successors(state: &Value) -> Vec<&str> {
    let choices = items(&state["Choices"]).map(|rule| str_of(&rule["Next"]));
    choices.chain(state["Next"].as_str()).collect()
}

/// The last Task before a state, on each path that leads to the state.
fn tasks_before(state: &str) -> BTreeSet<&'static str> {
    let mut tasks = BTreeSet::new();
    let mut visited = BTreeSet::new();
    let mut pending = vec![state];
    while let Some(state) = pending.pop() {
        for (name, before) in states() {
            if successors(before).contains(&state) && visited.insert((name, state)) {
                if before["Type"] == "Task" {
                    tasks.insert(name.as_str());
                } else {
                    pending.push(name);
                }
            }
        }
    }
    tasks
}

fn output_schema(task: &str) -> Schema {
    match task {
        "CreateSnapshot" => schema_for!(CreateSnapshotOutput),
        "DescribeSnapshot" => schema_for!(DescribeSnapshotOutput),
        "PruneSnapshots" => schema_for!(PruneSnapshotsOutput),
        "RecordAndNotify" => schema_for!(RecordAndNotifyOutput),
        other => panic!("no type for the output of {other}"),
    }
}

/// The schemas of a field in the outputs of the Tasks before a state. Asserts that the field is required in each of
/// them.
fn schemas_before(state: &str, field: &str) -> Vec<Value> {
    let tasks = tasks_before(state).into_iter();
    let schemas = tasks.map(|task| {
        let schema = output_schema(task);
        let mut required = items(schema.get("required").unwrap());
        assert!(required.any(|name| name == field), "{task}: {field}");
        schema.get("properties").unwrap()[field].clone()
    });
    schemas.collect()
}

#[test]
fn every_task_is_a_function_and_every_function_a_task() {
    let deployed: Value = serde_json::from_str(&STACK.definition().unwrap()).unwrap();
    let mut called = BTreeSet::new();
    for (name, task) in of_type("Task") {
        let resource = "arn:${Partition}:states:::lambda:invoke";
        assert_eq!(task["Resource"], resource, "{name}");
        assert_eq!(task["OutputPath"], "$.Payload", "{name}");
        let function = str_of(&deployed["States"][name]["Parameters"]["FunctionName"]);
        let function = function.rsplit(':').next().unwrap();
        assert_eq!(function, crate_of(name));
        called.insert(function);
    }
    let functions = STACK.functions().unwrap();
    assert_eq!(called, functions.keys().map(String::as_str).collect());
}

#[test]
fn the_template_substitutes_every_name_in_the_definition_and_no_other() {
    assert!(!STACK.definition().unwrap().contains("${"));
    let machine = STACK.only("AWS::Serverless::StateMachine").unwrap();
    let machine = STACK.template().properties(machine).unwrap();
    for name in keys(&machine["DefinitionSubstitutions"]) {
        assert!(DEFINITION.contains(&format!("${{{name}}}")), "{name}");
    }
}

#[test]
fn there_is_no_catch_no_fail_no_default_and_no_intrinsic() {
    for (name, state) in states() {
        assert_ne!(state["Type"], "Fail", "{name}: a redrive would enter it");
        for (field, why) in [
            ("Catch", "the execution must fail at its step"),
            ("Default", "every value has a rule of its own"),
            ("InputPath", "no reshaping"),
            ("ResultPath", "no reshaping"),
            ("ResultSelector", "no reshaping"),
            ("Assign", "no reshaping"),
            ("Output", "no reshaping"),
        ] {
            assert!(state.get(field).is_none(), "{name}: {field}: {why}");
        }
        let text = state.to_string();
        let has_intrinsic = text.contains("States.Format") || text.contains("{%");
        assert!(!has_intrinsic, "{name}");
    }
}

#[test]
fn every_state_that_is_named_exists_can_be_reached_and_leads_to_the_end() {
    let mut reached = BTreeSet::new();
    let mut pending = vec![str_of(&PARSED["StartAt"])];
    while let Some(name) = pending.pop() {
        let state = states().get(name);
        let state = state.unwrap_or_else(|| panic!("no state {name}"));
        if reached.insert(name) {
            let next = successors(state);
            assert_eq!(next.is_empty(), state["End"] == true, "{name}");
            pending.extend(next);
        }
    }
    assert_eq!(reached, states().keys().map(String::as_str).collect());
}

#[test]
fn every_retried_error_exists_and_no_final_one_is_retried() {
    for (name, task) in of_type("Task") {
        let mut retried = BTreeSet::new();
        for retrier in items(&task["Retry"]) {
            for error in items(&retrier["ErrorEquals"]) {
                assert!(retried.insert(str_of(error)), "{name}: {error} twice");
            }
            assert_eq!(retrier["JitterStrategy"], "FULL", "{name}");
            for field in [
                "IntervalSeconds",
                "BackoffRate",
                "MaxDelaySeconds",
                "MaxAttempts",
            ] {
                assert!(retrier[field].is_number(), "{name}: {field}");
            }
        }
        let ours = ErrorName::ALL.iter().filter(|error| error.is_retryable());
        let ours = ours.map(|error| error.as_str());
        assert_eq!(retried, ours.chain(SERVICE_ERRORS).collect(), "{name}");
    }
}

/// The maximum value of a field of the run input.
fn maximum_of(field: &str) -> u64 {
    let schema = schema_for!(RunInput);
    let property = &schema.get("properties").unwrap()[field];
    property["maximum"].as_u64().unwrap()
}

/// The longest time that a Task can take, in seconds: each attempt until its timeout, and each wait before the next
/// attempt.
fn longest_time(task: &Value) -> u64 {
    let number = |retrier: &Value, field: &str| retrier[field].as_f64().unwrap();
    let mut attempts = 1.0;
    let mut seconds = 0.0;
    for retrier in items(&task["Retry"]) {
        let mut wait = number(retrier, "IntervalSeconds");
        for _ in 0..retrier["MaxAttempts"].as_u64().unwrap() {
            attempts += 1.0;
            seconds += wait.min(number(retrier, "MaxDelaySeconds"));
            wait *= number(retrier, "BackoffRate");
        }
    }
    seconds += attempts * number(task, "TimeoutSeconds");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousand"
    )]
    let seconds = seconds.ceil() as u64;
    seconds
}

/// The largest number of passes through `PruneSnapshots` in a run. It is reached if the run deletes all snapshots of a
/// full quota, in batches of 250, and each batch is throttled five times, deleted, checked, deleted again and checked
/// again. One more pass makes the first plan, and two wait for the listing.
const MOST_PASSES: u64 = 1_000 / 250 * 9 + 3;

#[test]
fn the_machine_allows_more_time_than_a_run_takes_with_every_setting_at_its_maximum() {
    let task = of_type("Task")
        .map(|(_, task)| longest_time(task))
        .max()
        .unwrap();
    let wait = u64::from(wait_seconds(u64::MAX, 1));
    // A function compares a deadline with the time at which its invocation began.
    let answer = PARSED["States"]["DescribeSnapshot"]["TimeoutSeconds"]
        .as_u64()
        .unwrap();
    // The last wait for the application ends at the deadline.
    let application = maximum_of("application_timeout_seconds") + answer + task;
    // The last wait for a snapshot begins before the deadline. After a FAILED snapshot, there is one wait before the
    // next snapshot is taken.
    let snapshot = maximum_of("ready_timeout_seconds") + answer + wait + task + wait + task;
    let pruning = application + MOST_PASSES * (wait + task);
    let longest = application + maximum_of("snapshot_attempts") * snapshot + pruning + task;
    let timeout = PARSED["TimeoutSeconds"].as_u64().unwrap();
    assert_eq!(timeout, 800_000, "the alarm and the pages say so");
    assert!(timeout > longest, "{timeout}, but a run can take {longest}");
}

#[test]
fn a_run_with_every_setting_at_its_maximum_stays_within_the_events_of_a_history() {
    let looks = |deadline: u64| {
        let (mut waited, mut looks) = (0, 1);
        while waited < deadline {
            waited += u64::from(wait_seconds(waited, 1));
            looks += 1;
        }
        looks
    };
    let application = looks(maximum_of("application_timeout_seconds"));
    let snapshots =
        maximum_of("snapshot_attempts") * (looks(maximum_of("ready_timeout_seconds")) + 1);
    // A pass has five events of the Task, two of the Choice after it, and two of the Wait.
    let events = 9 * (2 * application + snapshots + MOST_PASSES + 1);
    assert!(events < 25_000, "{events}");
}

#[test]
fn every_task_times_out_only_after_its_function() {
    let functions = STACK.functions().unwrap();
    for (name, task) in of_type("Task") {
        let function = functions[&crate_of(name)].timeout;
        let task = Duration::from_secs(task["TimeoutSeconds"].as_u64().unwrap());
        assert!(task > function, "{name}: {task:?}, function {function:?}");
    }
}

#[test]
fn every_choice_reads_a_required_enum_and_has_a_rule_for_each_of_its_values() {
    for (name, choice) in of_type("Choice") {
        let rules = || items(&choice["Choices"]);
        let variable = &choice["Choices"][0]["Variable"];
        assert!(rules().all(|rule| rule["Variable"] == *variable), "{name}");
        let known: BTreeSet<&str> = rules().map(|rule| str_of(&rule["StringEquals"])).collect();
        for schema in schemas_before(name, field(variable)) {
            let described = items(&schema["oneOf"]).filter_map(|value| value["const"].as_str());
            let plain = items(&schema["enum"]).filter_map(Value::as_str);
            assert_eq!(
                described.chain(plain).collect::<BTreeSet<_>>(),
                known,
                "{name}"
            );
        }
    }
}

#[test]
fn every_wait_reads_a_required_number_of_seconds() {
    for (name, wait) in of_type("Wait") {
        for schema in schemas_before(name, field(&wait["SecondsPath"])) {
            assert_eq!(schema["type"], "integer", "{name}");
        }
    }
}

/// The type of a field, whether the field is optional or not.
fn type_of(schema: &Value) -> Value {
    let mut alternatives = items(&schema["anyOf"]).filter(|it| it["type"] != "null");
    let mut kind = alternatives.next().unwrap_or(schema).clone();
    let fields = kind.as_object_mut().unwrap();
    fields.retain(|name, _| name != "description" && name != "default");
    if let Some(Value::Array(types)) = fields.get("type") {
        let kind = types.iter().find(|it| *it != "null").cloned();
        fields.insert("type".to_owned(), kind.into());
    }
    kind
}

/// The schema of the fields that a Task gets from the output before it.
fn input_schema(task: &str) -> Option<Schema> {
    match task {
        "CreateSnapshot" => None,
        "DescribeSnapshot" => Some(schema_for!(DescribeSnapshotInput)),
        "PruneSnapshots" => Some(schema_for!(PruneSnapshotsInput)),
        "RecordAndNotify" => Some(schema_for!(RunSummary)),
        other => panic!("no type for the input of {other}"),
    }
}

fn run_input() -> Value {
    json!({ "application_name": "orders" })
}

/// A value of the context object, as it is in every execution.
fn context(path: &str) -> Value {
    match path {
        "$$.Execution.Input" => run_input(),
        "$$.Execution.Id" => json!("arn:aws:states:r:1:execution:m:n"),
        "$$.Execution.StartTime" => json!("2026-11-22T20:02:27.949Z"),
        "$$.Execution.RedriveCount" => json!(0),
        other => panic!("{other} is not in every execution"),
    }
}

/// The payload of a Task, if the state has this input.
fn payload(task: &Value, input: &Value) -> Value {
    let parameters = &task["Parameters"];
    if parameters["Payload.$"] == "$" {
        return input.clone();
    }
    let fields = parameters["Payload"].as_object().unwrap().iter();
    let filled = fields.map(|(field, value)| match field.strip_suffix(".$") {
        None => (field.clone(), value.clone()),
        Some(field) => match str_of(value) {
            "$" => (field.to_owned(), input.clone()),
            path => (field.to_owned(), context(path)),
        },
    });
    filled.collect()
}

/// This test compares types. The simulation passes on the real outputs of ten thousand courses.
#[test]
fn every_field_of_an_input_has_the_same_type_in_the_outputs_from_which_it_can_come() {
    for (name, _) in of_type("Task") {
        let Some(input) = input_schema(name) else {
            continue;
        };
        let before: Vec<Schema> = tasks_before(name).into_iter().map(output_schema).collect();
        for (field, wanted) in input.get("properties").unwrap().as_object().unwrap() {
            let outputs = before
                .iter()
                .map(|output| output.get("properties").unwrap());
            let given: Vec<Value> = outputs
                .filter_map(|it| it.get(field))
                .map(type_of)
                .collect();
            let is_same = given.iter().all(|given| *given == type_of(wanted));
            assert!(is_same && !given.is_empty(), "{name}: {field}: {given:?}");
        }
        for field in items(input.get("required").unwrap()) {
            // The Choice leads to this state only if a snapshot was started.
            let is_chosen = (name, str_of(field)) == ("DescribeSnapshot", "snapshot");
            let mut outputs = before.iter().map(|output| output.get("required").unwrap());
            let is_there = outputs.all(|required| items(required).any(|it| it == field));
            assert!(is_there || is_chosen, "{name}: {field}");
        }
    }
}

#[test]
fn a_task_gets_only_the_states_input_constants_and_values_of_the_context_object() {
    let output = json!({ "output": "of the state before" });
    for (name, task) in of_type("Task") {
        let given = payload(task, &output);
        let expected: &[&str] = match name {
            "CreateSnapshot" => &[
                "definition",
                "execution_arn",
                "execution_started_at",
                "input",
            ],
            "RecordAndNotify" => &["done", "redrive_count"],
            _ => &["output"],
        };
        assert_eq!(keys(&given), expected, "{name}");
        if name == "CreateSnapshot" {
            let first: CreateSnapshotInput = serde_json::from_value(given).unwrap();
            assert_eq!(first.input, run_input(), "also when it is entered again");
            // Functions return some values only to a definition with this number or a later one.
            assert_eq!(first.definition, 3);
        }
        if name == "RecordAndNotify" {
            let schema = schema_for!(RecordAndNotifyInput);
            assert_eq!(keys(schema.get("properties").unwrap()), expected);
        }
    }
}
