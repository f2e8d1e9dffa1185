//! Reads a listing of snapshots, as the aws CLI prints it.

use anyhow::{Context, Error, Result, bail, ensure};
use contract::parse;
use jiff::Timestamp;
use retention::{Snapshot, Status, merge};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A snapshot in the listing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    snapshot_name: String,
    snapshot_status: String,
    application_version_id: i64,
    snapshot_creation_timestamp: Option<Time>,
    runtime_environment: Option<String>,
}

/// A creation time. Depending on its configuration, the aws CLI prints it in ISO 8601 or in epoch seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    EpochSeconds(f64),
}

impl Time {
    fn timestamp(&self) -> Result<Timestamp> {
        match self {
            Self::Text(text) => {
                let timestamp = text.parse::<Timestamp>().ok();
                timestamp.with_context(|| format!("{text:?} is not a time in RFC 3339"))
            }
            Self::EpochSeconds(seconds) => {
                let whole = seconds.floor();
                // The SDK in the function converts seconds in the same way, so both compare the same times.
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "a value out of range saturates, and is refused next"
                )]
                let (second, nanosecond) = (whole as i64, ((seconds - whole) * 1e9) as i32);
                let timestamp = Timestamp::new(second, nanosecond).ok();
                timestamp.with_context(|| format!("{seconds} is not a time in epoch seconds"))
            }
        }
    }
}

/// All snapshots of a listing, each of them once. The listing is an object with the field `SnapshotSummaries`, or only
/// the array in that field.
pub fn snapshots(listing: &Value) -> Result<Vec<Snapshot>> {
    let summaries = match listing {
        Value::Object(fields) => complete(fields)?,
        Value::Array(summaries) => summaries,
        _ => bail!("neither an object nor an array"),
    };
    let snapshots = summaries.iter().enumerate().map(|(number, summary)| {
        snapshot(summary).with_context(|| format!("SnapshotSummaries[{number}]"))
    });
    merge(snapshots.collect::<Result<_>>()?).map_err(Error::msg)
}

/// The summaries of a complete listing. A part of a listing is an error: a missing snapshot might protect others, or
/// might itself be deleted.
fn complete(fields: &Map<String, Value>) -> Result<&Vec<Value>> {
    let is_token = |token: &Value| !token.is_null() && token != "";
    ensure!(
        !fields.get("NextToken").is_some_and(is_token),
        "it has a NextToken, so it is only a part of the listing. List all snapshots, without --max-items, \
         --no-paginate and --limit (--page-size leaves nothing out)"
    );
    let summaries = fields.get("SnapshotSummaries");
    let summaries = summaries.context("missing field `SnapshotSummaries`")?;
    summaries
        .as_array()
        .context("SnapshotSummaries is not an array")
}

fn snapshot(summary: &Value) -> Result<Snapshot> {
    // serde would also accept an array of the fields' values.
    ensure!(summary.is_object(), "not an object");
    let listed: Listed = parse(summary).map_err(Error::msg)?;
    let created_at = listed.snapshot_creation_timestamp;
    let created_at = created_at.map(|time| time.timestamp()).transpose();
    Ok(Snapshot {
        created_at: created_at.context("SnapshotCreationTimestamp")?,
        name: listed.snapshot_name,
        status: Status::from(listed.snapshot_status.as_str()),
        application_version_id: listed.application_version_id,
        runtime: listed.runtime_environment,
    })
}
