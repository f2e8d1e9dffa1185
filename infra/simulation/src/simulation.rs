//! One course under a virtual clock, from its seed to its judgement. A seed is a course: the application's snapshots and what
//! befalls it, the runs and their policies, what goes wrong at calls, invocations and events, and what
//! operators do meanwhile. After some time nothing goes wrong any more, each failed run is carried on as its
//! message says, and all that was promised must hold.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::msf::Behaviour;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stack::{ACCOUNT, REGION};

use crate::backend::{Backend, lock};
use crate::clock::Clock;
use crate::course::{
    Operator, application, between, fault_plan, forgotten_run, input, one_of, operator,
};
use crate::executions::Status;
use crate::fault_plan::FaultPlan;
use crate::invariants::list;
use crate::judge::{judge, judge_runs};
use crate::services::Services;
use crate::world::World;

/// The application of every course.
pub const APPLICATION: &str = "orders";

/// What a course was like.
pub struct Course {
    pub violations: Vec<String>,
    /// What it came across.
    pub coverage: BTreeSet<String>,
    /// All that happened, in order.
    pub trace: String,
}

/// The course of that seed.
pub fn run(seed: u64) -> Course {
    // The SDK's jitter.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(course(seed))
}

async fn course(seed: u64) -> Course {
    let mut rng = Rng::with_seed(seed);
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let from = from + SignedDuration::from_millis(rng.i64(0..365 * 86_400_000));
    let (flink, told) = application(&mut rng, from);
    let services = Services::new(flink);
    let is_forgotten = rng.u8(0..12) == 0;
    let denied = (is_forgotten || rng.u8(0..10) == 0).then(|| between(&mut rng, 600.0, 300_000.0));
    let denied_until = denied.map(|denied| from + denied);
    let fault_plan = fault_plan(&mut rng, denied_until);
    let backend = Backend::new(Clock::of_the_runtime(from), services, fault_plan);
    let world = World::without_sockets(backend.clone());
    backend.tell(&told);

    let mut going = Vec::new();
    let mut at = Duration::ZERO;
    let names: Vec<String> = names(&world);
    let runs = if is_forgotten { 4 } else { rng.u32(1..=4) };
    for number in 0..runs {
        let (input, operator) = if is_forgotten {
            forgotten_run(&mut rng, number)
        } else {
            (input(&mut rng, &names), operator(&mut rng))
        };
        backend.tell(&format!("run {number} begins in {at:?} with {input}"));
        let runs = one_run(world.clone(), number, at, input, operator);
        going.push(tokio::spawn(runs));
        at += between(&mut rng, 0.05, 200_000.0);
    }
    let life = tokio::spawn(life(world.clone(), rng.fork()));
    // The runs that are still busy then see the end of all faults.
    tokio::time::sleep(between(&mut rng, 60.0, 400_000.0)).await;
    life.abort();
    {
        // What is no fault goes on.
        let mut fault_plan = lock(&backend.fault_plan);
        let before = std::mem::replace(&mut *fault_plan, FaultPlan::none());
        fault_plan.start = before.start;
        fault_plan.listing_lag = before.listing_lag;
        fault_plan.handed_on = before.handed_on;
    }
    calm(&world).await;
    for run in going {
        run.await.unwrap();
    }
    // The last events and late effects.
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut before = judge_runs(&world);
    before.extend(cure(&world).await);
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut course = judge(&world);
    course.violations.splice(0..0, before);
    course
}

fn names(world: &World) -> Vec<String> {
    let now = world.backend.now();
    let all = list(&mut lock(&world.backend.services), APPLICATION, now);
    let names = all
        .iter()
        .map(|s| s["SnapshotName"].as_str().unwrap().to_owned());
    names.collect()
}

async fn one_run(world: World, number: u32, at: Duration, input: Value, operator: Operator) {
    tokio::time::sleep(at).await;
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:snapshot-manager:run-{number}");
    world.begin(&arn, &input);
    if let Some((after, status)) = operator.stops_after {
        let (world, arn) = (world.clone(), arn.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if world.status(&arn) == Status::Running {
                world.stop(&arn, status);
            }
        });
    }
    world.go(&arn).await;
    for after in operator.redrives_after {
        tokio::time::sleep(after).await;
        if matches!(world.status(&arn), Status::Succeeded(_)) {
            return;
        }
        world.redrive(&arn);
        world.go(&arn).await;
    }
}

