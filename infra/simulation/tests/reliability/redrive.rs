//! Every state is failed with every error that it can fail with; the cause is cleared; what the message says is
//! done. A redrive then comes to the same end as a run that nothing has happened to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::{ErrorName, NextStep, RunInput};
use engine::faults::FaultKind;
use engine::functions::FUNCTIONS;
use engine::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, SnapshotStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use stack::{ACCOUNT, REGION};

use simulation::backend::{Backend, lock};
use simulation::clock::Clock;
use simulation::executions::Status;
use simulation::fault_plan::{Delivery, FaultPlan};
use simulation::invariants::list;
use simulation::lambda::{CONFIG, errors_of};
use simulation::services::{Services, plain};
use simulation::state_machine::{DEFINITION, of_aws};
use simulation::world::World;

const APPLICATION: &str = "orders";

/// What is in the way.
#[derive(Clone, Debug)]
enum Cause {
    /// Calls of this operation are answered with this code and status.
    Code(&'static str, &'static str, u16),
    /// Invocations fail with this error.
    Invocation(String),
    /// The application is created with snapshots turned off.
    SnapshotsDisabled,
    /// A snapshot takes two hours; the run waits for a minute.
    SlowSnapshot,
    SnapshotsFail,
    FullQuota,
    /// The run's input has a field too many.
    BadInput,
    /// The payload names a time zone that today's code does not know.
    ForgottenTimeZone,
    /// The row is another execution's.
    ForeignRow,
    /// `TABLE_NAME` is not set.
    NoEnvironment,
    /// The machine ends it with this status before the state is entered.
    Before(Status),
    /// The same, while the state is under way.
    During(Status),
}

/// What makes that function fail with that error, each way for itself.
fn causes(function: &str, error: ErrorName) -> Vec<Cause> {
    let operations: &[&'static str] = match function {
        "create-snapshot" => &[
            "DescribeApplicationSnapshot",
            "DescribeApplication",
            "CreateApplicationSnapshot",
        ],
        "describe-snapshot" => &["DescribeApplicationSnapshot"],
        "prune-snapshots" => &["DescribeApplication", "ListApplicationSnapshots"],
        _ => &["UpdateItem", "Publish"],
    };
    let codes = |code, status| -> Vec<Cause> {
        let operations = operations.iter();
        operations
            .map(|operation| Cause::Code(operation, code, status))
            .collect()
    };
    match error {
        ErrorName::ApplicationBusy => codes("ResourceInUseException", 400),
        ErrorName::Throttled => codes("ThrottlingException", 400),
        ErrorName::ServiceUnavailable => codes("InternalFailure", 500),
        ErrorName::AccessDenied => codes("AccessDeniedException", 400),
        ErrorName::Unexpected => codes("SomethingNewException", 400),
        ErrorName::InvalidInput if function == "create-snapshot" => vec![Cause::BadInput],
        ErrorName::InvalidInput => vec![Cause::ForgottenTimeZone],
        ErrorName::ApplicationNotFound => {
            let code = "ResourceNotFoundException";
            vec![Cause::Code("DescribeApplication", code, 400)]
        }
        ErrorName::SnapshotsDisabled => vec![Cause::SnapshotsDisabled],
        ErrorName::SnapshotLimitExceeded => vec![Cause::FullQuota],
        ErrorName::SnapshotFailed => vec![Cause::SnapshotsFail],
        ErrorName::SnapshotTimedOut => vec![Cause::SlowSnapshot],
        ErrorName::SnapshotNotFound => {
            let code = "ResourceNotFoundException";
            vec![Cause::Code("DescribeApplicationSnapshot", code, 400)]
        }
        ErrorName::TableNotFound => {
            vec![Cause::Code("UpdateItem", "ResourceNotFoundException", 400)]
        }
        ErrorName::TopicNotFound => vec![Cause::Code("Publish", "NotFound", 404)],
        ErrorName::RecordConflict => vec![Cause::ForeignRow],
        ErrorName::Misconfigured => vec![Cause::NoEnvironment],
    }
}

