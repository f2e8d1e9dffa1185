//! Deployments of the stack with `CloudFormation`: differences from the template, an update from the last release, an
//! existing table, a refused deployment, and a deletion.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sfn::types::ExecutionStatus;
use engine::Engine;
use engine::differences::{DIFFERENCES, Difference, local_template};
use engine::ministack::DeploymentSpec;
use serde_json::{Value, json};
use stack::template::{Deployment, Template};
use stack::{ACCOUNT, EVERY_APPLICATION, REGION, Stack};
use support::{Scenario, engine, eventually, new_engine, run};

const TEMPLATE_0_1_0: &str = include_str!("../../../resources/releases/0.1.0/template.yaml");
const DEFINITION_0_1_0: &str =
    include_str!("../../../resources/releases/0.1.0/snapshot-manager.asl.json");

/// The deployment of another stack, with another value of one parameter.
fn with(spec: &DeploymentSpec, stack: &str, parameter: &str, value: &str) -> DeploymentSpec {
    let mut work = spec.clone();
    stack.clone_into(&mut work.stack);
    let (parameter, value) = (parameter.to_owned(), value.to_owned());
    work.parameters.insert(parameter, value);
    work
}

#[test]
fn the_local_deployment_differs_from_the_template_only_as_listed() {
    run(async {
        // The list must not grow. Remove an entry when MiniStack supports the feature.
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
        let template = stack.template();
        let deployed = &engine().await.deployment_spec().template;
        assert_eq!(
            &without_differences(deployed, template),
            template.document()
        );

        let resources = template.document()["Resources"].as_object().unwrap();
        let types: BTreeSet<&str> = resources
            .values()
            .map(|resource| resource["Type"].as_str().unwrap())
            .collect();
        // `of_type` leaves out the resources whose condition is false.
        let ids = types
            .into_iter()
            .flat_map(|it| template.of_type(it).unwrap());
        let deployed = &engine().await.deployed().resources;
        let missing: BTreeSet<&str> = ids.filter(|id| !deployed.contains_key(*id)).collect();
        let left_out = BTreeSet::from(["SnapshotQuotaAlarm", "FunctionErrorsAlarm"]);
        assert_eq!(missing, left_out);
    });
}

/// Undoes each of the listed differences in a local template.
fn without_differences(local: &Value, template: &Template) -> Value {
    let (mut local, document) = (local.clone(), template.document());
    // deploy.py gives each function the location of its own code.
    let globals = local["Globals"]["Function"].as_object_mut().unwrap();
    assert_eq!(globals.insert("CodeUri".to_owned(), "..".into()), None);
    for (name, difference) in DIFFERENCES {
        match difference {
            Difference::NoMetricMath => {
                let alarm = document["Resources"][name].clone();
                assert!(alarm["Properties"]["Metrics"].is_array(), "{name}");
                let resources = local["Resources"].as_object_mut().unwrap();
                assert_eq!(resources.insert(name.to_owned(), alarm), None);
            }
            Difference::NoRolePolicy => {
                let policy = &mut local["Resources"][name];
                assert_eq!(policy["Type"], "AWS::IAM::Policy");
                policy["Type"] = "AWS::IAM::RolePolicy".into();
                let properties = policy["Properties"].as_object_mut().unwrap();
                let roles = properties.remove("Roles").unwrap();
                let [role] = roles.as_array().unwrap().as_slice() else {
                    panic!("{roles}");
                };
                properties.insert("RoleName".to_owned(), role.clone());
            }
            Difference::AnyApplication => {
                let pattern = document["Parameters"][name]["AllowedPattern"].clone();
                let parameter = local["Parameters"][name].as_object_mut().unwrap();
                assert_eq!(parameter.insert("AllowedPattern".to_owned(), pattern), None);
            }
        }
    }
    local
}

