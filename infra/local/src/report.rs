//! Reads and prints the audit record of an execution.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::HistoryEventType;
use contract::ApplicationName;
use engine::Names;
use output::{new_table, say};
use serde_json::Value;

use crate::follow::Ended;

/// How long the record of a failed execution may take, which an event brings about.
const RECORD_TIMEOUT: Duration = Duration::from_secs(20);

/// An item of the table.
pub type Record = BTreeMap<String, Value>;

/// Waits for the audit record of an execution that has ended.
pub async fn await_record(names: &Names, ended: &Ended) -> Result<Record> {
    let app_name = application(&ended.input);
    // A redriven execution may still have the record of an earlier failure. A redrive of a Task does not enter it again.
    let began = ended.history.iter().rev().find(|event| {
        event.state_entered_event_details.is_some()
            || event.r#type == HistoryEventType::ExecutionRedriven
    });
    let since = began.map_or(0, |event| event.timestamp.as_nanos().div_euclid(1_000_000));
    let config = names.sdk_config();
    let deadline = Instant::now() + RECORD_TIMEOUT;
    loop {
        if let Some(record) = get(&config, &names.table, &app_name, ended.run_id).await? {
            let finished_at = record.get("finished_at").and_then(Value::as_i64);
            if finished_at.is_some_and(|finished_at| i128::from(finished_at) >= since) {
                return Ok(record);
            }
        }
        ensure!(
            Instant::now() < deadline,
            "the table {} has no record ({app_name}, {}); the log of record-and-notify says why",
            names.table,
            ended.run_id
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The name under which a run with this input is recorded.
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

/// Waits for the record, which appears a moment after the end of a failed execution, and prints it.
pub async fn print_record(names: &Names, ended: &Ended, as_json: bool) -> Result<()> {
    let record = await_record(names, ended).await?;
    if as_json {
        say!("{}", serde_json::to_string_pretty(&record)?)?;
    } else {
        say!("{}", record_table(&record))?;
    }
    Ok(())
}

/// The record as a table of its attributes.
pub fn record_table(record: &Record) -> String {
    let mut table = new_table(["attribute", "value"]);
    for (attribute, value) in record {
        table.add_row([attribute.as_str(), &printed(value)]);
    }
    table.trim_fmt()
}

/// A value as people read it. In a list, each snapshot has a line with its reason.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(printed).collect::<Vec<_>>().join("\n"),
        _ => match (&value["snapshot_name"], &value["reason"]) {
            (Value::String(name), Value::String(reason)) => format!("{name}: {reason}"),
            _ => value.to_string(),
        },
    }
}
