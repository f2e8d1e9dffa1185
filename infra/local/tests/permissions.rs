//! The roles of the template. Each allows the actions of its caller, and no others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sfn::types::ExecutionStatus;
use engine::Engine;
use engine::faults::Times;
use engine::functions::FUNCTIONS;
use engine::msf::ServiceError;
use engine::permissions::{Access, Permissions};
use serde_json::{Value, json};
use simulation::fault_plan::error;
use simulation::lambda::actions_of;
use stack::{EVERY_APPLICATION, Role, Stack};
use support::{Scenario, message_about, new_engine, new_engine_for, run};

/// The allowed actions that the proxy does not see: the callers, the actions, and the reason.
const NOT_SEEN: [(&[&str], &[&str], &str); 7] = [
    (
        &FUNCTIONS,
        &[
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
        ],
        "Lambda does it itself",
    ),
    (
        &["record-and-notify"],
        &["kms:Decrypt", "kms:GenerateDataKey"],
        "SNS uses the key on behalf of the publisher",
    ),
    (
        &["record-and-notify"],
        &["sqs:SendMessage"],
        "MiniStack delivers to the failure destination itself",
    ),
    (
        &[STATE_MACHINE],
        &["lambda:InvokeFunction"],
        "MiniStack's Step Functions invokes the functions itself",
    ),
    (
        &[STATE_MACHINE],
        &[
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ],
        "Step Functions configures the delivery of its log",
    ),
    (
        &[STATE_MACHINE],
        &[
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ],
        "Step Functions samples and sends traces",
    ),
    (
        &[SCHEDULE],
        &["states:StartExecution", "sqs:SendMessage"],
        "MiniStack's schedule starts runs itself",
    ),
];
const STATE_MACHINE: &str = "state-machine";
const SCHEDULE: &str = "schedule";

/// A caller, an action, and a resource.
type Permission = (String, String, String);

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(list).collect(),
        Value::String(text) => vec![text.clone()],
        other => panic!("{other} in a policy"),
    }
}

fn permissions_of(caller: &str, role: &Role) -> Vec<Permission> {
    let statements = role.policies.iter().flat_map(|policy| {
        assert_eq!(policy["Version"], "2012-10-17");
        policy["Statement"].as_array().unwrap()
    });
    let mut permissions = Vec::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow", "{caller}");
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                permissions.push((caller.to_owned(), action.clone(), resource));
            }
        }
    }
    permissions
}

fn without(role: &Role, action: &str, resource: &str) -> Role {
    let mut role = role.clone();
    for policy in &mut role.policies {
        let statements = policy["Statement"].as_array_mut().unwrap();
        for statement in std::mem::take(statements) {
            for other_action in list(&statement["Action"]) {
                for other_resource in list(&statement["Resource"]) {
                    if (other_action.as_str(), other_resource.as_str()) != (action, resource) {
                        let mut rest = statement.clone();
                        rest["Action"] = other_action.clone().into();
                        rest["Resource"] = other_resource.into();
                        statements.push(rest);
                    }
                }
            }
        }
    }
    role
}

fn is_seen((caller, action, _): &Permission) -> bool {
    !NOT_SEEN.iter().any(|(callers, actions, _)| {
        callers.contains(&caller.as_str()) && actions.contains(&action.as_str())
    })
}

fn roles() -> BTreeMap<String, Role> {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    let mut roles = stack.function_roles().unwrap();
    let machine = stack.only("AWS::Serverless::StateMachine").unwrap();
    roles.insert(STATE_MACHINE.to_owned(), stack.role_of(machine).unwrap());
    roles.insert(SCHEDULE.to_owned(), stack.role("ScheduleRole").unwrap());
    let all = stack.template().of_type("AWS::IAM::Role").unwrap();
    assert_eq!(roles.len(), all.len(), "{all:?}");
    roles
}

#[test]
fn every_action_in_the_list_of_unseen_ones_is_allowed_by_the_role() {
    let roles = roles();
    for (callers, actions, reason) in NOT_SEEN {
        for caller in callers {
            let allowed = permissions_of(caller, &roles[*caller]);
            for action in actions {
                let is_allowed = allowed.iter().any(|(_, allowed, _)| allowed == action);
                assert!(is_allowed, "{caller} {action}: {reason}");
            }
        }
    }
}

#[test]
fn each_function_is_allowed_exactly_the_actions_that_its_code_calls() {
    let roles = roles();
    for function in FUNCTIONS {
        let allowed: BTreeSet<String> = permissions_of(function, &roles[function])
            .into_iter()
            .filter(is_seen)
            .map(|(_, action, _)| action)
            .collect();
        let called = actions_of(function).iter().map(|&action| action.to_owned());
        assert_eq!(allowed, called.collect(), "{function}");
    }
}

