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

use contract::{Cure, ErrorName};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use local::faults::Kind;
use local::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, SnapshotStatus};
use local::stack::{ACCOUNT, REGION};
use serde_json::{Map, Value, json};

use crate::services::{Services, plain};
use crate::stage::{Backstage, Clock, Delivery, Execution, Mischief, Stage, Status, lock, of_aws};
use crate::watch::{Watch, list};

/// Courses of the test command.
const COURSES: u64 = 10_000;

/// The application of every course.
const APPLICATION: &str = "orders";

/// `SIMULATION_SEED` runs that one course and shows it; `SIMULATION_COURSES` runs so many, from
/// `SIMULATION_FROM` on.
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
    let next = AtomicU64::new(from);
    let failed = AtomicBool::new(false);
    let first = Mutex::new(None);
    let met = Mutex::new(BTreeMap::<String, u64>::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until || failed.load(Ordering::Relaxed) {
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
                        Err(_) => vec!["it panicked".to_owned()],
                    };
                    if !violations.is_empty() {
                        failed.store(true, Ordering::Relaxed);
                        lock(&first).get_or_insert((seed, violations));
                    }
                }
            });
        }
    });
    let first = first.into_inner().unwrap();
    if let Some((seed, violations)) = first {
        panic!(
            "SIMULATION_SEED={seed} cargo test --locked --test reliability ten_thousand\n{}",
            violations.join("\n")
        );
    }
    // Courses in which nothing happens would prove nothing.
    let met = met.into_inner().unwrap();
    println!("{met:#?}");
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
const MUST_BE_MET: [&str; 40] = [
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
];

/// What a course was like.
struct Course {
    violations: Vec<String>,
    /// What it came across.
    met: BTreeSet<String>,
    /// All that happened, in order.
    story: String,
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
    let mischief = mischief(&mut rng);
    let back = Backstage::new(Clock::of_the_runtime(from), services, mischief);
    let stage = Stage::without_sockets(back.clone());
    back.tell(&told);

    let mut going = Vec::new();
    let mut at = Duration::ZERO;
    let names: Vec<String> = names(&stage);
    for number in 0..rng.u32(1..=4) {
        let input = input(&mut rng, &names);
        back.tell(&format!("run {number} begins in {at:?} with {input}"));
        let runs = one_run(stage.clone(), number, at, input, operator(&mut rng));
        going.push(tokio::spawn(runs));
        at += between(&mut rng, 0.05, 200_000.0);
    }
    let life = tokio::spawn(life(stage.clone(), rng.fork()));
    // The runs that are still busy then see the end of all faults.
    tokio::time::sleep(between(&mut rng, 60.0, 400_000.0)).await;
    life.abort();
    *lock(&back.mischief) = Mischief::none();
    calm(&stage).await;
    for run in going {
        run.await.unwrap();
    }
    // The last events and late effects.
    tokio::time::sleep(Duration::from_hours(24)).await;
    let before = judge_runs(&stage);
    cure(&stage).await;
    tokio::time::sleep(Duration::from_hours(24)).await;
    let mut course = judge(&stage);
    course.violations.splice(0..0, before);
    course
}

/// Log-uniform between so many seconds.
fn between(rng: &mut Rng, least: f64, most: f64) -> Duration {
    let exponent = least.ln() + rng.f64() * (most.ln() - least.ln());
    Duration::from_secs_f64(exponent.exp())
}

fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(0..all.len())]
}

