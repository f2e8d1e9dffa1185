//! The main job as a demonstration: an application with more snapshots than the policy keeps, one
//! run, and everything that is left of it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_kinesisanalyticsv2::types::{
    ApplicationConfiguration, ApplicationSnapshotConfiguration, ApplicationStatus,
    RuntimeEnvironment, SnapshotDetails,
};
use contract::RunSummary;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

use crate::follow::{Ended, follow, start_execution, transitions};
use crate::report::{await_record, new_table, record_table};
use engine::engine::{Engine, Names, words};
use engine::functions::FUNCTIONS;
use engine::msf::{SeededSnapshot, SnapshotStatus};
use stack::{ACCOUNT, REGION};

/// The application of the demonstration.
pub const APPLICATION: &str = "orders";
/// So many snapshots are kept.
const KEEP_LAST: usize = 3;
/// So many nightly snapshots are there before the run.
const NIGHTS: i64 = 5;

/// Runs the demonstration on a fresh engine and prints its report to stdout; whether the execution
/// succeeded.
pub async fn run(engine: &Engine) -> Result<bool, String> {
    let names = engine.names();
    let clients = Clients::new(names);
    create_application(&clients).await?;
    let now = Timestamp::now();
    engine
        .proxy()
        .emulator()
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .seed(APPLICATION, older_snapshots(now));
    let queue_url = subscribe(&clients, names).await?;
    let before = list(&clients).await?;

    let input = json!({
        "application_name": APPLICATION,
        "retention": { "keep_last": KEEP_LAST },
        "poll_interval_seconds": 2
    });
    println!(
        "Application {APPLICATION} is RUNNING with {} snapshots.",
        before.len()
    );
    println!("Starting an execution with the input {input}\n");
    let execution_arn = start_execution(&clients.sfn, names, "demonstration", &input).await?;
    let ended = follow(&clients.sfn, &execution_arn, 0).await?;

    let after = list(&clients).await?;
    println!(
        "\nSnapshots before and after\n{}",
        snapshots(&before, &after, &ended, now)
    );
    let record = await_record(names, &ended).await?;
    println!(
        "\nAudit record in the table {}\n{}",
        names.table,
        record_table(&record)
    );
    println!("\nNotification, as a queue subscribed to the topic received it");
    println!("{}", receive(&clients.sqs, &queue_url).await?);
    println!("\nWhat the run used\n{}", usage(engine, &ended).await?);
    Ok(ended.succeeded)
}

