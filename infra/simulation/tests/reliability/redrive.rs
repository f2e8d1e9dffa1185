//! Every state fails with every error that it can fail with. Then the cause is removed, and the remedy in the error
//! message is followed. After a redrive, the run must have the same results as a run that did not fail.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::{ErrorName, Remedy, RunInput};
use engine::faults::FaultKind;
use engine::functions::FUNCTIONS;
use engine::msf::{Behaviour, Emulator, SeededSnapshot, SnapshotStatus};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use simulation::backend::{Backend, lock};
use simulation::clock::{Clock, in_virtual_time};
use simulation::course::enable_snapshots;
use simulation::executions::{Status, arn};
use simulation::fault_plan::{Delivery, FaultPlan, error};
use simulation::lambda::{CONFIG, errors_of};
use simulation::services::{APPLICATION, application, own_name};
use simulation::state_machine::{DEFINITION, aws_errors};
use simulation::world::World;

use crate::fixture::{four_snapshots, input, start};

const NOT_FOUND: &str = "ResourceNotFoundException";

#[derive(Clone, Debug)]
enum Cause {
    /// The service returns this error, with this status, for this operation.
    Code(&'static str, &'static str, u16),
    Invocation(String),
    /// The application is created with snapshots disabled.
    SnapshotsDisabled,
    EnhancedSnapshots,
    /// All snapshots that the run may take exist before it starts, and are FAILED.
    OwnFailed,
    /// The service finds neither the application nor its snapshot.
    ApplicationDeleted,
    /// A snapshot takes two hours, but the run waits only for a minute.
    SlowSnapshot,
    SnapshotsFail,
    FullQuota,
    /// The input names a snapshot that exists already.
    NameTaken,
    /// The input has an unknown field.
    BadInput,
    /// The payload has a time zone that the code does not know.
    ForgottenTimeZone,
    /// Another execution has written the row of this run.
    ForeignRow,
    /// `TABLE_NAME` is not set.
    NoEnvironment,
    /// The execution ends with this status when it is about to enter the state.
    Before(Status),
    /// The execution ends with this status while it is in the state.
    During(Status),
}

/// All causes that can make a function return an error.
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
    let not_found = |operation| vec![Cause::Code(operation, NOT_FOUND, 400)];
    match error {
        ErrorName::ApplicationBusy => codes("ResourceInUseException", 400),
        ErrorName::Throttled => codes("ThrottlingException", 400),
        ErrorName::ServiceUnavailable => codes("InternalFailure", 500),
        ErrorName::AccessDenied => codes("AccessDeniedException", 400),
        ErrorName::Unexpected => codes("SomethingNewException", 400),
        ErrorName::InvalidInput if function == "create-snapshot" => vec![Cause::BadInput],
        ErrorName::InvalidInput => vec![Cause::ForgottenTimeZone],
        ErrorName::ApplicationNotFound if function == "describe-snapshot" => {
            vec![Cause::ApplicationDeleted]
        }
        ErrorName::ApplicationNotFound => not_found("DescribeApplication"),
        ErrorName::SnapshotsDisabled => vec![Cause::SnapshotsDisabled],
        ErrorName::SnapshotsUnsupported => codes("UnsupportedOperationException", 400),
        ErrorName::EnhancedSnapshotsUnsupported => vec![Cause::EnhancedSnapshots],
        ErrorName::SnapshotLimitExceeded => vec![Cause::FullQuota],
        ErrorName::SnapshotNameTaken => vec![Cause::NameTaken],
        ErrorName::SnapshotFailed if function == "create-snapshot" => vec![Cause::OwnFailed],
        ErrorName::SnapshotFailed => vec![Cause::SnapshotsFail],
        ErrorName::SnapshotTimedOut => vec![Cause::SlowSnapshot],
        ErrorName::SnapshotNotFound => not_found("DescribeApplicationSnapshot"),
        ErrorName::TableNotFound => not_found("UpdateItem"),
        ErrorName::TopicNotFound => vec![Cause::Code("Publish", "NotFound", 404)],
        ErrorName::RecordConflict => vec![Cause::ForeignRow],
        ErrorName::Misconfigured => vec![Cause::NoEnvironment],
    }
}

