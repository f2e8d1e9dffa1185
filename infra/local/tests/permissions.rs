//! The roles of the template, enforced: each allows what its caller does, and nothing that it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sfn::types::ExecutionStatus;
use engine::engine::Engine;
use engine::functions::FUNCTIONS;
use engine::msf::ServiceError;
use engine::permissions::Access;
use serde_json::{Value, json};
use stack::Role;
use stack::{EVERY_APPLICATION, Stack};
use support::{Scenario, message_about, new_engine, new_engine_for, run};

/// What is allowed and crosses no proxy: caller, actions, reason.
const ELSEWHERE: [(&str, &[&str], &str); 15] = [
    ("create-snapshot", WRITE_LOGS, BY_LAMBDA),
    ("create-snapshot", TRACE, BY_LAMBDA),
    ("describe-snapshot", WRITE_LOGS, BY_LAMBDA),
    ("describe-snapshot", TRACE, BY_LAMBDA),
    ("prune-snapshots", WRITE_LOGS, BY_LAMBDA),
    ("prune-snapshots", TRACE, BY_LAMBDA),
    ("record-and-notify", WRITE_LOGS, BY_LAMBDA),
    ("record-and-notify", TRACE, BY_LAMBDA),
    (
        "record-and-notify",
        &["kms:Decrypt", "kms:GenerateDataKey"],
        "SNS uses the key on behalf of who publishes",
    ),
    (
        "record-and-notify",
        &["sqs:SendMessage"],
        "MiniStack delivers to the failure destination itself",
    ),
    (
        STATE_MACHINE,
        &["lambda:InvokeFunction"],
        "MiniStack's Step Functions invokes by itself",
    ),
    (
        STATE_MACHINE,
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
        "Step Functions has its log delivered",
    ),
    (STATE_MACHINE, TRACE, "Step Functions sends traces"),
    (
        STATE_MACHINE,
        &["xray:GetSamplingRules", "xray:GetSamplingTargets"],
        "Step Functions asks what to trace",
    ),
    (
        SCHEDULE,
        &["states:StartExecution", "sqs:SendMessage"],
        "MiniStack's schedule starts runs by itself",
    ),
];
const WRITE_LOGS: &[&str] = &["logs:CreateLogStream", "logs:PutLogEvents"];
const TRACE: &[&str] = &["xray:PutTraceSegments", "xray:PutTelemetryRecords"];
const BY_LAMBDA: &str = "Lambda does it itself";
const STATE_MACHINE: &str = "state-machine";
const SCHEDULE: &str = "schedule";

/// A caller, an action, and what it may be done to.
type Right = (String, String, String);

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(list).collect(),
        Value::String(text) => vec![text.clone()],
        other => panic!("{other} in a policy"),
    }
}

fn rights_of(caller: &str, role: &Role) -> Vec<Right> {
    let statements = role.policies.iter().flat_map(|policy| {
        assert_eq!(policy["Version"], "2012-10-17");
        policy["Statement"].as_array().unwrap()
    });
    let mut rights = Vec::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow", "{caller}");
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                rights.push((caller.to_owned(), action.clone(), resource));
            }
        }
    }
    rights
}

/// The role without one action on one resource.
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

fn crosses_the_proxy((caller, action, _): &Right) -> bool {
    !ELSEWHERE
        .iter()
        .any(|(who, actions, _)| who == caller && actions.contains(&action.as_str()))
}

/// Every role of the template, by its caller.
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
fn what_crosses_no_proxy_is_there_and_has_its_reason() {
    let allowed: BTreeSet<(String, String)> = roles()
        .iter()
        .flat_map(|(caller, role)| rights_of(caller, role))
        .map(|(caller, action, _)| (caller, action))
        .collect();
    for (caller, actions, reason) in ELSEWHERE {
        for action in actions {
            let right = (caller.to_owned(), (*action).to_owned());
            assert!(allowed.contains(&right), "{caller} {action}: {reason}");
        }
    }
}

