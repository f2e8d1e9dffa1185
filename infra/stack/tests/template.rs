//! What the template guarantees, and the files that are generated from it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use contract::{AuditRecord, Retention, RunInput};
use expect_test::expect_file;
use record_and_notify::metrics::{APPLICATION_METRICS, NAMESPACE, RUNS};
use schemars::schema_for;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stack::template::{Deployment, TEMPLATE, Template};
use stack::{REGION, STACK, Stack};

fn deployed(parameters: &[(&str, &str)]) -> Template {
    Template::read(TEMPLATE, Deployment::with(parameters)).unwrap()
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn string_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether `CloudFormation` accepts a value for a parameter with this pattern.
fn matches(pattern: &Value, value: &str) -> bool {
    jsonschema::is_valid(&json!({ "pattern": pattern }), &json!(value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn names(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().unwrap().keys()
}

/// Asserts that a value has all expected fields. It may have others.
#[track_caller]
fn assert_has(what: &str, value: &Value, expected: &Value) {
    match expected {
        Value::Object(fields) => {
            for (name, field) in fields {
                assert_has(&format!("{what}.{name}"), &value[name], field);
            }
        }
        other => assert_eq!(value, other, "{what}"),
    }
}

/// Asserts that the properties of a resource have all expected fields.
#[track_caller]
fn assert_resource_has(template: &Template, id: &str, expected: &Value) {
    assert_has(id, &template.properties(id).unwrap(), expected);
}

fn schedule(template: &Template) -> Value {
    template.properties("StateMachine").unwrap()["Events"]["Schedule"]["Properties"].clone()
}

#[test]
fn conditions_leave_out_the_resources_that_the_parameters_do_not_ask_for() {
    let count =
        |parameters: &[(&str, &str)], kind: &str| deployed(parameters).of_type(kind).unwrap().len();
    let table = "AWS::DynamoDB::Table";
    assert_eq!(count(&[], table), 1);
    assert_eq!(count(&[("CreateTable", "false")], table), 0);
    let subscription = "AWS::SNS::Subscription";
    assert_eq!(count(&[], subscription), 0);
    assert_eq!(count(&[("NotificationEmail", "a@b")], subscription), 1);
    assert_eq!(count(&[("AlarmEmail", "a@b")], subscription), 1);
    assert_eq!(count(&[("AlarmEmail", "none")], subscription), 0);
    let alarms = |parameters: &[(&str, &str)]| -> BTreeSet<String> {
        let template = deployed(parameters);
        let alarms = template.of_type("AWS::CloudWatch::Alarm").unwrap();
        alarms.into_iter().map(str::to_owned).collect()
    };
    for (parameter, left_out) in [
        (
            ("MaxHoursWithoutSnapshot", "0"),
            &["NoHealthyRunAlarm", "NoSnapshotAlarm"][..],
        ),
        (
            ("ScheduleState", "DISABLED"),
            &["NoHealthyRunAlarm", "NoSnapshotAlarm"],
        ),
        (("Mode", "PLAN"), &["NoHealthyRunAlarm", "NoSnapshotAlarm"]),
        (("Mode", "PRUNE"), &["NoHealthyRunAlarm", "NoSnapshotAlarm"]),
        (("AlarmOnStopped", "false"), &["NoSnapshotAlarm"]),
    ] {
        let (all, there) = (alarms(&[]), alarms(&[parameter]));
        let missing: Vec<&String> = all.difference(&there).collect();
        assert_eq!(missing, left_out, "{parameter:?}");
    }
}

#[test]
fn every_parameter_is_described_and_bounded_and_only_the_application_is_required() {
    for (name, parameter) in deployed(&[]).document()["Parameters"].as_object().unwrap() {
        assert!(parameter["Description"].is_string(), "{name}");
        let default = &parameter["Default"];
        assert_eq!(default.is_null(), name == "ApplicationName", "{name}");
        if default.is_null() {
            continue;
        }
        let default = string_of(default);
        let is_allowed = if parameter["AllowedPattern"].is_string() {
            matches(&parameter["AllowedPattern"], &default)
        } else if parameter["AllowedValues"].is_array() {
            items(&parameter["AllowedValues"]).any(|value| string_of(value) == default)
        } else {
            let bound = |name: &str| parameter[name].as_i64().unwrap();
            (bound("MinValue")..=bound("MaxValue")).contains(&default.parse().unwrap())
        };
        assert!(is_allowed, "{name}: {default}");
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
        ("KeepLastRuntimes", "3"),
        ("KeepNames", "before-upgrade,a.b_c"),
        ("RetentionTimezone", "Europe/Zurich"),
        ("Scope", "ALL"),
        ("MaxDeletionsPerRun", "50"),
        ("PollIntervalSeconds", "20"),
        ("ReadyTimeoutSeconds", "600"),
        ("ApplicationTimeoutSeconds", "0"),
        ("SnapshotAttempts", "5"),
        ("NotifyOn", "PROBLEMS"),
    ];
    let nulls = [
        ("KeepLast", "null"),
        ("KeepDaily", "7"),
        ("KeepLastVersions", "null"),
        ("KeepLastRuntimes", "null"),
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
                    "keep_last_versions": 4, "keep_last_runtimes": 3,
                    "keep_names": ["before-upgrade", "a.b_c"],
                    "timezone": "Europe/Zurich", "scope": "ALL", "max_deletions_per_run": 50
                },
                "poll_interval_seconds": 20, "ready_timeout_seconds": 600,
                "application_timeout_seconds": 0, "snapshot_attempts": 5, "notify_on": "PROBLEMS"
            }),
        ),
    ] {
        let template = deployed(parameters);
        let text = schedule(&template)["Input"].clone();
        let text = str_of(&text);
        let input: RunInput = serde_json::from_str(text).unwrap();
        let expected: RunInput = serde_json::from_value(expected).unwrap();
        assert_eq!(input, expected);
        let machine = template.output("StateMachineArn").unwrap();
        assert_eq!(
            template.output("StartCommand").unwrap(),
            format!(
                "aws stepfunctions start-execution --region {REGION} --state-machine-arn {machine} --input '{text}'"
            )
        );
    }
    // Every field of the run input can be set with a parameter, except for the name of the snapshot.
    let text = schedule(&deployed(&every_rule))["Input"].clone();
    let fields: Value = serde_json::from_str(str_of(&text)).unwrap();
    for (set, schema) in [
        (&fields, schema_for!(RunInput)),
        (&fields["retention"], schema_for!(Retention)),
    ] {
        let all = names(schema.get("properties").unwrap());
        let all = all.filter(|name| *name != "snapshot_name");
        assert_eq!(names(set).collect::<BTreeSet<_>>(), all.collect());
    }
}