#[test]
fn an_update_from_the_last_release_keeps_the_rows_and_a_run_in_progress() {
    run(async {
        let mut engine = new_engine().await;
        let name = "released";
        let current = with(
            engine.deployment_spec(),
            name,
            "TableName",
            "of_the_last_release",
        );
        let deployment = Deployment {
            stack: name.to_owned(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            parameters: BTreeMap::new(),
        };
        let template = Template::read(TEMPLATE_0_1_0, deployment).unwrap();
        let mut parameters = current.parameters.clone();
        // The last release takes an empty address to mean no address.
        parameters.retain(|_, value| value != "none");
        let released = DeploymentSpec {
            template: local_template(&template),
            parameters,
            definitions: [("StateMachine".to_owned(), DEFINITION_0_1_0.to_owned())].into(),
            ..current.clone()
        };
        engine.deploy(released).await.unwrap();
        let machine = engine.connection().state_machine_arn.clone();
        let scenario = Scenario::on(&engine, "updated").await;
        let (done, old_row) = scenario.succeed("SUCCEEDED", json!({})).await;
        let input = json!({ "poll_interval_seconds": 100 });
        let in_progress = scenario.start(input, 1).await;
        scenario.until_state(&in_progress, "WaitForSnapshot").await;

        drop(scenario);
        // CloudFormation refuses an update that changes nothing, so one parameter always changes.
        let update = with(&current, name, "LogRetentionDays", "30");
        engine.deploy(update).await.unwrap();
        assert_eq!(engine.connection().state_machine_arn, machine);
        let scenario = Scenario::without_application(&engine, "updated").await;
        let row = scenario.row("updated", done.run_id).await;
        assert_eq!(row, Some(old_row), "the table is the same");
        let finished = scenario.ended(&in_progress).await;
        assert_eq!(finished.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&finished).await["outcome"], "SUCCEEDED");
        scenario.succeed("SUCCEEDED", json!({})).await;
        engine.stop().await;
    });
}

#[test]
fn a_rule_of_the_template_refuses_a_deployment_with_its_description() {
    run(async {
        const KEY: &str = "arn:aws:kms:eu-central-2:123456789012:key/1234abcd";
        const TOPIC: &str = "arn:aws:sns:eu-central-2:123456789012:ours";
        /// A Rule, the number of its assertion, and parameters that break the assertion.
        type Case = (&'static str, usize, &'static [(&'static str, &'static str)]);
        let mut engine = new_engine().await;
        let rules = engine.deployment_spec().template["Rules"]
            .as_object()
            .unwrap()
            .clone();
        let cases: [Case; 10] = [
            ("RetentionKeepsSomething", 0, &[("KeepLast", "null")]),
            (
                "RunsAreCloserThanMaxHoursWithoutSnapshot",
                0,
                &[("MaxHoursWithoutSnapshot", "25")],
            ),
            (
                "RunsAreCloserThanMaxHoursWithoutSnapshot",
                1,
                &[("ScheduleWindowMinutes", "61")],
            ),
            ("SomebodyHearsOfRuns", 0, &[("NotificationEmail", "")]),
            (
                "SomebodyHearsOfRuns",
                1,
                &[("NotificationEmail", "a@b"), ("RunTopicArn", TOPIC)],
            ),
            ("SomebodyHearsOfAlarms", 0, &[("AlarmEmail", "")]),
            (
                "SomebodyHearsOfAlarms",
                1,
                &[("AlarmEmail", "a@b"), ("AlarmTopicArn", TOPIC)],
            ),
            ("TableKeyIsOfAnExistingTable", 0, &[("TableKeyArn", KEY)]),
            ("NetworkIsComplete", 0, &[("SubnetIds", "subnet-12345678")]),
            (
                "NetworkIsComplete",
                0,
                &[("SecurityGroupIds", "sg-12345678")],
            ),
        ];
        let covered: BTreeSet<&str> = cases.iter().map(|(rule, ..)| *rule).collect();
        assert_eq!(covered, rules.keys().map(String::as_str).collect());
        for (rule, assertion, parameters) in cases {
            let mut refused = engine.deployment_spec().clone();
            "refused".clone_into(&mut refused.stack);
            for (name, value) in parameters {
                let value = (*value).to_owned();
                refused.parameters.insert((*name).to_owned(), value);
            }
            let error = format!("{:#}", engine.deploy(refused).await.unwrap_err());
            let assertion = &rules[rule]["Assertions"][assertion];
            let description = assertion["AssertDescription"].as_str().unwrap();
            assert!(error.contains(description), "{error}");
        }
        engine.stop().await;
    });
}

