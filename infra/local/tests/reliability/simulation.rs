//! Thousands of random courses under a virtual clock. A seed is a course: the application's snapshots and what
//! befalls it, the runs and their policies, what goes wrong at calls, invocations and events, and what
//! operators do meanwhile. After some time nothing goes wrong any more, each failed run is carried on as its
//! message says, and all that was promised must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use local::msf::Behaviour;
use local::stack::{ACCOUNT, REGION};
use serde_json::{Value, json};

use crate::course::{
    Operator, application, between, forgotten_run, input, mischief, one_of, operator,
};
use crate::executions::Status;
use crate::judge::{judge, judge_runs};
use crate::mischief::Mischief;
use crate::services::Services;
use crate::stage::{Backstage, Clock, Stage, lock};
use crate::watch::list;

/// Courses of the test command.
const COURSES: u64 = 10_000;

/// The application of every course.
pub const APPLICATION: &str = "orders";

/// `SIMULATION_SEED` runs that one course and shows it; `SIMULATION_COURSES` runs so many, from
/// `SIMULATION_FROM` on; with `SIMULATION_ALL` each that breaks a promise is named, not only the first.
#[test]
fn whatever_goes_wrong_in_ten_thousand_courses_nothing_that_is_promised_is_broken() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("SIMULATION_SEED") {
        let course = run(seed);
        println!("{}", course.story);
        assert_eq!(course.violations, [""; 0], "seed {seed}");
        return;
    }
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let until = from + number("SIMULATION_COURSES").unwrap_or(COURSES);
    let all = env::var_os("SIMULATION_ALL").is_some();
    let next = AtomicU64::new(from);
    let failed = AtomicBool::new(false);
    let broken = Mutex::new(BTreeMap::new());
    let met = Mutex::new(BTreeMap::<String, u64>::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until || failed.load(Ordering::Relaxed) && !all {
                        return;
                    }
                    let course = catch_unwind(AssertUnwindSafe(|| run(seed)));
                    let violations = match course {
                        Ok(course) => {
                            for thing in course.met {
                                *lock(&met).entry(thing).or_default() += 1;
                            }
                            course.violations
                        }
                        Err(_) => vec!["panicked".to_owned()],
                    };
                    if !violations.is_empty() {
                        failed.store(true, Ordering::Relaxed);
                        lock(&broken).insert(seed, violations);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    let met = met.into_inner().unwrap();
    println!("{met:#?}");
    if all {
        for (seed, violations) in &broken {
            for violation in violations {
                println!("{seed}: {violation}");
            }
        }
    }
    if let Some((seed, violations)) = broken.first_key_value() {
        panic!(
            "SIMULATION_SEED={seed} cargo test --locked --test reliability ten_thousand\n{}",
            violations.join("\n")
        );
    }
    // Courses in which nothing happens would prove nothing.
    if until - from >= COURSES {
        for thing in MUST_BE_MET {
            assert!(met.contains_key(thing), "no course met {thing}: {met:#?}");
        }
    }
}

#[test]
fn a_seed_is_one_course() {
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.story, second.story);
    }
}

/// What ten thousand courses come across, or the test is not worth its name.
const MUST_BE_MET: [&str; 55] = [
    "WAIT",
    "ExecutionAborted",
    "APPLICATION_NOT_RUNNING",
    "Abandoned",
    "AccessDenied",
    "AnswerLost",
    "ApplicationBusy",
    "ApplicationNotFound",
    "Delay",
    "DropAfter",
    "DropBefore",
    "Error",
    "FAILED",
    "InvalidInput",
    "KillAfter",
    "KillBefore",
    "LEFT_TO_LATER_RUN",
    "MAX_DELETIONS_PER_RUN",
    "NotJson",
    "PLANNED",
    "PRUNE_INCOMPLETE",
    "Refused",
    "Runtime.ExitError",
    "SKIPPED",
    "SNAPSHOT_NOT_READY",
    "SUCCEEDED",
    "SUPERSEDED",
    "Sandbox.Timedout",
    "ServiceUnavailable",
    "SnapshotFailed",
    "SnapshotLimitExceeded",
    "SnapshotNotFound",
    "SnapshotTimedOut",
    "SnapshotsDisabled",
    "ExecutionTimedOut",
    "Freezes",
    "Throttled",
    "Twice",
    "TwiceAtOnce",
    "Unexpected",
    "no answer to a deletion",
    "ROLLED_BACK",
    "a batch of an old plan",
    "a last state that was cut off",
    "a listing that lags",
    "a payload of a newer release",
    "a payload of an older release",
    "a snapshot of one's own that is deleted by hand",
    "a snapshot that is never shown, or twice",
    "a start after the end",
    "an event that is lost",
    "an event without redriveCount",
    "an end that nobody hears of",
    "a later end before the event of an earlier one",
    "a last announcement of a redrive's success",
];

/// What a course was like.
pub struct Course {
    pub violations: Vec<String>,
    /// What it came across.
    pub met: BTreeSet<String>,
    /// All that happened, in order.
    pub story: String,
}

