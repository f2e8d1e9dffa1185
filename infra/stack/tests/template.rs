//! What the template promises, and what is generated from it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use contract::{AuditRecord, Retention, RunInput};
use expect_test::expect_file;
use record_and_notify::metrics::{METRICS, NAMESPACE, RUNS};
use regex_lite::Regex;
use schemars::schema_for;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::Role;
use stack::Stack;
use stack::template::{Deployment, TEMPLATE, Template};

/// The template with parameters beside the application's name.
fn deployed(parameters: &[(&str, &str)]) -> Template {
    let all = [("ApplicationName", "orders")];
    let all = all.iter().chain(parameters);
    Template::read(
        TEMPLATE,
        Deployment {
            stack: "snapshot-manager".to_owned(),
            region: "eu-central-2".to_owned(),
            account: "123456789012".to_owned(),
            parameters: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        },
    )
    .unwrap()
}

fn resources(template: &Template) -> Vec<(String, Value)> {
    let all = template.document()["Resources"].as_object().unwrap();
    all.iter()
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect()
}

fn schedule(template: &Template) -> Value {
    template.properties("StateMachine").unwrap()["Events"]["Schedule"]["Properties"].clone()
}

#[test]
fn everything_resolves_with_the_application_alone_and_with_every_parameter_given() {
    let given = [
        ("NotificationEmail", "a@example.com"),
        ("AlarmEmail", "b@example.com"),
        ("CreateTable", "false"),
        ("MaxHoursWithoutSnapshot", "0"),
        ("RecordRetentionDays", "400"),
    ];
    for parameters in [&[][..], &given[..]] {
        let template = deployed(parameters);
        for (id, _) in resources(&template) {
            template.properties(&id).unwrap();
        }
        for output in template.document()["Outputs"].as_object().unwrap().keys() {
            assert!(!template.output(output).unwrap().contains("${"), "{output}");
        }
    }
}

#[test]
fn conditions_leave_out_what_is_not_wanted() {
    let count =
        |parameters: &[(&str, &str)], kind: &str| deployed(parameters).of_type(kind).unwrap().len();
    let table = "AWS::DynamoDB::Table";
    assert_eq!(count(&[], table), 1);
    assert_eq!(count(&[("CreateTable", "false")], table), 0);
    let subscription = "AWS::SNS::Subscription";
    assert_eq!(count(&[], subscription), 0);
    assert_eq!(count(&[("NotificationEmail", "a@b")], subscription), 1);
    assert_eq!(count(&[("AlarmEmail", "a@b")], subscription), 1);
    let alarm = "AWS::CloudWatch::Alarm";
    for silent in [
        ("MaxHoursWithoutSnapshot", "0"),
        ("ScheduleState", "DISABLED"),
        ("Mode", "PLAN"),
    ] {
        assert_eq!(count(&[silent], alarm) + 1, count(&[], alarm), "{silent:?}");
    }
}

