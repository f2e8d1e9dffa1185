//! The definition held against the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::{
    CreateSnapshotInput, CreateSnapshotOutput, DescribeSnapshotInput, DescribeSnapshotOutput,
    ErrorName, PruneSnapshotsInput, PruneSnapshotsOutput, RecordAndNotifyInput,
    RecordAndNotifyOutput, RunSummary,
};
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};
use stack::definition::DEFINITION;
use stack::{EVERY_APPLICATION, Stack};

/// The errors of Step Functions and Lambda that a task is tried again after.
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

fn definition() -> Value {
    serde_json::from_str(DEFINITION).unwrap()
}

fn states(definition: &Value) -> &Map<String, Value> {
    definition["States"].as_object().unwrap()
}

fn tasks(definition: &Value) -> BTreeMap<&str, &Value> {
    let tasks = states(definition)
        .iter()
        .filter(|(_, state)| state["Type"] == "Task");
    tasks.map(|(name, state)| (name.as_str(), state)).collect()
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

/// The states that may follow, with the value that a Choice asks for.
fn successors(state: &Value) -> Vec<(&str, Option<&str>)> {
    let rules = state["Choices"].as_array().into_iter().flatten();
    rules
        .map(|rule| {
            (
                rule["Next"].as_str().unwrap(),
                rule["StringEquals"].as_str(),
            )
        })
        .chain(state["Next"].as_str().map(|next| (next, None)))
        .collect()
}

/// The schema of what a Task hands on.
fn output(task: &str) -> Schema {
    match task {
        "CreateSnapshot" => schema_for!(CreateSnapshotOutput),
        "DescribeSnapshot" => schema_for!(DescribeSnapshotOutput),
        "PruneSnapshots" => schema_for!(PruneSnapshotsOutput),
        "RecordAndNotify" => schema_for!(RecordAndNotifyOutput),
        other => panic!("no type for the output of {other}"),
    }
}

/// The schema of what a Task takes from the one before.
fn input(task: &str) -> Schema {
    match task {
        "DescribeSnapshot" => schema_for!(DescribeSnapshotInput),
        "PruneSnapshots" => schema_for!(PruneSnapshotsInput),
        "RecordAndNotify" => schema_for!(RunSummary),
        other => panic!("nothing leads to {other}"),
    }
}

/// The last Task before a state, on every way to it.
fn tasks_before(definition: &Value, state: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut looked_at = BTreeSet::new();
    let mut to_look_at = vec![state.to_owned()];
    while let Some(state) = to_look_at.pop() {
        for (name, before) in states(definition) {
            if successors(before).iter().any(|(next, _)| *next == state)
                && looked_at.insert((name.clone(), state.clone()))
            {
                if before["Type"] == "Task" {
                    found.insert(name.clone());
                } else {
                    to_look_at.push(name.clone());
                }
            }
        }
    }
    found
}

#[test]
fn every_task_is_a_function_and_every_function_a_task() {
    let definition = definition();
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    let deployed: Value = serde_json::from_str(&stack.definition().unwrap()).unwrap();
    // A state `CreateSnapshot` calls the crate `create-snapshot`.
    let called: BTreeMap<String, String> = tasks(&deployed)
        .into_iter()
        .map(|(name, task)| {
            let arn = task["Parameters"]["FunctionName"].as_str().unwrap();
            (crate_of(name), arn.rsplit(':').next().unwrap().to_owned())
        })
        .collect();
    let expected = stack.functions().unwrap();
    assert_eq!(
        called.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (state, function) in called {
        assert_eq!(state, function);
    }
    for (name, task) in tasks(&definition) {
        assert_eq!(task["Resource"], "arn:aws:states:::lambda:invoke", "{name}");
        assert_eq!(task["OutputPath"], "$.Payload", "{name}");
    }
}

#[test]
fn every_name_in_the_definition_is_filled_in_by_the_template_and_none_is_left_over() {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    assert!(!stack.definition().unwrap().contains("${"));
    let machine = stack.only("AWS::Serverless::StateMachine").unwrap();
    let machine = stack.template().properties(machine).unwrap();
    for name in machine["DefinitionSubstitutions"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(DEFINITION.contains(&format!("${{{name}}}")), "{name}");
    }
}

#[test]
fn there_is_no_catch_no_fail_no_default_and_no_intrinsic() {
    for (name, state) in states(&definition()) {
        assert_ne!(
            state["Type"], "Fail",
            "{name}: a redrive would enter it again"
        );
        assert!(
            state.get("Catch").is_none(),
            "{name}: the execution must fail at its step"
        );
        assert!(
            state.get("Default").is_none(),
            "{name}: every value has its way"
        );
        let text = state.to_string();
        assert!(
            !text.contains("States.Format") && !text.contains("{%"),
            "{name}"
        );
        for reshaping in [
            "InputPath",
            "ResultPath",
            "ResultSelector",
            "Assign",
            "Output",
        ] {
            assert!(state.get(reshaping).is_none(), "{name}: {reshaping}");
        }
    }
}

#[test]
fn every_state_is_there_is_reached_and_comes_to_an_end() {
    let definition = definition();
    let states = states(&definition);
    let mut reached = BTreeSet::new();
    let mut to_look_at = vec![definition["StartAt"].as_str().unwrap()];
    while let Some(name) = to_look_at.pop() {
        let state = states
            .get(name)
            .unwrap_or_else(|| panic!("no state {name}"));
        if reached.insert(name) {
            let next = successors(state);
            assert_eq!(next.is_empty(), state["End"] == true, "{name}");
            to_look_at.extend(next.into_iter().map(|(next, _)| next));
        }
    }
    assert_eq!(reached, states.keys().map(String::as_str).collect());
}

#[test]
fn every_retried_error_exists_and_no_final_one_is_retried() {
    let definition = definition();
    for (name, task) in tasks(&definition) {
        let mut retried = BTreeSet::new();
        for retrier in task["Retry"].as_array().unwrap() {
            for error in retrier["ErrorEquals"].as_array().unwrap() {
                assert!(
                    retried.insert(error.as_str().unwrap()),
                    "{name}: {error} twice"
                );
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
        // The last step does not talk to Flink.
        let ours =
            ours.filter(|error| name != "RecordAndNotify" || **error != ErrorName::ApplicationBusy);
        let expected = ours
            .map(|error| error.as_str())
            .chain(SERVICE_ERRORS)
            .collect();
        assert_eq!(retried, expected, "{name}");
    }
}

#[test]
fn a_busy_application_is_waited_for_half_an_hour_at_most() {
    let definition = definition();
    let retriers = definition["States"]["CreateSnapshot"]["Retry"]
        .as_array()
        .unwrap();
    let busy = retriers
        .iter()
        .find(|r| r["ErrorEquals"] == json!(["ApplicationBusy"]))
        .unwrap();
    let number = |field: &str| busy[field].as_f64().unwrap();
    let waits = (0..busy["MaxAttempts"].as_i64().unwrap()).map(|attempt| {
        let attempt = i32::try_from(attempt).unwrap();
        let wait = number("IntervalSeconds") * number("BackoffRate").powi(attempt);
        wait.min(number("MaxDelaySeconds"))
    });
    let minutes = waits.sum::<f64>() / 60.0;
    assert!((29.0..=31.0).contains(&minutes), "{minutes} minutes");
}

#[test]
fn every_task_is_given_up_only_after_its_function_would_be() {
    let definition = definition();
    assert_eq!(definition["TimeoutSeconds"], 100_000);
    let functions = Stack::of(EVERY_APPLICATION).unwrap().functions().unwrap();
    for (name, task) in tasks(&definition) {
        let function = functions[&crate_of(name)].timeout;
        let task = Duration::from_secs(task["TimeoutSeconds"].as_u64().unwrap());
        assert!(
            task > function,
            "{name}: {task:?} for a function of {function:?}"
        );
    }
}

#[test]
fn every_choice_reads_an_enum_that_is_always_there_and_knows_each_of_its_values() {
    let definition = definition();
    let choices = states(&definition)
        .iter()
        .filter(|(_, state)| state["Type"] == "Choice");
    for (name, choice) in choices {
        let rules = choice["Choices"].as_array().unwrap();
        let variable = rules[0]["Variable"].as_str().unwrap();
        assert!(
            rules.iter().all(|rule| rule["Variable"] == variable),
            "{name}"
        );
        let field = variable.strip_prefix("$.").unwrap();
        let known: BTreeSet<&str> = rules
            .iter()
            .map(|rule| rule["StringEquals"].as_str().unwrap())
            .collect();
        for task in tasks_before(&definition, name) {
            let schema = output(&task);
            let required = schema.get("required").unwrap().as_array().unwrap();
            assert!(
                required.contains(&json!(field)),
                "{task} may leave out {field}"
            );
            let property = &schema.get("properties").unwrap()[field];
            let values: BTreeSet<&str> = property["oneOf"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value["const"].as_str())
                .chain(
                    property["enum"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str),
                )
                .collect();
            assert_eq!(values, known, "{name} after {task}");
        }
    }
}

#[test]
fn every_wait_reads_seconds_that_are_always_there() {
    let definition = definition();
    for (name, wait) in states(&definition)
        .iter()
        .filter(|(_, state)| state["Type"] == "Wait")
    {
        let field = wait["SecondsPath"]
            .as_str()
            .unwrap()
            .strip_prefix("$.")
            .unwrap();
        for task in tasks_before(&definition, name) {
            let schema = output(&task);
            let required = schema.get("required").unwrap().as_array().unwrap();
            assert!(
                required.contains(&json!(field)),
                "{task} may leave out {field}"
            );
            assert_eq!(schema.get("properties").unwrap()[field]["type"], "integer");
        }
    }
}

/// What a Task may hand on, the least and the most of it.
fn samples(task: &str) -> Vec<Value> {
    let run = json!({
        "run_id": 1_795_377_747_949_i64, "execution_arn": "arn:aws:states:r:1:execution:m:n",
        "input": { "application_name": "orders" }
    });
    let snapshot = json!({ "name": "custom_1795377747949", "accepted_at": "2026-11-22T20:02:28Z" });
    let checked = |typed: Result<Value, serde_json::Error>| typed.unwrap();
    match task {
        "CreateSnapshot" => ["STARTED", "SKIPPED", "NOT_WANTED"]
            .into_iter()
            .map(|creation| {
                let mut output = json!({
                    "run": run, "snapshot_creation": creation, "wait_seconds": 15
                });
                match creation {
                    "STARTED" => output["snapshot"] = snapshot.clone(),
                    "SKIPPED" => output["skip_reason"] = "stopped".into(),
                    _ => (),
                }
                let typed = serde_json::from_value::<CreateSnapshotOutput>(output);
                checked(typed.and_then(serde_json::to_value))
            })
            .collect(),
        "DescribeSnapshot" => ["CREATING", "READY"]
            .into_iter()
            .map(|status| {
                let output = json!({
                    "run": run, "snapshot": snapshot, "snapshot_status": status, "wait_seconds": 15
                });
                let typed = serde_json::from_value::<DescribeSnapshotOutput>(output);
                checked(typed.and_then(serde_json::to_value))
            })
            .collect(),
        "PruneSnapshots" => ["CONTINUE", "WAIT", "DONE"]
            .into_iter()
            .map(|pruning| {
                let doomed = json!({
                    "snapshot_name": "custom_1795118547949", "created_at": "2026-11-19T20:02:28Z",
                    "application_version_id": 6, "reason": "failed 3 days ago"
                });
                let mut output = json!({
                    "run": run, "pruning": pruning, "batch": [], "deletions_wanted": 1,
                    "wait_seconds": 15,
                    "progress": { "deleted_count": 1, "deleted": [doomed] },
                    "snapshots_ready": 3, "snapshots_total": 4,
                    "newest_ready_at": "2026-11-22T20:02:28.42Z", "verdicts": []
                });
                if pruning == "CONTINUE" {
                    output["batch"] = json!([doomed]);
                    output["planned_at"] = "2026-11-22T20:03:14.5Z".into();
                } else if pruning == "WAIT" {
                    output["batch"] = json!([doomed]);
                    output["batch"][0]["tried"] = true.into();
                    output["progress"]["waiting_since"] = "2026-11-22T20:03:14.5Z".into();
                } else {
                    output["held_back"] = json!({
                        "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 1, "message": "m"
                    });
                    output["verdicts"] =
                        json!([{ "snapshot_name": "s", "action": "KEEP", "reasons": ["r"] }]);
                }
                let typed = serde_json::from_value::<PruneSnapshotsOutput>(output);
                checked(typed.and_then(serde_json::to_value))
            })
            .collect(),
        other => panic!("nothing follows {other}"),
    }
}

/// What a Task is given, as its type gives it back: nothing that the type knows is lost on the way.
fn taken(task: &str, payload: Value) -> Result<Value, serde_json::Error> {
    match task {
        "DescribeSnapshot" => {
            serde_json::from_value::<DescribeSnapshotInput>(payload).and_then(serde_json::to_value)
        }
        "PruneSnapshots" => {
            serde_json::from_value::<PruneSnapshotsInput>(payload).and_then(serde_json::to_value)
        }
        "RecordAndNotify" => serde_json::from_value::<RecordAndNotifyInput>(payload)
            .and_then(|input| serde_json::to_value(input.done)),
        other => panic!("nothing leads to {other}"),
    }
}

/// What the context object has in every execution.
fn context(path: &str) -> Value {
    match path {
        "$$.Execution.Id" => json!("arn:aws:states:r:1:execution:m:n"),
        "$$.Execution.StartTime" => json!("2026-11-22T20:02:27.949Z"),
        "$$.Execution.RedriveCount" => json!(0),
        other => panic!("{other} is not there in every execution"),
    }
}

/// A Task's payload, given the state's input.
fn payload(task: &Value, input: &Value) -> Value {
    let parameters = &task["Parameters"];
    if parameters["Payload.$"] == "$" {
        return input.clone();
    }
    let fields = parameters["Payload"].as_object().unwrap().iter();
    let filled = fields.map(|(field, value)| match field.strip_suffix(".$") {
        None => (field.clone(), value.clone()),
        Some(field) => match value.as_str().unwrap() {
            "$" => (field.to_owned(), input.clone()),
            path => (field.to_owned(), context(path)),
        },
    });
    filled.collect()
}

#[test]
fn every_output_is_the_next_input() {
    let definition = definition();
    let mut edges = 0;
    let mut compared = BTreeSet::new();
    for (name, task) in tasks(&definition)
        .iter()
        .filter(|(_, task)| task["End"] != true)
    {
        for sample in samples(name) {
            // Walk from the task to the next one, as the sample says.
            let mut at = task["Next"].as_str().unwrap();
            while definition["States"][at]["Type"] != "Task" {
                let state = &definition["States"][at];
                let rules = state["Choices"].as_array().into_iter().flatten();
                let chosen = rules.into_iter().find(|rule| {
                    let field = rule["Variable"]
                        .as_str()
                        .unwrap()
                        .strip_prefix("$.")
                        .unwrap();
                    rule["StringEquals"] == sample[field]
                });
                let next = chosen.map_or(&state["Next"], |rule| &rule["Next"]);
                at = next
                    .as_str()
                    .unwrap_or_else(|| panic!("{at} has no way for {sample}"));
            }
            let taken = taken(at, payload(&definition["States"][at], &sample));
            let taken = taken.unwrap_or_else(|error| panic!("{name} -> {at}: {error}"));
            // What the next state knows under a name is what the last one has handed on.
            let known = input(at);
            for (field, handed) in sample.as_object().unwrap() {
                if known.get("properties").unwrap().get(field).is_some() {
                    assert_eq!(taken.get(field), Some(handed), "{name} -> {at}: {field}");
                    compared.insert(field.clone());
                }
            }
            edges += 1;
        }
    }
    assert_eq!(edges, 8);
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
        assert!(compared.contains(field), "{field} was handed on nowhere");
    }
}

#[test]
fn a_task_is_given_the_states_input_constants_and_scalars_of_the_context_object_alone() {
    let definition = definition();
    let tasks = tasks(&definition);
    let input = json!({ "application_name": "orders" });
    let first = payload(tasks["CreateSnapshot"], &input);
    let first: CreateSnapshotInput = serde_json::from_value(first).unwrap();
    assert_eq!(first.input, input);
    // The answers that only this definition knows depend on it.
    assert_eq!(first.definition, 2);
    for (name, task) in tasks {
        let given = payload(task, &input);
        let fields: Vec<&str> = given
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = match name {
            "CreateSnapshot" => &[
                "definition",
                "execution_arn",
                "execution_started_at",
                "input",
            ],
            "RecordAndNotify" => &["done", "redrive_count"],
            _ => &["application_name"],
        };
        assert_eq!(fields, expected, "{name}");
    }
}
