//! Plays a course in virtual time: a random sequence of runs, faults and changes of the application.
//!
//! 1. The seed decides the application, the runs and the faults ([`Scenario::of`]).
//! 2. The runs are executed. Meanwhile, people and the service change the application.
//! 3. The faults end, and the application is repaired.
//! 4. A day later, the runs are judged. Then each failed run is cured in the way that its error message says, and the
//!    events that could not be handled are replayed.
//! 5. Another day later, everything is judged again.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::msf::Behaviour;
use fastrand::Rng;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::backend::{Backend, lock};
use crate::clock::{Clock, in_virtual_time};
use crate::executions::{Status, arn};
use crate::judge::{judge, judge_runs};
use crate::seed::{Run, Scenario, between, one_of};
use crate::services::{APPLICATION, names};
use crate::world::World;

/// The result of a course.
pub struct CourseResult {
    /// The promises that were broken, in words.
    pub violations: Vec<String>,
    /// The names of the situations that have occurred.
    pub coverage: BTreeSet<String>,
    /// A log of everything that happened, a line for each event.
    pub trace: String,
}

/// Plays the course of a seed.
pub fn run(seed: u64) -> CourseResult {
    // The SDK draws its jitter from this generator.
    fastrand::seed(seed);
    in_virtual_time(play(Scenario::of(seed)))
}

async fn play(scenario: Scenario) -> CourseResult {
    let clock = Clock::of_runtime(scenario.start);
    let backend = Backend::new(clock, scenario.flink, scenario.fault_plan);
    let world = World::without_sockets(backend.clone());
    backend.log(&scenario.description);
    let mut runs = Vec::new();
    for (number, run) in scenario.runs.into_iter().enumerate() {
        let (begins_after, input) = (run.begins_after, &run.input);
        backend.log(&format!(
            "run {number} begins in {begins_after:?} with {input}"
        ));
        runs.push(tokio::spawn(execute(world.clone(), number, run)));
    }
    let changes = tokio::spawn(change_application(world.clone(), scenario.rng));
    // Runs that are still in progress at this time go on without faults.
    tokio::time::sleep(scenario.faults_last).await;
    changes.abort();
    lock(&backend.fault_plan).end_faults();
    repair_application(&backend).await;
    for run in runs {
        run.await.unwrap();
    }
    // Events and effects of calls that are late arrive in this time.
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut violations = judge_runs(&world);
    violations.extend(cure(&world).await);
    tokio::time::sleep(Duration::from_hours(24)).await;
    violations.extend(judge(&world));
    let invariants = lock(&backend.invariants);
    CourseResult {
        violations,
        coverage: invariants.coverage.clone(),
        trace: invariants.trace.clone(),
    }
}

async fn execute(world: World, number: usize, run: Run) {
    tokio::time::sleep(run.begins_after).await;
    let arn = arn(&format!("run-{number}"));
    world.create_execution(&arn, &run.input);
    if let Some((after, status)) = run.stops_after {
        world.stop_after(&arn, after, status);
    }
    world.run_to_end(&arn).await;
    for after in run.redrives_after {
        tokio::time::sleep(after).await;
        if matches!(world.status(&arn), Status::Succeeded(_)) {
            return;
        }
        world.redrive(&arn);
        world.run_to_end(&arn).await;
    }
}

/// Changes the application at random, as people and the service do, until the faults end.
async fn change_application(world: World, mut rng: Rng) {
    let (backend, rng) = (&world.backend, &mut rng);
    let longest = *one_of(rng, &[100_000.0, 10_000.0, 600.0]);
    loop {
        tokio::time::sleep(between(rng, 1.0, longest)).await;
        let result = match rng.u8(0..16) {
            0 => backend.call("StopApplication", json!({})),
            1 => backend.call("StopApplication", json!({ "Force": true })),
            2..=4 => {
                let mut start = json!({});
                let names = names(&backend.snapshots());
                if !names.is_empty() && rng.bool() {
                    start["RunConfiguration"] = json!({ "ApplicationRestoreConfiguration": {
                        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                        "SnapshotName": one_of(rng, &names),
                    }});
                }
                backend.call("StartApplication", start)
            }
            5 | 6 => enable_snapshots(backend, rng.u8(0..4) > 0),
            7 => {
                let name = format!("by-hand-at-{}", backend.now().as_millisecond());
                backend.call("CreateApplicationSnapshot", json!({ "SnapshotName": name }))
            }
            other => {
                let mut services = lock(&backend.services);
                let behaviour = services.flink.behaviour(APPLICATION);
                match other {
                    8 => behaviour.downtime = rng.bool(),
                    9 => behaviour.snapshots_fail = rng.u8(0..3) == 0,
                    10 => behaviour.snapshot_quota = Some(*one_of(rng, &[1, 10, 1_000])),
                    11 => behaviour.deletes_per_second = *one_of(rng, &[None, Some(1), Some(5)]),
                    12 => behaviour.tokens_expired = rng.u32(0..=2),
                    13 => {
                        let (busy, new) = (Some("AUTOSCALING"), Some("SOMETHING_NEW"));
                        let status = [None, None, None, busy, new, Some("ROLLED_BACK")];
                        behaviour.status = one_of(rng, &status).map(str::to_owned);
                    }
                    14 => {
                        let milliseconds = rng.i64(-7_200_000..7_200_000);
                        behaviour.clock_behind = SignedDuration::from_millis(milliseconds);
                    }
                    _ => {
                        let lifecycle = behaviour.lifecycle.as_mut().unwrap();
                        lifecycle.snapshot = between(rng, 1.0, 9_000.0);
                    }
                }
                Ok(json!(format!("{behaviour:?}")))
            }
        };
        backend.log(&match result {
            Ok(answer) => answer["OperationId"]
                .as_str()
                .map_or(answer.to_string(), str::to_owned),
            Err(refusal) => refusal,
        });
    }
}