/// All Tasks, with each error that has this remedy, and each cause of the error.
fn failures(remedy: Remedy) -> Vec<(&'static str, ErrorName, Cause)> {
    let mut all = Vec::new();
    for (state, function) in tasks() {
        for error in errors_of(&function).iter().copied() {
            if error.remedy() == remedy {
                let causes = causes(&function, error).into_iter();
                all.extend(causes.map(|cause| (state, error, cause)));
            }
        }
    }
    all
}

/// The results of a run: the snapshots with their statuses, the record, and the last notification.
type Results = (Vec<String>, Map<String, Value>, Value);

/// A run of an application with four snapshots. The run should delete two of them.
struct Scene {
    world: World,
    arn: String,
    state: &'static str,
    cause: Cause,
}

impl Scene {
    fn new(state: &'static str, cause: &Cause) -> Self {
        let now = start();
        let flink = flink(Some(cause));
        let plan = fault_plan(state, Some(cause));
        let world = World::without_sockets(Backend::new(Clock::of_runtime(now), flink, plan));
        if let Cause::NoEnvironment = cause {
            let missing = "The function's environment: TABLE_NAME is not set.";
            *lock(&world.config) = Err(missing.to_owned());
        }
        if let Cause::Before(status) = cause {
            *lock(&world.ends_before) = Some((state.to_owned(), status.clone()));
        }
        Self {
            world,
            arn: arn("run"),
            state,
            cause: cause.clone(),
        }
    }

    async fn clear(&self) {
        let backend = &self.world.backend;
        *lock(&backend.fault_plan) = fault_plan(self.state, None);
        if let Cause::EnhancedSnapshots = self.cause {
            // RollbackApplication would do this, but it is not emulated. The run has changed nothing yet.
            lock(&backend.services).flink = flink(None);
        }
        *lock(&backend.services).flink.behaviour(APPLICATION) = behaviour(None);
        *lock(&self.world.config) = Ok(CONFIG.clone());
        *lock(&self.world.ends_before) = None;
        if let Cause::SnapshotsDisabled = self.cause {
            enable_snapshots(backend, true).unwrap();
        }
        // By then, an update or a slow snapshot has ended.
        tokio::time::sleep(Duration::from_hours(3)).await;
    }

    /// The input of the run. With enhanced snapshots, a run in mode RUN would fail in its first state. So the later
    /// states are tested in mode PRUNE.
    fn input(&self) -> Value {
        let mut input = input();
        if let ("PruneSnapshots", Cause::EnhancedSnapshots) = (self.state, &self.cause) {
            input["mode"] = "PRUNE".into();
        }
        input
    }

    async fn run(&self) {
        let (world, arn) = (&self.world, &self.arn);
        let mut input = self.input();
        match self.cause {
            Cause::BadInput => input["keep_last"] = 3.into(),
            Cause::NameTaken => input["snapshot_name"] = "before-upgrade".into(),
            Cause::SlowSnapshot => input["ready_timeout_seconds"] = 60.into(),
            _ => {}
        }
        world.create_execution(arn, &input);
        match &self.cause {
            Cause::ForgottenTimeZone => {
                // An earlier state ran with a release that knows the time zone.
                *lock(&world.ends_before) = Some(("PruneSnapshots".to_owned(), Status::Aborted));
                world.run_to_end(arn).await;
                *lock(&world.ends_before) = None;
                world.with(arn, |execution| {
                    let policy = &mut execution.follower.data["run"]["input"]["retention"];
                    policy["timezone"] = "Mars/Base".into();
                });
                world.redrive(arn);
            }
            Cause::ForeignRow => {
                let started = world.with(arn, |execution| execution.started);
                let key = (APPLICATION.to_owned(), started.as_millisecond());
                let row = json!({
                    "app_name": { "S": APPLICATION },
                    "execution_arn": { "S": "arn:of:another" }, "finished_at": { "N": "0" },
                });
                let row = row.as_object().unwrap().clone();
                lock(&world.backend.services).table.insert(key, row);
            }
            Cause::During(status) => {
                let (world, arn) = (world.clone(), arn.clone());
                let (state, status) = (self.state, status.clone());
                tokio::spawn(async move {
                    while world.with(&arn, |execution| execution.follower.state != state) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    world.stop(&arn, status);
                });
            }
            _ => {}
        }
        self.finish(arn).await;
    }

