//! Thousands of random courses.

use std::collections::BTreeMap;
use std::env;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use simulation::backend::lock;
use simulation::course::run;

/// How many courses `cargo test` runs.
const COURSES: u64 = 10_000;

/// `SIMULATION_SEED` runs only the course with this seed, and prints its trace. `SIMULATION_COURSES` sets the number of
/// courses, and `SIMULATION_FROM` the first seed. With `SIMULATION_ALL`, the test reports every course that breaks a
/// promise, not only the first.
#[test]
fn whatever_goes_wrong_in_ten_thousand_courses_no_promise_is_broken() {
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
                while all || !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until {
                        return;
                    }
                    let violations = match catch_unwind(|| run(seed)) {
                        Ok(course) => {
                            for what in course.coverage {
                                *lock(&coverage).entry(what).or_default() += 1;
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
    // If these situations did not occur, the courses would prove nothing.
    if until - from >= COURSES {
        for what in MUST_BE_COVERED.split(';').map(str::trim) {
            assert!(coverage.contains_key(what), "no course has {what}");
        }
    }
}

#[test]
fn the_same_seed_always_results_in_the_same_course() {
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace, second.trace);
    }
}

/// The situations that occur in ten thousand courses: faults of calls, faults of invocations, errors, outcomes, reasons
/// to delete nothing, and others.
const MUST_BE_COVERED: &str = "
    Delay; DropAfter; DropBefore; Error; KillAfter; KillBefore; NotJson;
    Abandoned; AnswerLost; Freezes; Refused; Twice; TwiceAtOnce; Runtime.ExitError; Sandbox.Timedout;
    AccessDenied; ApplicationBusy; ApplicationNotFound; InvalidInput; ServiceUnavailable; SnapshotFailed;
    SnapshotLimitExceeded; SnapshotNameTaken; SnapshotNotFound; SnapshotTimedOut; SnapshotsDisabled; Throttled; Unexpected;
    ExecutionAborted; ExecutionTimedOut; FAILED; PLANNED; PRUNE_INCOMPLETE; SKIPPED; SUCCEEDED; SUPERSEDED;
    APPLICATION_NOT_RUNNING; LEFT_TO_LATER_RUN; MAX_DELETIONS_PER_RUN; SNAPSHOT_NOT_READY; WAIT; ROLLED_BACK;
    BUSY; another snapshot attempt; busy before pruning;
    a batch whose plan has expired;
    a last notification of a redrive's success;
    an execution that is stopped or times out in its last state;
    a later end before the event of an earlier one;
    a listing that lags;
    a payload of a newer release;
    a payload of an older release;
    a run's own snapshot that a person deletes;
    a listing that leaves out a snapshot, or has it twice;
    a snapshot with a name from the run's input;
    an invocation that starts after the end of its execution;
    the success after a notified failure;
    an end whose event is not handled, or whose order is uncertain;
    an event that is lost;
    an event without redriveCount;
    a deletion without a response";
