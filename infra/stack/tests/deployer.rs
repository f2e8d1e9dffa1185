//! The policy for the person or pipeline that deploys the template. It covers every resource, and allows nothing that
//! the resources do not need.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde::Serialize;
use serde_json::{Value, json};
use stack::STACK;
use stack::template::{Deployment, TEMPLATE, Template};

/// The actions of the deployer on resources of a type. CloudFormation calls them in the name of the deployer.
struct Row {
    kind: &'static str,
    service: &'static str,
    /// The actions, without the prefix of the service.
    actions: &'static str,
    /// The ARNs of the resources, without the partition. `STACK` stands for the beginning of the names that
    /// CloudFormation generates. Empty if the actions take no resource.
    resources: &'static [&'static str],
}

/// The actions come from CloudFormation's schemas of the types (`handlers` and `tagging`). Actions for properties that
/// the template does not set are left out.
///
/// The names that CloudFormation generates for state machines and dashboards begin with the logical id. All others
/// begin with the name of the stack.
#[rustfmt::skip]
const ROWS: [Row; 19] = [
    Row { kind: "AWS::CloudWatch::Alarm", service: "cloudwatch",
        actions: "DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource",
        resources: &["cloudwatch:REGION:ACCOUNT:alarm:STACK-*"] },
    Row { kind: "AWS::CloudWatch::Dashboard", service: "cloudwatch",
        actions: "DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource",
        resources: &["cloudwatch::ACCOUNT:dashboard/Dashboard-*", "cloudwatch::ACCOUNT:dashboard/STACK-*"] },
    Row { kind: "AWS::DynamoDB::Table", service: "dynamodb",
        actions: "CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy ListTagsOfResource TagResource UntagResource UpdateContinuousBackups UpdateTable UpdateTimeToLive",
        resources: &["dynamodb:REGION:ACCOUNT:table/TABLE"] },
    Row { kind: "AWS::Events::Rule", service: "events",
        actions: "DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets RemoveTargets TagResource UntagResource",
        resources: &["events:REGION:ACCOUNT:rule/STACK-*"] },
    Row { kind: "AWS::IAM::Role", service: "iam",
        actions: "CreateRole DeleteRole DeleteRolePermissionsBoundary GetRole ListAttachedRolePolicies ListRolePolicies ListRoleTags PutRolePermissionsBoundary TagRole UntagRole UpdateAssumeRolePolicy UpdateRole",
        resources: &["iam::ACCOUNT:role/STACK-*"] },
    Row { kind: "AWS::IAM::RolePolicy", service: "iam",
        actions: "DeleteRolePolicy GetRolePolicy PutRolePolicy",
        resources: &["iam::ACCOUNT:role/STACK-*"] },
    Row { kind: "AWS::KMS::Key", service: "kms",
        actions: "DescribeKey EnableKeyRotation GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion TagResource UntagResource UpdateKeyDescription",
        resources: &["kms:REGION:ACCOUNT:key/*"] },
    Row { kind: "AWS::Lambda::EventInvokeConfig", service: "lambda",
        actions: "DeleteFunctionEventInvokeConfig GetFunctionEventInvokeConfig PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig",
        resources: &["lambda:REGION:ACCOUNT:function:STACK-*"] },
    Row { kind: "AWS::Lambda::Function", service: "lambda",
        actions: "CreateFunction DeleteFunction GetFunction GetFunctionCodeSigningConfig GetFunctionRecursionConfig GetRuntimeManagementConfig ListTags TagResource UntagResource UpdateFunctionCode UpdateFunctionConfiguration",
        resources: &["lambda:REGION:ACCOUNT:function:STACK-*"] },
    Row { kind: "AWS::Lambda::Permission", service: "lambda",
        actions: "AddPermission GetPolicy RemovePermission",
        resources: &["lambda:REGION:ACCOUNT:function:STACK-*"] },
    Row { kind: "AWS::Logs::LogGroup", service: "logs",
        actions: "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey GetDataProtectionPolicy ListTagsForResource PutRetentionPolicy TagResource UntagResource",
        resources: &["logs:REGION:ACCOUNT:log-group:STACK-*"] },
    Row { kind: "AWS::SNS::Subscription", service: "sns",
        actions: "Subscribe",
        resources: &["sns:REGION:ACCOUNT:STACK-*"] },
    Row { kind: "AWS::SNS::Topic", service: "sns",
        actions: "CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource SetTopicAttributes TagResource UntagResource",
        resources: &["sns:REGION:ACCOUNT:STACK-*"] },
    Row { kind: "AWS::SQS::Queue", service: "sqs",
        actions: "CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags TagQueue UntagQueue",
        resources: &["sqs:REGION:ACCOUNT:STACK-*"] },
    Row { kind: "AWS::SQS::QueuePolicy", service: "sqs",
        actions: "SetQueueAttributes",
        resources: &["sqs:REGION:ACCOUNT:STACK-*"] },
    Row { kind: "AWS::Scheduler::Schedule", service: "scheduler",
        actions: "CreateSchedule DeleteSchedule GetSchedule UpdateSchedule",
        resources: &["scheduler:REGION:ACCOUNT:schedule/default/STACK-*"] },
    Row { kind: "AWS::StepFunctions::StateMachine", service: "states",
        actions: "CreateStateMachine DeleteStateMachine DescribeStateMachine ListTagsForResource TagResource UntagResource UpdateStateMachine",
        resources: &["states:REGION:ACCOUNT:stateMachine:STACK-*", "states:REGION:ACCOUNT:stateMachine:StateMachine-*"] },
    // These do not belong to a resource of the template: the stack itself, SAM's transform, and the artifacts.
    Row { kind: "Stack", service: "cloudformation",
        actions: "CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents DescribeStacks ExecuteChangeSet GetTemplate GetTemplateSummary ListStackResources TagResource",
        resources: &["cloudformation:REGION:ACCOUNT:stack/STACK/*", "cloudformation:REGION:aws:transform/Serverless-2016-10-31"] },
    Row { kind: "Artifacts", service: "s3",
        actions: "GetObject GetObjectVersion PutObject",
        resources: &["s3:::<BUCKET>/*"] },
];