    /// Runs an execution until it ends, and waits until its event is handled and all invocations have ended.
    async fn finish(&self, arn: &str) {
        self.world.run_to_end(arn).await;
        tokio::time::sleep(Duration::from_hours(1)).await;
    }

    /// The results of the run in the service, in the table and in the notifications, without times and message ids.
    fn results(&self, arn: &str) -> Results {
        let backend = &self.world.backend;
        let snapshots = backend.snapshots();
        let mut snapshots: Vec<String> = snapshots
            .iter()
            .map(|s| format!("{} {}", s["SnapshotName"], s["SnapshotStatus"]))
            .collect();
        snapshots.sort();
        let timeless = |mut row: Map<String, Value>| {
            for varies in ["finished_at", "snapshot_seconds", "notified", "expires_at"] {
                row.remove(varies);
            }
            // The timestamp is left out too, because a snapshot that was begun later has a later one.
            let created_at = row.remove("new_snapshot_create_time");
            let newest = row.remove("newest_ready_snapshot_create_time");
            assert!(
                created_at.is_none() || created_at == newest,
                "{created_at:?}"
            );
            row
        };
        let services = lock(&backend.services);
        let mut rows = services.rows(arn);
        assert_eq!(rows.len(), 1, "{rows:?}");
        let mut published = services.published.iter();
        let last = published.rfind(|message| message.record["execution_arn"] == arn);
        let last = last.unwrap();
        let record = timeless(last.record.as_object().unwrap().clone());
        let notification = json!([last.subject, record]);
        (snapshots, timeless(rows.remove(0)), notification)
    }
}

/// Managed Flink with the application and its four snapshots.
fn flink(cause: Option<&Cause>) -> Emulator {
    let now = start();
    let enabled = !matches!(cause, Some(Cause::SnapshotsDisabled));
    let taken = matches!(cause, Some(Cause::NameTaken)).then(|| {
        let created_at = now - SignedDuration::from_secs(2);
        SeededSnapshot::new("before-upgrade", SnapshotStatus::Failed, created_at)
    });
    let snapshots = four_snapshots().chain(taken);
    let mut flink = application(now, behaviour(cause), enabled, snapshots);
    match cause {
        Some(Cause::EnhancedSnapshots) => {
            let mode = json!({ "SnapshotsEnabledUpdate": true, "SnapshotModeUpdate": "ENHANCED_SNAPSHOTS" });
            let update = json!({
                "ApplicationName": APPLICATION, "CurrentApplicationVersionId": 1,
                "ApplicationConfigurationUpdate": { "ApplicationSnapshotConfigurationUpdate": mode },
            });
            let earlier = now - SignedDuration::from_mins(30);
            let update = update.to_string();
            let updated = flink.call("UpdateApplication", update.as_bytes(), earlier);
            updated.unwrap();
        }
        Some(Cause::OwnFailed) => {
            let first = now.as_millisecond();
            let own = [first, first + 1].map(|id| {
                let created_at = now - SignedDuration::from_mins(1);
                SeededSnapshot::new(&own_name(&id.into()), SnapshotStatus::Failed, created_at)
            });
            flink.seed(APPLICATION, own);
        }
        _ => {}
    }
    flink
}

fn behaviour(cause: Option<&Cause>) -> Behaviour {
    let snapshot = match cause {
        Some(Cause::SlowSnapshot) => Duration::from_hours(2),
        _ => Duration::from_secs(20),
    };
    Behaviour {
        snapshots_fail: matches!(cause, Some(Cause::SnapshotsFail)),
        snapshot_quota: matches!(cause, Some(Cause::FullQuota)).then_some(4),
        ..Behaviour::with_snapshots_of(snapshot)
    }
}

