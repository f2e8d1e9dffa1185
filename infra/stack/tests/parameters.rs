//! The effect of the template's parameters, and whether the template works in every partition.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use contract::RunInput;
use record_and_notify::Config;
use serde_json::{Value, json};
use stack::template::{Deployment, TEMPLATE, Template};
use stack::{ACCOUNT, REGION, Stack};

type Parameters<'a> = &'a [(&'a str, &'a str)];

fn deployed_in(region: &str, account: &str, parameters: Parameters) -> Template {
    let deployment = Deployment {
        region: region.to_owned(),
        account: account.to_owned(),
        ..Deployment::with(parameters)
    };
    Template::read(TEMPLATE, deployment).unwrap()
}

fn deployed(parameters: Parameters) -> Template {
    deployed_in(REGION, ACCOUNT, parameters)
}

const FUNCTIONS: [&str; 4] = [
    "CreateSnapshot",
    "DescribeSnapshot",
    "PruneSnapshots",
    "RecordAndNotify",
];
const KEY: &str = "arn:aws:kms:eu-central-2:123456789012:key/1234abcd";
const TOPIC: &str = "arn:aws:sns:eu-central-2:123456789012:ours";

/// The statements of a role that have an action that begins with this text.
fn statements(template: &Template, role: &str, action: &str) -> Vec<Value> {
    let policies = Stack::from(template.clone()).role(role).unwrap().policies;
    let all = policies
        .iter()
        .flat_map(|policy| policy["Statement"].as_array().unwrap());
    all.filter(|statement| statement["Action"].to_string().contains(action))
        .cloned()
        .collect()
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        _ => (),
    }
}

/// All strings in the resources, the outputs and the definition.
fn all_strings(template: &Template) -> Vec<String> {
    let mut found = Vec::new();
    let section = |name: &str| template.document()[name].as_object().unwrap().keys();
    for id in section("Resources") {
        strings(&template.properties(id).unwrap(), &mut found);
    }
    found.extend(section("Outputs").map(|name| template.output(name).unwrap()));
    let definition = Stack::from(template.clone()).definition().unwrap();
    strings(&serde_json::from_str(&definition).unwrap(), &mut found);
    found
}

