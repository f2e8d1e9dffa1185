//! Thousands of random courses.

use std::collections::BTreeMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use simulation::backend::lock;
use simulation::simulation::run;

/// Courses of the test command.
const COURSES: u64 = 10_000;

/// `SIMULATION_SEED` runs that one course and shows it; `SIMULATION_COURSES` runs so many, from
/// `SIMULATION_FROM` on; with `SIMULATION_ALL` each that breaks a promise is named, not only the first.
#[test]
fn whatever_goes_wrong_in_ten_thousand_courses_nothing_that_is_promised_is_broken() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("SIMULATION_SEED") {
        let course = run(seed);
        println!("{}", course.trace);
        assert_eq!(course.violations, [""; 0], "seed {seed}");
        return;
    }
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let until = from + number("SIMULATION_COURSES").unwrap_or(COURSES);
    let all = env::var_os("SIMULATION_ALL").is_some();
    let next = AtomicU64::new(from);
    let failed = AtomicBool::new(false);
    let broken = Mutex::new(BTreeMap::new());
    let coverage = Mutex::new(BTreeMap::<String, u64>::new());
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
                            for thing in course.coverage {
                                *lock(&coverage).entry(thing).or_default() += 1;
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
    let coverage = coverage.into_inner().unwrap();
    println!("{coverage:#?}");
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
        for thing in MUST_BE_COVERED {
            assert!(
                coverage.contains_key(thing),
                "no course has come across {thing}: {coverage:#?}"
            );
        }
    }
}

#[test]
fn a_seed_is_one_course() {
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace, second.trace);
    }
}

/// What ten thousand courses come across, or the test is not worth its name.
const MUST_BE_COVERED: [&str; 55] = [
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
