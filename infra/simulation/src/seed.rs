//! What a seed decides: the application and its snapshots, the runs, and what goes wrong.
//!
//! Two things are decided only while the course is played: the changes of the application, and the answers of the fault
//! plan. Each has a random number generator of its own, which the seed decides.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::faults::FaultKind;
use engine::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, SnapshotStatus};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::executions::Status;
use crate::fault_plan::{
    Delivery, FaultPlan, Interference, Interferences, OtherRelease, Release, Start, error,
};
use crate::invariants::MAX_LAG;
use crate::releases;
use crate::services::{APPLICATION, application, names};

/// Everything that is known of a course before it is played.
pub struct Scenario {
    pub start: Timestamp,
    pub flink: Emulator,
    /// A description of the application and its snapshots, for the trace.
    pub description: String,
    pub fault_plan: FaultPlan,
    pub runs: Vec<Run>,
    /// Decides the changes of the application.
    pub rng: Rng,
    /// How long after the start the faults end.
    pub faults_last: Duration,
}

/// One run, and what people do to its execution.
pub struct Run {
    /// How long after the start of the course the run starts.
    pub begins_after: Duration,
    pub input: Value,
    /// How long after its start the execution is aborted or times out, and with which status. `None` if it is not.
    pub stops_after: Option<(Duration, Status)>,
    /// How long after each of its ends the execution is redriven, if it has failed.
    pub redrives_after: Vec<Duration>,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let year: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let start = year + SignedDuration::from_millis(rng.i64(0..365 * 86_400_000));
        let (mut flink, description) = seeded_application(&mut rng, start);
        let has_late_redrive = rng.u8(0..12) == 0;
        let denied_until = (has_late_redrive || rng.u8(0..10) == 0)
            .then(|| start + between(&mut rng, 600.0, 300_000.0));
        let fault_plan = fault_plan(&mut rng, denied_until);
        let names = names(&flink.snapshots(APPLICATION, start));
        let mut begins_after = Duration::ZERO;
        let count = if has_late_redrive { 4 } else { rng.u32(1..=4) };
        let runs = (0..count).map(|number| {
            let mut run = if has_late_redrive {
                run_beside_late_redrive(&mut rng, number)
            } else {
                any_run(&mut rng, &names)
            };
            run.begins_after = begins_after;
            begins_after += between(&mut rng, 0.05, 200_000.0);
            run
        });
        let runs = runs.collect();
        Self {
            start,
            flink,
            description,
            fault_plan,
            runs,
            rng: rng.fork(),
            faults_last: between(&mut rng, 60.0, 400_000.0),
        }
    }
}

/// A random duration of `least` to `most` seconds, with a log-uniform distribution.
pub fn between(rng: &mut Rng, least: f64, most: f64) -> Duration {
    let exponent = least.ln() + rng.f64() * (most.ln() - least.ln());
    Duration::from_secs_f64(exponent.exp())
}

/// A random element.
pub fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(0..all.len())]
}

/// The runtimes of the snapshots that exist at the start. The application has the last one.
const RUNTIMES: [Option<&str>; 5] = [
    None,
    Some("FLINK-1_15"),
    Some("FLINK-1_18"),
    Some("FLINK-1_19"),
    Some("FLINK-1_20"),
];

fn seeded_application(rng: &mut Rng, now: Timestamp) -> (Emulator, String) {
    let behaviour = Behaviour {
        lifecycle: Some(Lifecycle {
            starting: between(rng, 1.0, 300.0),
            stopping: between(rng, 1.0, 300.0),
            updating: between(rng, 1.0, 300.0),
            snapshot: between(rng, 1.0, 9_000.0),
            deleting: between(rng, 0.1, 600.0),
        }),
        page_limit: Some(5),
        tokens_are_positions: rng.u8(0..3) == 0,
        ..Behaviour::default()
    };
    let most = if rng.u8(0..10) == 0 { 60 } else { 14 };
    let mut age = SignedDuration::ZERO;
    let mut snapshots = Vec::new();
    for number in 0..rng.u32(0..=most) {
        // Some snapshots have the same time, some are of the same hour, and some are weeks apart.
        if rng.u8(0..8) > 0 {
            age += SignedDuration::try_from(between(rng, 1.0, 900_000.0)).unwrap();
        }
        let created_at = now - age;
        let name = match rng.u8(0..10) {
            0 => format!("by-hand-{number}"),
            1 => format!("service_update_{number}"),
            2 => format!("custom_{number}"),
            // The name of a run that is older than those of this course.
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
            runtime: one_of(rng, &RUNTIMES).map(str::to_owned),
        });
    }
    snapshots.reverse();
    let description = format!("{behaviour:#?}\n{snapshots:#?}");
    (application(now, behaviour, true, snapshots), description)
}

