//! Every state fails with every error that it can fail with. Then the cause is cleared, and the remedy in the message
//! is followed. A redrive comes to the same end as a run without a failure.

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
    /// Calls of this operation are answered with this code and status.
    Code(&'static str, &'static str, u16),
    Invocation(String),
    /// The application is created with snapshots disabled.
    SnapshotsDisabled,
    EnhancedSnapshots,
    /// The run's own snapshots exist before it begins, and are FAILED.
    OwnFailed,
    /// Neither the application nor its snapshot is found.
    ApplicationDeleted,
    /// A snapshot takes two hours. The run waits for a minute.
    SlowSnapshot,
    SnapshotsFail,
    FullQuota,
    /// The run's input has the name of a snapshot that is there already.
    NameTaken,
    /// The run's input has an unknown field.
    BadInput,
    /// The payload has a time zone that the code does not know.
    ForgottenTimeZone,
    /// Another execution has written the row.
    ForeignRow,
    /// `TABLE_NAME` is not set.
    NoEnvironment,
    /// The execution ends with this status when it is about to enter the state.
    Before(Status),
    /// The execution ends with this status in the state.
    During(Status),
}

/// Each way in which the function's error can come about.
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

/// Every Task with each error of this kind, and each cause of it.
fn failures(cure: Remedy) -> Vec<(&'static str, ErrorName, Cause)> {
    let mut all = Vec::new();
    for (state, function) in tasks() {
        for error in errors_of(&function).iter().copied() {
            if error.remedy() == cure {
                let causes = causes(&function, error).into_iter();
                all.extend(causes.map(|cause| (state, error, cause)));
            }
        }
    }
    all
}

/// Snapshots and their statuses, the record, and the last notification.
type End = (Vec<String>, Map<String, Value>, Value);

/// One run of an application with four snapshots, of which two are to be deleted.
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
            *lock(&world.halt) = Some((state.to_owned(), status.clone()));
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
            // As RollbackApplication does, which is not emulated. The run has changed nothing.
            lock(&backend.services).flink = flink(None);
        }
        *lock(&backend.services).flink.behaviour(APPLICATION) = behaviour(None);
        *lock(&self.world.config) = Ok(CONFIG.clone());
        *lock(&self.world.halt) = None;
        if let Cause::SnapshotsDisabled = self.cause {
            enable_snapshots(backend, true).unwrap();
        }
        // An update, or a slow snapshot, ends.
        tokio::time::sleep(Duration::from_hours(3)).await;
    }

    /// A run that takes a snapshot finds out in its first state that the application has enhanced snapshots.
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
        world.begin(arn, &input);
        match &self.cause {
            Cause::ForgottenTimeZone => {
                // A release that knows the time zone has passed on the payload.
                *lock(&world.halt) = Some(("PruneSnapshots".to_owned(), Status::Aborted));
                world.go(arn).await;
                *lock(&world.halt) = None;
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

    /// Brings an execution to its end, and waits until its event is handled and every invocation has ended.
    async fn finish(&self, arn: &str) {
        self.world.go(arn).await;
        tokio::time::sleep(Duration::from_hours(1)).await;
    }

    /// What the service, the table and the subscribers have in the end, without times and message ids.
    fn end(&self, arn: &str) -> End {
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
            // A snapshot that was begun later has a later timestamp.
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
        // What was deleted is still listed, so that there is something to wait for.
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

/// A run that has failed in this state, and its status.
async fn failed(state: &'static str, cause: &Cause) -> (Scene, Status) {
    let scene = Scene::new(state, cause);
    scene.run().await;
    let status = scene.world.status(&scene.arn);
    scene.world.with(&scene.arn, |execution| {
        assert_eq!(execution.follower.state, state, "{cause:?}: {status:?}");
    });
    (scene, status)
}

/// A run that has failed with this error, and its message, which has the remedy.
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

/// The end of a run whose cause of failure was cleared before it began.
async fn undisturbed(state: &'static str, cause: &Cause) -> End {
    let scene = Scene::new(state, cause);
    scene.clear().await;
    scene.world.begin(&scene.arn, &scene.input());
    scene.finish(&scene.arn).await;
    let status = scene.world.status(&scene.arn);
    assert!(matches!(status, Status::Succeeded(_)), "{cause:?}");
    scene.end(&scene.arn)
}

/// Clears the cause, redrives the run, and compares its end with that of an undisturbed run, except for names that
/// contain its start.
async fn assert_redriven(scene: &Scene, cause: &Cause) {
    scene.clear().await;
    scene.world.redrive(&scene.arn);
    scene.finish(&scene.arn).await;
    let (state, status) = (scene.state, scene.world.status(&scene.arn));
    assert!(
        matches!(status, Status::Succeeded(_)),
        "{cause:?}: {status:?}"
    );
    let undisturbed = undisturbed(state, cause).await;
    let end = scene.end(&scene.arn);
    assert_eq!(end.1["redrive_count"], 1, "{state} {cause:?}");
    let text = |(snapshots, row, notification): &End| {
        let id = row["snapshot_manager_run_id"].to_string();
        let text = format!("{snapshots:#?}\n{row:#?}\n{notification:#}").replace(&id, "RUN_ID");
        let lines = text.lines().filter(|line| !line.contains("redrive_count"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text(&end), text(&undisturbed), "{state} {cause:?}");
    assert_eq!(lock(&scene.world.backend.invariants).violations, [""; 0]);
}

#[test]
fn whatever_a_redrive_cures_is_cured_in_every_state_and_leaves_no_trace() {
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
fn an_execution_that_was_stopped_or_took_too_long_is_redriven_from_any_state() {
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
fn what_a_redrive_does_not_cure_the_messages_command_does() {
    in_virtual_time(async {
        for (state, error, cause) in failures(Remedy::NewExecution) {
            let (scene, message) = failed_with(state, error, &cause).await;
            let given: Option<RunInput> = serde_json::from_value(input()).ok();
            let command = error.command(&scene.arn, given.as_ref());
            assert!(message.ends_with(&command), "{message}\n{command}");

            // A full quota is cleared by the executions themselves: a plan, then a PRUNE that acknowledges its number.
            if !matches!(cause, Cause::FullQuota) {
                scene.clear().await;
            }
            let (_, asked) = command.split_once("--input '").unwrap();
            let asked = asked.strip_suffix('\'').unwrap();
            let mut asked: Value = serde_json::from_str(asked).unwrap_or_else(|_| input());
            let mut new = arn("new");
            scene.world.begin(&new, &asked);
            scene.finish(&new).await;
            if matches!(cause, Cause::FullQuota) {
                let (_, row, _) = scene.end(&new);
                assert_eq!(row["outcome"], "PLANNED");
                asked["mode"] = "PRUNE".into();
                asked["retention"]["max_deletions_per_run"] = row["deletions_planned"].clone();
                new = arn("prune");
                scene.world.begin(&new, &asked);
                scene.finish(&new).await;
            }
            let (_, row, notification) = scene.end(&new);
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
