//! Reads the listing and the policy, makes the plan and prints it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::{Parser, ValueEnum};
use comfy_table::CellAlignment;
use contract::{Action, ErrorName, HeldBack, NO_RULE, Retention, SnapshotName, Verdict, parse};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use output::{new_table, say};
use retention::{Snapshot, time_zone};
use serde::Serialize;

use crate::preview::{Preview, PreviewedRun};
use crate::{json, listing, picture};

/// Tries a policy on a listing of snapshots: which of them a run would keep and delete, and why.
#[derive(Debug, Parser)]
#[command(name = "cargo plan", bin_name = "cargo plan")]
pub struct Options {
    /// The output of `aws kinesisanalyticsv2 list-application-snapshots --application-name NAME --output json`, also
    /// with `--query SnapshotSummaries`; - for standard input. It must be the whole listing: no `--max-items`,
    /// `--no-paginate`, `--limit` or `--starting-token`
    #[arg(long, value_name = "FILE")]
    snapshots: PathBuf,
    /// The policy, a `retention` object; - for standard input
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The mode of the run
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// The run's `snapshot_name`; by default its snapshot is managed
    #[arg(long, value_name = "NAME", value_parser = snapshot_name)]
    snapshot_name: Option<SnapshotName>,
    /// When the run starts; by default now
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// The snapshot that the application is configured to restore from
    #[arg(long, value_name = "NAME")]
    restore_point: Option<String>,
    /// The application's `ApplicationVersionId`; by default the highest that is listed
    #[arg(long, value_name = "NUMBER")]
    application_version: Option<i64>,
    /// The application's `RuntimeEnvironment`; by default that of the newest listed snapshot
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// Draw the plan into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The modes that delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Mode {
    /// Take a snapshot, then prune. The plan treats the new snapshot as READY
    #[default]
    Run,
    /// It takes no snapshot
    Prune,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Plan<'a> {
    verdicts: &'a [Verdict],
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<&'a HeldBack>,
    notes: &'a [String],
}

/// The numbers of verdicts.
#[derive(Serialize)]
struct Summary {
    keep: usize,
    delete: usize,
    ignore: usize,
    total: usize,
}

impl Summary {
    fn of(verdicts: &[Verdict]) -> Self {
        let count = |action| {
            let verdicts = verdicts.iter();
            verdicts.filter(|verdict| verdict.action == action).count()
        };
        Self {
            keep: count(Action::Keep),
            delete: count(Action::Delete),
            ignore: count(Action::Ignore),
            total: verdicts.len(),
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
    let listing = snapshots(&options.snapshots).with_context(|| place(&options.snapshots))?;
    let (policy, zone) = policy(&options.policy).with_context(|| place(&options.policy))?;
    let now = options.now.unwrap_or_else(Timestamp::now);
    if let Some(name) = &options.snapshot_name {
        refuse_snapshot_name(name, options.mode, &listing, now).context("--snapshot-name")?;
    }
    let run = PreviewedRun {
        policy: &policy,
        zone: &zone,
        takes_snapshot: options.mode == Mode::Run,
        snapshot_name: options.snapshot_name.as_ref(),
        restore_point: options.restore_point.as_deref(),
        application_version: options.application_version,
        runtime: options.runtime.as_deref(),
        now,
    };
    let preview = run.preview(&listing);
    if let Some(file) = &options.svg {
        let verdicts: Vec<Verdict> = preview.all_verdicts().cloned().collect();
        let picture = picture::draw(&preview.snapshots, &verdicts, now);
        fs::write(file, picture).with_context(|| place(file))?;
    }
    let summary = Summary::of(&preview.verdicts);
    if options.json {
        let plan = Plan {
            verdicts: &preview.verdicts,
            summary,
            held_back: preview.held_back.as_ref(),
            notes: &preview.notes,
        };
        say!("{}", serde_json::to_string_pretty(&plan)?)?;
    } else {
        say!("{}", table(&preview, now))?;
        say!("\n{}", sentence(&summary, preview.held_back.as_ref()))?;
        for note in &preview.notes {
            say!("Note: {note}")?;
        }
    }
    Ok(())
}

fn table(preview: &Preview, now: Timestamp) -> String {
    let mut table = new_table(["snapshot", "age", "status", "verdict", "reasons"]);
    for verdict in preview.all_verdicts() {
        let mut snapshots = preview.snapshots.iter();
        let snapshot = snapshots.find(|it| it.name == verdict.snapshot_name);
        let age = snapshot
            .and_then(|snapshot| snapshot.created_at)
            .map_or_else(|| "-".to_owned(), |created_at| age(created_at, now));
        let is_new = Some(verdict) == preview.own.as_ref();
        let status = snapshot.map_or("", |snapshot| snapshot.status.as_str());
        table.add_row([
            verdict.snapshot_name.clone(),
            age,
            if is_new { "new" } else { status }.to_owned(),
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

fn sentence(summary: &Summary, held_back: Option<&HeldBack>) -> String {
    let Summary {
        keep,
        delete,
        ignore,
        total,
    } = summary;
    match held_back {
        None => format!(
            "Of {total} listed snapshots {keep} are kept, {delete} deleted, {ignore} ignored."
        ),
        Some(HeldBack { message, .. }) => format!(
            "Of {total} listed snapshots the plan keeps {keep}, deletes {delete} and ignores {ignore}. But a \
             run would delete nothing: the plan is held back. {message}"
        ),
    }
}

fn snapshot_name(name: &str) -> Result<SnapshotName, String> {
    name.to_owned().try_into()
}

/// Refuses a name with which a run fails at its start.
fn refuse_snapshot_name(
    name: &SnapshotName,
    mode: Mode,
    listing: &[Snapshot],
    now: Timestamp,
) -> Result<()> {
    ensure!(mode == Mode::Run, "only mode RUN takes a snapshot");
    let is_older = |it: &Snapshot| {
        it.created_at
            .is_none_or(|at| at.as_second() < now.as_second())
    };
    let is_taken = |it: &Snapshot| it.name == name.as_str() && is_older(it);
    ensure!(
        !listing.iter().any(is_taken),
        "a snapshot of this name is listed and older than the run, which fails with {}: choose \
         another name",
        ErrorName::SnapshotNameTaken.as_str()
    );
    Ok(())
}

fn snapshots(path: &Path) -> Result<Vec<Snapshot>> {
    let content = json::read(path)?;
    let snapshots = json::parse(&content).and_then(|listing| listing::snapshots(&listing));
    snapshots.map_err(|fact| {
        anyhow!(
            "{fact:#}. It must be the output of `aws kinesisanalyticsv2 list-application-snapshots \
             --application-name NAME --output json`"
        )
    })
}

fn policy(path: &Path) -> Result<(Retention, TimeZone)> {
    let content = json::read(path)?;
    let policy = json::parse(&content).and_then(|policy| {
        let policy: Retention = parse(&policy).map_err(Error::msg)?;
        policy.refuse_unknown_fields().map_err(Error::msg)?;
        Ok(policy)
    });
    let policy = policy.map_err(|fact| {
        anyhow!("{fact:#}. It must be a `retention` object, such as {{\"keep_last\":30}}")
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
