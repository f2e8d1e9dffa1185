//! The demonstration: an application with more snapshots than the policy keeps, one run, and its results.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::SnapshotDetails;
use contract::RunSummary;
use engine::functions::FUNCTIONS;
use engine::msf::{SeededSnapshot, SnapshotStatus};
use engine::{Connection, Engine};
use jiff::{SignedDuration, Timestamp, Unit};
use output::{new_table, say};
use serde_json::{Value, json};
use stack::{ACCOUNT, REGION};

use crate::follow::{Ended, billed_transitions, follow, start_execution};
use crate::report::{await_record, record_table};
use crate::start::start;

const APPLICATION: &str = "orders";
const KEEP_LAST: usize = 3;
/// How many READY snapshots the application has from earlier nights.
const NIGHTS: i64 = 5;

/// Starts an engine, runs the demonstration on it, and stops the engine. Returns whether the execution succeeded.
pub async fn demonstrate() -> Result<bool> {
    let engine = start(None, APPLICATION, 5).await?;
    let succeeded = run(&engine).await;
    engine.stop().await;
    succeeded
}

/// Runs the demonstration on a new engine, and prints its report to stdout. Returns whether the execution succeeded.
async fn run(engine: &Engine) -> Result<bool> {
    let connection = engine.connection();
    let config = connection.sdk_config();
    let flink = Client::new(&config);
    let sfn = aws_sdk_sfn::Client::new(&config);
    let now = Timestamp::now();
    engine.create_application(APPLICATION, "RUNNING", None, older_snapshots(now))?;
    let queue_url = subscribe(&config, connection).await?;
    let before = list(&flink).await?;

    let input = json!({
        "application_name": APPLICATION,
        "retention": { "keep_last": KEEP_LAST },
        "poll_interval_seconds": 2
    });
    let count = before.len();
    say!("Application {APPLICATION} is RUNNING with {count} snapshots.")?;
    say!("Starting an execution with the input {input}\n")?;
    let execution_arn = start_execution(&sfn, connection, "demonstration", &input).await?;
    let ended = follow(&sfn, &execution_arn, 0).await?;

    let after = list(&flink).await?;
    let table = snapshots(&before, &after, &ended, now);
    say!("\nSnapshots before and after\n{table}")?;
    let record = record_table(&await_record(connection, &ended).await?);
    say!("\nAudit record in the table {}\n{record}", connection.table)?;
    say!("\nNotification, as received by a queue that is subscribed to the topic")?;
    say!("{}", receive(&config, &queue_url).await?)?;
    say!("\nWhat the run used\n{}", usage(engine, &ended).await?)?;
    Ok(ended.succeeded)
}

/// The snapshots that exist before the run, oldest first: one that a person took, a FAILED
/// one of some nights ago, and a READY one of each night since.
fn older_snapshots(now: Timestamp) -> Vec<SeededSnapshot> {
    let days_ago = |days: i64| SeededSnapshot::managed(now - SignedDuration::from_hours(24 * days));
    let by_hand = SeededSnapshot {
        name: "before-upgrade".to_owned(),
        ..days_ago(40)
    };
    let failed = SeededSnapshot {
        status: SnapshotStatus::Failed,
        ..days_ago(NIGHTS + 1)
    };
    let nights = (1..=NIGHTS).rev().map(days_ago);
    [by_hand, failed].into_iter().chain(nights).collect()
}

async fn list(flink: &Client) -> Result<Vec<SnapshotDetails>> {
    let list = flink.list_application_snapshots();
    let listed = list.application_name(APPLICATION).limit(50).send().await?;
    Ok(listed.snapshot_summaries.unwrap_or_default())
}

async fn subscribe(config: &SdkConfig, connection: &Connection) -> Result<String> {
    let queue_name = "demonstration";
    let create = aws_sdk_sqs::Client::new(config).create_queue();
    let queue = create.queue_name(queue_name).send().await?;
    aws_sdk_sns::Client::new(config)
        .subscribe()
        .topic_arn(&connection.topic_arn)
        .protocol("sqs")
        .endpoint(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue_name}"))
        .send()
        .await?;
    queue.queue_url.context("the queue has no URL")
}