/// The permitted wildcard in the resource of an action, if the action has no narrower resource.
fn wildcard(stack: &Stack, role: &str, action: &str) -> Option<String> {
    let template = stack.template();
    match (role, action) {
        (_, action) if action.starts_with("xray:") => Some("*".to_owned()),
        ("StateMachineRole", action) if action.contains("LogDeliver") => Some("*".to_owned()),
        ("StateMachineRole", action) if action.starts_with("logs:") => {
            Some("arn:aws:logs:eu-central-2:123456789012:log-group:*".to_owned())
        }
        // The streams of the stack's own log group, and the executions of its own state machine.
        (role, action) if action.starts_with("logs:") => {
            let group = role.replace("Role", "LogGroup");
            Some(template.arn_of(&group).unwrap())
        }
        (_, "states:GetExecutionHistory") => {
            let machine = template.arn_of("StateMachine").unwrap();
            Some(machine.replace(":stateMachine:", ":execution:") + ":*")
        }
        _ => None,
    }
}

#[test]
fn no_action_has_a_wildcard_and_no_resource_that_could_be_narrower() {
    let stack = Stack::of("orders").unwrap();
    for role in stack.template().of_type("AWS::IAM::Role").unwrap() {
        for (role, action, resource) in permissions_of(role, &stack.role(role).unwrap()) {
            assert!(!action.contains(['*', '?']), "{role}: {action}");
            match wildcard(&stack, &role, &action) {
                Some(expected) => assert_eq!(resource, expected, "{role}: {action}"),
                None => assert!(
                    !resource.contains(['*', '?']),
                    "{role}: {action} on {resource}"
                ),
            }
        }
    }
}

/// Runs an execution that needs the permission, and returns the error with which it fails.
async fn refusal(engine: &Engine, permission: &Permission, number: usize) -> String {
    let (caller, action, _) = permission;
    let application = format!("removed-{number}");
    let policy = json!({ "retention": { "keep_last": 2 } });
    match (caller.as_str(), action.as_str()) {
        // This operation is called only if a snapshot is refused.
        ("create-snapshot", "kinesisanalytics:ListApplicationSnapshots") => {
            let scenario = Scenario::on(engine, &application).await;
            scenario.behave(|behaviour| behaviour.downtime = true);
            error_of(&scenario, policy).await
        }
        // This operation is called only if the snapshot is gone.
        ("describe-snapshot", "kinesisanalytics:DescribeApplication") => {
            let scenario = Scenario::on(engine, &application).await;
            let missing = error("ResourceNotFoundException", 400, "no such snapshot");
            let operation = "DescribeApplicationSnapshot";
            scenario.inject(caller, operation, Times::Always, missing);
            error_of(&scenario, policy).await
        }
        // This operation is called only if a deletion is refused.
        ("prune-snapshots", "kinesisanalytics:DescribeApplicationSnapshot") => {
            let scenario = Scenario::on(engine, &application).await;
            let old = scenario.seed(3);
            scenario.behave(|behaviour| {
                let refusal = ServiceError::new("InvalidRequestException", 400, "in use");
                behaviour.deletes_refused.insert(old[0].clone(), refusal);
            });
            error_of(&scenario, policy).await
        }
        // This operation is called only for a failed execution.
        ("record-and-notify", "states:GetExecutionHistory") => {
            let scenario = Scenario::without_application(engine, &application).await;
            let ended = scenario.execute(json!({})).await;
            let queue_url = &engine.connection().failure_queue_url;
            let failed = message_about(engine, queue_url, &ended.arn).await;
            let payload = &failed["responsePayload"];
            format!("{}: {}", payload["errorType"], payload["errorMessage"])
        }
        _ => {
            let scenario = Scenario::on(engine, &application).await;
            scenario.seed(3);
            error_of(&scenario, policy).await
        }
    }
}

async fn error_of(scenario: &Scenario<'_>, input: Value) -> String {
    let ended = scenario.execute(input).await;
    if ended.status == ExecutionStatus::Succeeded {
        return "the run succeeds".to_owned();
    }
    let (error, message) = ended.error();
    format!("{error}: {message}")
}

#[test]
fn if_any_permission_is_missing_the_run_fails_with_access_denied_and_names_the_action() {
    run(async {
        let engine = new_engine().await;
        let permissions = engine.proxy().permissions();
        let mut removed = 0;
        for caller in FUNCTIONS {
            let role = permissions.role(caller).unwrap();
            for permission in permissions_of(caller, &role).into_iter().filter(is_seen) {
                let (_, action, resource) = &permission;
                let rest = without(&role, action, resource);
                permissions.set(caller, rest).unwrap();
                let error = refusal(&engine, &permission, removed).await;
                assert!(
                    error.contains("AccessDenied") && error.contains(action),
                    "{caller} without {action} on {resource}: {error}"
                );
                permissions.set(caller, role.clone()).unwrap();
                removed += 1;
            }
        }
        let roles = roles();
        let all = roles
            .iter()
            .flat_map(|(caller, role)| permissions_of(caller, role));
        assert_eq!(removed, all.filter(is_seen).count());
        engine.stop().await;
    });
}