fn fault_plan(state: &str, cause: Option<&Cause>) -> FaultPlan {
    let mut plan = FaultPlan::none();
    if state == "WaitBeforePruning" {
        // Listings lag, so that a deleted snapshot is still listed and the run has to wait for it.
        plan.listing_lag = Box::new(|| Duration::from_secs(2));
    }
    let function = function_of(state).unwrap_or_default();
    match cause.cloned() {
        Some(Cause::Invocation(name)) => {
            plan.delivery = Box::new(move |invoked| {
                if invoked == function {
                    Delivery::Refused(name.clone())
                } else {
                    Delivery::Once
                }
            });
        }
        Some(Cause::Before(_) | Cause::During(_)) if state == "WaitForApplication" => {
            plan.call = Box::new(move |_, called| {
                let refused = (called == "CreateApplicationSnapshot")
                    .then(|| error("ResourceInUseException", 400, "said the service"));
                (Duration::from_millis(20), refused)
            });
        }
        Some(cause @ (Cause::Code(..) | Cause::ApplicationDeleted | Cause::During(_))) => {
            plan.call = Box::new(move |invocation, called| {
                let fault = match cause {
                    _ if invocation.function != function => None,
                    Cause::Code(operation, code, status) => {
                        (operation == called).then(|| error(code, status, "said the service"))
                    }
                    Cause::ApplicationDeleted => Some(error(NOT_FOUND, 400, "said the service")),
                    _ => Some(FaultKind::DropBefore),
                };
                (Duration::from_millis(20), fault)
            });
        }
        _ => {}
    }
    plan
}

fn states() -> impl Iterator<Item = &'static str> {
    let states = DEFINITION["States"].as_object().unwrap();
    states.keys().map(String::as_str)
}

fn tasks() -> impl Iterator<Item = (&'static str, String)> {
    states().filter_map(|state| Some((state, function_of(state)?)))
}

fn function_of(state: &str) -> Option<String> {
    let name = &DEFINITION["States"][state]["Parameters"]["FunctionName"];
    let (_, function) = name.as_str()?.rsplit_once(':')?;
    Some(function.to_owned())
}

/// Runs until the run fails in this state. Returns the scene and the status.
async fn failed(state: &'static str, cause: &Cause) -> (Scene, Status) {
    let scene = Scene::new(state, cause);
    scene.run().await;
    let status = scene.world.status(&scene.arn);
    scene.world.with(&scene.arn, |execution| {
        assert_eq!(execution.follower.state, state, "{cause:?}: {status:?}");
    });
    (scene, status)
}

/// Runs until the run fails with this error. Returns the scene and the error message, which has the remedy.
async fn failed_with(state: &'static str, error: ErrorName, cause: &Cause) -> (Scene, String) {
    let (scene, status) = failed(state, cause).await;
    let Status::Failed(name, details) = status else {
        panic!("{cause:?}: {status:?}");
    };
    assert_eq!(name, error.as_str(), "{state} {cause:?}");
    let details: Value = serde_json::from_str(&details).unwrap();
    let message = details["errorMessage"].as_str().unwrap();
    assert!(message.contains(error.instructions()), "{message}");
    (scene, message.to_owned())
}

/// The results of a run whose cause of failure was removed before the run started.
async fn results_without_failure(state: &'static str, cause: &Cause) -> Results {
    let scene = Scene::new(state, cause);
    scene.clear().await;
    scene.world.create_execution(&scene.arn, &scene.input());
    scene.finish(&scene.arn).await;
    let status = scene.world.status(&scene.arn);
    assert!(matches!(status, Status::Succeeded(_)), "{cause:?}");
    scene.results(&scene.arn)
}

