//! Measures runs that delete most of a full quota of snapshots.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use engine::Engine;
use engine::faults::{Fault, FaultKind, Times};
use engine::msf::SeededSnapshot;
use jiff::{SignedDuration, Timestamp};
use local::follow::{follow, start_execution};
use serde_json::json;

use super::{Row, measured};

const DELETIONS: u32 = 970;
/// How long each call to Managed Flink takes in these runs.
pub(super) const LATENCY_MS: u64 = 50;

pub(super) async fn measure(engine: &Engine) -> Result<Row> {
    let unlimited = prune(engine, "unlimited", None).await?;
    let limited = prune(engine, "limited", Some(10)).await?;
    let durations = engine.durations_ms("prune-snapshots").await?;
    let longest = durations
        .into_iter()
        .max()
        .context("prune-snapshots has logged no invocation")?;
    Ok(row([unlimited, limited, f64::from(longest) / 1e3]))
}

/// The row of the measurements, in seconds: a run without throttling, a run with ten deletions a second, and the
/// longest invocation of both runs.
pub(super) fn row([unlimited, limited, longest]: [f64; 3]) -> Row {
    let values = vec![
        measured("no limit", "s", Some(unlimited), Some(15.0)),
        // At ten deletions a second, 970 deletions take 97 s. 15 % more are allowed.
        measured("10 a second", "s", Some(limited), Some(111.5)),
        // The state machine allows an invocation more than twice this time.
        measured("longest invocation", "s", Some(longest), Some(30.0)),
    ];
    let name = format!("{DELETIONS} deletions");
    Row { name, values }
}

/// Runs an execution that prunes an application with a full quota of snapshots. Returns how long it took, in seconds.
async fn prune(engine: &Engine, name: &str, deletes_per_second: Option<u32>) -> Result<f64> {
    let now = Timestamp::now();
    let hours = (1..=1_000).rev();
    let snapshots =
        hours.map(|hours| SeededSnapshot::managed(now - SignedDuration::from_hours(hours)));
    engine.create_application(name, "RUNNING", deletes_per_second, snapshots)?;
    let faults = engine.proxy().faults();
    let slow = |operation: &str| {
        faults.inject(Fault {
            function: "prune-snapshots".to_owned(),
            operation: operation.to_owned(),
            application: Some(name.to_owned()),
            times: Times::Always,
            kind: FaultKind::Delay(Duration::from_millis(LATENCY_MS)),
        })
    };
    slow("DescribeApplication");
    slow("ListApplicationSnapshots");
    slow("DescribeApplicationSnapshot");
    let deletions = slow("DeleteApplicationSnapshot");
    let input = json!({
        "application_name": name, "mode": "PRUNE",
        "retention": { "keep_last": 30, "max_deletions_per_run": DELETIONS },
    });
    let connection = engine.connection();
    let sfn = aws_sdk_sfn::Client::new(&connection.sdk_config());
    let began = Instant::now();
    let execution = start_execution(&sfn, connection, name, &input).await?;
    let ended = follow(&sfn, &execution, 0).await?;
    let seconds = began.elapsed().as_secs_f64();
    let calls = faults.hits(deletions);
    ensure!(
        ended.succeeded && calls >= DELETIONS,
        "the run {name} failed, or it made only {calls} deletions"
    );
    Ok(seconds)
}