#[test]
fn a_second_stack_writes_into_an_existing_table_and_announces_to_an_existing_topic() {
    run(async {
        let mut engine = new_engine().await;
        let sns = aws_sdk_sns::Client::new(&engine.connection().sdk_config());
        let topic = sns.create_topic().name("ours").send().await.unwrap();
        let topic = topic.topic_arn.unwrap();
        let existing = with(engine.deployment_spec(), "announced", "RunTopicArn", &topic);
        let existing = with(&existing, "announced", "CreateTable", "false");
        engine.deploy(existing).await.unwrap();
        for existing in ["StatusTable", "RunTopic"] {
            assert!(!engine.deployed().resources.contains_key(existing));
        }
        assert_eq!(engine.connection().topic_arn, topic);
        let scenario = Scenario::on(&engine, "announced").await;
        scenario.succeed("SUCCEEDED", json!({})).await;
        let (subject, _) = scenario.notification().await;
        assert_eq!(subject, "announced: SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn a_deletion_keeps_the_table_and_its_rows() {
    run(async {
        let engine = new_engine().await;
        let scenario = Scenario::on(&engine, "deleted").await;
        let (done, row) = scenario.succeed("SUCCEEDED", json!({})).await;
        delete_stack(&engine).await;
        assert_eq!(scenario.row("deleted", done.run_id).await, Some(row));
        let machine = &engine.connection().state_machine_arn;
        let sfn = aws_sdk_sfn::Client::new(&engine.connection().sdk_config());
        let described = sfn.describe_state_machine().state_machine_arn(machine);
        assert!(described.send().await.is_err(), "the machine is gone");
        engine.stop().await;
    });
}

#[test]
fn after_a_client_updates_the_stack_the_functions_have_the_permissions_of_the_update() {
    run(async {
        let engine = new_engine().await;
        let scenario = Scenario::on(&engine, "encrypted").await;
        let key =
            format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
        scenario.encrypt(&key).await;
        let refused = scenario.execute(json!({})).await;
        assert_eq!(refused.error().0, "AccessDenied");

        let kept = engine
            .deployment_spec()
            .parameters
            .keys()
            .enumerate()
            .map(|(n, name)| {
                let parameter = format!("&Parameters.member.{}", n + 2);
                format!("{parameter}.ParameterKey={name}{parameter}.UsePreviousValue=true")
            });
        let given = "&Parameters.member.1.ParameterKey=ApplicationKeyArn&Parameters.member.1.ParameterValue=";
        let update = format!(
            "UpdateStack&UsePreviousTemplate=true{given}{key}{}",
            kept.collect::<String>()
        );
        let updating = cloudformation(&engine, &update).await;
        assert!(updating.status().is_success());
        eventually("the end of the update", async || {
            let described = cloudformation(&engine, "DescribeStacks").await;
            let described = described.text().await.unwrap();
            described.contains("UPDATE_COMPLETE").then_some(())
        })
        .await;
        let taken = scenario.execute(json!({})).await;
        assert_eq!(taken.status, ExecutionStatus::Succeeded);
        engine.stop().await;
    });
}

async fn cloudformation(engine: &Engine, action: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(&engine.connection().endpoint)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/cloudformation/aws4_request, SignedHeaders=host, Signature=none"))
        .body(format!(
            "Action={action}&Version=2010-05-15&StackName={}",
            engine.deployment_spec().stack
        ));
    request.send().await.unwrap()
}

async fn delete_stack(engine: &Engine) {
    let deleted = cloudformation(engine, "DeleteStack").await;
    assert!(deleted.status().is_success());
    eventually("the end of the stack", async || {
        let described = cloudformation(engine, "DescribeStacks").await;
        if described.status().is_success() {
            let text = described.text().await.unwrap();
            assert!(!text.contains("DELETE_FAILED"), "{text}");
            return text.contains("DELETE_COMPLETE").then_some(());
        }
        Some(())
    })
    .await;
}
