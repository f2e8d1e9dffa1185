//! Reads and prints the audit record of an execution.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::HistoryEventType;
use contract::ApplicationName;
use engine::Connection;
use output::{new_table, say};
use serde_json::Value;

use crate::follow::Ended;

/// How long to wait for the record of an execution. If the execution has failed, an event leads to the record, which
/// takes some time.
const RECORD_TIMEOUT: Duration = Duration::from_secs(20);

/// The audit record of a run: the attributes of an item in the table.
pub type Record = BTreeMap<String, Value>;

/// Waits for the audit record of an execution that has ended.
pub async fn await_record(connection: &Connection, ended: &Ended) -> Result<Record> {
    let app_name = application(&ended.input);
    // After a redrive, the table may still have the record of the failure before it. So the record must be at least as
    // new as the last entry into a state, or the last redrive: the redrive of a Task does not enter the Task again.
    let last_start = ended.history.iter().rev().find(|event| {
        event.state_entered_event_details.is_some()
            || event.r#type == HistoryEventType::ExecutionRedriven
    });
    let since = last_start.map_or(0, |event| event.timestamp.as_nanos().div_euclid(1_000_000));
    let config = connection.sdk_config();
    let deadline = Instant::now() + RECORD_TIMEOUT;
    loop {
        if let Some(record) = get(&config, &connection.table, &app_name, ended.run_id).await? {
            let finished_at = record.get("finished_at").and_then(Value::as_i64);
            if finished_at.is_some_and(|finished_at| i128::from(finished_at) >= since) {
                return Ok(record);
            }
        }
        ensure!(
            Instant::now() < deadline,
            "the table {} has no record ({app_name}, {}); the log of record-and-notify says why",
            connection.table,
            ended.run_id
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The application name under which a run with this input is recorded.
fn application(input: &str) -> String {
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    let name = input["application_name"].as_str().unwrap_or_default();
    ApplicationName::try_from(name.to_owned()).map_or_else(|_| "(unknown)".to_owned(), String::from)
}

/// The record of a run, if it has one.
pub async fn get(
    config: &SdkConfig,
    table: &str,
    app_name: &str,
    run_id: i64,
) -> Result<Option<Record>> {
    let app_name = AttributeValue::S(app_name.to_owned());
    let run_id = AttributeValue::N(run_id.to_string());
    let got = Client::new(config)
        .get_item()
        .table_name(table)
        .key("app_name", app_name)
        .key("snapshot_manager_run_id", run_id)
        .consistent_read(true)
        .send()
        .await?;
    Ok(got.item.map(serde_dynamo::from_item).transpose()?)
}

/// Waits for the record of an execution, and prints it. If the execution has failed, the record appears a moment after
/// its end.
pub async fn print_record(connection: &Connection, ended: &Ended, as_json: bool) -> Result<()> {
    let record = await_record(connection, ended).await?;
    if as_json {
        say!("{}", serde_json::to_string_pretty(&record)?)?;
    } else {
        say!("{}", record_table(&record))?;
    }
    Ok(())
}

/// The record as a table with a row for each attribute.
pub fn record_table(record: &Record) -> String {
    let mut table = new_table(["attribute", "value"]);
    for (attribute, value) in record {
        table.add_row([attribute.as_str(), &readable(value)]);
    }
    table.trim_fmt()
}

/// A value in a form that people can read. In a list of snapshots, each snapshot has a line with its reason.
fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(readable).collect::<Vec<_>>().join("\n"),
        _ => match (&value["snapshot_name"], &value["reason"]) {
            (Value::String(name), Value::String(reason)) => format!("{name}: {reason}"),
            _ => value.to_string(),
        },
    }
}