/// Removes the cause, redrives the run, and asserts that its results are those of a run that did not fail. Names that
/// contain the start time of the run may differ.
async fn assert_redriven(scene: &Scene, cause: &Cause) {
    scene.clear().await;
    scene.world.redrive(&scene.arn);
    scene.finish(&scene.arn).await;
    let (state, status) = (scene.state, scene.world.status(&scene.arn));
    assert!(
        matches!(status, Status::Succeeded(_)),
        "{cause:?}: {status:?}"
    );
    let undisturbed = results_without_failure(state, cause).await;
    let end = scene.results(&scene.arn);
    assert_eq!(end.1["redrive_count"], 1, "{state} {cause:?}");
    let text = |(snapshots, row, notification): &Results| {
        let id = row["snapshot_manager_run_id"].to_string();
        let text = format!("{snapshots:#?}\n{row:#?}\n{notification:#}").replace(&id, "RUN_ID");
        let lines = text.lines().filter(|line| !line.contains("redrive_count"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text(&end), text(&undisturbed), "{state} {cause:?}");
    assert_eq!(lock(&scene.world.backend.invariants).violations, [""; 0]);
}

#[test]
fn in_every_state_a_redrive_cures_each_error_for_which_it_is_the_remedy_and_leaves_no_trace() {
    in_virtual_time(async {
        for (state, error, cause) in failures(Remedy::Redrive) {
            let (scene, message) = failed_with(state, error, &cause).await;
            let command = error.command(&scene.arn, None);
            assert!(message.ends_with(&command), "{message}");
            assert_redriven(&scene, &cause).await;
        }
        for (state, _) in tasks() {
            for name in aws_errors(state) {
                let cause = Cause::Invocation(name.clone());
                let (scene, status) = failed(state, &cause).await;
                assert!(matches!(status, Status::Failed(error, _) if error == name));
                assert_redriven(&scene, &cause).await;
            }
        }
    });
}

#[test]
fn an_execution_that_was_stopped_or_timed_out_can_be_redriven_from_any_state() {
    in_virtual_time(async {
        for state in states() {
            let takes_time = DEFINITION["States"][state]["Type"] != "Choice";
            for ended in [Status::Aborted, Status::TimedOut] {
                let mut causes = vec![Cause::Before(ended.clone())];
                causes.extend(takes_time.then(|| Cause::During(ended.clone())));
                for cause in causes {
                    let (scene, status) = failed(state, &cause).await;
                    assert_eq!(status, ended, "{state} {cause:?}");
                    assert_redriven(&scene, &cause).await;
                }
            }
        }
    });
}

#[test]
fn an_error_that_a_redrive_does_not_cure_is_cured_by_the_command_in_its_message() {
    in_virtual_time(async {
        for (state, error, cause) in failures(Remedy::NewExecution) {
            let (scene, message) = failed_with(state, error, &cause).await;
            let given: Option<RunInput> = serde_json::from_value(input()).ok();
            let command = error.command(&scene.arn, given.as_ref());
            assert!(message.ends_with(&command), "{message}\n{command}");

            // The executions themselves cure a full quota: first a PLAN, then a PRUNE whose limit is the number of
            // deletions in the plan.
            if !matches!(cause, Cause::FullQuota) {
                scene.clear().await;
            }
            let (_, asked) = command.split_once("--input '").unwrap();
            let asked = asked.strip_suffix('\'').unwrap();
            let mut asked: Value = serde_json::from_str(asked).unwrap_or_else(|_| input());
            let mut new = arn("new");
            scene.world.create_execution(&new, &asked);
            scene.finish(&new).await;
            if matches!(cause, Cause::FullQuota) {
                let (_, row, _) = scene.results(&new);
                assert_eq!(row["outcome"], "PLANNED");
                asked["mode"] = "PRUNE".into();
                asked["retention"]["max_deletions_per_run"] = row["deletions_planned"].clone();
                new = arn("prune");
                scene.world.create_execution(&new, &asked);
                scene.finish(&new).await;
            }
            let (_, row, notification) = scene.results(&new);
            assert_eq!(row["outcome"], "SUCCEEDED", "{state} {cause:?}");
            assert_eq!(notification[0], "orders: SUCCEEDED");
            assert_eq!(row["snapshots_ready"], 3, "{state} {cause:?}");
            assert_eq!(lock(&scene.world.backend.invariants).violations, [""; 0]);
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
