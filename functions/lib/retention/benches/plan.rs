//! A plan for 10,000 snapshots with every rule takes less than 50 ms. Run the benchmark with
//! `cargo bench -p retention`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use contract::Retention;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use retention::{RunProtection, Snapshot, Status, plan};

const BUDGET: Duration = Duration::from_millis(50);
const ROUNDS: usize = 21;

fn main() {
    let now: Timestamp = "2026-11-22T20:00:00Z".parse().unwrap();
    let snapshots: Vec<Snapshot> = (0..10_000)
        .map(|hours| {
            let created_at = now - SignedDuration::from_hours(hours);
            Snapshot {
                name: format!("custom_{}", created_at.as_millisecond()),
                status: Status::Ready,
                created_at: Some(created_at),
                application_version_id: hours / 100,
                runtime: Some(format!("FLINK-1_{}", hours / 1_000)),
            }
        })
        .collect();
    let policy: Retention = serde_json::from_str(
        r#"{
            "keep_last": 5000, "keep_hourly": 5000, "keep_daily": 400, "keep_weekly": 60, "keep_monthly": 12,
            "keep_yearly": 2, "keep_within": "P200D", "keep_last_versions": 50, "keep_last_runtimes": 9, "timezone": "Europe/Zurich"
        }"#,
    )
    .unwrap();
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            black_box(plan(
                black_box(&snapshots),
                &policy,
                &zone,
                RunProtection::default(),
                now,
            ));
            began.elapsed()
        })
        .collect();
    rounds.sort();
    let median = rounds[ROUNDS / 2];
    println!("plan of 10,000 snapshots: {median:?} (median of {ROUNDS}), budget {BUDGET:?}");
    assert!(median < BUDGET, "over budget");
}
