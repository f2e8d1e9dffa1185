//! The roles of the template, enforced: each allows what its caller does, and nothing that it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sfn::types::ExecutionStatus;
use local::engine::Engine;
use local::gateway::STATE_MACHINE;
use local::msf::ServiceError;
use local::permissions::{Access, Role};
use local::stack::{EVERY_APPLICATION, Stack};
use serde_json::{Value, json};
use support::{Scenario, eventually, message_about, new_engine, new_engine_for, run};

/// What is allowed and crosses no gateway, with the reason.
const ELSEWHERE: [(&str, &str); 6] = [
    (
        "logs:",
        "Lambda and Step Functions write the logs themselves",
    ),
    (
        "xray:",
        "Lambda and Step Functions send the traces themselves",
    ),
    ("kms:", "SNS uses the key on behalf of who publishes"),
    // Of the schedule's role: it is not emulated. Its target and input are tested with the template.
    (
        "states:StartExecution",
        "EventBridge Scheduler starts the runs",
    ),
    (
        "schedule/sqs:SendMessage",
        "EventBridge Scheduler sends to its dead-letter queue",
    ),
    // Lambda does it as record-and-notify; the engine does too, but the function's code does not.
    (
        "sqs:SendMessage",
        "Lambda delivers to the failure destination",
    ),
];

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

fn crosses_the_gateway(action: &str) -> bool {
    !ELSEWHERE
        .iter()
        .any(|(elsewhere, _)| action.starts_with(elsewhere))
}

fn roles() -> BTreeMap<String, Role> {
    let stack = Stack::of(EVERY_APPLICATION).unwrap();
    let mut roles = stack.function_roles().unwrap();
    let machine = stack.only("AWS::Serverless::StateMachine").unwrap();
    roles.insert(STATE_MACHINE.to_owned(), stack.role_of(machine).unwrap());
    roles
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
            .map(|(_, action, _)| action)
            .filter(|action| crosses_the_gateway(action))
            .collect();
        let named: BTreeSet<String> = actions.iter().map(|&action| action.to_owned()).collect();
        assert_eq!(allowed, named, "{function}");
    }
}

#[test]
fn an_action_names_no_wildcard_and_a_resource_only_where_there_is_none_to_name() {
    let stack = Stack::of("orders").unwrap();
    for role in stack.template().of_type("AWS::IAM::Role").unwrap() {
        for (role, action, resource) in rights_of(role, &stack.role(role).unwrap()) {
            assert!(!action.contains('*'), "{role}: {action}");
            let unnamed = resource == "*";
            let nameless = action.starts_with("xray:")
                || (action.starts_with("logs:") && role == "StateMachineRole");
            assert_eq!(unnamed, nameless, "{role}: {action} on {resource}");
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
        // Needed only for an event that cannot be handled: here, for want of the history.
        ("record-and-notify", "sqs:SendMessage") => {
            let permissions = engine.gateway().permissions();
            let role = permissions.role(caller).unwrap();
            let history = rights_of(caller, &role)
                .into_iter()
                .find(|(_, action, _)| action == "states:GetExecutionHistory")
                .unwrap();
            permissions.set(caller, without(&role, &history.1, &history.2));
            let scenario = Scenario::without_application(engine, &application).await;
            scenario.execute(json!({})).await;
            let denial = eventually("the denial", async || {
                let denied = permissions.denied();
                denied.into_iter().find(|denial| denial.contains(action))
            })
            .await;
            format!("AccessDenied: {denial}")
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
        let mut taken = 0;
        for (caller, role) in roles() {
            for right in rights_of(&caller, &role) {
                let (_, action, resource) = &right;
                if !crosses_the_gateway(action) && action != "sqs:SendMessage" {
                    continue;
                }
                let permissions = engine.gateway().permissions();
                permissions.set(&caller, without(&role, action, resource));
                let refused = refused(&engine, &right, taken).await;
                assert!(
                    refused.contains("AccessDenied") && refused.contains(action),
                    "without {action} on {resource}, {caller} is refused: {refused}"
                );
                permissions.set(&caller, role.clone());
                taken += 1;
            }
        }
        // Four calls of create, one of describe, four of prune, four of record, four functions.
        assert_eq!(taken, 17);
        engine.stop().await;
    });
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
        engine.stop().await;
    });
}

#[test]
fn a_denial_says_who_may_not_do_what_to_what() {
    let role = &roles()["describe-snapshot"];
    let permissions = local::permissions::Permissions::default();
    permissions.set("describe-snapshot", role.clone());
    let access = |action: &str| Access {
        action: action.to_owned(),
        resource: "arn:aws:kinesisanalytics:eu-central-2:123456789012:application/orders"
            .to_owned(),
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
    let nobody = permissions.check("a person", &access("kinesisanalytics:StopApplication"));
    assert_eq!(nobody, Ok(()));
}