/// Snapshots and their statuses, the record, and the last notification.
type End = (Vec<String>, Map<String, Value>, Value);

/// One run of an application with four snapshots, of which two go.
struct Scene {
    world: World,
    arn: String,
    cause: Option<Cause>,
    state: String,
    /// Whether calls or invocations are in the way.
    on: Arc<AtomicBool>,
}

impl Scene {
    /// A scene with `cause` in the way of the state.
    fn new(at: &str, cause: Option<Cause>) -> Self {
        let from: Timestamp = "2026-11-22T20:02:27.949Z".parse().unwrap();
        let on = Arc::new(AtomicBool::new(true));
        let function = function_of(at).unwrap_or_default();
        let mut fault_plan = fault_plan(&function, cause.clone(), on.clone());
        if at == "WaitBeforePruning" {
            // What is deleted is listed for a while.
            fault_plan.listing_lag = Box::new(|| Duration::from_secs(2));
        }
        let services = Services::new(application(from, cause.as_ref()));
        let backend = Backend::new(Clock::of_the_runtime(from), services, fault_plan);
        let world = World::without_sockets(backend);
        match &cause {
            Some(Cause::NoEnvironment) => {
                *lock(&world.config) =
                    Err("The function's environment: TABLE_NAME is not set.".to_owned());
            }
            Some(Cause::Before(status)) => {
                *lock(&world.halt) = Some((at.to_owned(), status.clone()));
            }
            _ => {}
        }
        Self {
            world,
            arn: arn("run"),
            cause,
            state: at.to_owned(),
            on,
        }
    }

    /// The cause is gone.
    async fn clear(&self) {
        self.on.store(false, Ordering::SeqCst);
        *lock(&self.world.halt) = None;
        let backend = &self.world.backend;
        match &self.cause {
            Some(Cause::SnapshotsDisabled) => {
                let update = json!({
                    "ApplicationName": APPLICATION, "CurrentApplicationVersionId": 1,
                    "ApplicationConfigurationUpdate": {
                        "ApplicationSnapshotConfigurationUpdate": { "SnapshotsEnabledUpdate": true }
                    },
                });
                backend.call("UpdateApplication", &update).unwrap();
            }
            Some(Cause::SlowSnapshot | Cause::SnapshotsFail | Cause::FullQuota) => {
                *lock(&backend.services).flink.behaviour(APPLICATION) = behaviour();
            }
            Some(Cause::NoEnvironment) => {
                *lock(&self.world.config) = Ok(CONFIG.clone());
            }
            _ => {}
        }
        // An update, or a slow snapshot, has its end.
        tokio::time::sleep(Duration::from_hours(3)).await;
    }

    async fn run(&self) {
        let mut input = input();
        match self.cause {
            Some(Cause::BadInput) => input["keep_last"] = 3.into(),
            Some(Cause::SlowSnapshot) => input["ready_timeout_seconds"] = 60.into(),
            _ => {}
        }
        self.world.begin(&self.arn, &input);
        match &self.cause {
            Some(Cause::ForgottenTimeZone) => {
                // Such a payload comes from a release that did know it.
                let halted = ("PruneSnapshots".to_owned(), Status::Aborted);
                *lock(&self.world.halt) = Some(halted);
                self.world.go(&self.arn).await;
                *lock(&self.world.halt) = None;
                self.world.with(&self.arn, |execution| {
                    let mut payload = execution.follower.data().clone();
                    payload["run"]["input"]["retention"]["timezone"] = "Mars/Base".into();
                    execution.follower.set_data(payload);
                });
                self.world.redrive(&self.arn);
            }
            Some(Cause::ForeignRow) => {
                let started = self.world.with(&self.arn, |execution| execution.started);
                let key = (APPLICATION.to_owned(), started.as_millisecond());
                let row = json!({
                    "app_name": { "S": APPLICATION },
                    "execution_arn": { "S": "arn:of:another" }, "finished_at": { "N": "0" },
                });
                let row = row.as_object().unwrap().clone();
                lock(&self.world.backend.services).table.insert(key, row);
            }
            Some(Cause::During(status)) => {
                let (world, arn) = (self.world.clone(), self.arn.clone());
                let (held, status) = (self.state.clone(), status.clone());
                tokio::spawn(async move {
                    while world.with(&arn, |e| e.follower.state() != held) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    world.stop(&arn, status);
                });
            }
            _ => {}
        }
        self.world.go(&self.arn).await;
        // The event is told, and what was cut off has ended.
        tokio::time::sleep(Duration::from_hours(1)).await;
    }