struct Clients {
    flink: aws_sdk_kinesisanalyticsv2::Client,
    sfn: aws_sdk_sfn::Client,
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Clients {
    fn new(names: &Names) -> Self {
        let config = names.sdk_config();
        Self {
            flink: aws_sdk_kinesisanalyticsv2::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }
}

/// Creates and starts the application, and waits until it is RUNNING.
async fn create_application(clients: &Clients) -> Result<(), String> {
    let enabled = ApplicationSnapshotConfiguration::builder()
        .snapshots_enabled(true)
        .build()
        .map_err(|error| error.to_string())?;
    let configuration = ApplicationConfiguration::builder()
        .application_snapshot_configuration(enabled)
        .build();
    let flink = &clients.flink;
    flink
        .create_application()
        .application_name(APPLICATION)
        .runtime_environment(RuntimeEnvironment::from("FLINK-1_20"))
        .service_execution_role("arn:aws:iam::123456789012:role/orders")
        .application_configuration(configuration)
        .send()
        .await
        .map_err(|error| words(&error))?;
    flink
        .start_application()
        .application_name(APPLICATION)
        .send()
        .await
        .map_err(|error| words(&error))?;
    loop {
        let described = flink
            .describe_application()
            .application_name(APPLICATION)
            .send()
            .await
            .map_err(|error| words(&error))?;
        let status = described
            .application_detail
            .map(|detail| detail.application_status);
        if status == Some(ApplicationStatus::Running) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What earlier nights, a failed night and a person have left, oldest first.
fn older_snapshots(now: Timestamp) -> Vec<SeededSnapshot> {
    let nightly = |days: i64, status| {
        let created_at = now - SignedDuration::from_hours(24 * days);
        SeededSnapshot {
            name: format!("custom_{}", created_at.as_millisecond()),
            status,
            created_at: Some(created_at),
            version_id: 1,
        }
    };
    let by_hand = SeededSnapshot {
        name: "before-upgrade".to_owned(),
        created_at: Some(now - SignedDuration::from_hours(24 * 40)),
        ..nightly(40, SnapshotStatus::Ready)
    };
    [by_hand, nightly(NIGHTS + 1, SnapshotStatus::Failed)]
        .into_iter()
        .chain(
            (1..=NIGHTS)
                .rev()
                .map(|days| nightly(days, SnapshotStatus::Ready)),
        )
        .collect()
}

async fn list(clients: &Clients) -> Result<Vec<SnapshotDetails>, String> {
    let listed = clients
        .flink
        .list_application_snapshots()
        .application_name(APPLICATION)
        .limit(50)
        .send()
        .await
        .map_err(|error| words(&error))?;
    Ok(listed.snapshot_summaries.unwrap_or_default())
}

/// Subscribes a new queue to the topic; its URL.
async fn subscribe(clients: &Clients, names: &Names) -> Result<String, String> {
    let queue = clients
        .sqs
        .create_queue()
        .queue_name("demonstration")
        .send()
        .await
        .map_err(|error| words(&error))?;
    let queue_url = queue.queue_url.ok_or("the queue has no URL")?;
    clients
        .sns
        .subscribe()
        .topic_arn(&names.topic_arn)
        .protocol("sqs")
        .endpoint(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:demonstration"))
        .send()
        .await
        .map_err(|error| words(&error))?;
    Ok(queue_url)
}

/// The one message of the queue: its subject, and its text indented.
async fn receive(sqs: &aws_sdk_sqs::Client, queue_url: &str) -> Result<String, String> {
    let received = sqs
        .receive_message()
        .queue_url(queue_url)
        .wait_time_seconds(2)
        .send()
        .await
        .map_err(|error| words(&error))?;
    let body = received
        .messages
        .and_then(|messages| messages.into_iter().next()?.body);
    let body: Value = body
        .and_then(|body| serde_json::from_str(&body).ok())
        .ok_or("no notification has arrived")?;
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    Ok(format!(
        " Subject: {}\n Message: {}",
        text("Subject"),
        text("Message")
    ))
}

/// One row for each snapshot there was or is: what became of it, and why.
fn snapshots(
    before: &[SnapshotDetails],
    after: &[SnapshotDetails],
    ended: &Ended,
    now: Timestamp,
) -> String {
    let reasons = reasons(ended);
    let status = |list: &[SnapshotDetails], name: &str| {
        let found = list.iter().find(|snapshot| snapshot.snapshot_name == name);
        found.map_or("-".to_owned(), |snapshot| {
            snapshot.snapshot_status.as_str().to_owned()
        })
    };
    let new = after.iter().filter(|snapshot| {
        !before
            .iter()
            .any(|old| old.snapshot_name == snapshot.snapshot_name)
    });
    let mut table = new_table(["snapshot", "age", "before", "after", "verdict"]);
    for snapshot in new.chain(before) {
        let name = &snapshot.snapshot_name;
        let created = snapshot.snapshot_creation_timestamp.as_ref();
        let age = created.map_or(String::new(), |created| {
            let created = Timestamp::from_nanosecond(created.as_nanos()).unwrap_or(now);
            age(now.duration_since(created))
        });
        table.add_row([
            name.clone(),
            age,
            status(before, name),
            status(after, name),
            reasons.get(name).cloned().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

fn age(age: SignedDuration) -> String {
    let days = age.round(Unit::Hour).unwrap_or(age).as_hours() / 24;
    match days {
        ..1 => "new".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Action and reasons of each snapshot, as the last state was told them.
fn reasons(ended: &Ended) -> HashMap<String, String> {
    let told = ended.history.iter().rev().find_map(|event| {
        let entered = event.state_entered_event_details.as_ref()?;
        serde_json::from_str::<RunSummary>(entered.input.as_ref()?).ok()
    });
    let Some(told) = told else {
        return HashMap::new();
    };
    let judged = told.verdicts.into_iter().map(|verdict| {
        let action = format!("{:?}", verdict.action).to_uppercase();
        (
            verdict.snapshot_name,
            format!("{action}: {}", verdict.reasons.join("; ")),
        )
    });
    let deleted = told.progress.unwrap_or_default().deleted.into_iter();
    let deleted =
        deleted.map(|deleted| (deleted.snapshot_name, format!("DELETE: {}", deleted.reason)));
    judged.chain(deleted).collect()
}

/// Invocations by function, and the transitions of the machine.
async fn usage(engine: &Engine, ended: &Ended) -> Result<String, String> {
    let mut table = new_table(["function", "invocations", "first", "each later, on average"]);
    for function in FUNCTIONS {
        let reports = engine.logs(function, "REPORT").await?;
        let durations: Vec<u32> = reports
            .iter()
            .filter_map(|line| milliseconds(line))
            .collect();
        let Some((first, later)) = durations.split_first() else {
            continue;
        };
        let count = u32::try_from(later.len()).unwrap_or(u32::MAX);
        let average = later.iter().sum::<u32>().checked_div(count);
        table.add_row([
            function.to_owned(),
            durations.len().to_string(),
            format!("{first} ms"),
            average.map_or(String::new(), |average| format!("{average} ms")),
        ]);
    }
    Ok(format!(
        "{}\n {} state transitions",
        table.trim_fmt(),
        transitions(&ended.history)
    ))
}

/// The duration of an invocation, as Lambda's line on it has it.
#[must_use]
pub fn milliseconds(report: &str) -> Option<u32> {
    let (_, duration) = report.split_once("Duration: ")?;
    duration.split_once(" ms")?.0.parse().ok()
}