/// A random run. In one of fifteen runs, the input is invalid or names an application that does not exist.
fn any_run(rng: &mut Rng, names: &[String]) -> Run {
    Run {
        begins_after: Duration::ZERO,
        input: input(rng, names),
        stops_after: (rng.u8(0..8) == 0).then(|| (between(rng, 0.1, 10_000.0), stop(rng))),
        redrives_after: (0..rng.u32(0..=2))
            .map(|_| match rng.u8(0..8) {
                0 => between(rng, 0.01, 1.0),
                1 => between(rng, 50_000.0, 600_000.0),
                _ => between(rng, 1.0, 50_000.0),
            })
            .collect(),
    }
}

/// A run of a course with a late redrive. Run 0 plans to delete all snapshots except one. Its deletions are denied, so
/// it fails, and it is redriven days later. Meanwhile, the other runs keep more snapshots.
fn run_beside_late_redrive(rng: &mut Rng, number: u32) -> Run {
    let keep_last = match number {
        0 => 1,
        _ => rng.u32(20..=100),
    };
    Run {
        begins_after: Duration::ZERO,
        input: json!({
            "application_name": APPLICATION,
            "retention": {
                "keep_last": keep_last, "keep_last_versions": 1, "keep_last_runtimes": 1,
                "max_deletions_per_run": 60,
            },
        }),
        stops_after: None,
        redrives_after: match number {
            0 => vec![between(rng, 86_400.0, 900_000.0)],
            _ => Vec::new(),
        },
    }
}

fn input(rng: &mut Rng, names: &[String]) -> Value {
    let mode = ["RUN", "RUN", "RUN", "RUN", "PRUNE", "PLAN"];
    let mut input = json!({
        "application_name": APPLICATION,
        "mode": one_of(rng, &mode),
        "poll_interval_seconds": rng.u32(1..=300),
        "ready_timeout_seconds": *one_of(rng, &[60, 600, 7_200, 86_400]),
        "application_timeout_seconds": *one_of(rng, &[0, 600, 3_600, 86_400]),
        "snapshot_attempts": rng.u32(1..=5),
        "notify_on": one_of(rng, &["ALL", "ALL", "PROBLEMS"]),
    });
    if rng.u8(0..10) > 0 {
        let mut policy = json!({
            "keep_last_versions": rng.u32(1..=3),
            "keep_last_runtimes": rng.u32(1..=3),
            "timezone": one_of(rng, &["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"]),
            "scope": one_of(rng, &["MANAGED", "MANAGED", "ALL"]),
            "max_deletions_per_run": *one_of(rng, &[Some(1), Some(3), Some(10), Some(60), None]),
        });
        let rules = ["last", "hourly", "daily", "weekly", "monthly"];
        for _ in 0..rng.u32(1..=2) {
            let (count, rule) = (rng.u32(1..=6), one_of(rng, &rules));
            policy[format!("keep_{rule}")] = count.into();
        }
        if rng.u8(0..4) == 0 {
            policy["keep_within"] = (*one_of(rng, &["PT6H", "P2D", "P1M"])).into();
        }
        if !names.is_empty() && rng.bool() {
            policy["keep_names"] = json!([one_of(rng, names), "not-there"]);
        }
        input["retention"] = policy;
    }
    if input["mode"] == "RUN" && rng.u8(0..8) == 0 {
        let known = names.first().map_or("before-upgrade", String::as_str);
        input["snapshot_name"] = (*one_of(rng, &["before-upgrade", known])).into();
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

fn stop(rng: &mut Rng) -> Status {
    one_of(rng, &[Status::Aborted, Status::TimedOut]).clone()
}

/// The fault plan of a course: how often calls, invocations and events meet a fault, and how slow everything is. If
/// `denied_until` is given, all deletions before that time are denied.
fn fault_plan(rng: &mut Rng, denied_until: Option<Timestamp>) -> FaultPlan {
    let calls = *one_of(rng, &[0.0, 0.02, 0.1, 0.4]);
    let deliveries = *one_of(rng, &[0.0, 0.05, 0.3]);
    let slowest = *one_of(rng, &[0.05, 0.5, 4.0]);
    let cold = *one_of(rng, &[0.02, 0.1, 0.5]);
    let clock_error = *one_of(rng, &[0, 50, MAX_CLOCK_ERROR]);
    let max_lag = *one_of(rng, &[0, 0, 200, MAX_LAG.as_millis()]);
    let lost = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.3]);
    let without_redrive_count = *one_of(rng, &[0.0, 0.0, 0.0, 0.5]);
    let (mut for_calls, mut for_deliveries) = (rng.fork(), rng.fork());
    let (mut for_starts, mut for_lags) = (rng.fork(), rng.fork());
    let (mut for_events, mut for_counts, mut for_jitter) = (rng.fork(), rng.fork(), rng.fork());
    FaultPlan {
        call: Box::new(move |invocation, operation| {
            let rng = &mut for_calls;
            let latency = between(rng, 0.001, slowest);
            let is_denied = operation == "DeleteApplicationSnapshot"
                && denied_until.is_some_and(|until| invocation.began < until);
            let fault = if is_denied {
                Some(refusal("AccessDeniedException", 400))
            } else {
                (rng.f64() < calls).then(|| call_fault(rng, operation))
            };
            (latency, fault)
        }),
        delivery: Box::new(move |_| {
            let rng = &mut for_deliveries;
            if rng.f64() < deliveries {
                delivery_fault(rng)
            } else {
                Delivery::Once
            }
        }),
        start: Box::new(move || {
            let rng = &mut for_starts;
            let slowest = if rng.f64() < cold { 3.0 } else { 0.01 };
            Start {
                takes: between(rng, 0.001, slowest),
                clock_ahead: SignedDuration::from_millis(rng.i64(-clock_error..=clock_error)),
            }
        }),
        listing_lag: Box::new(move || {
            let most = u64::try_from(max_lag).unwrap();
            Duration::from_millis(for_lags.u64(0..=most))
        }),
        events: Box::new(move || {
            let rng = &mut for_events;
            if rng.f64() < lost {
                return Vec::new();
            }
            let times = *one_of(rng, &[1, 1, 1, 2, 3]);
            (0..times).map(|_| between(rng, 0.1, 40_000.0)).collect()
        }),
        event_without_redrive_count: Box::new(move || for_counts.f64() < without_redrive_count),
        interference: interference(rng),
        other_release: other_release(rng),
        jitter: Box::new(move || for_jitter.f64()),
    }
}

