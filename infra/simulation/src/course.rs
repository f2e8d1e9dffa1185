//! What a seed decides of a course: the application, the runs' inputs, what goes wrong, what operators do.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::faults::FaultKind;
use engine::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, SnapshotStatus};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stack::{ACCOUNT, REGION};

use crate::executions::Status;
use crate::fault_plan::{Delivery, FaultPlan, HandedOn, Plot, Plots, Release, Start};
use crate::invariants::MOST_LAG;
use crate::releases;
use crate::simulation::APPLICATION;

/// Log-uniform between so many seconds.
pub fn between(rng: &mut Rng, least: f64, most: f64) -> Duration {
    let exponent = least.ln() + rng.f64() * (most.ln() - least.ln());
    Duration::from_secs_f64(exponent.exp())
}

pub fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(0..all.len())]
}

/// A running application with snapshots.
pub fn application(rng: &mut Rng, now: Timestamp) -> (Emulator, String) {
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
        tokens_are_positions: rng.u8(0..3) == 0,
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

/// A run's input, one in twenty not valid.
pub fn input(rng: &mut Rng, names: &[String]) -> Value {
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
pub fn fault_plan(rng: &mut Rng, denied_until: Option<Timestamp>) -> FaultPlan {
    let calls = *one_of(rng, &[0.0, 0.02, 0.1, 0.4]);
    let deliveries = *one_of(rng, &[0.0, 0.05, 0.3]);
    let slow = one_of(rng, &[0.05, 0.5, 4.0]).to_owned();
    let cold = *one_of(rng, &[0.02, 0.1, 0.5]);
    let clocks = *one_of(rng, &[0, 50, MOST_CLOCK_ERROR]);
    let lags = *one_of(rng, &[0, 0, 200, MOST_LAG.as_millis()]);
    let lost = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.3]);
    let bare = *one_of(rng, &[0.0, 0.0, 0.0, 0.5]);
    let (mut for_calls, mut for_deliveries) = (rng.fork(), rng.fork());
    let (mut for_starts, mut for_lags) = (rng.fork(), rng.fork());
    let (mut for_events, mut for_bare, mut for_jitter) = (rng.fork(), rng.fork(), rng.fork());
    FaultPlan {
        call: Box::new(move |invocation, operation| {
            let rng = &mut for_calls;
            let latency = between(rng, 0.001, slow);
            let is_denied = operation == "DeleteApplicationSnapshot"
                && denied_until.is_some_and(|until| invocation.began < until);
            let fault = if is_denied {
                Some(error("AccessDeniedException", 400))
            } else {
                (rng.f64() < calls).then(|| fault(rng, operation))
            };
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
        start: Box::new(move || {
            let rng = &mut for_starts;
            let slowest = if rng.f64() < cold { 3.0 } else { 0.01 };
            Start {
                takes: between(rng, 0.001, slowest),
                clock_ahead: SignedDuration::from_millis(rng.i64(-clocks..=clocks)),
            }
        }),
        listing_lag: Box::new(move || {
            let most = u64::try_from(lags).unwrap();
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
        bare_event: Box::new(move || for_bare.f64() < bare),
        plots: plots(rng),
        handed_on: handed_on(rng),
        jitter: Box::new(move || for_jitter.f64()),
    }
}

/// The most that a function's clock is off, in milliseconds.
const MOST_CLOCK_ERROR: i64 = 1_000;

/// In some courses, somebody deletes the own snapshot of a run that is about to prune, or stops a run in its last
/// state.
fn plots(rng: &mut Rng) -> Plots {
    let deletes = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.5]);
    let stops = *one_of(rng, &[0.0, 0.0, 0.0, 0.0, 0.5]);
    let mut rng = rng.fork();
    Box::new(move |state| {
        let rng = &mut rng;
        match state {
            "PruneSnapshots" if rng.f64() < deletes => Some(Plot::DeletesOwn),
            "RecordAndNotify" if rng.f64() < stops => {
                Some(Plot::Stops(between(rng, 0.001, 10.0), stop(rng)))
            }
            _ => None,
        }
    })
}

/// In some courses, some runs are carried on by another release for a while: by a newer one from a state on, by an
/// older one for a few states.
fn handed_on(rng: &mut Rng) -> HandedOn {
    let part = *one_of(rng, &[0.0, 0.0, 0.0, 0.7]);
    let mut rng = rng.fork();
    let mut runs = BTreeMap::new();
    Box::new(move |execution, payload| {
        let rng = &mut rng;
        let (release, places) = runs.entry(execution.to_owned()).or_insert_with(|| {
            let first = rng.usize(0..5);
            if rng.f64() >= part {
                (Release::Newer, 0..0)
            } else if rng.bool() {
                (
                    Release::Newer,
                    first..*one_of(rng, &[first + 1, usize::MAX]),
                )
            } else {
                (Release::Older, first..first + rng.usize(1..=5))
            }
        });
        let is_now = places.start == 0 && places.end > 0;
        places.start = places.start.saturating_sub(1);
        if is_now {
            places.end -= 1;
        }
        let payload = match release {
            _ if !is_now => return None,
            Release::Newer => releases::newer(payload),
            Release::Older => releases::older(payload),
        };
        Some((*release, payload))
    })
}

fn error(code: &str, status: u16) -> FaultKind {
    FaultKind::Error {
        code: code.to_owned(),
        message: "not now".to_owned(),
        status,
    }
}

/// Errors that say nothing false about what there is.
fn fault(rng: &mut Rng, operation: &str) -> FaultKind {
    match rng.u8(0..13) {
        0 => error("ThrottlingException", 400),
        1 => error("InternalFailure", 500),
        2 => error("ServiceUnavailable", 503),
        3 => error("AccessDeniedException", 400),
        4 => error("SomethingNewException", 400),
        5 if operation.contains("Snapshot") => error("ResourceInUseException", 400),
        6 if operation == "ListApplicationSnapshots" => error("InvalidArgumentException", 400),
        5..=7 => FaultKind::DropBefore,
        8 => FaultKind::DropAfter,
        9 => FaultKind::NotJson,
        10 => FaultKind::KillBefore,
        11 => FaultKind::KillAfter,
        _ => FaultKind::Delay(between(rng, 5.0, 60.0)),
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
pub struct Operator {
    pub stops_after: Option<(Duration, Status)>,
    pub redrives_after: Vec<Duration>,
}

pub fn operator(rng: &mut Rng) -> Operator {
    Operator {
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

fn stop(rng: &mut Rng) -> Status {
    one_of(rng, &[Status::Aborted, Status::TimedOut]).clone()
}

/// A run that may not delete what it plans to, and is redriven days later, when others have run under a policy that
/// keeps more.
pub fn forgotten_run(rng: &mut Rng, number: u32) -> (Value, Operator) {
    let keep_last = match number {
        0 => 1,
        _ => rng.u32(20..=100),
    };
    let input = json!({
        "application_name": APPLICATION,
        "retention": {
            "keep_last": keep_last, "keep_last_versions": 1, "max_deletions_per_run": 60,
        },
    });
    let redrives_after = match number {
        0 => vec![between(rng, 86_400.0, 900_000.0)],
        _ => Vec::new(),
    };
    let operator = Operator {
        stops_after: None,
        redrives_after,
    };
    (input, operator)
}