#[test]
fn the_schedule_starts_the_machine_and_sends_failed_starts_to_a_dead_letter_queue() {
    let template = deployed(&[]);
    let queue = template.arn_of("ScheduleDeadLetterQueue").unwrap();
    assert_has(
        "Schedule",
        &schedule(&template),
        &json!({
            // The name of the schedule differs from stack to stack.
            "OmitName": true,
            "FlexibleTimeWindow": { "Mode": "FLEXIBLE" },
            "DeadLetterConfig": { "Arn": queue },
            "RoleArn": template.arn_of("ScheduleRole").unwrap(),
        }),
    );
}

#[test]
fn every_function_is_small_traced_and_logged_has_no_fixed_name_and_gets_its_environment_by_reference()
 {
    let template = deployed(&[]);
    for id in template.of_type("AWS::Serverless::Function").unwrap() {
        let function = template.properties(id).unwrap();
        assert_has(
            id,
            &function,
            &json!({
                "Runtime": "provided.al2023", "Architectures": ["arm64"], "MemorySize": 128,
                "Tracing": "Active", "ReservedConcurrentExecutions": null,
                // With a level above INFO, Lambda drops the lines with metrics.
                "LoggingConfig": { "LogFormat": "JSON", "ApplicationLogLevel": "INFO" }
            }),
        );
        let group = str_of(&function["LoggingConfig"]["LogGroup"]);
        let group = group.strip_prefix("snapshot-manager-").unwrap();
        assert_resource_has(&template, group, &json!({ "RetentionInDays": "365" }));
        let written = &template.document()["Resources"][id];
        assert_eq!(written["Metadata"]["BuildMethod"], "rust-cargolambda");
        let environment = written["Properties"]["Environment"]["Variables"].as_object();
        for (name, value) in environment.into_iter().flatten() {
            let is_reference = value["Ref"].is_string() || value["Fn::If"][1]["Ref"].is_string();
            assert!(is_reference, "{id}: {name}");
        }
    }
}