fn run(seed: u64) -> Course {
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
    let mischief = mischief(&mut rng, denied_until);
    let back = Backstage::new(Clock::of_the_runtime(from), services, mischief);
    let stage = Stage::without_sockets(back.clone());
    back.tell(&told);

    let mut going = Vec::new();
    let mut at = Duration::ZERO;
    let names: Vec<String> = names(&stage);
    let runs = if is_forgotten { 4 } else { rng.u32(1..=4) };
    for number in 0..runs {
        let (input, operator) = if is_forgotten {
            forgotten_run(&mut rng, number)
        } else {
            (input(&mut rng, &names), operator(&mut rng))
        };
        back.tell(&format!("run {number} begins in {at:?} with {input}"));
        let runs = one_run(stage.clone(), number, at, input, operator);
        going.push(tokio::spawn(runs));
        at += between(&mut rng, 0.05, 200_000.0);
    }
    let life = tokio::spawn(life(stage.clone(), rng.fork()));
    // The runs that are still busy then see the end of all faults.
    tokio::time::sleep(between(&mut rng, 60.0, 400_000.0)).await;
    life.abort();
    {
        // What is no fault goes on.
        let mut mischief = lock(&back.mischief);
        let before = std::mem::replace(&mut *mischief, Mischief::none());
        mischief.start = before.start;
        mischief.listing_lag = before.listing_lag;
        mischief.handed_on = before.handed_on;
    }
    calm(&stage).await;
    for run in going {
        run.await.unwrap();
    }
    // The last events and late effects.
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut before = judge_runs(&stage);
    before.extend(cure(&stage).await);
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut course = judge(&stage);
    course.violations.splice(0..0, before);
    course
}

fn names(stage: &Stage) -> Vec<String> {
    let now = stage.back.now();
    let all = list(&mut lock(&stage.back.services), APPLICATION, now);
    let names = all
        .iter()
        .map(|s| s["SnapshotName"].as_str().unwrap().to_owned());
    names.collect()
}

async fn one_run(stage: Stage, number: u32, at: Duration, input: Value, operator: Operator) {
    tokio::time::sleep(at).await;
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:snapshot-manager:run-{number}");
    stage.begin(&arn, &input);
    if let Some((after, status)) = operator.stops_after {
        let (stage, arn) = (stage.clone(), arn.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if stage.status(&arn) == Status::Running {
                stage.stop(&arn, status);
            }
        });
    }
    stage.go(&arn).await;
    for after in operator.redrives_after {
        tokio::time::sleep(after).await;
        if matches!(stage.status(&arn), Status::Succeeded(_)) {
            return;
        }
        stage.redrive(&arn);
        stage.go(&arn).await;
    }
}

/// What befalls the application meanwhile.
async fn life(stage: Stage, mut rng: Rng) {
    let rng = &mut rng;
    let back = &stage.back;
    let busy = *one_of(rng, &[100_000.0, 10_000.0, 600.0]);
    loop {
        tokio::time::sleep(between(rng, 1.0, busy)).await;
        let at = back.now().as_millisecond();
        let name = || json!({ "ApplicationName": APPLICATION });
        let told = match rng.u8(0..16) {
            0 => back.call("StopApplication", &name()),
            1 => {
                let mut stop = name();
                stop["Force"] = true.into();
                back.call("StopApplication", &stop)
            }
            2..=4 => {
                let mut start = name();
                let all = names(&stage);
                if !all.is_empty() && rng.bool() {
                    start["RunConfiguration"] = json!({ "ApplicationRestoreConfiguration": {
                        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                        "SnapshotName": one_of(rng, &all),
                    }});
                }
                back.call("StartApplication", &start)
            }
            5 | 6 => update(back, rng.u8(0..4) > 0),
            7 => {
                let mut create = name();
                create["SnapshotName"] = format!("by-hand-at-{at}").into();
                back.call("CreateApplicationSnapshot", &create)
            }
            other => {
                let mut services = lock(&back.services);
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
        back.tell(&told);
    }
}

/// A new version, with or without snapshots.
fn update(back: &Backstage, enabled: bool) -> Result<Value, String> {
    let detail = back.call(
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
    back.call("UpdateApplication", &update)
}

/// Takes away whatever keeps the application from giving snapshots, as the messages tell an operator to.
async fn calm(stage: &Stage) {
    {
        let mut services = lock(&stage.back.services);
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
        let detail = stage.back.call("DescribeApplication", &described).unwrap();
        let detail = &detail["ApplicationDetail"];
        let enabled = &detail["ApplicationConfigurationDescription"]["ApplicationSnapshotConfigurationDescription"]
            ["SnapshotsEnabled"];
        match detail["ApplicationStatus"].as_str().unwrap() {
            "RUNNING" if *enabled == true => return,
            "RUNNING" => drop(update(&stage.back, true)),
            "READY" => drop(stage.back.call("StartApplication", &described)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    panic!("the application never runs");
}

/// Carries on each run that has failed, as its message says, and replays the events that could not be
/// handled. What cannot be cured.
async fn cure(stage: &Stage) -> Option<String> {
    let mut arns: Vec<String> = lock(&stage.back.executions).keys().cloned().collect();
    let mut number = 0;
    while let Some(arn) = arns.pop() {
        for tries in 0.. {
            let status = stage.status(&arn);
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
                stage.redrive(&arn);
                stage.go(&arn).await;
                continue;
            };
            let corrected = json!({ "application_name": APPLICATION });
            let input = serde_json::from_str(input).unwrap_or(corrected);
            number += 1;
            let cured = format!("{arn}-cure-{number}");
            stage.begin(&cured, &input);
            stage.go(&cured).await;
            arns.push(cured);
            break;
        }
        if number >= 10 {
            return Some("there is no end of cures".to_owned());
        }
    }
    let undelivered = std::mem::take(&mut *lock(&stage.back.undelivered));
    for event in undelivered {
        let arn = event["detail"]["executionArn"].as_str().unwrap();
        stage.deliver(arn, &event).await;
    }
    None
}