async fn receive(config: &SdkConfig, queue_url: &str) -> Result<String> {
    let receive = aws_sdk_sqs::Client::new(config).receive_message();
    let receive = receive.queue_url(queue_url).wait_time_seconds(2);
    let messages = receive.send().await?.messages.unwrap_or_default();
    let body = messages.first().and_then(|message| message.body.as_deref());
    let body: Value = serde_json::from_str(body.context("no notification has arrived")?)?;
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let (subject, message) = (text("Subject"), text("Message"));
    Ok(format!(" Subject: {subject}\n Message: {message}"))
}

/// A table with a row for each snapshot, new ones first: its status before and after the run, and the reasons for its
/// verdict.
fn snapshots(
    before: &[SnapshotDetails],
    after: &[SnapshotDetails],
    ended: &Ended,
    now: Timestamp,
) -> String {
    let reasons = reasons(ended);
    let status = |list: &[SnapshotDetails], name: &str| {
        let status = find(list, name).map_or("-", |snapshot| snapshot.snapshot_status.as_str());
        status.to_owned()
    };
    let new = after.iter();
    let new = new.filter(|it| find(before, &it.snapshot_name).is_none());
    let mut table = new_table(["snapshot", "age", "before", "after", "verdict"]);
    for snapshot in new.chain(before) {
        let name = &snapshot.snapshot_name;
        let age = snapshot.snapshot_creation_timestamp.map(|created| {
            let created = Timestamp::from_nanosecond(created.as_nanos()).unwrap_or(now);
            age(now.duration_since(created))
        });
        table.add_row([
            name.clone(),
            age.unwrap_or_default(),
            status(before, name),
            status(after, name),
            reasons.get(name).cloned().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

fn find<'a>(list: &'a [SnapshotDetails], name: &str) -> Option<&'a SnapshotDetails> {
    list.iter().find(|snapshot| snapshot.snapshot_name == name)
}

fn age(age: SignedDuration) -> String {
    let days = age.round(Unit::Hour).unwrap_or(age).as_hours() / 24;
    match days {
        ..1 => "new".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The action and the reasons for each snapshot, by its name, from the input of the last state.
fn reasons(ended: &Ended) -> HashMap<String, String> {
    let summary = ended.history.iter().rev().find_map(|event| {
        let entered = event.state_entered_event_details.as_ref()?;
        serde_json::from_str::<RunSummary>(entered.input.as_ref()?).ok()
    });
    let Some(summary) = summary else {
        return HashMap::new();
    };
    let verdicts = summary.verdicts.into_iter().map(|verdict| {
        let action = format!("{:?}", verdict.action).to_uppercase();
        let reasons = verdict.reasons.join("; ");
        (verdict.snapshot_name, format!("{action}: {reasons}"))
    });
    let deleted = summary.progress.unwrap_or_default().deleted.into_iter();
    let deleted = deleted.map(|it| (it.snapshot_name, format!("DELETE: {}", it.reason)));
    verdicts.chain(deleted).collect()
}

/// A table of the invocations of each function, and the number of state transitions.
async fn usage(engine: &Engine, ended: &Ended) -> Result<String> {
    let mut table = new_table(["function", "invocations", "first", "each later, on average"]);
    for function in FUNCTIONS {
        let durations = engine.durations_ms(function).await?;
        let Some((first, later)) = durations.split_first() else {
            continue;
        };
        let count = u32::try_from(later.len())?;
        let average = later.iter().sum::<u32>().checked_div(count);
        table.add_row([
            function.to_owned(),
            durations.len().to_string(),
            format!("{first} ms"),
            average.map_or(String::new(), |average| format!("{average} ms")),
        ]);
    }
    let (table, transitions) = (table.trim_fmt(), billed_transitions(&ended.history));
    Ok(format!("{table}\n {transitions} state transitions"))
}
