//! The content and the length of the subject, the e-mail and the SMS.

use contract::{ErrorName, redrive_command};
use record_and_notify::Config;
use serde_json::{Value, json};
use testkit::fixtures::{EXECUTION, SNAPSHOT};

use crate::given::{
    NOW, STOP, deleted_snapshot, deletion_failed, ended, entered, event, failed_event, held_back,
    lambda_cause, planned, redriven_state, run_of, skipped, succeeded, waiting, warned, with,
};
use crate::invocation::{
    Invocation, announced, announced_after, answers_to, config, invoke, invoke_with,
};

#[tokio::test]
async fn a_row_expires_record_retention_days_after_the_end_of_its_run() {
    for (input, end) in [(succeeded(), NOW), (failed_event(), STOP)] {
        let config = Config {
            record_retention_days: Some(30),
            ..config()
        };
        let answers = answers_to(&input, announced());
        let run = invoke_with(config, input, answers).await;
        assert_eq!(run.row()["expires_at"], end / 1_000 + 2_592_000);
    }
    let run = invoke(succeeded(), announced()).await;
    assert_eq!(run.row().get("expires_at"), None);
}

#[tokio::test]
async fn an_unknown_value_is_absent_and_never_zero_or_empty() {
    fn assert_known(value: &Value) {
        match value {
            Value::Null => panic!("null"),
            Value::String(text) => assert!(!text.is_empty(), "an empty text"),
            Value::Number(number) => assert_ne!(number.as_i64(), Some(0), "a zero"),
            Value::Array(items) => {
                assert!(!items.is_empty(), "an empty list");
                items.iter().for_each(assert_known);
            }
            Value::Object(map) => map.values().for_each(assert_known),
            Value::Bool(_) => {}
        }
    }
    // The service has not said yet when the snapshot was created, or of which version.
    let snapshot = json!({ "name": SNAPSHOT, "accepted_at": "2026-11-22T20:02:28.401Z" });
    let started = run_of("RUN", json!({ "snapshot": snapshot }));
    let blank = json!({ "error": "", "cause": "", "redriveCount": 1 });
    let ended = ended(0, "Failed", json!({ "error": "", "cause": "" }));
    let at_once = entered(-1, "Task", "CreateSnapshot", &json!({}));
    let waiting = entered(-1, "Wait", "WaitForSnapshot", &started);
    for history in [
        vec![],
        vec![ended.clone()],
        vec![ended.clone(), at_once],
        vec![ended, waiting],
    ] {
        let event = event("FAILED", blank.clone());
        let run = invoke(event, announced_after(&history)).await;
        assert_known(&run.row());
        assert_known(&run.announced_record());
    }
    let run = invoke(redriven_state(1, &skipped()), announced()).await;
    assert_known(&run.row());
}

#[tokio::test]
async fn text_from_outside_cannot_forge_a_line_of_the_subject_or_the_email() {
    const FORGED: &str = "Odd\r\n\r\nExecution: https://evil.example\u{2028}\u{85}\u{1b}[31m\0";
    let assert_plain = |run: &Invocation| {
        let (subject, email) = (run.subject(), run.email());
        assert!(!subject.contains(char::is_control), "{subject:?}");
        let is_control = |c: char| (c.is_control() && c != '\n') || c == '\u{2028}';
        assert!(!email.contains(is_control), "{email:?}");
        let links = email.lines().filter(|line| line.starts_with("Execution: "));
        assert_eq!(links.count(), 1, "{email}");
    };
    let of_a_function = json!({ "error": FORGED, "cause": lambda_cause(FORGED, FORGED) });
    let plain_cause = json!({ "error": FORGED, "cause": FORGED });
    let failed = ended(0, "Failed", of_a_function.clone());
    let history = vec![failed, entered(-1, "Task", FORGED, &waiting())];
    for (details, history) in [
        (of_a_function, vec![]),
        (plain_cause, vec![]),
        (json!({}), history),
    ] {
        let event = event("FAILED", details);
        assert_plain(&invoke(event, announced_after(&history)).await);
    }
    let mut input = with(deletion_failed(), json!({ "warnings": [FORGED, FORGED] }));
    input["progress"]["failed"][0]["reason"] = FORGED.into();
    assert_plain(&invoke(input, announced()).await);
}

