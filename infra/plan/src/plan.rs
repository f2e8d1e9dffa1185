//! A policy tried on a listing, without AWS: what a run would keep and delete, and why.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use contract::{Action, NO_RULE, Retention, Verdict, parse};
use jiff::Timestamp;
use retention::{Protected, Snapshot, Status, merge, plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::picture;

/// The width of a table that does not go to a terminal, in characters.
const WIDTH: u16 = 110;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What `aws kinesisanalyticsv2 list-application-snapshots` prints; `-` for standard input.
    pub snapshots: PathBuf,
    /// A `retention` object; `-` for standard input.
    pub policy: PathBuf,
    /// The time that ages are reckoned from.
    pub now: Timestamp,
    /// The snapshot that the application restores from.
    pub restore_point: Option<String>,
    /// Where a picture of the plan goes.
    pub svg: Option<PathBuf>,
    /// JSON instead of a table.
    pub json: bool,
}

/// A plan and what it comes to.
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

/// The aws CLI writes ISO 8601 or epoch seconds, as it is configured.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Written(String),
    Seconds(f64),
}

impl Time {
    fn read(&self) -> Result<Timestamp, String> {
        match self {
            Self::Written(text) => text
                .parse()
                .map_err(|_| format!("{text:?} is not a time in RFC 3339")),
            Self::Seconds(seconds) => {
                epoch(*seconds).ok_or_else(|| format!("{seconds} is not a time in epoch seconds"))
            }
        }
    }
}

/// Plans and prints to stdout.
pub fn run(options: &Options) -> Result<(), String> {
    let standard_input = Path::new("-");
    if options.snapshots == standard_input && options.policy == standard_input {
        return Err(
            "--snapshots and --policy are both -, and standard input can be read once: put one of them in a file"
                .to_owned(),
        );
    }
    let snapshots = snapshots(&options.snapshots)?;
    let policy = policy(&options.policy)?;
    let zone = retention::time_zone(&policy.timezone)
        .map_err(|fact| format!("{}: {fact}", options.policy.display()))?;
    let protected = Protected {
        own: None,
        restore_point: options.restore_point.as_deref(),
    };
    let verdicts = plan(&snapshots, &policy, &zone, protected, options.now);
    if let Some(file) = &options.svg {
        let picture = picture::draw(&snapshots, &verdicts, options.now);
        std::fs::write(file, picture).map_err(|error| format!("{}: {error}", file.display()))?;
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
        let text = serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        println!("{}", table(&snapshots, &plan.verdicts, options.now));
        println!("\n{}", summed_up(&plan.summary));
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

/// In the largest unit of which there are two.
fn age(created_at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(created_at).as_secs();
    let (sign, seconds) = if seconds < 0 {
        ("in ", -seconds)
    } else {
        ("", seconds)
    };
    let (number, unit) = [
        (365 * 86_400, "years"),
        (86_400, "days"),
        (3_600, "hours"),
        (60, "minutes"),
    ]
    .into_iter()
    .find(|(length, _)| seconds >= 2 * length)
    .map_or((seconds, "seconds"), |(length, unit)| {
        (seconds / length, unit)
    });
    format!("{sign}{number} {unit}")
}

fn summed_up(summary: &Summary) -> String {
    let Summary {
        keep,
        delete,
        ignore,
        total,
        max_deletions_per_run: brake,
    } = summary;
    let mut text =
        format!("Of {total} snapshots {keep} are kept, {delete} deleted, {ignore} ignored.");
    if u32::try_from(*delete).is_ok_and(|delete| delete > *brake) {
        let _ = write!(
            text,
            " That is more than max_deletions_per_run {brake}: a run would delete none of them, until one \
             with mode PRUNE and max_deletions_per_run {delete} acknowledges the number."
        );
    }
    text
}

fn read(path: &Path) -> Result<Value, String> {
    let place = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut text = String::new();
    if path == Path::new("-") {
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| place(&error))?;
    } else {
        text = std::fs::read_to_string(path).map_err(|error| place(&error))?;
    }
    serde_json::from_str(&text).map_err(|error| place(&format!("not JSON: {error}")))
}

fn snapshots(path: &Path) -> Result<Vec<Snapshot>, String> {
    let listing: Listing = parse(&read(path)?).map_err(|fact| {
        format!(
            "{}: {fact}. It must be what `aws kinesisanalyticsv2 list-application-snapshots --application-name NAME` prints",
            path.display()
        )
    })?;
    let snapshots = listing
        .snapshot_summaries
        .into_iter()
        .map(|listed| {
            let created_at = listed.snapshot_creation_timestamp.map(|time| time.read());
            let created_at = created_at.transpose().map_err(|fact| {
                format!(
                    "{}: SnapshotCreationTimestamp of {}: {fact}",
                    path.display(),
                    listed.snapshot_name
                )
            })?;
            Ok(Snapshot {
                name: listed.snapshot_name,
                status: Status::from(listed.snapshot_status.as_str()),
                created_at,
                application_version_id: listed.application_version_id,
            })
        })
        .collect::<Result<_, String>>()?;
    merge(snapshots).map_err(|fact| format!("{}: {fact}", path.display()))
}

/// Epoch seconds, to the millisecond.
fn epoch(seconds: f64) -> Option<Timestamp> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "out of range saturates, and is refused next"
    )]
    let milliseconds = (seconds * 1_000.0).round() as i64;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn policy(path: &Path) -> Result<Retention, String> {
    let cure = "It must be a `retention` object, such as {\"keep_last\":30}";
    let policy = parse(&read(path)?).and_then(|policy: Retention| {
        policy.refuse_unknown_fields()?;
        Ok(policy)
    });
    let policy = policy.map_err(|fact| format!("{}: {fact}. {cure}", path.display()))?;
    if policy.has_rule() {
        Ok(policy)
    } else {
        Err(format!("{}: {NO_RULE}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_largest_unit_of_which_there_are_two() {
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