/// The largest error of a function's clock, in milliseconds.
const MAX_CLOCK_ERROR: i64 = 1_000;

/// In one of five courses, people delete the own snapshots of runs that are about to prune. In one of five, they stop
/// runs in the last state.
fn interference(rng: &mut Rng) -> Interferences {
    let deletes = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.5]);
    let stops = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.5]);
    let mut rng = rng.fork();
    Box::new(move |state| {
        let rng = &mut rng;
        match state {
            "PruneSnapshots" if rng.f64() < deletes => Some(Interference::DeletesOwn),
            "RecordAndNotify" if rng.f64() < stops => {
                Some(Interference::Stops(between(rng, 0.001, 10.0), stop(rng)))
            }
            _ => None,
        }
    })
}

/// In one of four courses, another release continues most of the runs from some state on: a newer release for a few
/// states or until the end, or an older one for a few states.
fn other_release(rng: &mut Rng) -> OtherRelease {
    let part = *one_of(rng, &[0.0, 0.0, 0.0, 0.7]);
    let mut rng = rng.fork();
    let mut runs = BTreeMap::new();
    Box::new(move |execution, payload| {
        let rng = &mut rng;
        let (release, states) = runs.entry(execution.to_owned()).or_insert_with(|| {
            let first = rng.usize(0..5);
            if rng.f64() >= part {
                (Release::Newer, 0..0)
            } else if rng.bool() {
                let end = *one_of(rng, &[first + 1, usize::MAX]);
                (Release::Newer, first..end)
            } else {
                (Release::Older, first..first + rng.usize(1..=5))
            }
        });
        let is_now = states.start == 0 && states.end > 0;
        states.start = states.start.saturating_sub(1);
        if is_now {
            states.end -= 1;
        }
        let payload = match release {
            _ if !is_now => return None,
            Release::Newer => releases::newer(payload),
            Release::Older => releases::older(payload),
        };
        Some((*release, payload))
    })
}

fn refusal(code: &str, status: u16) -> FaultKind {
    error(code, status, "not now")
}

/// A random fault of a call. No error makes a false statement about what exists.
fn call_fault(rng: &mut Rng, operation: &str) -> FaultKind {
    match rng.u8(0..13) {
        0 => refusal("ThrottlingException", 400),
        1 => refusal("InternalFailure", 500),
        2 => refusal("ServiceUnavailable", 503),
        3 => refusal("AccessDeniedException", 400),
        4 => refusal("SomethingNewException", 400),
        5 if operation.contains("Snapshot") => refusal("ResourceInUseException", 400),
        6 if operation == "ListApplicationSnapshots" => refusal("InvalidArgumentException", 400),
        5..=7 => FaultKind::DropBefore,
        8 => FaultKind::DropAfter,
        9 => FaultKind::NotJson,
        10 => FaultKind::KillBefore,
        11 => FaultKind::KillAfter,
        _ => FaultKind::Delay(between(rng, 5.0, 60.0)),
    }
}

/// A random fault of an invocation.
fn delivery_fault(rng: &mut Rng) -> Delivery {
    let refused = ["TooManyRequests", "Service", "SdkClient"];
    match rng.u8(0..6) {
        0 | 1 => Delivery::Refused(format!("Lambda.{}Exception", one_of(rng, &refused))),
        2 if rng.bool() => Delivery::Freezes(between(rng, 0.001, 30.0)),
        2 => Delivery::AnswerLost("Lambda.Unknown".to_owned()),
        3 => {
            let error = "Lambda.ClientExecutionTimeoutException".to_owned();
            Delivery::Abandoned(error, between(rng, 0.1, 50.0))
        }
        4 => Delivery::Twice,
        _ => Delivery::TwiceAtOnce,
    }
}