/// Updates the application to enable or disable its snapshots.
pub fn enable_snapshots(backend: &Backend, enabled: bool) -> Result<Value, String> {
    let answer = backend.call("DescribeApplication", json!({}))?;
    let update = json!({
        "CurrentApplicationVersionId": answer["ApplicationDetail"]["ApplicationVersionId"],
        "ApplicationConfigurationUpdate": { "ApplicationSnapshotConfigurationUpdate": {
            "SnapshotsEnabledUpdate": enabled
        }},
    });
    backend.call("UpdateApplication", update)
}

/// Ends the emulated misbehaviour, and does what the error messages tell an operator to do, until the application is
/// RUNNING and can take snapshots.
async fn repair_application(backend: &Backend) {
    {
        let mut services = lock(&backend.services);
        let behaviour = services.flink.behaviour(APPLICATION);
        *behaviour = Behaviour {
            lifecycle: behaviour.lifecycle.take(),
            page_limit: behaviour.page_limit,
            tokens_are_positions: behaviour.tokens_are_positions,
            ..Behaviour::default()
        };
    }
    for _ in 0..1_000 {
        let answer = backend.call("DescribeApplication", json!({})).unwrap();
        let detail = &answer["ApplicationDetail"];
        let snapshots = &detail["ApplicationConfigurationDescription"]["ApplicationSnapshotConfigurationDescription"];
        match detail["ApplicationStatus"].as_str().unwrap() {
            "RUNNING" if snapshots["SnapshotsEnabled"] == true => return,
            "RUNNING" => drop(enable_snapshots(backend, true)),
            "READY" => drop(backend.call("StartApplication", json!({}))),
            _ => {}
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    panic!("the application does not become RUNNING");
}

/// Cures each failed run in the way that its error message says: redrives it, or starts the execution that the
/// message's command starts. Then replays the events that could not be handled. Returns a violation if a run cannot be
/// cured.
async fn cure(world: &World) -> Option<String> {
    let mut arns: Vec<String> = lock(&world.backend.executions).keys().cloned().collect();
    let mut started = 0;
    while let Some(arn) = arns.pop() {
        for attempt in 0.. {
            let status = world.status(&arn);
            if matches!(status, Status::Succeeded(_)) {
                break;
            }
            if attempt >= 4 {
                return Some(format!("{arn} cannot be cured: {status:?}"));
            }
            // Some messages say to wait for a snapshot. No snapshot takes longer than this.
            tokio::time::sleep(Duration::from_hours(3)).await;
            let Some(input) = input_of_command(&status) else {
                world.redrive(&arn);
                world.run_to_end(&arn).await;
                continue;
            };
            started += 1;
            let new = format!("{arn}-cure-{started}");
            world.create_execution(&new, &input);
            world.run_to_end(&new).await;
            arns.push(new);
            break;
        }
        if started >= 10 {
            return Some("one cure follows another without end".to_owned());
        }
    }
    let undelivered = std::mem::take(&mut *lock(&world.backend.undelivered));
    for event in undelivered {
        let arn = event["detail"]["executionArn"].as_str().unwrap();
        world.deliver_event(arn, &event).await;
    }
    None
}

/// The input of the execution that the command in the error message starts. `None` if the message has no such command.
fn input_of_command(status: &Status) -> Option<Value> {
    let Status::Failed(_, cause) = status else {
        return None;
    };
    let cause: Value = serde_json::from_str(cause).ok()?;
    let message = cause["errorMessage"].as_str()?;
    let (_, command) = message.rsplit_once("start-execution --state-machine-arn ")?;
    let input = command.split_once(" --input '")?.1.strip_suffix('\'')?;
    // If the operator has to correct the input in the command, this is what the operator writes.
    let corrected = json!({ "application_name": APPLICATION });
    Some(serde_json::from_str(input).unwrap_or(corrected))
}