#[test]
fn a_snapshot_of_an_encrypted_application_needs_each_permission_for_its_key() {
    const CREATE: &str = "create-snapshot";
    const KEY: &str =
        "arn:aws:kms:eu-central-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    run(async {
        let mut engine = new_engine_for("encrypted").await;
        let scenario = Scenario::on(&engine, "encrypted").await;
        scenario.encrypt(KEY).await;
        let unknown = error_of(&scenario, json!({})).await;
        assert!(unknown.starts_with("AccessDenied: "), "{unknown}");
        drop(scenario);

        let mut work = engine.deployment_spec().clone();
        let key = ("ApplicationKeyArn".to_owned(), KEY.to_owned());
        work.parameters.extend([key]);
        engine.deploy(work).await.unwrap();
        let scenario = Scenario::without_application(&engine, "encrypted").await;
        let permissions = engine.proxy().permissions();
        let role = permissions.role(CREATE).unwrap();
        let mut rights = permissions_of(CREATE, &role);
        rights.retain(|(_, action, _)| action.starts_with("kms:"));
        assert_eq!(rights.len(), 5, "{rights:?}");
        for (_, action, resource) in rights {
            let rest = without(&role, &action, &resource);
            permissions.set(CREATE, rest).unwrap();
            let error = error_of(&scenario, json!({})).await;
            let is_about_it = error.contains(&format!("{action} on resource: {KEY}"));
            assert!(
                error.starts_with("AccessDenied: ") && is_about_it,
                "{error}"
            );
        }
        // Use of another application's key, use of the key by another service, and another kind of grant.
        for (from, to) in [
            (
                "analytics:arn\":\"arn:aws:",
                "analytics:arn\":\"arn:aws-cn:",
            ),
            ("kinesisanalytics.eu", "s3.eu"),
            ("ContextSubset", "ContextEquals"),
            ("Operations\":\"Decrypt", "Operations\":\"Encrypt"),
        ] {
            let policies = json!(role.policies).to_string();
            assert!(policies.contains(from), "{policies}");
            let policies = serde_json::from_str(&policies.replace(from, to)).unwrap();
            let arn = role.arn.clone();
            permissions.set(CREATE, Role { arn, policies }).unwrap();
            let error = error_of(&scenario, json!({})).await;
            assert!(
                error.contains(" is not authorized to perform: kms:"),
                "{error}"
            );
        }
        permissions.set(CREATE, role).unwrap();
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        engine.stop().await;
    });
}

/// The proxy does not see invocations. So this test compares the template with the definition.
#[test]
fn the_state_machine_may_invoke_exactly_the_functions_of_its_tasks() {
    let stack = Stack::of("orders").unwrap();
    let definition: Value = serde_json::from_str(&stack.definition().unwrap()).unwrap();
    let called: BTreeSet<&str> = definition["States"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|state| state["Parameters"]["FunctionName"].as_str())
        .collect();
    let allowed = permissions_of(STATE_MACHINE, &stack.role("StateMachineRole").unwrap());
    let allowed: BTreeSet<&str> = allowed
        .iter()
        .filter(|(_, action, _)| action == "lambda:InvokeFunction")
        .map(|(_, _, resource)| resource.as_str())
        .collect();
    assert_eq!(allowed, called);
}

#[test]
fn a_stack_has_access_only_to_its_own_application() {
    run(async {
        let engine = new_engine_for("mine").await;
        let mine = Scenario::on(&engine, "mine").await;
        let done = mine.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);

        let theirs = Scenario::on(&engine, "theirs").await;
        let failed = theirs.execute(json!({})).await;
        assert_eq!(failed.failed_state(), Some("CreateSnapshot"));
        let (error, message) = failed.error();
        assert_eq!(error, "AccessDenied");
        assert!(message.contains("application/theirs"), "{message}");
        assert!(theirs.names().is_empty());

        // The stack may not write a row of the other application. The error names the other application.
        let record = theirs.record_under("(unknown)", &failed).await;
        assert_eq!(record["outcome"], "FAILED");
        let message = record["error_message"].as_str().unwrap();
        assert!(message.contains("application/theirs"), "{message}");
        assert_eq!(theirs.row_count().await, 0);
        engine.stop().await;
    });
}

#[test]
fn a_stack_may_write_only_rows_of_its_application_and_of_unknown() {
    let stack = Stack::of("mine").unwrap();
    let role = stack.function_roles().unwrap()["record-and-notify"].clone();
    let permissions = Permissions::default();
    permissions.set("record-and-notify", role).unwrap();
    for (keys, allowed) in [
        (&["mine"][..], true),
        (&["(unknown)"], true),
        (&["mine", "(unknown)"], true),
        (&["theirs"], false),
        (&["min"], false),
        (&["mine2"], false),
        (&["Mine"], false),
        (&[""], false),
        (&["mine", "theirs"], false),
    ] {
        let access = Access {
            action: "dynamodb:UpdateItem".to_owned(),
            resource: "arn:aws:dynamodb:eu-central-2:123456789012:table/snapshot_manager_status"
                .to_owned(),
            leading_keys: keys.iter().map(|&key| key.to_owned()).collect(),
            ..Access::default()
        };
        let checked = permissions.check("record-and-notify", &access);
        assert_eq!(checked.is_ok(), allowed, "{keys:?}: {checked:?}");
    }
}