/// Actions that CloudFormation needs, and that take no resource.
const OF_NO_RESOURCE: [&str; 9] = [
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "kms:CreateKey",
    "logs:DescribeIndexPolicies",
    "logs:DescribeLogGroups",
    "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes",
    "sns:Unsubscribe",
];

/// The services to which the deployer passes a role of the stack.
const PASSED_TO: [&str; 3] = [
    "lambda.amazonaws.com",
    "scheduler.amazonaws.com",
    "states.amazonaws.com",
];

/// The character limit of a managed policy. White space does not count.
const POLICY_LIMIT: usize = 6_144;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: &'static str,
    action: Vec<String>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    condition: Value,
}

fn statement(sid: &str, action: Vec<String>, resources: &[&str]) -> Statement {
    let arn = |resource: &&str| {
        let of_the_stack = resource
            .replace("REGION", "<REGION>")
            .replace("ACCOUNT", "<ACCOUNT_ID>")
            .replace("TABLE", "snapshot_manager_status")
            .replace("STACK", STACK);
        match *resource {
            "*" => of_the_stack,
            _ => format!("arn:aws:{of_the_stack}"),
        }
    };
    Statement {
        sid: sid.replace("::", ""),
        effect: "Allow",
        action,
        resource: resources.iter().map(arn).collect(),
        condition: Value::Null,
    }
}

