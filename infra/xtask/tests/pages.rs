//! The generated blocks of the pages agree with the definition, the template and the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write;

use contract::{
    Action, AuditRecord, ErrorName, Remedy, Retention, RunInput, Verdict, wait_seconds,
};
use engine::python;
use expect_test::expect_file;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use plan::picture::draw;
use record_and_notify::metrics::{APPLICATION_METRICS, RUNS};
use retention::{RunProtection, Snapshot, Status, plan};
use schemars::{Schema, schema_for};
use serde_json::{Value, json};
use stack::Stack;
use stack::definition::{DEFINITION, mermaid};
use stack::template::{Deployment, TEMPLATE, Template};

const README: &str = "README.md";
const DEPLOY: &str = "resources/docs/deploy.md";
const RETENTION: &str = "resources/docs/retention.md";
const OPERATIONS: &str = "resources/docs/operations.md";
const REFERENCE: &str = "resources/docs/reference.md";

/// Compares the block of a page between `<!-- NAME -->` and `<!-- /NAME -->` with `content`. `UPDATE_EXPECT=1 cargo
/// test --test pages` writes `content` into the page.
fn assert_block(page: &str, name: &str, content: &str) {
    let path = format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR"));
    // The page is read again for each block, because the call for an earlier block may have written it.
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{page} has no block {name}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{page} has no end of the block {name}"));
    let wanted = format!("{before}{begin}{}\n{end}{after}", content.trim_end());
    expect_file![path].assert_eq(&wanted);
}

/// Adds a row to a table for each field of a type: the name, the result of `middle`, and the documentation.
fn rows(
    table: &mut String,
    schema: &Schema,
    prefix: &str,
    middle: impl Fn(&str, &Value) -> String,
) {
    for (field, property) in schema.get("properties").unwrap().as_object().unwrap() {
        let meaning = property["description"].as_str().unwrap().replace('\n', " ");
        let _ = writeln!(
            table,
            "| `{prefix}{field}` | {} | {meaning} |",
            middle(field, property)
        );
    }
}

fn default_of(schema: &Schema) -> impl Fn(&str, &Value) -> String {
    let required = schema.get("required").cloned().unwrap_or_default();
    move |field, property| {
        let mut required = required.as_array().into_iter().flatten();
        if required.any(|name| name == field) {
            return "required".to_owned();
        }
        match &property["default"] {
            Value::Null => String::new(),
            default => format!("`{}`", text(default)),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The scripts in the code blocks of a page. A command that spans several lines is joined into one line. Of a
/// transcript, only the lines that a person types are returned.
fn scripts(page: &str) -> Vec<String> {
    let mut scripts = Vec::new();
    for (number, block) in page.split("```").enumerate() {
        let (language, text) = block.split_once('\n').unwrap_or_default();
        let text = text.replace("\\\n", " ");
        match language {
            // The text between two code blocks.
            _ if number % 2 == 0 => {}
            "sh" => scripts.push(text),
            "" => scripts.extend(
                text.lines()
                    .filter_map(|line| line.strip_prefix("$ "))
                    .map(str::to_owned),
            ),
            _ => {}
        }
    }
    scripts
}

/// The `aws` commands of a script that do not set their output format, although their output goes to a file, a program
/// or a variable.
fn without_format(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // The caller of a shell function decides where its output goes.
    let mut is_in_function = false;
    for line in script.lines() {
        is_in_function = (is_in_function || line.ends_with("() {")) && line != "}";
        for (start, _) in line.match_indices("aws ") {
            let before = line[..start].trim_end();
            let is_command = before.is_empty() || before.ends_with(['(', '|', '&', ';', '`']);
            let (command, after) = line[start..].split_at(end_of_command(&line[start..]));
            let is_piped = after.starts_with(['>', '|']) && !after.starts_with("||");
            let is_consumed = is_in_function || before.ends_with(['(', '`']) || is_piped;
            if is_command && is_consumed && !command.contains("--output ") {
                found.push(command.trim_end());
            }
        }
    }
    found
}

/// The position at which the first command of a line ends: at an operator of the shell outside quotes.
fn end_of_command(line: &str) -> usize {
    let mut quote = None;
    for (position, character) in line.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '|' | '&' | ';' | '>' | ')' | '`') => return position,
            _ => {}
        }
    }
    line.len()
}