#[tokio::test]
async fn the_email_of_a_plan_lists_the_first_20_deletions_with_their_reasons() {
    let verdict = |action: &str, number: u32| {
        json!({
            "snapshot_name": format!("s{number:02}"), "action": action,
            "reasons": ["no rule keeps it", "really\nnot"]
        })
    };
    for (deletions, more) in [(20, None), (21, Some("- and 1 more, see the record"))] {
        let mut plan = planned();
        plan["deletions_wanted"] = deletions.into();
        let doomed = (1..=deletions).map(|number| verdict("DELETE", number));
        plan["verdicts"] = doomed.chain([verdict("KEEP", 99)]).collect();
        let run = invoke(plan, announced()).await;
        let email = run.email();
        let lines = email
            .lines()
            .skip_while(|line| !line.starts_with("The plan"));
        let mut expected = vec![format!("The plan would delete {deletions} snapshots.")];
        let named = (1..=20).map(|n| format!("- s{n:02}: no rule keeps it; really not"));
        expected.extend(named.chain(more.map(str::to_owned)));
        let shown: Vec<&str> = lines.take(expected.len()).collect();
        assert_eq!(shown, expected);
        assert!(!email.contains("s99") && !email.contains("s21"), "{email}");
        let has_more = email.contains("more, see the record");
        assert_eq!(has_more, more.is_some(), "{email}");
    }
}

#[tokio::test]
async fn a_subject_is_shorter_than_100_characters_however_long_its_parts_are() {
    let long = "É".repeat(300);
    for length in [1, 40, 75, 76, 77, 128] {
        let application = "a".repeat(length);
        let input = json!({ "application_name": application }).to_string();
        for error in ["Throttled", &long] {
            let details = json!({ "input": input, "error": error });
            let run = invoke(event("FAILED", details), announced_after(&[])).await;
            let headline = format!("{application}: FAILED with {error}");
            let message = run.message();
            let sms = message["sms"].as_str().unwrap();
            for (text, most) in [(run.subject(), 99), (sms, 140)] {
                if headline.chars().count() <= most {
                    assert_eq!(text, headline);
                    continue;
                }
                assert_eq!(text.chars().count(), most);
                let (name, end) = text.split_once(": FAILED with ").unwrap();
                let name = name.trim_end_matches("...");
                assert!(application.starts_with(name), "{text}");
                assert!(length.min(17) <= name.len(), "{text}");
                // The name gives way first.
                let is_whole = end == error;
                assert!(is_whole || name.len() <= 20, "{text}");
            }
        }
    }
}

#[tokio::test]
async fn the_outcome_is_in_the_subject_however_long_the_applications_name_is() {
    let application = "a".repeat(128);
    for (input, end) in [
        (succeeded(), "SUCCEEDED"),
        (warned(succeeded()), "SUCCEEDED, 2 warnings"),
        (deletion_failed(), "PRUNE_INCOMPLETE"),
        (skipped(), "SKIPPED"),
        (planned(), "PLANNED"),
    ] {
        let mut input = input;
        input["run"]["input"]["application_name"] = application.as_str().into();
        let run = invoke(input, announced()).await;
        assert_shortened(&run, end);
    }
    for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
        let history = [
            ended(0, "Failed", json!({ "error": "SnapshotLimitExceeded" })),
            entered(-1, "Task", "WaitBeforePruning", &json!({})),
        ];
        let input = json!({ "application_name": application }).to_string();
        let event = event(status, json!({ "input": input }));
        let run = invoke(event, announced_after(&history)).await;
        let end = format!("{status} at WaitBeforePruning with SnapshotLimitExceeded");
        assert_shortened(&run, &end);
    }
}

/// The subject is a beginning of the name, and the whole end. The e-mail has the whole name.
fn assert_shortened(run: &Invocation, end: &str) {
    let subject = run.subject();
    assert_eq!(subject.chars().count(), 99, "{subject}");
    let name = subject.strip_suffix(&format!("...: {end}")).unwrap();
    assert!(name.len() >= 17 && name.bytes().all(|byte| byte == b'a'));
    let headline = format!("{}: {end}\n", "a".repeat(128));
    assert!(run.email().starts_with(&headline), "{}", run.email());
}