/// What follows each occurrence of `begin` in a text, up to a character that cannot be part of a domain or a partition.
fn each_after<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    text.split(begin).skip(1).map(move |rest| {
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn in_each_partition_every_arn_and_every_domain_belongs_to_the_partition() {
    for (region, partition, domain, console) in [
        (REGION, "aws", "amazonaws.com", "console.aws.amazon.com"),
        (
            "us-gov-west-1",
            "aws-us-gov",
            "amazonaws.com",
            "console.amazonaws-us-gov.com",
        ),
        (
            "cn-north-1",
            "aws-cn",
            "amazonaws.com.cn",
            "console.amazonaws.cn",
        ),
        (
            "eusc-de-east-1",
            "aws-eusc",
            "amazonaws.eu",
            "console.amazonaws-eusc.eu",
        ),
    ] {
        let arn = |rest: &str| format!("arn:{partition}:{rest}");
        let key = arn(&format!("kms:{region}:{ACCOUNT}:key/1234abcd"));
        let topic = arn(&format!("sns:{region}:{ACCOUNT}:ours"));
        let boundary = arn("iam::123456789012:policy/boundary");
        let given = [
            ("ApplicationKeyArn", key.as_str()),
            ("TableKeyArn", key.as_str()),
            ("LogKeyArn", key.as_str()),
            ("RunTopicArn", topic.as_str()),
            ("PermissionsBoundaryArn", boundary.as_str()),
            ("NotificationEmail", "a@example.com"),
            ("AlarmEmail", "b@example.com"),
            ("CreateTable", "false"),
            ("MaxHoursWithoutSnapshot", "0"),
            ("AlarmOnStopped", "false"),
            ("RecordRetentionDays", "400"),
        ];
        for parameters in [&[][..], &given[..]] {
            let template = deployed_in(region, ACCOUNT, parameters);
            for text in all_strings(&template) {
                assert!(!text.contains("${"), "not resolved: {text}");
                for found in each_after(&text, "arn:") {
                    assert_eq!(found, partition, "{text}");
                }
                // The name of a service principal is the same in all partitions.
                let service = text.strip_suffix(".amazonaws.com").unwrap_or(".");
                if service.contains('.') {
                    for found in each_after(&text, "amazonaws") {
                        let found = format!("amazonaws{found}");
                        let is_ours = found == domain || console.ends_with(&*found);
                        assert!(is_ours, "{partition}: {text}");
                    }
                }
                let is_console = text.contains("aws.amazon.com");
                assert!(!is_console || partition == "aws", "{partition}: {text}");
            }
            let url = template.output("DashboardUrl").unwrap();
            let host = format!("https://{region}.{console}/");
            assert!(url.starts_with(&host), "{url}");
        }
    }
}

fn template_takes(template: &Template, name: &str, value: &str) -> bool {
    let parameter = &template.document()["Parameters"][name];
    if let Value::Array(allowed) = &parameter["AllowedValues"] {
        allowed.contains(&json!(value))
    } else {
        assert_eq!(parameter["Type"], "String", "{name}");
        let pattern = &parameter["AllowedPattern"];
        jsonschema::is_valid(&json!({ "pattern": pattern }), &json!(value))
    }
}

/// Whether the functions accept the value that they get from a stack with this parameter value.
fn functions_take(name: &str, value: &str) -> bool {
    let template = deployed(&[(name, value)]);
    let machine = template.properties("StateMachine").unwrap();
    let input = &machine["Events"]["Schedule"]["Properties"]["Input"];
    let input = serde_json::from_str::<RunInput>(input.as_str().unwrap());
    let functions = Stack::from(template).functions().unwrap();
    let environment = &functions["record-and-notify"].environment;
    let config = Config::from_vars(|name| {
        let found = environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    });
    let is_valid = |input: RunInput| {
        let zone = retention::time_zone(&input.retention.timezone);
        input.refuse_unknown_fields().is_ok() && zone.is_ok()
    };
    input.is_ok_and(is_valid) && config.is_ok()
}

/// The parameters that occur in the schedule's input, as the template has it.
fn parameters_of_the_input(template: &Template) -> BTreeSet<String> {
    let machine = &template.document()["Resources"]["StateMachine"]["Properties"];
    let mut written = Vec::new();
    strings(
        &machine["Events"]["Schedule"]["Properties"]["Input"],
        &mut written,
    );
    let is_end = |c: char| !c.is_ascii_alphanumeric();
    let words = written.iter().flat_map(|text| text.split(is_end));
    let parameters = &template.document()["Parameters"];
    words
        .filter(|word| parameters.get(word).is_some())
        .map(str::to_owned)
        .collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn a_parameter_accepts_exactly_the_values_that_the_functions_accept() {
    let template = deployed(&[]);
    let long = |length: usize| "n".repeat(length);
    let names = |count: usize| vec!["name"; count].join(",");
    let (name_128, name_129) = (long(128), long(129));
    let (names_100, names_101) = (names(100), names(101));
    let counts = &["1", "30", "999999999"][..];
    let no_counts = &["0", "-1", "1.5", "", "x"][..];
    let rows = [
        (
            "ApplicationName",
            &["orders", "a.b_c-D1", name_128.as_str()][..],
            &["", "a b", "*a", name_129.as_str()][..],
        ),
        ("Mode", &["RUN", "PRUNE", "PLAN"], &["", "run", "OTHER"]),
        ("KeepLast", counts, no_counts),
        ("KeepHourly", counts, no_counts),
        ("KeepDaily", counts, no_counts),
        ("KeepWeekly", counts, no_counts),
        ("KeepMonthly", counts, no_counts),
        ("KeepYearly", counts, no_counts),
        ("KeepLastVersions", counts, no_counts),
        ("KeepLastRuntimes", counts, no_counts),
        ("MaxDeletionsPerRun", counts, no_counts),
        (
            "KeepWithin",
            &[
                "null",
                "P7D",
                "PT36H",
                "P52W",
                "P1Y",
                "P1M",
                "P1DT12H",
                "P0Y7D",
                "P1Y2M3W4DT5H6M7S",
                "P9999YT99999S",
            ],
            &[
                "", "P", "PT", "P7DT", "P24H", "PT7D", "P0D", "PT0S", "P0YT0S", "7D", "P1D1M",
                "P1D1D", "p7d", "-P7D", "P1.5D", "P7D ", "P99999Y",
            ],
        ),
        (
            "KeepNames",
            &["null", "a", "before-upgrade,a.b", names_100.as_str()],
            &["", "a b", "a,", "a,,b", names_101.as_str()],
        ),
        (
            "RetentionTimezone",
            &["", "UTC", "Europe/Zurich", "Etc/GMT+5"],
            &["Europe Zurich", "UTC;", name_129.as_str()],
        ),
        (
            "ScheduleTimezone",
            &["UTC", "Europe/Zurich", "Etc/GMT+5"],
            &["", "Europe Zurich", "UTC;", name_129.as_str()],
        ),
        ("Scope", &["MANAGED", "ALL"], &["", "all"]),
        (
            "PollIntervalSeconds",
            &["1", "15", "99", "100", "299", "300"],
            &["", "0", "301", "1.5", "15s", "015", "1000"],
        ),
        (
            "ReadyTimeoutSeconds",
            &[
                "60", "99", "100", "7200", "79999", "85999", "86399", "86400",
            ],
            &["", "0", "59", "86401", "90000", "100000", "7200.5", "060"],
        ),
        (
            "ApplicationTimeoutSeconds",
            &[
                "0", "1", "9999", "10000", "79999", "85999", "86399", "86400",
            ],
            &["", "-1", "86401", "90000", "100000", "0.5", "060"],
        ),
        (
            "SnapshotAttempts",
            &["1", "5"],
            &["", "0", "6", "1.5", "02"],
        ),
        ("NotifyOn", &["ALL", "PROBLEMS"], &["", "NONE"]),
        (
            "RecordRetentionDays",
            &["", "1", "400"],
            &["0", "-1", "1.5", "x"],
        ),
    ];
    let tested: BTreeSet<String> = rows.iter().map(|row| row.0.to_owned()).collect();
    let left = &parameters_of_the_input(&template) - &tested;
    assert!(left.is_empty(), "without a row: {left:?}");
    for (name, good, bad) in rows {
        for (values, is_good) in [(good, true), (bad, false)] {
            for value in values {
                let takes = template_takes(&template, name, value);
                assert_eq!(takes, is_good, "the template, {name}: {value}");
                let take = functions_take(name, value);
                assert_eq!(take, is_good, "the functions, {name}: {value}");
            }
        }
    }
}

/// A pattern cannot check whether a time zone exists. The first run does.
#[test]
fn a_time_zone_that_does_not_exist_is_a_known_limit_of_the_pattern() {
    let template = deployed(&[]);
    for name in ["ScheduleTimezone", "RetentionTimezone"] {
        assert!(template_takes(&template, name, "Europe/Atlantis"), "{name}");
        assert!(!functions_take(name, "Europe/Atlantis"), "{name}");
    }
}

#[test]
fn parameters_that_the_functions_do_not_check_have_the_format_of_aws_and_cannot_break_the_json() {
    let template = deployed(&[]);
    for (name, good, bad) in [
        (
            "ApplicationName",
            &["orders"][..],
            &["*", "a\",\"mode\":\"PLAN"][..],
        ),
        ("KeepLast", &["null"], &["5,\"x\":1"]),
        ("MaxDeletionsPerRun", &["null"], &["true"]),
        ("KeepWithin", &["null"], &["7 days", "P7D\",\"x\":\"y"]),
        ("KeepNames", &["null"], &["a\",\"b"]),
        (
            "ScheduleExpression",
            &[
                "rate(6 hours)",
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
            &["", "none", "a@example.com"],
            &["a", "a b@example.com", "@"],
        ),
        (
            "TableName",
            &["snapshot_manager_status", "a.b"],
            &["ab", "a b", "*"],
        ),
        (
            "ApplicationKeyArn",
            &[
                "",
                "arn:aws:kms:eu-central-2:123456789012:key/mrk-1234abcd",
                "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/1234abcd-12ab",
            ],
            &["alias/x", "arn:aws:kms:eu-central-2:123456789012:alias/x"],
        ),
        (
            "RunTopicArn",
            &["", "arn:aws-cn:sns:cn-north-1:123456789012:a_b-C"],
            &["a", "arn:aws:sns:eu-central-2:123456789012:a.fifo"],
        ),
        (
            "PermissionsBoundaryArn",
            &[
                "",
                "arn:aws:iam::123456789012:policy/a/b",
                "arn:aws:iam::aws:policy/PowerUserAccess",
            ],
            &["b", "arn:aws:iam::123456789012:role/b"],
        ),
        ("RolePath", &["", "/", "/a/", "/a/b-c/"], &["a", "/a", "a/"]),
        (
            "SubnetIds",
            &[
                "",
                "subnet-12345678",
                "subnet-12345678,subnet-0a1b2c3d4e5f67890",
            ],
            &["none", "subnet-1,", "sg-12345678"],
        ),
    ] {
        for (values, is_good) in [(good, true), (bad, false)] {
            for value in values {
                let takes = template_takes(&template, name, value);
                assert_eq!(takes, is_good, "{name}: {value}");
            }
        }
    }
}

#[test]
fn the_retention_time_zone_defaults_to_that_of_the_schedule() {
    let zurich = ("ScheduleTimezone", "Europe/Zurich");
    for (parameters, expected) in [
        (&[][..], "UTC"),
        (&[zurich], "Europe/Zurich"),
        (&[zurich, ("RetentionTimezone", "Asia/Tokyo")], "Asia/Tokyo"),
    ] {
        let template = deployed(parameters);
        let machine = template.properties("StateMachine").unwrap();
        let input = &machine["Events"]["Schedule"]["Properties"]["Input"];
        let input: RunInput = serde_json::from_str(input.as_str().unwrap()).unwrap();
        assert_eq!(input.retention.timezone.as_str(), expected);
        let command = template.output("StartCommand").unwrap();
        assert!(command.contains(&format!(r#""timezone":"{expected}""#)));
    }
}

#[test]
fn an_existing_topic_is_used_and_no_resource_is_created_for_it() {
    let made = |parameters: Parameters| {
        let template = deployed(parameters);
        let kinds = ["AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::KMS::Key"];
        kinds.map(|kind| template.of_type(kind).unwrap().join(" "))
    };
    let run = ("RunTopicArn", TOPIC);
    let alarm = ("AlarmTopicArn", TOPIC);
    let all = ["AlarmTopic RunTopic", "", "TopicKey"];
    assert_eq!(made(&[]), all);
    let nobody = [("NotificationEmail", "none"), ("AlarmEmail", "none")];
    assert_eq!(made(&nobody), all);
    assert_eq!(made(&[run]), ["AlarmTopic", "", "TopicKey"]);
    assert_eq!(made(&[alarm]), ["RunTopic", "", "TopicKey"]);
    assert_eq!(made(&[run, alarm]), ["", "", ""]);

    let template = deployed(&[run, alarm]);
    for output in ["RunTopicArn", "AlarmTopicArn"] {
        assert_eq!(template.output(output).unwrap(), TOPIC);
    }
    let published = statements(&template, "RecordAndNotifyRole", "sns:Publish");
    let expected = json!({ "Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC });
    assert_eq!(published, [expected]);
    let kms = statements(&template, "RecordAndNotifyRole", "kms:");
    assert!(kms.is_empty(), "the policy of the topic's key allows it");
    let function = template.properties("RecordAndNotifyFunction").unwrap();
    assert_eq!(function["Environment"]["Variables"]["TOPIC_ARN"], TOPIC);
    for id in template.of_type("AWS::CloudWatch::Alarm").unwrap() {
        let alarm = template.properties(id).unwrap();
        assert_eq!(alarm["AlarmActions"], json!([TOPIC]), "{id}");
        let on_ok = alarm.get("OKActions");
        assert!(on_ok.is_none_or(|on_ok| *on_ok == json!([TOPIC])), "{id}");
    }
}

#[test]
fn a_key_is_permitted_only_to_the_role_that_needs_it_and_only_through_the_service() {
    let via = |service: &str| format!("{service}.{REGION}.amazonaws.com");
    let template = deployed(&[("ApplicationKeyArn", KEY)]);
    let application = format!("arn:aws:kinesisanalytics:{REGION}:{ACCOUNT}:application/orders");
    let expected = json!([
        {
            "Effect": "Allow", "Action": "kms:DescribeKey", "Resource": KEY,
            "Condition": { "StringEquals": { "kms:ViaService": via("kinesisanalytics") } }
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"],
            "Resource": KEY,
            "Condition": {
                "StringEquals": { "kms:ViaService": via("kinesisanalytics") },
                "StringLike": { "kms:EncryptionContext:aws:kinesisanalytics:arn": application }
            }
        },
        {
            "Effect": "Allow", "Action": "kms:CreateGrant", "Resource": KEY,
            "Condition": {
                "StringEquals": {
                    "kms:ViaService": via("kinesisanalytics"),
                    "kms:GrantConstraintType": "EncryptionContextSubset"
                },
                "ForAllValues:StringEquals": { "kms:GrantOperations": "Decrypt" },
                "StringLike": { "kms:EncryptionContext:aws:kinesisanalytics:arn": application }
            }
        }
    ]);
    assert_eq!(
        json!(statements(&template, "CreateSnapshotRole", "kms:")),
        expected
    );
    for role in ["DescribeSnapshotRole", "PruneSnapshotsRole"] {
        assert!(statements(&template, role, "kms:").is_empty(), "{role}");
    }

    let table = [
        ("CreateTable", "false"),
        ("TableKeyArn", KEY),
        ("RunTopicArn", TOPIC),
    ];
    let template = deployed(&table);
    let of_table = statements(&template, "RecordAndNotifyRole", "kms:");
    assert_eq!(of_table.len(), 1);
    assert_eq!(of_table[0]["Resource"], KEY);
    let condition = json!({ "StringEquals": { "kms:ViaService": via("dynamodb") } });
    assert_eq!(of_table[0]["Condition"], condition);

    for (output, role) in [
        ("CreateSnapshotRoleArn", "CreateSnapshotRole"),
        ("RecordAndNotifyRoleArn", "RecordAndNotifyRole"),
    ] {
        let arn = template.arn_of(role).unwrap();
        assert_eq!(template.output(output).unwrap(), arn);
    }
}

#[test]
fn the_page_on_deployment_shows_the_policy_for_the_applications_key() {
    const PAGE: &str = include_str!("../../../resources/docs/deploy.md");
    let (_, policy) = PAGE.split_once("```json").unwrap();
    let (policy, _) = policy.split_once("```").unwrap();
    let policy: Vec<Value> = serde_json::from_str(policy).unwrap();
    let parameters = [
        ("ApplicationName", "<APPLICATION_NAME>"),
        ("ApplicationKeyArn", KEY),
    ];
    let template = deployed_in("<REGION>", "<ACCOUNT_ID>", &parameters);
    let mut expected = statements(&template, "CreateSnapshotRole", "kms:");
    for statement in &mut expected {
        statement["Resource"] = "*".into();
        statement["Principal"] = json!({ "AWS": "<CreateSnapshotRoleArn>" });
    }
    assert_eq!(policy, expected);
}

#[track_caller]
fn assert_given(id: &str, property: &str, parameters: Parameters, expected: &Value) {
    let without = deployed(&[]).properties(id).unwrap();
    assert_eq!(without.get(property), None, "{id}");
    let with = deployed(parameters).properties(id).unwrap();
    assert_eq!(with[property], *expected, "{id}");
}

#[test]
fn the_parameters_for_enterprises_apply_to_every_role_function_and_log_group() {
    let template = deployed(&[]);
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    for role in template.of_type("AWS::IAM::Role").unwrap() {
        let given = [("PermissionsBoundaryArn", boundary)];
        assert_given(role, "PermissionsBoundary", &given, &json!(boundary));
        let given = [("RolePath", "/snapshots/")];
        assert_given(role, "Path", &given, &json!("/snapshots/"));
    }
    for group in template.of_type("AWS::Logs::LogGroup").unwrap() {
        assert_given(group, "KmsKeyId", &[("LogKeyArn", KEY)], &json!(KEY));
    }
    let network = [
        ("SubnetIds", "subnet-11111111,subnet-22222222"),
        ("SecurityGroupIds", "sg-33333333"),
    ];
    let expected = json!({
        "SubnetIds": ["subnet-11111111", "subnet-22222222"], "SecurityGroupIds": ["sg-33333333"]
    });
    let in_network = deployed(&network);
    let functions = template.of_type("AWS::Serverless::Function").unwrap();
    assert_eq!(functions.len(), FUNCTIONS.len());
    for name in FUNCTIONS {
        let (function, role) = (format!("{name}Function"), format!("{name}Role"));
        assert_given(&function, "VpcConfig", &network, &expected);
        assert!(statements(&template, &role, "ec2:").is_empty(), "{role}");
        let rights = statements(&in_network, &role, "ec2:CreateNetworkInterface");
        assert_eq!(rights.len(), 1, "{role}");
    }
}

#[test]
fn the_default_schedule_does_not_depend_on_the_time_of_the_deployment() {
    let template = Template::read(TEMPLATE, Deployment::default()).unwrap();
    let default = &template.document()["Parameters"]["ScheduleExpression"]["Default"];
    assert!(default.as_str().unwrap().starts_with("cron("), "{default}");
}

#[test]
fn the_page_enables_the_same_time_to_live_that_the_template_sets_on_its_own_table() {
    const PAGE: &str = include_str!("../../../resources/docs/deploy.md");
    let template = Template::read(TEMPLATE, Deployment::default()).unwrap();
    let table = &template.document()["Resources"]["StatusTable"]["Properties"];
    let attribute = table["TimeToLiveSpecification"]["AttributeName"].as_str();
    let name = template.document()["Parameters"]["TableName"]["Default"].as_str();
    let command = format!(
        "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification \"Enabled=true,AttributeName={}\"",
        name.unwrap(),
        attribute.unwrap()
    );
    assert!(PAGE.contains(&command), "{command}");
}
