//! The audit record of an execution, read and shown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use comfy_table::{ContentArrangement, Table, presets};
use contract::ApplicationName;
use serde_json::Value;

use crate::follow::Ended;
use engine::engine::{Names, words};

/// How long a failed execution's record may take: it comes by an event.
const RECORD_WITHIN: Duration = Duration::from_secs(20);

/// The width of a table that does not go to a terminal, in characters.
const WIDTH: u16 = 110;

/// An item of the table.
pub type Record = BTreeMap<String, Value>;

/// The audit record of an execution that has ended, once it is written.
pub async fn await_record(names: &Names, ended: &Ended) -> Result<Record, String> {
    let app_name = application(&ended.input);
    // What an earlier failure of a redriven execution has left does not count.
    let entered = ended
        .history
        .iter()
        .rev()
        .find(|event| event.state_entered_event_details.is_some());
    let since = entered.map_or(0, |event| event.timestamp.as_nanos().div_euclid(1_000_000));
    let config = names.sdk_config();
    let deadline = Instant::now() + RECORD_WITHIN;
    loop {
        if let Some(record) = get(&config, &names.table, &app_name, ended.run_id).await? {
            let finished_at = record.get("finished_at").and_then(Value::as_i64);
            if finished_at.is_some_and(|finished_at| i128::from(finished_at) >= since) {
                return Ok(record);
            }
        }
        if Instant::now() > deadline {
            return Err(format!(
                "no record ({app_name}, {}) in the table {}; the log of record-and-notify says why",
                ended.run_id, names.table
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The name under which a run with this input is recorded.
fn application(input: &str) -> String {
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    let name = input["application_name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ApplicationName::try_from(name).map_or_else(|_| "(unknown)".to_owned(), String::from)
}

/// The row of a run, if there is one.
pub async fn get(
    config: &SdkConfig,
    table: &str,
    app_name: &str,
    run_id: i64,
) -> Result<Option<Record>, String> {
    let got = Client::new(config)
        .get_item()
        .table_name(table)
        .key("app_name", AttributeValue::S(app_name.to_owned()))
        .key(
            "snapshot_manager_run_id",
            AttributeValue::N(run_id.to_string()),
        )
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| words(&error))?;
    got.item
        .map(serde_dynamo::from_item)
        .transpose()
        .map_err(|error| error.to_string())
}

/// The record as a table of its attributes.
#[must_use]
pub fn record_table(record: &Record) -> String {
    let mut table = new_table(["attribute", "value"]);
    for (attribute, value) in record {
        table.add_row([attribute.as_str(), &shown(value)]);
    }
    table.trim_fmt()
}

/// A value for people: lists of snapshots one a line, with the reason.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(shown).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => match (&fields.get("snapshot_name"), &fields.get("reason")) {
            (Some(Value::String(name)), Some(Value::String(reason))) => format!("{name}: {reason}"),
            _ => value.to_string(),
        },
        _ => value.to_string(),
    }
}

/// An empty table in the style of all of them.
#[must_use]
pub fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}