#[test]
fn only_the_table_has_a_fixed_name() {
    // These properties refer to another resource, or name a policy within its role.
    let references = [
        "RoleName",
        "PolicyName",
        "FunctionName",
        "MetricName",
        "AttributeName",
        "OmitName",
    ];
    let template = deployed(&[]);
    let resources = &template.document()["Resources"];
    let mut named = Vec::new();
    for id in names(resources) {
        let properties = names(&resources[id]["Properties"]);
        let own = properties.filter(|name| name.ends_with("Name"));
        let own = own.filter(|name| !references.contains(&name.as_str()));
        named.extend(own.map(|name| format!("{id}.{name}")));
    }
    assert_eq!(named, ["StatusTable.TableName"]);
}

#[test]
fn the_table_is_kept_when_the_stack_is_deleted_and_its_keys_are_attributes_of_the_record() {
    let template = deployed(&[]);
    let written = &template.document()["Resources"]["StatusTable"];
    for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
        assert_eq!(written[policy], "Retain");
    }
    let table = template.properties("StatusTable").unwrap();
    assert_has(
        "StatusTable",
        &table,
        &json!({
            "TableName": "snapshot_manager_status", "BillingMode": "PAY_PER_REQUEST",
            "SSESpecification": { "SSEEnabled": true }, "DeletionProtectionEnabled": true,
            "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": true }
        }),
    );
    let schema = schema_for!(AuditRecord);
    let attributes = schema.get("properties").unwrap();
    let keys = items(&table["KeySchema"]).map(|key| &key["AttributeName"]);
    for name in keys.chain([&table["TimeToLiveSpecification"]["AttributeName"]]) {
        assert!(attributes.get(str_of(name)).is_some(), "{name}");
    }
}

#[test]
fn the_machine_is_standard_and_logs_and_traces_everything() {
    let machine = deployed(&[]).properties("StateMachine").unwrap();
    let expected = json!({
        "Type": "STANDARD", "Tracing": { "Enabled": true },
        "Logging": { "Level": "ALL", "IncludeExecutionData": true }
    });
    assert_has("StateMachine", &machine, &expected);
    let template = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let definition = template.join(str_of(&machine["DefinitionUri"]));
    let definition = std::fs::read_to_string(definition).unwrap();
    assert_eq!(definition, stack::definition::DEFINITION);
}

#[test]
fn only_the_role_that_publishes_may_use_the_topics_key() {
    let template = deployed(&[]);
    let stack = Stack::from(template.clone());
    let mut users = template.of_type("AWS::IAM::Role").unwrap();
    users.retain(|role| {
        let policies = stack.role(role).unwrap().policies;
        json!(policies).to_string().contains("kms:")
    });
    assert_eq!(users, ["RecordAndNotifyRole"]);
    let key = template.name_of("TopicKey").unwrap();
    for topic in template.of_type("AWS::SNS::Topic").unwrap() {
        assert_resource_has(&template, topic, &json!({ "KmsMasterKeyId": key }));
    }
}

/// Collects the namespace, the name and the dimensions of each metric in a value, in the format of an alarm.
fn alarmed(value: &Value, found: &mut Vec<(String, String, Vec<String>)>) {
    if let (Some(namespace), Some(name)) =
        (value["Namespace"].as_str(), value["MetricName"].as_str())
    {
        let dimensions = items(&value["Dimensions"]).map(|it| str_of(&it["Name"]).to_owned());
        found.push((namespace.to_owned(), name.to_owned(), dimensions.collect()));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| alarmed(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| alarmed(field, found)),
        _ => (),
    }
}