/// A running application with snapshots.
fn application(rng: &mut Rng, now: Timestamp) -> (Emulator, String) {
    let mut flink = Emulator::new(REGION, ACCOUNT, Lifecycle::default());
    *flink.behaviour(APPLICATION) = Behaviour {
        lifecycle: Some(Lifecycle {
            starting: between(rng, 1.0, 300.0),
            stopping: between(rng, 1.0, 300.0),
            updating: between(rng, 1.0, 300.0),
            snapshot: between(rng, 1.0, 9_000.0),
            deleting: between(rng, 0.1, 600.0),
        }),
        page_limit: 5,
        ..Behaviour::default()
    };
    let create = json!({
        "ApplicationName": APPLICATION, "RuntimeEnvironment": "FLINK-1_20",
        "ServiceExecutionRole": "arn:aws:iam::123456789012:role/flink",
    });
    let earlier = now - SignedDuration::from_hours(1);
    let mut call = |operation: &str, body: Value| {
        flink
            .call(operation, body.to_string().as_bytes(), earlier)
            .unwrap();
    };
    call("CreateApplication", create);
    call(
        "StartApplication",
        json!({ "ApplicationName": APPLICATION }),
    );
    let many = if rng.u8(0..10) == 0 { 60 } else { 14 };
    let mut age = SignedDuration::ZERO;
    let mut snapshots = Vec::new();
    for number in 0..rng.u32(0..=many) {
        // Some of the same time, some of one calendar hour, some of weeks apart.
        if rng.u8(0..8) > 0 {
            age += SignedDuration::try_from(between(rng, 1.0, 900_000.0)).unwrap();
        }
        let created_at = now - age;
        let name = match rng.u8(0..10) {
            0 => format!("by-hand-{number}"),
            1 => format!("service_update_{number}"),
            2 => format!("custom_{number}"),
            // Never a run's of this course: those begin from now on.
            _ => format!(
                "custom_{:013}",
                created_at.as_millisecond() - 1 - i64::from(number)
            ),
        };
        let status = match rng.u8(0..12) {
            0 => SnapshotStatus::Failed,
            _ => SnapshotStatus::Ready,
        };
        snapshots.push(SeededSnapshot {
            name,
            status,
            created_at: (rng.u8(0..20) > 0).then_some(created_at),
            version_id: rng.u32(1..=4),
        });
    }
    snapshots.reverse();
    let told = format!("{:#?}\n{snapshots:#?}", flink.behaviour(APPLICATION));
    flink.seed(APPLICATION, snapshots);
    (flink, told)
}

fn names(stage: &Stage) -> Vec<String> {
    let now = stage.back.now();
    let all = list(&mut lock(&stage.back.services), APPLICATION, now);
    let names = all
        .iter()
        .map(|s| s["SnapshotName"].as_str().unwrap().to_owned());
    names.collect()
}

/// A run's input, one in twenty not valid.
fn input(rng: &mut Rng, names: &[String]) -> Value {
    let mode = ["RUN", "RUN", "RUN", "RUN", "PRUNE", "PLAN"];
    let mut input = json!({
        "application_name": APPLICATION,
        "mode": one_of(rng, &mode),
        "poll_interval_seconds": rng.u32(1..=300),
        "ready_timeout_seconds": *one_of(rng, &[60, 600, 7_200, 86_400]),
        "notify_on": one_of(rng, &["ALL", "ALL", "PROBLEMS"]),
    });
    if rng.u8(0..10) > 0 {
        let mut policy = json!({
            "keep_last_versions": rng.u32(1..=3),
            "timezone": one_of(rng, &["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"]),
            "scope": one_of(rng, &["MANAGED", "MANAGED", "ALL"]),
            "max_deletions_per_run": *one_of(rng, &[1, 3, 10, 60]),
        });
        let rules = [
            "keep_last",
            "keep_hourly",
            "keep_daily",
            "keep_weekly",
            "keep_monthly",
        ];
        for _ in 0..rng.u32(1..=2) {
            policy[one_of(rng, &rules)] = rng.u32(1..=6).into();
        }
        if rng.u8(0..4) == 0 {
            policy["keep_within"] = (*one_of(rng, &["PT6H", "P2D", "P1M"])).into();
        }
        if !names.is_empty() && rng.bool() {
            policy["keep_names"] = json!([one_of(rng, names), "not-there"]);
        }
        input["retention"] = policy;
    }
    match rng.u8(0..60) {
        0 => input["keep_last"] = 3.into(),
        1 => input["retention"] = json!({ "keep_last": 0 }),
        2 => input["application_name"] = "not/a name".into(),
        3 => input["application_name"] = "not-there".into(),
        _ => {}
    }
    input
}