/// What befalls the application meanwhile.
async fn life(world: World, mut rng: Rng) {
    let rng = &mut rng;
    let backend = &world.backend;
    let busy = *one_of(rng, &[100_000.0, 10_000.0, 600.0]);
    loop {
        tokio::time::sleep(between(rng, 1.0, busy)).await;
        let at = backend.now().as_millisecond();
        let name = || json!({ "ApplicationName": APPLICATION });
        let told = match rng.u8(0..16) {
            0 => backend.call("StopApplication", &name()),
            1 => {
                let mut stop = name();
                stop["Force"] = true.into();
                backend.call("StopApplication", &stop)
            }
            2..=4 => {
                let mut start = name();
                let all = names(&world);
                if !all.is_empty() && rng.bool() {
                    start["RunConfiguration"] = json!({ "ApplicationRestoreConfiguration": {
                        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                        "SnapshotName": one_of(rng, &all),
                    }});
                }
                backend.call("StartApplication", &start)
            }
            5 | 6 => update(backend, rng.u8(0..4) > 0),
            7 => {
                let mut create = name();
                create["SnapshotName"] = format!("by-hand-at-{at}").into();
                backend.call("CreateApplicationSnapshot", &create)
            }
            other => {
                let mut services = lock(&backend.services);
                let behaviour = services.flink.behaviour(APPLICATION);
                match other {
                    8 => behaviour.downtime = rng.bool(),
                    9 => behaviour.snapshots_fail = rng.u8(0..3) == 0,
                    10 => behaviour.snapshot_quota = *one_of(rng, &[1, 10, 1_000]),
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
        let told = match told {
            Ok(told) => told["OperationId"]
                .as_str()
                .map_or(told.to_string(), str::to_owned),
            Err(refused) => refused,
        };
        backend.tell(&told);
    }
}

/// A new version, with or without snapshots.
fn update(backend: &Backend, enabled: bool) -> Result<Value, String> {
    let detail = backend.call(
        "DescribeApplication",
        &json!({ "ApplicationName": APPLICATION }),
    )?;
    let version = &detail["ApplicationDetail"]["ApplicationVersionId"];
    let update = json!({
        "ApplicationName": APPLICATION, "CurrentApplicationVersionId": version,
        "ApplicationConfigurationUpdate": { "ApplicationSnapshotConfigurationUpdate": {
            "SnapshotsEnabledUpdate": enabled
        }},
    });
    backend.call("UpdateApplication", &update)
}

/// Takes away whatever keeps the application from giving snapshots, as the messages tell an operator to.
async fn calm(world: &World) {
    {
        let mut services = lock(&world.backend.services);
        let behaviour = services.flink.behaviour(APPLICATION);
        *behaviour = Behaviour {
            lifecycle: behaviour.lifecycle.take(),
            page_limit: 5,
            tokens_are_positions: behaviour.tokens_are_positions,
            ..Behaviour::default()
        };
    }
    for _ in 0..1_000 {
        let described = json!({ "ApplicationName": APPLICATION });
        let detail = world
            .backend
            .call("DescribeApplication", &described)
            .unwrap();
        let detail = &detail["ApplicationDetail"];
        let enabled = &detail["ApplicationConfigurationDescription"]["ApplicationSnapshotConfigurationDescription"]
            ["SnapshotsEnabled"];
        match detail["ApplicationStatus"].as_str().unwrap() {
            "RUNNING" if *enabled == true => return,
            "RUNNING" => drop(update(&world.backend, true)),
            "READY" => drop(world.backend.call("StartApplication", &described)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    panic!("the application never runs");
}

/// Carries on each run that has failed, as its message says, and replays the events that could not be
/// handled. What cannot be cured.
async fn cure(world: &World) -> Option<String> {
    let mut arns: Vec<String> = lock(&world.backend.executions).keys().cloned().collect();
    let mut number = 0;
    while let Some(arn) = arns.pop() {
        for tries in 0.. {
            let status = world.status(&arn);
            let message = match &status {
                Status::Succeeded(_) => break,
                Status::Failed(_, cause) => serde_json::from_str::<Value>(cause)
                    .ok()
                    .and_then(|cause| Some(cause["errorMessage"].as_str()?.to_owned())),
                _ => None,
            };
            if tries >= 4 {
                return Some(format!("{arn} cannot be cured: {status:?}"));
            }
            // So long does no snapshot take: its time is what some messages say to wait for.
            tokio::time::sleep(Duration::from_hours(3)).await;
            let command = message.as_deref().and_then(|message| {
                let (_, command) = message.rsplit_once("start-execution --state-machine-arn ")?;
                command.split_once(" --input '")?.1.strip_suffix('\'')
            });
            let Some(input) = command else {
                world.redrive(&arn);
                world.go(&arn).await;
                continue;
            };
            let corrected = json!({ "application_name": APPLICATION });
            let input = serde_json::from_str(input).unwrap_or(corrected);
            number += 1;
            let cured = format!("{arn}-cure-{number}");
            world.begin(&cured, &input);
            world.go(&cured).await;
            arns.push(cured);
            break;
        }
        if number >= 10 {
            return Some("there is no end of cures".to_owned());
        }
    }
    let undelivered = std::mem::take(&mut *lock(&world.backend.undelivered));
    for event in undelivered {
        let arn = event["detail"]["executionArn"].as_str().unwrap();
        world.deliver(arn, &event).await;
    }
    None
}