#[test]
fn each_function_is_allowed_the_actions_that_its_code_names_and_no_others() {
    let roles = roles();
    for (function, actions) in [
        ("create-snapshot", &create_snapshot::IAM_ACTIONS[..]),
        ("describe-snapshot", &describe_snapshot::IAM_ACTIONS[..]),
        ("prune-snapshots", &prune_snapshots::IAM_ACTIONS[..]),
        ("record-and-notify", &record_and_notify::IAM_ACTIONS[..]),
    ] {
        let allowed: BTreeSet<String> = rights_of(function, &roles[function])
            .into_iter()
            .filter(crosses_the_proxy)
            .map(|(_, action, _)| action)
            .collect();
        let named: BTreeSet<String> = actions.iter().map(|&action| action.to_owned()).collect();
        assert_eq!(allowed, named, "{function}");
    }
}

/// The only wildcards: what a role's actions are on, where they have no narrower resource.
fn wildcard(stack: &Stack, role: &str, action: &str) -> Option<String> {
    let template = stack.template();
    match (role, action) {
        (_, action) if action.starts_with("xray:") => Some("*".to_owned()),
        ("StateMachineRole", action) if action.contains("LogDeliver") => Some("*".to_owned()),
        ("StateMachineRole", action) if action.starts_with("logs:") => {
            Some("arn:aws:logs:eu-central-2:123456789012:log-group:*".to_owned())
        }
        // A log group's own streams, and a machine's own executions.
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
fn an_action_names_no_wildcard_and_a_resource_only_where_there_is_nothing_narrower() {
    let stack = Stack::of("orders").unwrap();
    for role in stack.template().of_type("AWS::IAM::Role").unwrap() {
        for (role, action, resource) in rights_of(role, &stack.role(role).unwrap()) {
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

/// Starts what needs the right, and returns how it is refused.
async fn refused(engine: &Engine, right: &Right, number: usize) -> String {
    let (caller, action, _) = right;
    let application = format!("taken-{number}");
    let policy = json!({ "retention": { "keep_last": 2 } });
    match (caller.as_str(), action.as_str()) {
        // Looked at only when a snapshot is refused.
        ("create-snapshot", "kinesisanalytics:ListApplicationSnapshots") => {
            let scenario = Scenario::on(engine, &application).await;
            scenario.behave(|behaviour| behaviour.downtime = true);
            error_of(&scenario, policy).await
        }
        // Looked at only when a deletion is refused.
        ("prune-snapshots", "kinesisanalytics:DescribeApplicationSnapshot") => {
            let scenario = Scenario::on(engine, &application).await;
            let old = scenario.seed(3);
            scenario.behave(|behaviour| {
                let refusal = ServiceError {
                    code: "InvalidRequestException".to_owned(),
                    message: "in use".to_owned(),
                    http_status: 400,
                };
                behaviour.deletes_refused.insert(old[0].clone(), refusal);
            });
            error_of(&scenario, policy).await
        }
        // Needed only for an execution that has failed.
        ("record-and-notify", "states:GetExecutionHistory") => {
            let scenario = Scenario::without_application(engine, &application).await;
            let ended = scenario.execute(json!({})).await;
            let queue_url = &engine.names().failure_queue_url;
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
        return "nothing, the run succeeds".to_owned();
    }
    let (error, message) = ended.error();
    format!("{error}: {message}")
}

#[test]
fn taking_any_one_action_away_fails_with_access_denied_and_names_the_action() {
    run(async {
        let engine = new_engine().await;
        let permissions = engine.proxy().permissions();
        let mut taken = 0;
        for caller in FUNCTIONS {
            // As it is deployed.
            let role = permissions.role(caller).unwrap();
            for right in rights_of(caller, &role) {
                if !crosses_the_proxy(&right) {
                    continue;
                }
                let (_, action, resource) = &right;
                permissions
                    .set(caller, without(&role, action, resource))
                    .unwrap();
                let refused = refused(&engine, &right, taken).await;
                assert!(
                    refused.contains("AccessDenied") && refused.contains(action),
                    "without {action} on {resource}, {caller} is refused: {refused}"
                );
                permissions.set(caller, role.clone()).unwrap();
                taken += 1;
            }
        }
        let all = roles();
        let all = all
            .iter()
            .flat_map(|(caller, role)| rights_of(caller, role));
        assert_eq!(taken, all.filter(crosses_the_proxy).count());
        engine.stop().await;
    });
}

/// The machine invokes without the proxy, so the template alone is looked at.
#[test]
fn the_machine_may_invoke_the_functions_of_its_tasks_and_no_others() {
    let stack = Stack::of("orders").unwrap();
    let definition: Value = serde_json::from_str(&stack.definition().unwrap()).unwrap();
    let called: BTreeSet<&str> = definition["States"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|state| state["Parameters"]["FunctionName"].as_str())
        .collect();
    let allowed = rights_of(STATE_MACHINE, &stack.role("StateMachineRole").unwrap());
    let allowed: BTreeSet<&str> = allowed
        .iter()
        .filter(|(_, action, _)| action == "lambda:InvokeFunction")
        .map(|(_, _, resource)| resource.as_str())
        .collect();
    assert_eq!(allowed, called);
}

#[test]
fn a_stack_may_touch_its_own_application_alone() {
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
        assert!(theirs.names().await.is_empty());

        // Nor does it write rows of another: who it was stands in the error and in the execution's input.
        let record = theirs.record_under("(unknown)", &failed).await;
        assert_eq!(record["outcome"], "FAILED");
        let message = record["error_message"].as_str().unwrap();
        assert!(message.contains("application/theirs"), "{message}");
        assert_eq!(theirs.row_count().await, 0);
        engine.stop().await;
    });
}

#[test]
fn the_rows_of_a_stack_are_its_applications_or_of_unknown() {
    let stack = Stack::of("mine").unwrap();
    let role = stack.function_roles().unwrap()["record-and-notify"].clone();
    let permissions = engine::permissions::Permissions::default();
    permissions.set("record-and-notify", role).unwrap();
    for (key, allowed) in [
        ("mine", true),
        ("(unknown)", true),
        ("theirs", false),
        ("min", false),
    ] {
        let access = Access {
            action: "dynamodb:UpdateItem".to_owned(),
            resource: "arn:aws:dynamodb:eu-central-2:123456789012:table/snapshot_manager_status"
                .to_owned(),
            leading_keys: vec![key.to_owned()],
        };
        let checked = permissions.check("record-and-notify", &access);
        assert_eq!(checked.is_ok(), allowed, "{key}: {checked:?}");
    }
}

#[test]
fn a_denial_says_who_may_not_do_what_to_what() {
    let role = &roles()["describe-snapshot"];
    let permissions = engine::permissions::Permissions::default();
    permissions.set("describe-snapshot", role.clone()).unwrap();
    let access = |action: &str| Access {
        action: action.to_owned(),
        resource: "arn:aws:kinesisanalytics:eu-central-2:123456789012:application/orders"
            .to_owned(),
        leading_keys: Vec::new(),
    };
    let allowed = access("kinesisanalytics:DescribeApplicationSnapshot");
    assert_eq!(permissions.check("describe-snapshot", &allowed), Ok(()));
    assert_eq!(
        permissions.check("describe-snapshot", &access("kinesisanalytics:StopApplication")),
        Err("User: arn:aws:sts::123456789012:assumed-role/snapshot-manager-DescribeSnapshotRole/describe-snapshot \
             is not authorized to perform: kinesisanalytics:StopApplication on resource: \
             arn:aws:kinesisanalytics:eu-central-2:123456789012:application/orders because no \
             identity-based policy allows the kinesisanalytics:StopApplication action"
            .to_owned())
    );
}