/// What goes wrong between the parts: at some calls, some invocations, with the events.
fn mischief(rng: &mut Rng) -> Mischief {
    let calls = *one_of(rng, &[0.0, 0.02, 0.1, 0.4]);
    let deliveries = *one_of(rng, &[0.0, 0.05, 0.3]);
    let slow = one_of(rng, &[0.05, 0.5, 4.0]).to_owned();
    let (mut for_calls, mut for_deliveries) = (rng.fork(), rng.fork());
    let (mut for_events, mut for_jitter) = (rng.fork(), rng.fork());
    Mischief {
        call: Box::new(move |_, operation| {
            let rng = &mut for_calls;
            let latency = between(rng, 0.001, slow);
            let fault = (rng.f64() < calls).then(|| fault(rng, operation));
            (latency, fault)
        }),
        delivery: Box::new(move |_| {
            let rng = &mut for_deliveries;
            if rng.f64() < deliveries {
                delivery(rng)
            } else {
                Delivery::Once
            }
        }),
        events: Box::new(move || {
            let rng = &mut for_events;
            let times = *one_of(rng, &[1, 1, 1, 2, 3]);
            (0..times).map(|_| between(rng, 0.1, 40_000.0)).collect()
        }),
        jitter: Box::new(move || for_jitter.f64()),
    }
}

/// Errors that say nothing false about what there is.
fn fault(rng: &mut Rng, operation: &str) -> Kind {
    let error = |code: &str, status| Kind::Error {
        code: code.to_owned(),
        message: "not now".to_owned(),
        status,
    };
    match rng.u8(0..13) {
        0 => error("ThrottlingException", 400),
        1 => error("InternalFailure", 500),
        2 => error("ServiceUnavailable", 503),
        3 => error("AccessDeniedException", 400),
        4 => error("SomethingNewException", 400),
        5 if operation.contains("Snapshot") => error("ResourceInUseException", 400),
        6 if operation == "ListApplicationSnapshots" => error("InvalidArgumentException", 400),
        5..=7 => Kind::DropBefore,
        8 => Kind::DropAfter,
        9 => Kind::NotJson,
        10 => Kind::KillBefore,
        11 => Kind::KillAfter,
        _ => Kind::Delay(between(rng, 5.0, 60.0)),
    }
}

fn delivery(rng: &mut Rng) -> Delivery {
    let refused = [
        "Lambda.TooManyRequestsException",
        "Lambda.ServiceException",
        "Lambda.SdkClientException",
    ];
    match rng.u8(0..6) {
        0 | 1 => Delivery::Refused((*one_of(rng, &refused)).to_owned()),
        2 if rng.bool() => Delivery::Freezes(between(rng, 0.001, 30.0)),
        2 => Delivery::AnswerLost("Lambda.Unknown".to_owned()),
        3 => Delivery::Abandoned(
            "Lambda.ClientExecutionTimeoutException".to_owned(),
            between(rng, 0.1, 50.0),
        ),
        4 => Delivery::Twice,
        _ => Delivery::TwiceAtOnce,
    }
}

/// What becomes of a run from outside: it is stopped, or takes too long, after some time; it is redriven so
/// often, each time after some time.
struct Operator {
    stops_after: Option<(Duration, Status)>,
    redrives_after: Vec<Duration>,
}

fn operator(rng: &mut Rng) -> Operator {
    Operator {
        stops_after: (rng.u8(0..8) == 0).then(|| {
            let status = one_of(rng, &[Status::Aborted, Status::TimedOut]).clone();
            (between(rng, 0.1, 10_000.0), status)
        }),
        redrives_after: (0..rng.u32(0..=2))
            .map(|_| between(rng, 1.0, 50_000.0))
            .collect(),
    }
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
                        let status = [None, None, Some("AUTOSCALING"), Some("SOMETHING_NEW")];
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
/// handled.
async fn cure(stage: &Stage) {
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
            assert!(tries < 4, "{arn} cannot be cured: {status:?}");
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
        assert!(number < 10, "no end of cures");
    }
    let undelivered = std::mem::take(&mut *lock(&stage.back.undelivered));
    for event in undelivered {
        let arn = event["detail"]["executionArn"].as_str().unwrap();
        stage.deliver(arn, &event).await;
    }
}

/// What is wrong after all.
fn judge(stage: &Stage) -> Course {
    let mut violations = judge_runs(stage);
    let back = &stage.back;
    let watch = lock(&back.watch);
    violations.extend(watch.violations.clone());
    if !lock(&back.undelivered).is_empty() {
        violations.push("an event is not handled even by its replay".to_owned());
    }
    // A redrive of the first step takes it anew when another run has deleted it meanwhile.
    for (name, times) in &watch.created {
        if *times > 1 + watch.removed.get(name).copied().unwrap_or(0) {
            violations.push(format!("{name} was created {times} times"));
        }
    }
    for (arn, execution) in lock(&back.executions).iter() {
        if let Status::Failed(error, _) = &execution.status
            && cure_of(error) == Some(Cure::Redrive)
        {
            violations.push(format!("{arn} failed with {error} after all was well"));
        }
    }
    Course {
        violations,
        met: watch.met.clone(),
        story: watch.story.clone(),
    }
}

