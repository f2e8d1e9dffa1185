//! Draws a plan: the snapshots on a time axis, with a row for each rule that keeps a snapshot, and a row for the
//! deleted ones.

use std::fmt::Write;

use contract::{Action, Verdict};
use jiff::Timestamp;
use retention::Snapshot;
use svg::Document;
use svg::node::element::{Circle, Line, Path, Rectangle, Text};

/// The rows of the picture: the beginning of the reasons that belong to the row, and the colour. The last row has the
/// deleted snapshots.
const ROWS: [(&str, &str); 9] = [
    ("protected", "#6a51a3"),
    ("last", "#08519c"),
    ("within", "#3182bd"),
    ("hourly", "#006d2c"),
    ("daily", "#31a354"),
    ("weekly", "#74c476"),
    ("monthly", "#e6a800"),
    ("yearly", "#d95f0e"),
    ("deleted", "#cb181d"),
];

/// The labels of the time axis: an age in hours, and its text.
const TICKS: [(f64, &str); 9] = [
    (1.0, "1 hour"),
    (6.0, "6 hours"),
    (24.0, "1 day"),
    (168.0, "1 week"),
    (720.0, "30 days"),
    (2_160.0, "90 days"),
    (8_766.0, "1 year"),
    (26_298.0, "3 years"),
    (87_660.0, "10 years"),
];

const WIDTH: f64 = 900.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 20.0;
const ROW: f64 = 26.0;

/// An SVG document. Its time axis is logarithmic, with the newest snapshots on the right. Rows without snapshots, and
/// ignored snapshots, are left out.
#[must_use]
pub fn draw(snapshots: &[Snapshot], verdicts: &[Verdict], now: Timestamp) -> String {
    let placed: Vec<(f64, &Verdict)> = verdicts
        .iter()
        .filter(|verdict| verdict.action != Action::Ignore)
        .filter_map(|verdict| {
            let snapshot = snapshots.iter().find(|s| s.name == verdict.snapshot_name)?;
            let age = now.duration_since(snapshot.created_at?);
            Some((age.as_secs_f64().max(0.0) / 3_600.0, verdict))
        })
        .collect();
    let oldest = placed.iter().map(|(age, _)| *age).fold(24.0, f64::max);
    // Half an hour is added to each age, because zero has no logarithm.
    let place = |age: f64| {
        let (least, most) = (0.5_f64.ln(), (oldest * 1.2 + 0.5).ln());
        let share = ((age + 0.5).ln() - least) / (most - least);
        WIDTH - RIGHT - share * (WIDTH - LEFT - RIGHT)
    };
    let is_in = |row: &str, verdict: &Verdict| match verdict.action {
        Action::Delete => row == "deleted",
        _ => verdict.reasons.iter().any(|reason| reason.starts_with(row)),
    };
    let mut bottom = TOP;
    let mut marks: Vec<Circle> = Vec::new();
    let mut labels: Vec<Text> = Vec::new();
    let mut deleted = String::new();
    for (row, colour) in ROWS {
        let mut members = placed
            .iter()
            .filter(|(_, verdict)| is_in(row, verdict))
            .peekable();
        if members.peek().is_none() {
            continue;
        }
        let middle = bottom + ROW / 2.0;
        labels.push(label(row, LEFT - 10.0, middle + 4.0, "end"));
        for (age, _) in members {
            if row == "deleted" {
                let _ = write!(deleted, "M{:.1} {:.1}v8", place(*age), middle - 4.0);
            } else {
                let mark = Circle::new().set("cx", format!("{:.1}", place(*age)));
                marks.push(mark.set("cy", middle).set("r", 4).set("fill", colour));
            }
        }
        bottom += ROW;
    }
    let background = Rectangle::new()
        .set("width", WIDTH)
        .set("height", bottom + 40.0)
        .set("fill", "#ffffff");
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, bottom + 40.0))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(background);
    for (age, name) in TICKS.iter().filter(|(age, _)| *age <= oldest * 1.2) {
        let x = format!("{:.1}", place(*age));
        let line = Line::new().set("x1", x.clone()).set("x2", x);
        let line = line.set("y1", TOP).set("y2", bottom);
        let name = label(name, place(*age), bottom + 20.0, "middle");
        document = document.add(line.set("stroke", "#dddddd")).add(name);
    }
    if !deleted.is_empty() {
        let (_, colour) = ROWS[ROWS.len() - 1];
        let path = Path::new().set("d", deleted);
        document = document.add(path.set("stroke", colour).set("stroke-opacity", 0.5));
    }
    for label in labels {
        document = document.add(label);
    }
    for mark in marks {
        document = document.add(mark);
    }
    document.to_string() + "\n"
}

fn label(text: &str, x: f64, y: f64, anchor: &str) -> Text {
    Text::new(text)
        .set("x", format!("{x:.1}"))
        .set("y", format!("{y:.1}"))
        .set("text-anchor", anchor)
        .set("fill", "#333333")
}