/// A policy with a statement for each service. The Sid of the statement names the types of the resources.
fn policy() -> Policy {
    let mut statements: Vec<Statement> = Vec::new();
    for row in &ROWS {
        let kind = row.kind.trim_start_matches("AWS::");
        let actions = row.actions.split(' ');
        let actions = actions.map(|action| format!("{}:{action}", row.service));
        let mut statement = statement(kind, actions.collect(), row.resources);
        if row.kind == "AWS::KMS::Key" {
            // The ARN of a key has no name that could restrict it.
            let through = json!({ "aws:CalledVia": "cloudformation.amazonaws.com" });
            statement.condition = json!({ "ForAnyValue:StringEquals": through });
        }
        let prefix = format!("{}:", row.service);
        let last = statements.last_mut();
        if let Some(same) = last.filter(|last| last.action[0].starts_with(&prefix)) {
            same.sid = format!("{}And{}", same.sid, statement.sid);
            same.action.append(&mut statement.action);
            same.action.sort();
            same.action.dedup();
            same.resource.append(&mut statement.resource);
            same.resource.dedup();
        } else {
            statements.push(statement);
        }
    }
    let free = OF_NO_RESOURCE.map(str::to_owned).to_vec();
    statements.push(statement("OfNoResource", free, &["*"]));
    let pass = vec!["iam:PassRole".to_owned()];
    let mut pass = statement("PassRole", pass, &["iam::ACCOUNT:role/STACK-*"]);
    pass.condition = json!({ "StringEquals": { "iam:PassedToService": PASSED_TO } });
    statements.push(pass);
    Policy {
        version: "2012-10-17",
        statement: statements,
    }
}

/// The types of the template's resources after SAM's translation. `cargo xtask check` compares the policy with SAM's
/// own translation.
fn types() -> BTreeSet<String> {
    let template = Template::read(TEMPLATE, Deployment::default()).unwrap();
    let mut types = BTreeSet::new();
    for resource in template.document()["Resources"]
        .as_object()
        .unwrap()
        .values()
    {
        let translated: &[&str] = match resource["Type"].as_str().unwrap() {
            "AWS::Serverless::Function" => {
                &["AWS::Lambda::Function", "AWS::Lambda::EventInvokeConfig"]
            }
            "AWS::Serverless::StateMachine" => &[
                "AWS::StepFunctions::StateMachine",
                "AWS::Scheduler::Schedule",
            ],
            other => &[other],
        };
        types.extend(translated.iter().map(|&kind| kind.to_owned()));
    }
    types
}

#[test]
fn the_deployers_policy_covers_every_resource_of_the_template() {
    let rows = ROWS.iter().map(|row| row.kind.to_owned());
    let rows: BTreeSet<String> = rows.filter(|kind| kind.contains("::")).collect();
    let types = types();
    let (missing, unused): (Vec<_>, Vec<_>) = (
        types.difference(&rows).collect(),
        rows.difference(&types).collect(),
    );
    assert!(
        missing.is_empty() && unused.is_empty(),
        "add rows for {missing:?} to ROWS in infra/stack/tests/deployer.rs, remove those for {unused:?}, and run \
         UPDATE_EXPECT=1 cargo test --test deployer"
    );
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../resources/policies/deployer.json"
    );
    let text = serde_json::to_string_pretty(&policy()).unwrap() + "\n";
    expect_file![file].assert_eq(&text);
}

#[test]
fn the_deployers_policy_is_narrow_and_fits_into_a_managed_policy() {
    let policy = policy();
    for statement in &policy.statement {
        for action in &statement.action {
            assert!(!action.contains('*'), "{action}");
        }
        let is_free = statement.resource == ["*"];
        assert_eq!(
            is_free,
            statement.sid == "OfNoResource",
            "{}",
            statement.sid
        );
    }
    // The Region with the longest name.
    let compact = serde_json::to_string(&policy).unwrap();
    let compact = compact.replace("<REGION>", "ap-southeast-1");
    let length = compact.chars().filter(|c| !c.is_whitespace()).count();
    assert!(length <= POLICY_LIMIT, "{length} characters");
}

#[test]
fn the_deployer_passes_the_roles_to_the_services_that_they_trust() {
    let template = Template::read(TEMPLATE, Deployment::default()).unwrap();
    let resources = template.document()["Resources"].as_object().unwrap();
    let roles = resources
        .values()
        .filter(|it| it["Type"] == "AWS::IAM::Role");
    let trusted = roles.flat_map(|role| {
        let statements = role["Properties"]["AssumeRolePolicyDocument"]["Statement"].as_array();
        statements
            .unwrap()
            .iter()
            .map(|statement| statement["Principal"]["Service"].clone())
    });
    let trusted: BTreeSet<String> = trusted.map(|it| it.as_str().unwrap().to_owned()).collect();
    let passed: BTreeSet<String> = PASSED_TO.map(str::to_owned).into();
    assert_eq!(trusted, passed);
}