/// What is wrong with the runs that have ended, those aside whose events could not be handled yet.
fn judge_runs(stage: &Stage) -> Vec<String> {
    let back = &stage.back;
    let mut services = lock(&back.services);
    let there = list(&mut services, APPLICATION, back.now());
    let mut judge = Judge {
        services: &services,
        watch: &mut lock(&back.watch),
        printed: &lock(&back.printed),
        there: there
            .iter()
            .filter(|snapshot| snapshot["SnapshotStatus"] != "DELETING")
            .map(|snapshot| snapshot["SnapshotName"].as_str().unwrap())
            .collect(),
    };
    let undelivered = lock(&back.undelivered);
    let executions = lock(&back.executions);
    let told = executions.iter().filter(|(arn, _)| {
        let mut waiting = undelivered.iter();
        waiting.all(|event| event["detail"]["executionArn"] != arn.as_str())
    });
    told.flat_map(|(arn, execution)| {
        let wrong = judge.run(arn, execution);
        wrong.into_iter().map(move |what| format!("{arn} {what}"))
    })
    .collect()
}

/// What the cure of an error is, if it is one of ours.
fn cure_of(error: &str) -> Option<Cure> {
    let ours = ErrorName::ALL
        .into_iter()
        .find(|name| name.as_str() == error);
    ours.map(ErrorName::cure)
}

/// All that a run is held against.
struct Judge<'a> {
    services: &'a Services,
    watch: &'a mut Watch,
    printed: &'a [Value],
    /// The names of the snapshots that there are.
    there: Vec<&'a str>,
}

impl Judge<'_> {
    fn run(&mut self, arn: &str, execution: &Execution) -> Vec<String> {
        let rows = self.services.table.values().map(plain);
        let rows: Vec<Map<String, Value>> =
            rows.filter(|row| row["execution_arn"] == arn).collect();
        let [row] = rows.as_slice() else {
            return vec![format!("has {} records: {rows:?}", rows.len())];
        };
        let mut wrong = Vec::new();
        if row["snapshot_manager_run_id"] != execution.started.as_millisecond() {
            wrong.push("has a record of another run id".to_owned());
        }
        let (outcome, silent) = match &execution.status {
            Status::Running => return vec!["has no end".to_owned()],
            Status::Succeeded(_) => self.success(arn, row, &mut wrong),
            Status::Failed(error, _) => {
                if cure_of(error).is_none() && !of_aws(execution.follower.state()).contains(error) {
                    wrong.push(format!("failed with {error}"));
                }
                if row.get("error_name") != Some(&json!(error)) {
                    let recorded = row.get("error_name");
                    wrong.push(format!("failed with {error}, recorded is {recorded:?}"));
                }
                ("FAILED", false)
            }
            Status::TimedOut => ("TIMED_OUT", false),
            Status::Aborted => ("ABORTED", false),
        };
        self.watch.met.insert(outcome.to_owned());
        if row["outcome"] != outcome {
            wrong.push(format!("was {outcome}, recorded is {}", row["outcome"]));
        }
        if !matches!(execution.status, Status::Succeeded(_)) {
            self.failure(arn, execution, row, &mut wrong);
        }
        self.announcements(arn, execution, (outcome, silent), &mut wrong);
        wrong
    }

    /// The outcome of a run that came to its last state, and whether nobody wants to hear of it.
    fn success(
        &self,
        arn: &str,
        row: &Map<String, Value>,
        wrong: &mut Vec<String>,
    ) -> (&'static str, bool) {
        let given = self.services.histories[arn].iter().rev().find_map(|event| {
            let entered = &event["stateEnteredEventDetails"];
            (entered["name"] == "RecordAndNotify").then(|| entered["input"].as_str())?
        });
        let given: Value = serde_json::from_str(given.unwrap()).unwrap();
        let outcome = outcome(&given);
        wrong.extend(miscounted(&given, row, self.watch, arn, &self.there));
        if row.contains_key("failed_state") || row.contains_key("error_name") {
            wrong.push("has succeeded, and its record has an error".to_owned());
        }
        let problems = given["run"]["input"]["notify_on"] == "PROBLEMS";
        (outcome, problems && outcome != "PRUNE_INCOMPLETE")
    }

    fn failure(
        &self,
        arn: &str,
        execution: &Execution,
        row: &Map<String, Value>,
        wrong: &mut Vec<String>,
    ) {
        let state = row.get("failed_state");
        if state != Some(&json!(execution.follower.state())) {
            wrong.push(format!("failed elsewhere than at {state:?}"));
        }
        let end = self.services.histories[arn].last().unwrap();
        #[allow(clippy::cast_possible_truncation, reason = "milliseconds")]
        let at = (end["timestamp"].as_f64().unwrap() * 1_000.0).round() as i64;
        if row["finished_at"] != at {
            wrong.push(format!("ended at {at}, recorded is {}", row["finished_at"]));
        }
    }

    fn announcements(
        &self,
        arn: &str,
        execution: &Execution,
        (outcome, silent): (&str, bool),
        wrong: &mut Vec<String>,
    ) {
        let about = self.services.published.iter();
        let about: Vec<&Value> = about
            .filter(|published| published.record["execution_arn"] == arn)
            .map(|published| &published.record["outcome"])
            .collect();
        let harms = self.watch.harms(arn);
        let told = about.iter().any(|told| **told == outcome);
        if told == silent && !(silent && harms > 0) {
            wrong.push(format!("was {outcome}, announced is {about:?}"));
        }
        let succeeded = matches!(execution.status, Status::Succeeded(_));
        let ends = execution.bad_ends + usize::from(succeeded);
        let harms = harms + execution.unheard_ends;
        if about.len() > ends + harms {
            wrong.push(format!(
                "has {ends} ends, {harms} harms, announced is {about:?}"
            ));
        }
        if self.printed.iter().all(|line| line["ExecutionArn"] != arn) {
            wrong.push("has no metrics".to_owned());
        }
    }
}