#[test]
fn every_parameter_is_described_and_bounded_and_only_the_application_is_required() {
    for (name, parameter) in deployed(&[]).document()["Parameters"].as_object().unwrap() {
        assert!(parameter["Description"].is_string(), "{name}");
        let default = match &parameter["Default"] {
            Value::Null => {
                assert_eq!(name, "ApplicationName");
                continue;
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_allowed = if let Some(pattern) = parameter["AllowedPattern"].as_str() {
            Regex::new(pattern).unwrap().is_match(&default)
        } else if let Some(values) = parameter["AllowedValues"].as_array() {
            let values = values.iter().map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            values.collect::<Vec<_>>().contains(&default)
        } else {
            let bound = |name: &str| parameter[name].as_i64().unwrap();
            (bound("MinValue")..=bound("MaxValue")).contains(&default.parse().unwrap())
        };
        assert!(is_allowed, "{name}: {default}");
    }
}

#[test]
fn a_parameter_takes_what_it_is_meant_for_and_nothing_that_breaks_out_of_it() {
    let template = deployed(&[]);
    for (name, good, bad) in [
        (
            "ApplicationName",
            &["orders", "a.b_c-D1"][..],
            &["", "*", "a b", "a\",\"mode\":\"PLAN"][..],
        ),
        (
            "KeepLast",
            &["1", "30", "null"],
            &["0", "-1", "", "1.5", "5,\"x\":1"],
        ),
        ("MaxDeletionsPerRun", &["25", "null"], &["0", "", "true"]),
        (
            "KeepWithin",
            &["null", "P7D", "PT36H"],
            &["", "7 days", "P7D\",\"x\":\"y", "-P7D"],
        ),
        (
            "KeepNames",
            &["null", "a", "before-upgrade,a.b"],
            &["", "a b", "a,", "a\",\"b"],
        ),
        (
            "ScheduleExpression",
            &[
                "rate(1 day)",
                "cron(0 3 * * ? *)",
                "at(2026-12-01T00:00:00)",
            ],
            &["", "daily", "rate()"],
        ),
        (
            "ScheduleTimezone",
            &["UTC", "Europe/Zurich", "Etc/GMT+5"],
            &["", "Europe Zurich"],
        ),
        (
            "NotificationEmail",
            &["", "a@example.com"],
            &["a", "a b@example.com", "@"],
        ),
        (
            "TableName",
            &["snapshot_manager_status", "a.b"],
            &["ab", "a b", "*"],
        ),
        ("RecordRetentionDays", &["", "1", "400"], &["0", "-1", "x"]),
    ] {
        let pattern = &template.document()["Parameters"][name]["AllowedPattern"];
        let pattern = Regex::new(pattern.as_str().unwrap()).unwrap();
        for value in good {
            assert!(pattern.is_match(value), "{name}: {value}");
        }
        for value in bad {
            assert!(!pattern.is_match(value), "{name}: {value}");
        }
    }
}

#[test]
fn the_schedules_input_is_a_run_input_and_the_start_command_has_the_same() {
    let every_rule = [
        ("Mode", "PRUNE"),
        ("KeepLast", "7"),
        ("KeepHourly", "24"),
        ("KeepDaily", "30"),
        ("KeepWeekly", "8"),
        ("KeepMonthly", "12"),
        ("KeepYearly", "3"),
        ("KeepWithin", "PT36H"),
        ("KeepLastVersions", "4"),
        ("KeepNames", "before-upgrade,a.b_c"),
        ("RetentionTimezone", "Europe/Zurich"),
        ("Scope", "ALL"),
        ("MaxDeletionsPerRun", "50"),
        ("PollIntervalSeconds", "20"),
        ("ReadyTimeoutSeconds", "600"),
        ("NotifyOn", "PROBLEMS"),
    ];
    let nulls = [
        ("KeepLast", "null"),
        ("KeepDaily", "7"),
        ("KeepLastVersions", "null"),
        ("MaxDeletionsPerRun", "null"),
    ];
    for (parameters, expected) in [
        (&[][..], json!({ "application_name": "orders" })),
        (
            &nulls[..],
            json!({ "application_name": "orders", "retention": { "keep_daily": 7 } }),
        ),
        (
            &every_rule[..],
            json!({
                "application_name": "orders", "mode": "PRUNE",
                "retention": {
                    "keep_last": 7, "keep_hourly": 24, "keep_daily": 30, "keep_weekly": 8,
                    "keep_monthly": 12, "keep_yearly": 3, "keep_within": "PT36H",
                    "keep_last_versions": 4, "keep_names": ["before-upgrade", "a.b_c"],
                    "timezone": "Europe/Zurich", "scope": "ALL", "max_deletions_per_run": 50
                },
                "poll_interval_seconds": 20, "ready_timeout_seconds": 600, "notify_on": "PROBLEMS"
            }),
        ),
    ] {
        let template = deployed(parameters);
        let text = schedule(&template)["Input"].clone();
        let text = text.as_str().unwrap();
        let input: RunInput = serde_json::from_str(text).unwrap();
        let expected: RunInput = serde_json::from_value(expected).unwrap();
        assert_eq!(input, expected);
        let command = template.output("StartCommand").unwrap();
        let machine = template.output("StateMachineArn").unwrap();
        assert_eq!(
            command,
            format!(
                "aws stepfunctions start-execution --region eu-central-2 --state-machine-arn {machine} --input '{text}'"
            )
        );
    }
    // Every field of the run input can be set.
    let text = schedule(&deployed(&every_rule))["Input"].clone();
    let fields: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let schema = schema_for!(RunInput);
    let retention = schema_for!(Retention);
    for (set, schema) in [(&fields, &schema), (&fields["retention"], &retention)] {
        let set: BTreeSet<&String> = set.as_object().unwrap().keys().collect();
        let all = schema.get("properties").unwrap().as_object().unwrap();
        assert_eq!(set, all.keys().collect());
    }
}

#[test]
fn the_schedule_starts_the_machine_and_keeps_what_it_could_not_start() {
    let template = deployed(&[]);
    let schedule = schedule(&template);
    assert_eq!(schedule["OmitName"], true, "a second stack has its own");
    assert_eq!(schedule["FlexibleTimeWindow"]["Mode"], "FLEXIBLE");
    let queue = template.arn_of("ScheduleDeadLetterQueue").unwrap();
    assert_eq!(schedule["DeadLetterConfig"]["Arn"], queue);
    assert_eq!(
        schedule["RoleArn"],
        template.arn_of("ScheduleRole").unwrap()
    );
    let role = Stack::of("orders").unwrap().role("ScheduleRole").unwrap();
    let machine = template.arn_of("StateMachine").unwrap();
    assert_eq!(
        role.policies[0]["Statement"],
        json!([
            { "Effect": "Allow", "Action": "states:StartExecution", "Resource": machine },
            { "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue },
        ])
    );
}

#[test]
fn every_function_is_small_traced_logged_and_nameless_and_takes_its_environment_by_reference() {
    let template = deployed(&[]);
    for id in template.of_type("AWS::Serverless::Function").unwrap() {
        let function = template.properties(id).unwrap();
        assert_eq!(function["Runtime"], "provided.al2023", "{id}");
        assert_eq!(function["Architectures"], json!(["arm64"]), "{id}");
        assert_eq!(function["MemorySize"], 128, "{id}");
        assert_eq!(function["Tracing"], "Active", "{id}");
        assert!(function.get("ReservedConcurrentExecutions").is_none());
        let group = function["LoggingConfig"]["LogGroup"].as_str().unwrap();
        let group = group.strip_prefix("snapshot-manager-").unwrap();
        assert_eq!(
            template.properties(group).unwrap()["RetentionInDays"],
            "365"
        );
        let written = &template.document()["Resources"][id];
        assert_eq!(written["Metadata"]["BuildMethod"], "rust-cargolambda");
        let environment = written["Properties"]["Environment"]["Variables"].as_object();
        for (name, value) in environment.into_iter().flatten() {
            assert!(value["Ref"].is_string(), "{id}: {name}");
        }
    }
}

#[test]
fn only_the_table_has_a_name_of_its_own() {
    // Names by which one resource is told of another, or of a policy within its role.
    let told = [
        "RoleName",
        "PolicyName",
        "FunctionName",
        "MetricName",
        "AttributeName",
    ];
    for (id, resource) in resources(&deployed(&[])) {
        let properties = resource["Properties"].as_object().unwrap();
        let named: Vec<&String> = properties
            .keys()
            .filter(|name| *name == "Name" || name.ends_with("Name"))
            .filter(|name| !told.contains(&name.as_str()) && *name != "OmitName")
            .collect();
        if id == "StatusTable" {
            assert_eq!(named, ["TableName"]);
        } else {
            assert!(named.is_empty(), "{id}: {named:?}");
        }
    }
}

#[test]
fn the_table_outlives_the_stack_and_is_keyed_by_the_records_attributes() {
    let template = deployed(&[]);
    let written = &template.document()["Resources"]["StatusTable"];
    for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
        assert_eq!(written[policy], "Retain");
    }
    let table = template.properties("StatusTable").unwrap();
    assert_eq!(table["TableName"], "snapshot_manager_status");
    assert_eq!(table["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(table["SSESpecification"]["SSEEnabled"], true);
    let recovery = &table["PointInTimeRecoverySpecification"];
    assert_eq!(recovery["PointInTimeRecoveryEnabled"], true);
    assert_eq!(table["DeletionProtectionEnabled"], true);
    let schema = schema_for!(AuditRecord);
    let attributes = schema.get("properties").unwrap();
    let ttl = table["TimeToLiveSpecification"]["AttributeName"].as_str();
    assert!(attributes.get(ttl.unwrap()).is_some());
    for key in table["KeySchema"].as_array().unwrap() {
        let name = key["AttributeName"].as_str().unwrap();
        assert!(attributes.get(name).is_some(), "{name}");
    }
}

#[test]
fn the_machine_is_standard_and_logs_and_traces_everything() {
    let machine = deployed(&[]).properties("StateMachine").unwrap();
    assert_eq!(machine["Type"], "STANDARD");
    assert_eq!(machine["Tracing"]["Enabled"], true);
    assert_eq!(machine["Logging"]["Level"], "ALL");
    assert_eq!(machine["Logging"]["IncludeExecutionData"], true);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let path = std::path::Path::new(path).join(machine["DefinitionUri"].as_str().unwrap());
    let definition = std::fs::read_to_string(path).unwrap();
    assert_eq!(definition, stack::definition::DEFINITION);
}

#[test]
fn only_the_services_that_publish_may_use_the_topics_key() {
    let template = deployed(&[]);
    let key = template.properties("TopicKey").unwrap();
    let statements = key["KeyPolicy"]["Statement"].as_array().unwrap();
    let principals: Vec<&Value> = statements.iter().map(|s| &s["Principal"]).collect();
    assert_eq!(
        principals,
        [
            &json!({ "AWS": "arn:aws:iam::123456789012:root" }),
            &json!({ "Service": "cloudwatch.amazonaws.com" }),
        ]
    );
    let condition = &statements[1]["Condition"];
    assert_eq!(
        condition["StringEquals"]["aws:SourceAccount"],
        "123456789012"
    );
    // And of the roles only the one that publishes.
    let stack = Stack::of("orders").unwrap();
    let users: Vec<&str> = template
        .of_type("AWS::IAM::Role")
        .unwrap()
        .into_iter()
        .filter(|role| {
            let Role { policies, .. } = stack.role(role).unwrap();
            policies
                .iter()
                .any(|policy| policy.to_string().contains("kms:"))
        })
        .collect();
    assert_eq!(users, ["RecordAndNotifyRole"]);
    for topic in template.of_type("AWS::SNS::Topic").unwrap() {
        let topic = template.properties(topic).unwrap();
        assert_eq!(
            topic["KmsMasterKeyId"],
            template.name_of("TopicKey").unwrap()
        );
    }
}

/// Namespace, name and dimensions of each metric that the value names, as alarms write them.
fn alarmed(value: &Value, found: &mut Vec<(String, String, Vec<String>)>) {
    if let (Some(namespace), Some(name)) =
        (value["Namespace"].as_str(), value["MetricName"].as_str())
    {
        let dimensions = value["Dimensions"].as_array().unwrap().iter();
        let dimensions = dimensions.map(|dimension| dimension["Name"].as_str().unwrap().to_owned());
        found.push((namespace.to_owned(), name.to_owned(), dimensions.collect()));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| alarmed(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| alarmed(field, found)),
        _ => (),
    }
}

/// The metrics that exist: ours, and AWS's that the template uses, with their dimensions.
fn exists(namespace: &str, name: &str, dimensions: &[String]) -> bool {
    let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
    match (namespace, dimensions.as_slice()) {
        (NAMESPACE, ["ApplicationName"]) => METRICS.iter().any(|metric| metric.name == name),
        (NAMESPACE, ["ApplicationName", "Outcome"]) => name == RUNS.name,
        ("AWS/States", ["StateMachineArn"]) => [
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionThrottled",
        ]
        .contains(&name),
        ("AWS/Lambda", ["FunctionName"]) => ["Errors", "Duration"].contains(&name),
        ("AWS/SQS", ["QueueName"]) => name == "ApproximateNumberOfMessagesVisible",
        _ => false,
    }
}

#[test]
fn every_alarm_is_on_a_metric_that_exists_says_what_to_do_and_tells_the_alarm_topic() {
    let template = deployed(&[]);
    let topic = json!([template.arn_of("AlarmTopic").unwrap()]);
    for id in template.of_type("AWS::CloudWatch::Alarm").unwrap() {
        let alarm = template.properties(id).unwrap();
        let mut metrics = Vec::new();
        alarmed(&alarm, &mut metrics);
        assert!(!metrics.is_empty(), "{id}");
        for (namespace, name, dimensions) in metrics {
            assert!(
                exists(&namespace, &name, &dimensions),
                "{id}: {namespace} {name}"
            );
        }
        assert!(
            alarm["AlarmDescription"].as_str().unwrap().len() > 80,
            "{id}"
        );
        assert_eq!(alarm["AlarmActions"], topic, "{id}");
        // What counts events is over by itself, and would say so though nothing was mended.
        let of_events = id.starts_with("Executions") || id == "FunctionErrorsAlarm";
        let expected = if of_events { &Value::Null } else { &topic };
        assert_eq!(&alarm["OKActions"], expected, "{id}");
    }
}

#[test]
fn silence_is_an_alarm_after_the_hours_that_the_parameter_says() {
    let alarm = deployed(&[("MaxHoursWithoutSnapshot", "6")])
        .properties("NoHealthyRunAlarm")
        .unwrap();
    assert_eq!(alarm["Period"], 3600);
    assert_eq!(alarm["EvaluationPeriods"], "6");
    assert_eq!(alarm["DatapointsToAlarm"], "6");
    assert_eq!(alarm["TreatMissingData"], "breaching");
    assert_eq!(alarm["ComparisonOperator"], "LessThanThreshold");
    assert_eq!(alarm["Threshold"], 1);
}

#[test]
fn the_quota_alarm_is_at_80_per_cent_of_the_parameter() {
    let alarm = deployed(&[("SnapshotQuota", "500")])
        .properties("SnapshotQuotaAlarm")
        .unwrap();
    assert_eq!(alarm["Metrics"][0]["Expression"], "100 * total / 500");
    assert_eq!(alarm["Threshold"], 80);
}

#[test]
fn the_dashboard_shows_metrics_that_exist_and_every_dead_letter_queue_has_an_alarm() {
    let template = deployed(&[]);
    let dashboard = template.properties("Dashboard").unwrap();
    let body: Value = serde_json::from_str(dashboard["DashboardBody"].as_str().unwrap()).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for widget in widgets.iter().filter(|widget| widget["type"] == "metric") {
        let title = &widget["properties"]["title"];
        for metric in widget["properties"]["metrics"].as_array().unwrap() {
            let texts: Vec<String> = metric
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|part| part.as_str().map(str::to_owned))
                .collect();
            let [namespace, name, dimensions @ ..] = texts.as_slice() else {
                continue;
            };
            let dimensions: Vec<String> = dimensions.iter().step_by(2).cloned().collect();
            assert!(
                exists(namespace, name, &dimensions),
                "{title}: {namespace} {name}"
            );
            shown.insert(name.clone());
        }
    }
    for metric in METRICS.iter().chain([&RUNS]) {
        // These two are for alarms; the dashboard has the outcomes.
        let for_alarms = ["HealthyRuns", "SnapshotTaken"].contains(&metric.name);
        assert_ne!(shown.contains(metric.name), for_alarms, "{}", metric.name);
    }
    let logs = widgets
        .iter()
        .find(|widget| widget["type"] == "log")
        .unwrap();
    let query = logs["properties"]["query"].as_str().unwrap();
    let group = template.name_of("RecordAndNotifyLogGroup").unwrap();
    assert!(query.starts_with(&format!("SOURCE '{group}' ")), "{query}");

    let watched = template.of_type("AWS::CloudWatch::Alarm").unwrap();
    let watched: BTreeSet<String> = watched
        .into_iter()
        .filter_map(|id| {
            let alarm = template.properties(id).unwrap();
            (alarm["Namespace"] == "AWS/SQS")
                .then(|| alarm["Dimensions"][0]["Value"].as_str().unwrap().to_owned())
        })
        .collect();
    let queues = template.of_type("AWS::SQS::Queue").unwrap();
    let queues = queues.into_iter().map(|id| template.name_of(id).unwrap());
    assert_eq!(watched, queues.collect());
}

#[test]
fn the_failure_rule_hears_of_every_end_that_is_no_success_and_loses_none() {
    let rule = Stack::of("orders").unwrap().failure_rule().unwrap();
    assert_eq!(rule.statuses, ["FAILED", "TIMED_OUT", "ABORTED"]);
    let template = deployed(&[]);
    assert_eq!(
        rule.state_machines,
        [template.arn_of("StateMachine").unwrap()]
    );
    let written = template.properties("FailureRule").unwrap();
    assert_eq!(written["EventPattern"]["source"], json!(["aws.states"]));
    let sample = include_str!("../../../resources/events/execution-status-change.json");
    let sample: Value = serde_json::from_str(sample).unwrap();
    assert_eq!(
        written["EventPattern"]["detail-type"],
        json!([sample["detail-type"]])
    );
    assert_eq!(written["EventPattern"]["source"], json!([sample["source"]]));
    let function = &Stack::of("orders").unwrap().functions().unwrap()["record-and-notify"];
    assert_eq!(function.event_retries, 2);
    let queue = template.arn_of("RecordAndNotifyFailureQueue").unwrap();
    assert_eq!(function.failure_destination, Some(queue));
}

#[test]
fn the_page_on_deployment_by_hand_says_what_the_template_says() {
    const PAGE: &str = include_str!("../../../resources/docs/console.md");
    let template = deployed(&[]);
    let (_, pattern) = PAGE.split_once("```json").unwrap();
    let (pattern, _) = pattern.split_once("```").unwrap();
    let mut pattern: Value = serde_json::from_str(pattern).unwrap();
    let machines = &mut pattern["detail"]["stateMachineArn"];
    assert_eq!(*machines, json!(["<the state machine's ARN>"]));
    *machines = json!([template.arn_of("StateMachine").unwrap()]);
    let rule = template.properties("FailureRule").unwrap();
    assert_eq!(pattern, rule["EventPattern"]);

    let stack = Stack::of("orders").unwrap();
    for (name, function) in stack.functions().unwrap() {
        assert!(
            PAGE.contains(&format!("[{name}](../policies/{name}.json)")),
            "{name}"
        );
        let timeout = match name.as_str() {
            "describe-snapshot" => "for describe-snapshot 40 s",
            _ => "timeout 60 s",
        };
        assert!(PAGE.contains(timeout));
        assert_eq!(
            function.timeout.as_secs(),
            if name == "describe-snapshot" { 40 } else { 60 }
        );
        for (variable, _) in function.environment {
            // The third may be left out.
            assert!(PAGE.contains(&format!("`{variable}`")) || variable == "RECORD_RETENTION_DAYS");
        }
    }
    let table = template.properties("StatusTable").unwrap();
    for attribute in table["AttributeDefinitions"].as_array().unwrap() {
        let name = attribute["AttributeName"].as_str().unwrap();
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
    for name in [
        "expires_at",
        "snapshot_manager_status",
        "HealthyRuns",
        NAMESPACE,
    ] {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

/// A policy, in the order in which people write one.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    effect: String,
    action: Value,
    resource: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

#[test]
fn the_policies_for_other_ways_of_deployment_are_those_of_the_template() {
    let template = Template::read(
        TEMPLATE,
        Deployment {
            stack: "snapshot-manager".to_owned(),
            region: "<REGION>".to_owned(),
            account: "<ACCOUNT_ID>".to_owned(),
            parameters: [(
                "ApplicationName".to_owned(),
                "<APPLICATION_NAME>".to_owned(),
            )]
            .into(),
        },
    )
    .unwrap();
    let stack = Stack::from(template);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../resources/policies");
    let mut written = BTreeSet::new();
    for id in stack.template().of_type("AWS::IAM::Role").unwrap() {
        let properties = stack.template().properties(id).unwrap();
        let name = properties["Policies"][0]["PolicyName"]
            .as_str()
            .unwrap()
            .to_owned();
        let statement = stack.role(id).unwrap().policies.into_iter();
        let statement = statement.flat_map(|policy| {
            serde_json::from_value::<Vec<Statement>>(policy["Statement"].clone()).unwrap()
        });
        let policy = Policy {
            version: "2012-10-17",
            statement: statement.collect(),
        };
        let text = serde_json::to_string_pretty(&policy).unwrap() + "\n";
        expect_file![format!("{folder}/{name}.json")].assert_eq(&text);
        written.insert(format!("{name}.json"));
    }
    let there: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, written, "delete what is left over");
}
