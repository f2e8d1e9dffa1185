//! The deployment itself, by `CloudFormation`: what differs locally, an update from the last release, a table that is there
//! already, what is refused, and what a deletion leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::ExecutionStatus;
use engine::differences::{DIFFERENCES, Difference, local_template};
use engine::engine::Engine;
use engine::ministack::Work;
use serde_json::json;
use stack::template::{Deployment, Template};
use stack::{ACCOUNT, EVERY_APPLICATION, REGION, Stack};
use support::{Scenario, engine, eventually, new_engine, run};

/// The last release.
const TEMPLATE_0_1_0: &str = include_str!("../../../resources/releases/0.1.0/template.yaml");
const DEFINITION_0_1_0: &str =
    include_str!("../../../resources/releases/0.1.0/snapshot-manager.asl.json");

/// The work with other values of parameters.
fn with(work: &Work, parameters: &[(&str, &str)]) -> Work {
    let mut work = work.clone();
    let parameters = parameters.iter();
    let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    work.parameters.extend(parameters);
    work
}

#[test]
fn the_local_deployment_differs_from_the_template_in_these_things_alone() {
    run(async {
        // It is not to grow. Whatever MiniStack learns leaves it.
        assert_eq!(
            DIFFERENCES,
            [
                ("SnapshotQuotaAlarm", Difference::NoMetricMath),
                ("FunctionErrorsAlarm", Difference::NoMetricMath),
                ("RecordAndNotifyHistoryPolicy", Difference::NoRolePolicy),
                ("ApplicationName", Difference::AnyApplication),
            ]
        );
        let stack = Stack::of(EVERY_APPLICATION).unwrap();
        let resources = stack.template().document()["Resources"].as_object();
        let mut expected: BTreeSet<&str> = BTreeSet::new();
        for (id, resource) in resources.unwrap() {
            let is_there = stack.template().of_type(resource["Type"].as_str().unwrap());
            if is_there.unwrap().contains(&id.as_str()) {
                expected.insert(id);
            }
        }
        for (id, difference) in DIFFERENCES {
            if difference == Difference::NoMetricMath {
                assert!(expected.remove(id), "{id}");
            }
        }
        let deployed = &engine().await.deployed().resources;
        let missing: Vec<_> = expected
            .iter()
            .filter(|id| !deployed.contains_key(**id))
            .collect();
        assert!(missing.is_empty(), "{missing:?} are not deployed");
    });
}

#[test]
fn an_update_from_the_last_release_keeps_the_rows_and_a_run_under_way() {
    run(async {
        let mut engine = new_engine().await;
        let current = with(engine.work(), &[("TableName", "of_the_last_release")]);
        let released = Template::read(
            TEMPLATE_0_1_0,
            Deployment {
                stack: "released".to_owned(),
                region: REGION.to_owned(),
                account: ACCOUNT.to_owned(),
                parameters: BTreeMap::new(),
            },
        );
        let released = Work {
            stack: "released".to_owned(),
            template: local_template(&released.unwrap()),
            definitions: [("StateMachine".to_owned(), DEFINITION_0_1_0.to_owned())].into(),
            ..current.clone()
        };
        engine.deploy(released).await.unwrap();
        let machine = engine.names().state_machine_arn.clone();
        let scenario = Scenario::on(&engine, "updated").await;
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        let old_row = scenario.record(&done).await;
        let input = json!({ "poll_interval_seconds": 100 });
        let under_way = scenario.start(input, 1).await;
        scenario.until_state(&under_way, "WaitForSnapshot").await;

        drop(scenario);
        // One parameter changes in any case: an update without a change is refused.
        let mut update = with(&current, &[("LogRetentionDays", "30")]);
        update.stack = "released".to_owned();
        engine.deploy(update).await.unwrap();
        assert_eq!(engine.names().state_machine_arn, machine);
        let scenario = Scenario::without_application(&engine, "updated").await;
        let row = scenario.row("updated", done.run_id).await;
        assert_eq!(row, Some(old_row), "the table is the same");
        let finished = scenario.ended(&under_way).await;
        assert_eq!(finished.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&finished).await["outcome"], "SUCCEEDED");
        let next = scenario.execute(json!({})).await;
        assert_eq!(next.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&next).await["outcome"], "SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn a_second_stack_writes_into_the_table_that_is_there() {
    run(async {
        let mut engine = new_engine().await;
        let mut second = with(engine.work(), &[("CreateTable", "false")]);
        second.stack = "second".to_owned();
        engine.deploy(second).await.unwrap();
        assert!(!engine.deployed().resources.contains_key("StatusTable"));
        let scenario = Scenario::on(&engine, "second").await;
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&done).await["outcome"], "SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn what_a_rule_of_the_template_forbids_is_refused_with_its_description() {
    run(async {
        let mut engine = new_engine().await;
        let cases: [(&str, &[(&str, &str)]); 1] =
            [("RetentionKeepsSomething", &[("KeepLast", "null")])];
        let rules = engine.work().template["Rules"].as_object().unwrap().clone();
        let proved: BTreeSet<&str> = cases.iter().map(|(rule, _)| *rule).collect();
        assert_eq!(proved, rules.keys().map(String::as_str).collect());
        for (rule, parameters) in cases {
            let mut refused = with(engine.work(), parameters);
            refused.stack = "refused".to_owned();
            let why = engine.deploy(refused).await.unwrap_err();
            let description = &rules[rule]["Assertions"][0]["AssertDescription"];
            assert!(why.contains(description.as_str().unwrap()), "{rule}: {why}");
        }
        engine.stop().await;
    });
}

#[test]
fn a_deletion_leaves_the_table_and_its_rows() {
    run(async {
        let engine = new_engine().await;
        let scenario = Scenario::on(&engine, "deleted").await;
        let done = scenario.execute(json!({})).await;
        let row = scenario.record(&done).await;
        delete_stack(&engine).await;
        assert_eq!(scenario.row("deleted", done.run_id).await, Some(row));
        let machine = &engine.names().state_machine_arn;
        let sfn = aws_sdk_sfn::Client::new(&engine.names().sdk_config());
        let described = sfn.describe_state_machine().state_machine_arn(machine);
        assert!(described.send().await.is_err(), "the machine is gone");
        // And a stack that is made anew can have the table again.
        let dynamodb = aws_sdk_dynamodb::Client::new(&engine.names().sdk_config());
        let rows = dynamodb.scan().table_name(&engine.names().table);
        let rows = rows.send().await.unwrap();
        assert!(
            rows.items()
                .iter()
                .any(|row| { row["app_name"] == AttributeValue::S("deleted".to_owned()) })
        );
        engine.stop().await;
    });
}

async fn delete_stack(engine: &Engine) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |action: &str| {
        let request = client
            .post(&engine.names().endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/cloudformation/aws4_request, SignedHeaders=host, Signature=none"))
            .body(format!(
                "Action={action}&Version=2010-05-15&StackName={}",
                engine.work().stack
            ));
        request.send().await.unwrap()
    };
    assert!(call("DeleteStack").await.status().is_success());
    eventually("the end of the stack", async || {
        let described = call("DescribeStacks").await;
        if described.status().is_success() {
            let text = described.text().await.unwrap();
            assert!(!text.contains("DELETE_FAILED"), "{text}");
            return text.contains("DELETE_COMPLETE").then_some(());
        }
        Some(())
    })
    .await;
}