/// Whether a metric exists: one of this project, or one of AWS that the template uses. The dimensions must be right
/// too.
fn exists(namespace: &str, name: &str, dimensions: &[String]) -> bool {
    let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
    match (namespace, dimensions.as_slice()) {
        (NAMESPACE, ["ApplicationName"]) => {
            APPLICATION_METRICS.iter().any(|metric| metric.name == name)
        }
        (NAMESPACE, ["ApplicationName", "Outcome"]) => name == RUNS.name,
        ("AWS/States", ["StateMachineArn"]) => [
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
            "ExecutionThrottled",
            "RedrivenExecutionsFailed",
            "RedrivenExecutionsTimedOut",
            "RedrivenExecutionsAborted",
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
            let exists = exists(&namespace, &name, &dimensions);
            assert!(exists, "{id}: {namespace} {name}");
        }
        assert!(str_of(&alarm["AlarmDescription"]).len() > 80, "{id}");
        assert_eq!(alarm["AlarmActions"], topic, "{id}");
        // The other alarms return to OK although nobody has fixed the cause: an alarm that counts events returns by
        // itself, and an alarm on a queue returns when somebody receives the message.
        let is_solved_when_ok = [
            "NoHealthyRunAlarm",
            "NoSnapshotAlarm",
            "PruneIncompleteAlarm",
            "SnapshotQuotaAlarm",
        ];
        let is_solved_when_ok = is_solved_when_ok.contains(&id);
        let expected = if is_solved_when_ok {
            &topic
        } else {
            &Value::Null
        };
        assert_eq!(&alarm["OKActions"], expected, "{id}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_exist_and_every_dead_letter_queue_has_an_alarm() {
    let template = deployed(&[]);
    let dashboard = template.properties("Dashboard").unwrap();
    let body: Value = serde_json::from_str(str_of(&dashboard["DashboardBody"])).unwrap();
    let of_type =
        |kind: &'static str| items(&body["widgets"]).filter(move |widget| widget["type"] == kind);
    let mut shown = BTreeSet::new();
    for widget in of_type("metric") {
        let title = &widget["properties"]["title"];
        for metric in items(&widget["properties"]["metrics"]) {
            let strings = items(metric).filter_map(|part| part.as_str().map(str::to_owned));
            let strings: Vec<String> = strings.collect();
            let [namespace, name, dimensions @ ..] = strings.as_slice() else {
                continue;
            };
            let dimensions: Vec<String> = dimensions.iter().step_by(2).cloned().collect();
            let exists = exists(namespace, name, &dimensions);
            assert!(exists, "{title}: {namespace} {name}");
            shown.insert(name.clone());
        }
    }
    // Before the first run, FILL has no value to repeat. EPOCH is the start of a period.
    let is_age = |widget: &&Value| widget.to_string().contains("EPOCH(taken) - FILL(taken");
    let age = of_type("metric").find(is_age).unwrap();
    let title = str_of(&age["properties"]["title"]);
    assert!(
        title.contains("(up to 1 hour too low; blank if "),
        "{title}"
    );
    for metric in APPLICATION_METRICS.iter().chain([&RUNS]) {
        // These metrics are for alarms. The dashboard shows the outcomes instead.
        let for_alarms = ["HealthyRuns", "SnapshotTaken", "PruneIncomplete"];
        let for_alarms = for_alarms.contains(&metric.name);
        assert_ne!(shown.contains(metric.name), for_alarms, "{}", metric.name);
    }
    let logs = of_type("log").next().unwrap();
    let query = str_of(&logs["properties"]["query"]);
    let group = template.name_of("RecordAndNotifyLogGroup").unwrap();
    assert!(query.starts_with(&format!("SOURCE '{group}' ")), "{query}");

    let alarms = template.of_type("AWS::CloudWatch::Alarm").unwrap();
    let alarms = alarms.iter().map(|id| template.properties(id).unwrap());
    let watched = alarms.filter(|alarm| alarm["Namespace"] == "AWS/SQS");
    let watched = watched.map(|alarm| str_of(&alarm["Dimensions"][0]["Value"]).to_owned());
    let queues = template.of_type("AWS::SQS::Queue").unwrap();
    let queues = queues.iter().map(|id| template.name_of(id).unwrap());
    assert_eq!(watched.collect::<BTreeSet<_>>(), queues.collect());
}

#[test]
fn the_failure_rule_matches_every_status_of_failure_and_loses_no_event() {
    let template = deployed(&[]);
    let sample = include_str!("../../../resources/events/execution-status-change.json");
    let sample: Value = serde_json::from_str(sample).unwrap();
    assert_eq!(sample["source"], "aws.states");
    let rule = template.properties("FailureRule").unwrap();
    let pattern = json!({
        "source": [sample["source"]], "detail-type": [sample["detail-type"]],
        "detail": {
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
            "stateMachineArn": [template.arn_of("StateMachine").unwrap()],
        }
    });
    assert_eq!(rule["EventPattern"], pattern);
    assert_eq!(rule["Targets"].as_array().unwrap().len(), 1);
    let target = json!({
        "Arn": template.arn_of("RecordAndNotifyFunction").unwrap(),
        "DeadLetterConfig": { "Arn": template.arn_of("FailureRuleDeadLetterQueue").unwrap() },
    });
    assert_has("FailureRule", &rule["Targets"][0], &target);
    let queue = template.arn_of("RecordAndNotifyFailureQueue").unwrap();
    let events = json!({ "EventInvokeConfig": {
        "MaximumRetryAttempts": 2, "DestinationConfig": { "OnFailure": { "Destination": queue } }
    } });
    assert_resource_has(&template, "RecordAndNotifyFunction", &events);
}

#[test]
fn the_page_on_deployment_by_hand_says_what_the_template_says() {
    const PAGE: &str = include_str!("../../../resources/docs/console.md");
    let template = deployed(&[]);
    let (_, pattern) = PAGE.rsplit_once("```json").unwrap();
    let (pattern, _) = pattern.split_once("```").unwrap();
    let mut pattern: Value = serde_json::from_str(pattern).unwrap();
    let machines = &mut pattern["detail"]["stateMachineArn"];
    assert_eq!(*machines, json!(["<the state machine's ARN>"]));
    *machines = json!([template.arn_of("StateMachine").unwrap()]);
    let rule = template.properties("FailureRule").unwrap();
    assert_eq!(pattern, rule["EventPattern"]);

    for (name, function) in Stack::from(template.clone()).functions().unwrap() {
        let link = format!("[{name}](../policies/{name}.json)");
        assert!(PAGE.contains(&link), "{name}");
        let (seconds, timeout) = match name.as_str() {
            "describe-snapshot" => (40, "40 seconds for describe-snapshot"),
            _ => (60, "60 seconds for the other functions"),
        };
        assert!(PAGE.contains(timeout));
        assert_eq!(function.timeout.as_secs(), seconds);
        for (variable, _) in function.environment {
            // This resource is optional.
            assert!(PAGE.contains(&format!("`{variable}`")) || variable == "RECORD_RETENTION_DAYS");
        }
    }
    let table = template.properties("StatusTable").unwrap();
    let attributes = items(&table["AttributeDefinitions"]);
    let attributes = attributes.map(|attribute| str_of(&attribute["AttributeName"]));
    for name in attributes.chain([
        "expires_at",
        "snapshot_manager_status",
        "HealthyRuns",
        NAMESPACE,
    ]) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

/// A policy document, with its members in the usual order.
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
    let deployment = Deployment {
        stack: STACK.to_owned(),
        region: "<REGION>".to_owned(),
        account: "<ACCOUNT_ID>".to_owned(),
        parameters: [(
            "ApplicationName".to_owned(),
            "<APPLICATION_NAME>".to_owned(),
        )]
        .into(),
    };
    let stack = Stack::from(Template::read(TEMPLATE, deployment).unwrap());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../resources/policies");
    // This policy belongs to no role. The test `deployer` writes it.
    let mut written = BTreeSet::from(["deployer.json".to_owned()]);
    for id in stack.template().of_type("AWS::IAM::Role").unwrap() {
        let properties = stack.template().properties(id).unwrap();
        let name = str_of(&properties["Policies"][0]["PolicyName"]);
        let policies = stack.role(id).unwrap().policies.into_iter();
        let statement = policies.flat_map(|policy| {
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