#[tokio::test]
async fn the_email_about_a_failure_has_one_remedy_and_one_command() {
    let redrive = redrive_command(EXECUTION);
    let start = "aws stepfunctions start-execution --state-machine-arn \
                 arn:aws:states:eu-central-1:123456789012:stateMachine:snapshots \
                 --region eu-central-1 --input '<the run input>'";
    let in_message = format!("Redrive. Command: {redrive}");
    let complete = lambda_cause("Throttled", &format!("Slow. {in_message}"));
    let too_long = lambda_cause("Throttled", &"x".repeat(5_000));
    let help = "See aws stepfunctions help".to_owned();
    let throttled = format!("{} Command: {redrive}", ErrorName::Throttled.instructions());
    let invalid = format!(
        "{} Command: {start}",
        ErrorName::InvalidInput.instructions()
    );
    let not_ours = format!("Remove the cause, then redrive the execution: {redrive}");
    for (error, cause, remedy) in [
        // The message of one of our errors has the remedy, unless it is missing or too long.
        (Some("Throttled"), Some(&complete), &in_message),
        (Some("Throttled"), None, &throttled),
        (Some("Throttled"), Some(&too_long), &throttled),
        (Some("InvalidInput"), None, &invalid),
        // The message of one of AWS's errors has none.
        (Some("States.Timeout"), None, &not_ours),
        (None, None, &not_ours),
        (None, Some(&help), &not_ours),
    ] {
        let details = json!({ "error": error, "cause": cause });
        let run = invoke(event("FAILED", details), announced_after(&[])).await;
        let email = run.email();
        assert!(email.contains(remedy), "{error:?} {cause:?}: {email}");
        assert_eq!(email.matches("-arn arn:").count(), 1, "{email}");
        let has_region = email.contains(" --region eu-central-1");
        assert!(has_region, "{email}");
    }
    let run = invoke(deletion_failed(), announced()).await;
    let has_command = run.email().contains("aws stepfunctions ");
    assert!(!has_command, "it has not failed");
}

#[tokio::test]
async fn the_link_opens_the_console_of_the_aws_partition_of_the_execution() {
    for (partition, region, host) in [
        ("aws", "eu-central-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "console.amazonaws-us-gov.com",
        ),
        ("aws-eusc", "eusc-de-east-1", "console.amazonaws-eusc.eu"),
    ] {
        let arn = format!("arn:{partition}:states:{region}:123456789012:execution:snapshots:n");
        let mut input = succeeded();
        input["run"]["execution_arn"] = arn.as_str().into();
        let run = invoke(input, announced()).await;
        let link = format!(
            "\n\nExecution: https://{region}.{host}/states/home?region={region}\
             #/v2/executions/details/{arn}\n\n"
        );
        assert!(run.email().contains(&link), "{}", run.email());
    }
}

#[tokio::test]
async fn the_largest_record_stays_within_the_limits_of_the_topic_and_the_table() {
    /// SNS counts body and attributes.
    const MESSAGE: usize = 262_144;
    const ITEM: usize = 400 * 1_024;
    let name = "n".repeat(256);
    let reason = "r".repeat(300);
    let deleted = json!({ "snapshot_name": name, "reason": reason });
    let deleted = with(deleted_snapshot(), deleted);
    let judged = json!({ "snapshot_name": name, "action": "IGNORE", "reasons": [reason, reason] });
    // JSON escapes each of these characters once more in each layer.
    let warnings = json!({ "warnings": vec!["\"".repeat(150); 20] });
    let mut plan = with(planned(), warnings.clone());
    plan["verdicts"] = vec![judged; 200].into();
    let mut largest = vec![plan];
    // The service's message may have characters of several bytes, or that JSON escapes.
    for character in ["r", "\"", "\\", "é", "\u{1f980}", "\u{1}"] {
        let failed = json!({ "snapshot_name": name, "reason": character.repeat(300) });
        let mut input = with(held_back("TOO_MANY_FAILURES"), warnings.clone());
        input["progress"] = json!({
            "deleted_count": 4_000, "deleted": vec![deleted.clone(); 100],
            "failed_count": 100, "failed": vec![failed; 100]
        });
        largest.push(input);
    }
    for input in largest {
        let run = invoke(input, announced()).await;
        let parameters = run.first("Publish").as_object().unwrap().values();
        let message: usize = parameters.map(|text| text.as_str().unwrap().len()).sum();
        assert!(message < MESSAGE, "{message}");
        // The request is longer than what DynamoDB counts.
        let item = run.first("UpdateItem")["ExpressionAttributeValues"].to_string();
        assert!(item.len() < ITEM, "{}", item.len());
    }
}