/// How a run has ended that came to its last state with this.
fn outcome(given: &Value) -> &'static str {
    let held_back = given["held_back"]["cause"].as_str();
    if given["run"]["input"]["mode"] == "PLAN" {
        "PLANNED"
    } else if given["skip_reason"].is_string() {
        "SKIPPED"
    } else if given["progress"]["failed_count"] != 0
        || held_back.is_some_and(|cause| cause != "LEFT_TO_LATER_RUN")
    {
        "PRUNE_INCOMPLETE"
    } else {
        "SUCCEEDED"
    }
}

/// Whether the record counts what was deleted: all that this run's calls have deleted, each once, and nothing that
/// it has not planned to or that is still there.
fn miscounted(
    given: &Value,
    row: &Map<String, Value>,
    watch: &Watch,
    arn: &str,
    there: &[&str],
) -> Option<String> {
    if given["run"]["input"]["mode"] == "PLAN" || given["progress"].is_null() {
        return None;
    }
    let names = |list: &Value| -> Vec<String> {
        let entries = list.as_array().unwrap().iter();
        entries
            .map(|entry| entry["snapshot_name"].as_str().unwrap().to_owned())
            .collect()
    };
    let counted = usize::try_from(row["snapshots_deleted_count"].as_u64().unwrap()).unwrap();
    let (deleted, failed) = (
        names(&row["snapshots_deleted"]),
        names(&row["snapshots_failed_to_be_deleted"]),
    );
    let none = BTreeSet::default();
    let own = watch.deleted.get(arn).unwrap_or(&none);
    let planned = watch.planned.get(arn).unwrap_or(&none);
    let missing: Vec<&String> = own
        .iter()
        .filter(|name| !deleted.contains(name) && !failed.contains(name))
        .collect();
    let foreign: Vec<&String> = deleted
        .iter()
        .filter(|name| {
            let taken_anew = watch.created.get(*name).is_some_and(|times| *times > 1);
            !planned.contains(*name) || there.contains(&name.as_str()) && !taken_anew
        })
        .collect();
    let once: BTreeSet<&String> = deleted.iter().collect();
    if missing.is_empty() && foreign.is_empty() && counted == once.len() {
        None
    } else {
        Some(format!(
            "{counted} counted, {missing:?} deleted and not recorded, {foreign:?} recorded and not planned or not gone"
        ))
    }
}
