//! Reads the listing and the policy, makes the plan and prints it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::Parser;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use contract::{Action, NO_RULE, Retention, Verdict, parse};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use output::say;
use retention::{Protected, Snapshot, Status, merge, plan, time_zone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::picture;

/// The width of a table that does not go to a terminal, in characters.
const WIDTH: u16 = 110;

/// Tries a policy on a listing of snapshots: which of them a run would keep and delete, and why.
#[derive(Debug, Parser)]
#[command(name = "cargo plan", bin_name = "cargo plan")]
pub struct Options {
    /// The output of `aws kinesisanalyticsv2 list-application-snapshots --application-name NAME`; - for standard input
    #[arg(long, value_name = "FILE")]
    snapshots: PathBuf,
    /// The policy, a `retention` object; - for standard input
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The time to plan for; by default the current time
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// The snapshot that the application is configured to restore from
    #[arg(long, value_name = "NAME")]
    restore_point: Option<String>,
    /// Draw the plan into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Plan {
    verdicts: Vec<Verdict>,
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct Summary {
    keep: usize,
    delete: usize,
    ignore: usize,
    total: usize,
    max_deletions_per_run: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    snapshot_summaries: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    snapshot_name: String,
    snapshot_status: String,
    application_version_id: i64,
    snapshot_creation_timestamp: Option<Time>,
}

/// The aws CLI prints ISO 8601 or epoch seconds, depending on its configuration.
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
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "a value out of range saturates, and is refused next"
                )]
                let milliseconds = (seconds * 1_000.0).round() as i64;
                let timestamp = Timestamp::from_millisecond(milliseconds).ok();
                timestamp.with_context(|| format!("{seconds} is not a time in epoch seconds"))
            }
        }
    }
}

/// Makes the plan and prints it to stdout.
pub fn run(options: &Options) -> Result<()> {
    let standard_input = Path::new("-");
    ensure!(
        options.snapshots != standard_input || options.policy != standard_input,
        "--snapshots and --policy are both -, and standard input can be read once: put one of them in a file"
    );
    let place = |path: &Path| path.display().to_string();
    let snapshots = snapshots(&options.snapshots).with_context(|| place(&options.snapshots))?;
    let (policy, zone) = policy(&options.policy).with_context(|| place(&options.policy))?;
    let protected = Protected {
        own: None,
        restore_point: options.restore_point.as_deref(),
    };
    let now = options.now.unwrap_or_else(Timestamp::now);
    let verdicts = plan(&snapshots, &policy, &zone, protected, now);
    if let Some(file) = &options.svg {
        let picture = picture::draw(&snapshots, &verdicts, now);
        fs::write(file, picture).with_context(|| place(file))?;
    }
    let count = |action| {
        let verdicts = verdicts.iter();
        verdicts.filter(|verdict| verdict.action == action).count()
    };
    let summary = Summary {
        keep: count(Action::Keep),
        delete: count(Action::Delete),
        ignore: count(Action::Ignore),
        total: verdicts.len(),
        max_deletions_per_run: policy.max_deletions_per_run.get(),
    };
    let plan = Plan { verdicts, summary };
    if options.json {
        say!("{}", serde_json::to_string_pretty(&plan)?)?;
    } else {
        say!("{}", table(&snapshots, &plan.verdicts, now))?;
        say!("\n{}", sentence(&plan.summary))?;
    }
    Ok(())
}

fn table(snapshots: &[Snapshot], verdicts: &[Verdict], now: Timestamp) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["snapshot", "age", "status", "verdict", "reasons"]);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    for verdict in verdicts {
        let listed = snapshots.iter().find(|s| s.name == verdict.snapshot_name);
        let age = listed
            .and_then(|snapshot| snapshot.created_at)
            .map_or_else(|| "-".to_owned(), |created_at| age(created_at, now));
        table.add_row([
            verdict.snapshot_name.clone(),
            age,
            listed.map_or("", |s| s.status.as_str()).to_owned(),
            format!("{:?}", verdict.action).to_uppercase(),
            verdict.reasons.join("; "),
        ]);
    }
    if let Some(ages) = table.column_mut(1) {
        ages.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// An age in the largest unit in which it is 2 or more.
fn age(created_at: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(created_at).as_secs();
    let (sign, seconds) = (if age < 0 { "in " } else { "" }, age.abs());
    let units = [
        (365 * 86_400, "years"),
        (86_400, "days"),
        (3_600, "hours"),
        (60, "minutes"),
    ];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, unit) = unit.unwrap_or((1, "seconds"));
    format!("{sign}{} {unit}", seconds / length)
}

fn sentence(summary: &Summary) -> String {
    let Summary {
        keep,
        delete,
        ignore,
        total,
        max_deletions_per_run: limit,
    } = summary;
    let mut text =
        format!("Of {total} snapshots {keep} are kept, {delete} deleted, {ignore} ignored.");
    if u32::try_from(*delete).is_ok_and(|delete| delete > *limit) {
        let _ = write!(
            text,
            " That is more than max_deletions_per_run {limit}, so a run would delete none of them. To delete \
             them, start a run with mode PRUNE and max_deletions_per_run {delete}."
        );
    }
    text
}

fn read(path: &Path) -> Result<Value> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(path)
    };
    serde_json::from_str(&text?).context("not JSON")
}

fn snapshots(path: &Path) -> Result<Vec<Snapshot>> {
    let listing: Listing = parse(&read(path)?).map_err(|fact| {
        anyhow!("{fact}. It must be the output of `aws kinesisanalyticsv2 list-application-snapshots --application-name NAME`")
    })?;
    let snapshots = listing.snapshot_summaries.into_iter().map(|listed| {
        let name = listed.snapshot_name;
        let created_at = listed.snapshot_creation_timestamp;
        let created_at = created_at.map(|time| time.timestamp()).transpose();
        Ok(Snapshot {
            created_at: created_at
                .with_context(|| format!("SnapshotCreationTimestamp of {name}"))?,
            name,
            status: Status::from(listed.snapshot_status.as_str()),
            application_version_id: listed.application_version_id,
        })
    });
    merge(snapshots.collect::<Result<_>>()?).map_err(Error::msg)
}

fn policy(path: &Path) -> Result<(Retention, TimeZone)> {
    let policy = parse(&read(path)?).and_then(|policy: Retention| {
        policy.refuse_unknown_fields()?;
        Ok(policy)
    });
    let policy = policy.map_err(|fact| {
        anyhow!("{fact}. It must be a `retention` object, such as {{\"keep_last\":30}}")
    })?;
    ensure!(policy.has_rule(), NO_RULE);
    let zone = time_zone(&policy.timezone).map_err(Error::msg)?;
    Ok((policy, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_the_largest_unit_in_which_it_is_two_or_more() {
        let now: Timestamp = "2026-11-22T20:00:00Z".parse().unwrap();
        for (created_at, expected) in [
            ("2026-11-22T19:59:59Z", "1 seconds"),
            ("2026-11-22T19:58:00Z", "2 minutes"),
            ("2026-11-22T18:01:00Z", "119 minutes"),
            ("2026-11-21T20:00:00Z", "24 hours"),
            ("2026-11-20T20:00:00Z", "2 days"),
            ("2024-11-20T20:00:00Z", "2 years"),
            ("2026-11-22T20:05:00Z", "in 5 minutes"),
        ] {
            assert_eq!(age(created_at.parse().unwrap(), now), expected);
        }
    }
}