#[test]
fn the_output_that_commands_pass_on_does_not_depend_on_the_readers_configuration() {
    for (script, expected) in [
        ("aws a b", &[][..]),
        ("aws a b --query 'x|y' --output text | jq", &[]),
        ("aws a b || echo", &[]),
        ("# aws a >b", &[]),
        ("aws a --query 'x|y' >b", &["aws a --query 'x|y'"]),
        ("aws a b | jq .", &["aws a b"]),
        ("x=\"$(aws a b)\"; aws c d", &["aws a b"]),
        ("f() {\n  aws a\n}\naws b", &["aws a"]),
        ("aws a --output json >b && aws c >d", &["aws c"]),
    ] {
        assert_eq!(without_format(script), expected, "{script}");
    }

    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let pages = std::fs::read_dir(format!("{root}/resources/docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|it| it == "md"));
    let readmes = [README, "infra/xtask/package/README.md"];
    let readmes = readmes.map(|page| std::path::PathBuf::from(format!("{root}/{page}")));
    let mut commands = 0;
    for page in pages.chain(readmes) {
        for script in scripts(&std::fs::read_to_string(&page).unwrap()) {
            commands += script.matches("aws ").count();
            let found = without_format(&script);
            assert!(
                found.is_empty(),
                "{}: add --output to {found:?}",
                page.display()
            );
        }
    }
    assert!(commands > 10, "{commands}");
}

#[test]
fn the_readme_names_the_oldest_versions_that_work() {
    let readme = include_str!("../../../README.md");
    let (major, minor) = python::OLDEST;
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for needed in [
        format!("Rust {rust} or later"),
        format!("Python {major}.{minor} or later"),
    ] {
        assert!(readme.contains(&needed), "README does not say: {needed}");
    }
}

/// The template with placeholders in the place of the values of a deployment.
fn stack() -> Stack {
    let deployment = Deployment {
        stack: "STACK".to_owned(),
        region: "REGION".to_owned(),
        account: "ACCOUNT".to_owned(),
        parameters: [("ApplicationName".to_owned(), "APPLICATION".to_owned())].into(),
    };
    Stack::from(Template::read(TEMPLATE, deployment).unwrap())
}

/// All parameters, in the order and under the headings that the console shows.
fn parameters(stack: &Stack) -> String {
    let document = stack.template().document();
    let all = document["Parameters"].as_object().unwrap();
    let mut left: BTreeSet<&String> = all.keys().collect();
    let mut table = "| parameter | default | meaning |\n|---|---|---|\n".to_owned();
    let groups = &document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    for group in groups.as_array().unwrap() {
        let heading = group["Label"]["default"].as_str().unwrap();
        let _ = writeln!(table, "| **{heading}** | | |");
        for name in group["Parameters"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            assert!(left.remove(&name.to_owned()), "{name} is in two groups");
            let parameter = &all[name];
            let default = match &parameter["Default"] {
                Value::Null => "required".to_owned(),
                Value::String(empty) if empty.is_empty() => String::new(),
                default => format!("`{}`", text(default)),
            };
            let meaning = parameter["Description"].as_str().unwrap();
            let _ = writeln!(table, "| `{name}` | {default} | {meaning} |");
        }
    }
    assert!(left.is_empty(), "{left:?} are in no group");
    table
}

/// The `Action` or `Resource` of a statement as a list, without the parts that are the same in each ARN.
fn listed(value: &Value) -> String {
    let items = match value {
        Value::Array(items) => items.clone(),
        item => vec![item.clone()],
    };
    let items = items.iter().map(|item| {
        let item = text(item);
        let short = match item.splitn(6, ':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "sns", _, _, name] => format!("topic/{name}"),
            ["arn", _, "sqs", _, _, name] => format!("queue/{name}"),
            ["arn", _, _, _, _, name] => (*name).to_owned(),
            _ => item,
        };
        format!("`{short}`")
    });
    items.collect::<Vec<_>>().join(", ")
}

fn conditions(statement: &Value) -> String {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    let keys = operators.flat_map(|(_, keys)| keys.as_object().into_iter().flatten());
    let keys = keys.map(|(key, value)| format!("`{key}` `{}`", text(value)));
    keys.collect::<Vec<_>>().join(", ")
}

fn permissions(stack: &Stack) -> String {
    let template = stack.template();
    let mut table = "| who | may | on | when |\n|---|---|---|---|\n".to_owned();
    let mut row = |who: &str, statement: &Value| {
        let (may, on) = (listed(&statement["Action"]), listed(&statement["Resource"]));
        let on = if on == "`*`" {
            "`*`: these actions have no resource-level permissions"
        } else {
            &on
        };
        let when = conditions(statement);
        let _ = writeln!(table, "| {who} | {may} | {on} | {when} |");
    };
    for id in template.of_type("AWS::IAM::Role").unwrap() {
        let role = template.properties(id).unwrap();
        let who = format!("role of {}", text(&role["Policies"][0]["PolicyName"]));
        for policy in stack.role(id).unwrap().policies {
            for statement in policy["Statement"].as_array().unwrap() {
                row(&who, statement);
            }
        }
    }
    let permission = template.properties("FailureRulePermission").unwrap();
    let function = text(&permission["FunctionName"]);
    let mut of_the_function = permission.clone();
    of_the_function["Resource"] = format!("arn:aws:lambda:::function:{function}").into();
    of_the_function["Condition"] =
        json!({ "ArnLike": { "aws:SourceArn": permission["SourceArn"] } });
    let queue = template
        .properties("FailureRuleDeadLetterQueuePolicy")
        .unwrap();
    for statement in [&of_the_function, &queue["PolicyDocument"]["Statement"][0]] {
        row("EventBridge, for the failure rule", statement);
    }
    let key = template.properties("TopicKey").unwrap();
    for statement in key["KeyPolicy"]["Statement"].as_array().unwrap() {
        let who = match &statement["Principal"] {
            principal if principal["AWS"].is_string() => {
                "the account, which can grant it to others by IAM policies"
            }
            principal => principal["Service"].as_str().unwrap(),
        };
        let mut of_the_key = statement.clone();
        of_the_key["Resource"] = template.arn_of("TopicKey").unwrap().into();
        row(who, &of_the_key);
    }
    table
}

fn alarms(stack: &Stack) -> String {
    let mut table = "| alarm | what has happened, and what to do |\n|---|---|\n".to_owned();
    for id in stack.template().of_type("AWS::CloudWatch::Alarm").unwrap() {
        let alarm = stack.template().properties(id).unwrap();
        let meaning = alarm["AlarmDescription"].as_str().unwrap().trim();
        let _ = writeln!(table, "| `{id}` | {meaning} |");
    }
    table
}

#[test]
fn the_version_of_sam_that_the_page_requires_is_not_later_than_the_pinned_one() {
    const PAGE: &str = include_str!("../../../resources/docs/deploy.md");
    const PINNED: &str = include_str!("../python/sam.txt");
    let version = |text: &str, before: &str| {
        let (_, rest) = text.split_once(before).unwrap();
        let numbers = rest.split(|c: char| !c.is_ascii_digit()).take(2);
        let numbers = numbers.map(|number| number.parse().unwrap());
        numbers.collect::<Vec<u32>>()
    };
    let pinned = version(PINNED, "aws-sam-cli==");
    assert!(pinned >= version(PAGE, "SAM version "), "{pinned:?}");
}

const NOW: &str = "2026-11-22T20:00:00Z";

fn snapshots_every(hours: i64) -> Vec<Snapshot> {
    let now: Timestamp = NOW.parse().unwrap();
    (0..400 * 24 / hours)
        .map(|number| {
            let created_at = now - SignedDuration::from_mins(60 * hours * number + 5);
            Snapshot {
                name: format!("custom_{}", created_at.as_millisecond()),
                status: Status::Ready,
                created_at: Some(created_at),
                application_version_id: 1,
                runtime: None,
            }
        })
        .collect()
}

fn planned(snapshots: &[Snapshot], policy: &Value) -> Vec<Verdict> {
    let policy: Retention = serde_json::from_value(policy.clone()).unwrap();
    let zone = TimeZone::get(policy.timezone.as_str()).unwrap();
    let now = NOW.parse().unwrap();
    plan(snapshots, &policy, &zone, RunProtection::default(), now)
}

/// The policy in the picture and in the first example.
fn typical() -> Value {
    json!({ "keep_hourly": 24, "keep_daily": 30, "keep_monthly": 12 })
}

/// A table of what the first `count` policies keep, of hourly snapshots from 400 days.
fn examples(count: usize) -> String {
    let mut table =
        "| policy | what it keeps | kept of 9,600 | age of the oldest |\n|---|---|---|---|\n"
            .to_owned();
    let now: Timestamp = NOW.parse().unwrap();
    let snapshots = snapshots_every(1);
    let policies = [
        (
            typical(),
            "one snapshot for each of the last 24 hours, 30 days and 12 months",
        ),
        (
            json!({ "keep_within": "P7D", "keep_weekly": 8 }),
            "every snapshot of the last seven days, and the newest one of each of the last eight weeks",
        ),
        (
            json!({ "keep_last": 30, "keep_yearly": 5, "timezone": "Europe/Zurich" }),
            "the 30 newest snapshots, and the newest one of each of the last five years, where a year ends at midnight in Zurich",
        ),
    ];
    for (policy, meaning) in policies.into_iter().take(count) {
        let verdicts = planned(&snapshots, &policy);
        let kept = verdicts
            .iter()
            .filter(|verdict| verdict.action == Action::Keep);
        let oldest = kept.clone().next_back().unwrap();
        let oldest = snapshots.iter().find(|s| s.name == oldest.snapshot_name);
        let oldest = oldest.unwrap().created_at.unwrap();
        let days = now.duration_since(oldest).as_hours() / 24;
        let _ = writeln!(
            table,
            "| `{policy}` | {meaning} | {} | {days} days |",
            kept.count()
        );
    }
    table
}

#[test]
fn the_picture_of_a_policy_shows_its_plan() {
    let snapshots = snapshots_every(6);
    let verdicts = planned(&snapshots, &typical());
    let picture = draw(&snapshots, &verdicts, NOW.parse().unwrap());
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../resources/docs/policy.svg"
    );
    expect_file![file].assert_eq(&picture);
}

/// A table of what a run costs, for several durations of its snapshot, with the default poll interval.
fn costs() -> String {
    // List prices of us-east-1, in dollars.
    let (transition, request, gigabyte_second) = (0.000_025, 0.000_000_2, 0.000_013_333_4);
    // 100 ms at 128 MB: an invocation needs at most 7 ms of CPU, and has 1/14 of a core. See resources/docs/design.md.
    let invocation = request + 0.1 * 0.125 * gigabyte_second;
    let mut table = "| the snapshot takes | polls | state transitions | invocations | Step Functions | Lambda |\n|---|---|---|---|---|---|\n".to_owned();
    for (duration, seconds) in [
        ("10 seconds", 10),
        ("1 minute", 60),
        ("10 minutes", 600),
        ("1 hour", 3_600),
    ] {
        let (mut polls, mut age) = (0, 0);
        while age < seconds {
            age += u64::from(wait_seconds(age, 15));
            polls += 1;
        }
        // CreateSnapshot and its Choice make two transitions, each poll makes three, two passes of PruneSnapshots with
        // its Choice make four, and RecordAndNotify makes one.
        let transitions = 2 + 3 * polls + 4 + 1;
        let invocations = 1 + polls + 2 + 1;
        let thousand = |count: u32, price: f64| f64::from(count) * price * 1_000.0;
        let _ = writeln!(
            table,
            "| {duration} | {polls} | {transitions} | {invocations} | ${:.3} | ${:.3} |",
            thousand(transitions, transition),
            thousand(invocations, invocation)
        );
    }
    table
}

fn metrics() -> String {
    let mut table = "| metric | unit | dimensions | meaning |\n|---|---|---|---|\n".to_owned();
    let rows = APPLICATION_METRICS
        .iter()
        .map(|metric| (metric, "ApplicationName"));
    for (metric, dimensions) in rows.chain([(&RUNS, "ApplicationName, Outcome")]) {
        let _ = writeln!(
            table,
            "| `{}` | {} | {dimensions} | {} |",
            metric.name, metric.unit, metric.meaning
        );
    }
    table
}

#[test]
fn the_generated_blocks_are_current() {
    let diagram = mermaid(DEFINITION).unwrap();
    assert_block(README, "machine", &format!("```mermaid\n{diagram}```"));

    let mut table = "| field | default | meaning |\n|---|---|---|\n".to_owned();
    let schema = schema_for!(RunInput);
    rows(&mut table, &schema, "", default_of(&schema));
    let schema = schema_for!(Retention);
    rows(&mut table, &schema, "retention.", default_of(&schema));
    assert_block(REFERENCE, "run-input", &table);

    let mut table =
        "| name | what has happened | what to do | retried |\n|---|---|---|---|\n".to_owned();
    for name in ErrorName::ALL {
        let retried = if name.is_retryable() { "yes" } else { "" };
        let cure = match name.remedy() {
            Remedy::Redrive => "**Redrive.**",
            Remedy::NewExecution => "**New execution.**",
        };
        let (cause, remedy) = (name.summary(), name.instructions());
        let _ = writeln!(
            table,
            "| `{name}` | {cause} | {cure} {remedy} | {retried} |"
        );
    }
    assert_block(REFERENCE, "errors", &table);

    let mut table = "| attribute | type | meaning |\n|---|---|---|\n".to_owned();
    rows(&mut table, &schema_for!(AuditRecord), "", |_, property| {
        let kinds = match &property["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let kind = kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null");
        match (kind, property.get("anyOf")) {
            (Some("integer"), _) => "N",
            (Some("array"), _) => "L",
            (None, Some(any)) if any.to_string().contains("$ref") => "M",
            _ => "S",
        }
        .to_owned()
    });
    assert_block(REFERENCE, "audit-record", &table);

    let stack = stack();
    assert_block(DEPLOY, "parameters", &parameters(&stack));
    assert_block(REFERENCE, "permissions", &permissions(&stack));
    assert_block(OPERATIONS, "alarms", &alarms(&stack));
    assert_block(REFERENCE, "metrics", &metrics());
    assert_block(REFERENCE, "costs", &costs());
    assert_block(README, "example", &examples(1));
    assert_block(RETENTION, "examples", &examples(3));
}