    /// What the service, the table and the subscribers have in the end; times and ids of messages aside.
    fn end(&self, arn: &str) -> End {
        let backend = &self.world.backend;
        let now = backend.now();
        let mut services = lock(&backend.services);
        let all = list(&mut services, APPLICATION, now);
        let mut snapshots: Vec<String> = all
            .iter()
            .map(|s| format!("{} {}", s["SnapshotName"], s["SnapshotStatus"]))
            .collect();
        snapshots.sort();
        let rows = services.table.values().map(plain);
        let mut rows: Vec<_> = rows.filter(|row| row["execution_arn"] == arn).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let timeless = |mut row: Map<String, Value>| {
            for varies in ["finished_at", "snapshot_seconds", "notified", "expires_at"] {
                row.remove(varies);
            }
            // A snapshot that was begun later is dated later.
            let created_at = row.remove("new_snapshot_create_time");
            let newest = row.remove("newest_ready_snapshot_create_time");
            assert!(
                created_at.is_none() || created_at == newest,
                "{created_at:?}"
            );
            row
        };
        let about = services.published.iter().rev();
        let mut about = about.filter(|published| published.record["execution_arn"] == arn);
        let last = about.next().unwrap();
        let told = timeless(last.record.as_object().unwrap().clone());
        (
            snapshots,
            timeless(rows.remove(0)),
            json!([last.subject, told]),
        )
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:snapshot-manager:{name}")
}

fn input() -> Value {
    json!({ "application_name": APPLICATION, "retention": { "keep_last": 3 } })
}

fn behaviour() -> Behaviour {
    Behaviour {
        lifecycle: Some(Lifecycle {
            snapshot: Duration::from_secs(20),
            ..Lifecycle::default()
        }),
        ..Behaviour::default()
    }
}

fn application(now: Timestamp, cause: Option<&Cause>) -> Emulator {
    let mut flink = Emulator::new(REGION, ACCOUNT, Lifecycle::default());
    let behaviour = Behaviour {
        snapshots_fail: matches!(cause, Some(Cause::SnapshotsFail)),
        snapshot_quota: if matches!(cause, Some(Cause::FullQuota)) {
            4
        } else {
            1_000
        },
        ..behaviour()
    };
    *flink.behaviour(APPLICATION) = behaviour;
    if let Some(Cause::SlowSnapshot) = cause {
        let lifecycle = flink.behaviour(APPLICATION).lifecycle.as_mut().unwrap();
        lifecycle.snapshot = Duration::from_hours(2);
    }
    let enabled = !matches!(cause, Some(Cause::SnapshotsDisabled));
    let create = json!({
        "ApplicationName": APPLICATION, "RuntimeEnvironment": "FLINK-1_20",
        "ServiceExecutionRole": "arn:aws:iam::123456789012:role/flink",
        "ApplicationConfiguration": {
            "ApplicationSnapshotConfiguration": { "SnapshotsEnabled": enabled }
        },
    });
    let earlier = now - SignedDuration::from_hours(1);
    let start = json!({ "ApplicationName": APPLICATION });
    for (operation, body) in [("CreateApplication", create), ("StartApplication", start)] {
        flink
            .call(operation, body.to_string().as_bytes(), earlier)
            .unwrap();
    }
    let old = (1..=4).rev().map(|days| {
        let created_at = now - SignedDuration::from_hours(24 * days);
        SeededSnapshot {
            name: format!("custom_{}", created_at.as_millisecond()),
            status: SnapshotStatus::Ready,
            created_at: Some(created_at),
            version_id: 1,
        }
    });
    flink.seed(APPLICATION, old);
    flink
}

fn fault_plan(function: &str, cause: Option<Cause>, on: Arc<AtomicBool>) -> FaultPlan {
    let (calling, invoked) = (function.to_owned(), function.to_owned());
    let (cause, of_invocation, still) = (cause.clone(), cause, on.clone());
    FaultPlan {
        call: Box::new(move |invocation, called| {
            let hit = on.load(Ordering::SeqCst) && invocation.function == calling;
            let kind = match &cause {
                Some(Cause::Code(operation, code, status)) if hit && *operation == called => {
                    Some(FaultKind::Error {
                        code: (*code).to_owned(),
                        message: "said the service".to_owned(),
                        status: *status,
                    })
                }
                Some(Cause::During(_)) if hit => Some(FaultKind::DropBefore),
                _ => None,
            };
            (Duration::from_millis(20), kind)
        }),
        delivery: Box::new(move |function| match &of_invocation {
            Some(Cause::Invocation(name))
                if still.load(Ordering::SeqCst) && function == invoked =>
            {
                Delivery::Refused(name.clone())
            }
            _ => Delivery::Once,
        }),
        ..FaultPlan::none()
    }
}

/// The function of a Task.
fn function_of(state: &str) -> Option<String> {
    let name = &DEFINITION["States"][state]["Parameters"]["FunctionName"];
    let (_, function) = name.as_str()?.rsplit_once(':')?;
    Some(function.to_owned())
}

/// All states of the definition.
fn states() -> Vec<String> {
    let states = DEFINITION["States"].as_object().unwrap();
    states.keys().cloned().collect()
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// A failed run and what its message says.
async fn failed(state: &str, cause: &Cause) -> (Scene, Status) {
    let scene = Scene::new(state, Some(cause.clone()));
    scene.run().await;
    let status = scene.world.status(&scene.arn);
    let at = scene
        .world
        .with(&scene.arn, |e| e.follower.state().to_owned());
    assert_eq!(at, state, "{cause:?}: {status:?}");
    (scene, status)
}

/// A run that has failed with that error, and its message, which has the cure.
async fn failed_as(state: &str, error: ErrorName, cause: &Cause) -> (Scene, String) {
    let (scene, status) = failed(state, cause).await;
    let Status::Failed(name, told) = status else {
        panic!("{cause:?}: {status:?}");
    };
    assert_eq!(name, error.as_str(), "{state} {cause:?}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let message = told["errorMessage"].as_str().unwrap();
    assert!(message.contains(error.instructions()), "{message}");
    (scene, message.to_owned())
}

/// The end of a run that the same cause was cleared for before it began.
async fn undisturbed(state: &str, cause: &Cause) -> End {
    let scene = Scene::new(state, Some(cause.clone()));
    scene.clear().await;
    scene.world.begin(&scene.arn, &input());
    scene.world.go(&scene.arn).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(
        matches!(scene.world.status(&scene.arn), Status::Succeeded(_)),
        "{cause:?}"
    );
    scene.end(&scene.arn)
}

/// Redrives a run whose cause is cleared, and holds its end to that of an undisturbed one, names aside that
/// have its start in them.
async fn assert_redriven(scene: &Scene, cause: &Cause) {
    scene.clear().await;
    scene.world.redrive(&scene.arn);
    scene.world.go(&scene.arn).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    let status = scene.world.status(&scene.arn);
    assert!(
        matches!(status, Status::Succeeded(_)),
        "{cause:?}: {status:?}"
    );
    let undisturbed = undisturbed(&scene.state, cause).await;
    let end = scene.end(&scene.arn);
    assert_eq!(end.1["redrive_count"], 1, "{} {cause:?}", scene.state);
    let text = |(snapshots, row, told): &End| {
        let id = row["snapshot_manager_run_id"].to_string();
        let text = format!("{snapshots:#?}\n{row:#?}\n{told:#}").replace(&id, "RUN_ID");
        let lines = text.lines().filter(|line| !line.contains("redrive_count"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text(&end), text(&undisturbed), "{} {cause:?}", scene.state);
    assert_eq!(lock(&scene.world.backend.invariants).violations, [""; 0]);
}

#[test]
fn whatever_a_redrive_cures_is_cured_in_every_state_and_leaves_no_trace() {
    in_virtual_time(async {
        for state in states() {
            let Some(function) = function_of(&state) else {
                continue;
            };
            for error in errors_of(&function) {
                if error.next_step() != NextStep::Redrive {
                    continue;
                }
                for cause in causes(&function, *error) {
                    let (scene, message) = failed_as(&state, *error, &cause).await;
                    assert!(
                        message.ends_with(&error.command(&scene.arn, None)),
                        "{message}"
                    );
                    assert_redriven(&scene, &cause).await;
                }
            }
            for name in of_aws(&state) {
                let cause = Cause::Invocation(name.clone());
                let (scene, status) = failed(&state, &cause).await;
                assert!(matches!(status, Status::Failed(error, _) if error == name));
                assert_redriven(&scene, &cause).await;
            }
        }
    });
}

#[test]
fn an_execution_that_was_stopped_or_took_too_long_is_redriven_from_any_state() {
    in_virtual_time(async {
        for state in states() {
            let takes_time = DEFINITION["States"][&state]["Type"] != "Choice";
            for ended in [Status::Aborted, Status::TimedOut] {
                let mut causes = vec![Cause::Before(ended.clone())];
                causes.extend(takes_time.then(|| Cause::During(ended.clone())));
                for cause in causes {
                    let (scene, status) = failed(&state, &cause).await;
                    assert_eq!(status, ended, "{state} {cause:?}");
                    assert_redriven(&scene, &cause).await;
                }
            }
        }
    });
}

#[test]
fn what_a_redrive_does_not_cure_the_messages_command_does() {
    in_virtual_time(async {
        for state in states() {
            let Some(function) = function_of(&state) else {
                continue;
            };
            for error in errors_of(&function) {
                if error.next_step() != NextStep::NewExecution {
                    continue;
                }
                for cause in causes(&function, *error) {
                    let (scene, message) = failed_as(&state, *error, &cause).await;
                    let given: Option<RunInput> = serde_json::from_value(input()).ok();
                    let command = error.command(&scene.arn, given.as_ref());
                    assert!(message.ends_with(&command), "{message}\n{command}");

                    // A full quota is made room in; other causes are cleared first.
                    if !matches!(cause, Cause::FullQuota) {
                        scene.clear().await;
                    }
                    let (_, asked) = command.split_once("--input '").unwrap();
                    let asked = asked.strip_suffix('\'').unwrap();
                    let asked = serde_json::from_str(asked).unwrap_or_else(|_| input());
                    let new = arn("new");
                    scene.world.begin(&new, &asked);
                    scene.world.go(&new).await;
                    tokio::time::sleep(Duration::from_hours(1)).await;
                    let (_, row, told) = scene.end(&new);
                    assert_eq!(row["outcome"], "SUCCEEDED", "{state} {cause:?}");
                    assert_eq!(told[0], "orders: SUCCEEDED");
                    assert_eq!(row["snapshots_ready"], 3, "{state} {cause:?}");
                    assert_eq!(lock(&scene.world.backend.invariants).violations, [""; 0]);
                }
            }
        }
    });
}

#[test]
fn every_documented_error_has_a_cause_here() {
    let mut all = BTreeSet::new();
    for function in FUNCTIONS {
        for error in errors_of(function) {
            assert!(!causes(function, *error).is_empty(), "{function} {error}");
            all.insert(error.as_str());
        }
    }
    assert_eq!(all.len(), ErrorName::ALL.len());
}
