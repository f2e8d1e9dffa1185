//! The state machine's definition, checked against the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use contract::{
    CreateSnapshotInput, CreateSnapshotOutput, DescribeSnapshotInput, DescribeSnapshotOutput,
    ErrorName, PruneSnapshotsInput, PruneSnapshotsOutput, RecordAndNotifyInput,
    RecordAndNotifyOutput, RunInput, RunSummary,
};
use schemars::{Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// The field behind `$.`.
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

/// The last Task before a state, on every way to it.
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

/// The schemas that the Tasks before a state have for a field. None of them may leave it out.
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
fn every_substitution_is_made_and_used() {
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
fn every_state_exists_is_reached_and_comes_to_an_end() {
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

#[test]
fn the_machine_allows_more_time_than_the_three_deadlines_of_a_run() {
    let schema = schema_for!(RunInput);
    let most = |field: &str| {
        let property = &schema.get("properties").unwrap()[field];
        property["maximum"].as_u64().unwrap()
    };
    // The application is waited for before the snapshot and before the deletions.
    let deadlines = 2 * most("application_timeout_seconds") + most("ready_timeout_seconds");
    let timeout = PARSED["TimeoutSeconds"].as_u64().unwrap();
    assert_eq!(timeout, 300_000);
    assert!(timeout > deadlines, "{deadlines}");
}

#[test]
fn a_busy_application_is_waited_for_in_a_wait_state_and_by_no_retry() {
    for (name, task) in of_type("Task") {
        for retrier in items(&task["Retry"]) {
            let mut errors = items(&retrier["ErrorEquals"]);
            assert!(errors.all(|error| error != "ApplicationBusy"), "{name}");
        }
    }
    let waits: Vec<&str> = of_type("Wait")
        .filter(|(_, wait)| wait["Next"] == "CreateSnapshot")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(waits, ["WaitForApplication"]);
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
fn every_choice_reads_an_enum_that_is_always_there_and_knows_each_of_its_values() {
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
fn every_wait_reads_seconds_that_are_always_there() {
    for (name, wait) in of_type("Wait") {
        for schema in schemas_before(name, field(&wait["SecondsPath"])) {
            assert_eq!(schema["type"], "integer", "{name}");
        }
    }
}

/// A payload after its type has read and written it.
fn through<T: DeserializeOwned + Serialize>(payload: Value) -> Value {
    let typed: T = serde_json::from_value(payload).unwrap();
    serde_json::to_value(typed).unwrap()
}

/// Outputs of a Task, from the smallest to the largest.
fn samples(task: &str) -> Vec<Value> {
    let run = json!({
        "run_id": 1_795_377_747_949_i64, "execution_arn": "arn:aws:states:r:1:execution:m:n",
        "input": { "application_name": "orders" }
    });
    let snapshot = json!({ "name": "custom_1795377747949", "accepted_at": "2026-11-22T20:02:28Z" });
    let failed = json!({
        "snapshot_name": "custom_1795118547949", "created_at": "2026-11-19T20:02:28Z",
        "application_version_id": 6, "reason": "FAILED, created 3 days ago"
    });
    let mut tried = failed.clone();
    tried["tried"] = true.into();
    let progress = json!({ "deleted_count": 1, "deleted": [failed] });
    let mut waiting = progress.clone();
    waiting["waiting_since"] = "2026-11-22T20:03:14.5Z".into();
    waiting["application_busy_since"] = "2026-11-22T20:03:14.5Z".into();
    let (read, common, cases): (fn(Value) -> Value, _, _) = match task {
        "CreateSnapshot" => (
            through::<CreateSnapshotOutput>,
            json!({}),
            vec![
                json!({ "snapshot_creation": "STARTED", "snapshot": snapshot }),
                json!({ "snapshot_creation": "BUSY" }),
                json!({ "snapshot_creation": "SKIPPED", "skip_reason": "stopped" }),
                json!({ "snapshot_creation": "NOT_WANTED" }),
            ],
        ),
        "DescribeSnapshot" => (
            through::<DescribeSnapshotOutput>,
            json!({ "snapshot": snapshot }),
            vec![
                json!({ "snapshot_status": "CREATING" }),
                json!({ "snapshot_status": "READY" }),
                json!({ "snapshot_status": "FAILED" }),
            ],
        ),
        "PruneSnapshots" => (
            through::<PruneSnapshotsOutput>,
            json!({
                "batch": [], "deletions_wanted": 1, "progress": progress, "snapshots_ready": 3,
                "snapshots_total": 4, "newest_ready_at": "2026-11-22T20:02:28.42Z", "verdicts": []
            }),
            vec![
                json!({
                    "pruning": "CONTINUE", "batch": [failed], "planned_at": "2026-11-22T20:03:14.5Z"
                }),
                json!({ "pruning": "WAIT", "batch": [tried], "progress": waiting }),
                json!({
                    "pruning": "DONE",
                    "held_back": {
                        "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 1, "message": "m"
                    },
                    "verdicts": [{ "snapshot_name": "s", "action": "KEEP", "reasons": ["r"] }]
                }),
            ],
        ),
        other => panic!("nothing follows {other}"),
    };
    let outputs = cases.into_iter().map(|case| {
        let mut output = json!({ "run": run, "wait_seconds": 15 });
        for part in [&common, &case] {
            let fields = part.as_object().unwrap().clone();
            output.as_object_mut().unwrap().extend(fields);
        }
        read(output)
    });
    outputs.collect()
}

/// A Task's payload after its type has read and written it, and the type's schema.
fn received(task: &str, payload: Value) -> (Value, Schema) {
    match task {
        // It gets nothing of the output before it.
        "CreateSnapshot" => {
            let input: CreateSnapshotInput = serde_json::from_value(payload).unwrap();
            assert_eq!(input.input, run_input());
            (json!({}), schema_for!(CreateSnapshotInput))
        }
        "DescribeSnapshot" => (
            through::<DescribeSnapshotInput>(payload),
            schema_for!(DescribeSnapshotInput),
        ),
        "PruneSnapshots" => (
            through::<PruneSnapshotsInput>(payload),
            schema_for!(PruneSnapshotsInput),
        ),
        "RecordAndNotify" => {
            let input: RecordAndNotifyInput = serde_json::from_value(payload).unwrap();
            let done = serde_json::to_value(input.done).unwrap();
            (done, schema_for!(RunSummary))
        }
        other => panic!("nothing leads to {other}"),
    }
}

fn run_input() -> Value {
    json!({ "application_name": "orders" })
}

/// What the context object has in every execution.
fn context(path: &str) -> Value {
    match path {
        "$$.Execution.Input" => run_input(),
        "$$.Execution.Id" => json!("arn:aws:states:r:1:execution:m:n"),
        "$$.Execution.StartTime" => json!("2026-11-22T20:02:27.949Z"),
        "$$.Execution.RedriveCount" => json!(0),
        other => panic!("{other} is not in every execution"),
    }
}

/// A Task's payload for an input of the state.
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

/// The next Task after an output.
fn next_task(task: &Value, output: &Value) -> &'static str {
    let (mut name, mut state) = states().get_key_value(str_of(&task["Next"])).unwrap();
    while state["Type"] != "Task" {
        let chosen = items(&state["Choices"])
            .find(|rule| rule["StringEquals"] == output[field(&rule["Variable"])]);
        let next = chosen.map_or(&state["Next"], |rule| &rule["Next"]);
        let next = next.as_str().unwrap_or_else(|| panic!("{name}: {output}"));
        (name, state) = states().get_key_value(next).unwrap();
    }
    name
}

#[test]
fn every_output_is_the_next_input() {
    let mut edges = 0;
    let mut compared = BTreeSet::new();
    for (name, task) in of_type("Task").filter(|(_, task)| task["End"] != true) {
        for sample in samples(name) {
            let next = next_task(task, &sample);
            let (read, schema) = received(next, payload(&states()[next], &sample));
            let known = schema.get("properties").unwrap();
            for (field, value) in sample.as_object().unwrap() {
                if known.get(field).is_some() {
                    assert_eq!(read.get(field), Some(value), "{name} -> {next}: {field}");
                    compared.insert(field.clone());
                }
            }
            edges += 1;
        }
    }
    assert_eq!(edges, 10);
    for field in [
        "run",
        "snapshot",
        "batch",
        "planned_at",
        "progress",
        "skip_reason",
        "held_back",
        "snapshots_ready",
        "snapshots_total",
        "newest_ready_at",
    ] {
        assert!(compared.contains(field), "{field} was compared nowhere");
    }
}

#[test]
fn a_task_gets_the_states_input_constants_and_values_of_the_context_object_alone() {
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
            // The answers that only this definition knows depend on it.
            assert_eq!(first.definition, 3);
        }
    }
}
