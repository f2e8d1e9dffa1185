//! Every fault at every call, once and always. The calls go over sockets. They are the `IAM_ACTIONS` of each function,
//! and the errors are those in AWS's models. The results are in `resources/docs/faults.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::serve::ListenerExt;
use contract::{ErrorName, RunInput};
use engine::client_config;
use engine::environment::{Child, command};
use engine::faults::{Fault, FaultKind, Faults, Times};
use engine::msf::{Behaviour, Emulator, SeededSnapshot, SnapshotStatus};
use engine::{functions, python};
use expect_test::expect_file;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use simulation::backend::{Backend, lock};
use simulation::clock::Clock;
use simulation::executions::{Status, arn};
use simulation::fault_plan::{FaultPlan, error};
use simulation::lambda::{Failure, actions_of, documented_error};
use simulation::services::{APPLICATION, application, is_mark, name, own_name};
use simulation::transport::Invocation;
use simulation::world::World;

use crate::page::page;

/// A Python program. It prints the modelled errors of the IAM actions that are its arguments.
const MODELLED_ERRORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/reliability/modelled_errors.py"
);

/// How many cells run at the same time, apart from the cells that mostly wait.
const AT_ONCE: usize = 8;

/// How long the SDK waits for a response that never arrives. In all other cells, the SDK waits as long as a slow
/// machine may need.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

const START: &str = "2026-01-01T00:00:00Z";

/// The existing snapshots that the run deletes.
const DELETED: [&str; 3] = [
    "custom_1000000000001",
    "custom_1000000000002",
    "custom_1000000000003",
];

const KEPT: [&str; 2] = ["custom_1000000000004", "custom_1000000000005"];

/// The snapshot from which the stopped application is configured to restore. It is deleted.
const RESTORE_POINT: &str = "before-upgrade";

/// What invokes a function: a state, or the event of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    State(&'static str),
    OnEvent,
}

const ROLES: [(&str, Role); 5] = [
    ("create-snapshot", Role::State("CreateSnapshot")),
    ("describe-snapshot", Role::State("DescribeSnapshot")),
    ("prune-snapshots", Role::State("PruneSnapshots")),
    ("record-and-notify", Role::State("RecordAndNotify")),
    ("record-and-notify", Role::OnEvent),
];

/// Tells the purpose of a call, from its body and from whether its invocation has requested a snapshot.
type Purpose = fn(&Value, bool) -> bool;

/// The operations that a function calls for several purposes: the names of the calls after the first, and how to
/// recognize them.
const OTHER_CALLS: [(&str, &str, Purpose); 5] = [
    (
        "create-snapshot",
        "DescribeApplicationSnapshot, the restore point of a stopped application",
        |body, _| body["SnapshotName"] == RESTORE_POINT,
    ),
    (
        "create-snapshot",
        "DescribeApplicationSnapshot, after a refused create",
        |_, created| created,
    ),
    (
        "create-snapshot",
        "DescribeApplication, after a refused create",
        |_, created| created,
    ),
    (
        "prune-snapshots",
        "ListApplicationSnapshots, a later page",
        |body, _| body["NextToken"].is_string(),
    ),
    (
        "record-and-notify",
        "UpdateItem, the mark of the notification",
        |body, _| is_mark(body),
    ),
];

/// The calls of an operation for another purpose than the first.
fn other_calls(function: &str, operation: &str) -> impl Iterator<Item = (&'static str, Purpose)> {
    let calls = OTHER_CALLS.into_iter().filter(move |(whose, call, _)| {
        *whose == function && call.split(", ").next() == Some(operation)
    });
    calls.map(|(_, call, purpose)| (call, purpose))
}

/// The name of a call in the table.
fn call_of(function: &str, operation: &str, body: &Value, created: bool) -> String {
    let other = other_calls(function, operation).find(|(_, purpose)| purpose(body, created));
    other.map_or(operation, |(call, _)| call).to_owned()
}

/// The calls of a function that have rows in the table, with their IAM actions.
fn calls_of(function: &str) -> Vec<(&'static str, &'static str)> {
    let mut calls = Vec::new();
    for &action in actions_of(function) {
        let (_, operation) = action.split_once(':').unwrap();
        calls.push((operation, action));
        calls.extend(other_calls(function, operation).map(|(call, _)| (call, action)));
    }
    calls
}

/// An error in botocore's model of a service.
#[derive(Clone, Debug, Deserialize)]
struct Modelled {
    code: String,
    status: u16,
}

/// The modelled errors of each operation, by its IAM action.
async fn modelled() -> BTreeMap<String, Vec<Modelled>> {
    let actions: BTreeSet<&str> = ROLES
        .iter()
        .flat_map(|(function, _)| actions_of(function).iter().copied())
        .collect();
    let target = functions::target_folder().unwrap();
    let python = python::install(&target, python::BOTOCORE, |_| ())
        .await
        .unwrap();
    let mut command = command(Child::Engine, python);
    command.arg(MODELLED_ERRORS).args(actions);
    let output = command.output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The faults that are injected into a call, with their names in the table.
fn faults(action: &str, modelled: &[Modelled]) -> Vec<(String, FaultKind)> {
    let (throttled, denied) = match action {
        "sns:Publish" => ("Throttling", ("AuthorizationError", 403)),
        _ => ("ThrottlingException", ("AccessDeniedException", 400)),
    };
    let is_flink = action.starts_with("kinesisanalytics:");
    let modelled = modelled.iter().map(|it| (it.code.as_str(), it.status));
    let errors = modelled.chain([
        denied,
        (throttled, 400),
        ("SomethingNewException", 400),
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
    ]);
    let mut all: Vec<(String, FaultKind)> = Vec::new();
    for (code, status) in errors {
        let label = format!("`{code}`");
        if all.iter().all(|(other, _)| *other != label) {
            all.push((label, error(code, status, "It was made up.")));
        }
        // With this message, two error codes of Managed Flink have another meaning.
        let message = match code {
            "InvalidArgumentException" if is_flink => "does not exist",
            "InvalidApplicationConfigurationException" if is_flink => "experiencing downtime",
            _ => continue,
        };
        let label = format!("`{code}` (\"{message}\")");
        all.push((label, error(code, status, &format!("orders: {message}"))));
    }
    let others = [
        ("no answer", FaultKind::Delay(Duration::from_hours(1))),
        ("connection lost before the effect", FaultKind::DropBefore),
        ("connection lost after the effect", FaultKind::DropAfter),
        ("an HTML page instead of an answer", FaultKind::NotJson),
    ];
    all.extend(others.map(|(label, fault)| (label.to_owned(), fault)));
    all
}

/// A cell of the table: one fault at one call of a run, or of the event of a failed run.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    function: &'static str,
    pub(crate) role: Role,
    pub(crate) call: &'static str,
    pub(crate) fault: String,
    kind: FaultKind,
    times: Times,
}

impl Cell {
    /// Whether the application is taking another snapshot when the run starts.
    fn is_refused_a_snapshot(&self) -> bool {
        self.function == "create-snapshot"
            && (self.call == "ListApplicationSnapshots" || self.call.contains("refused create"))
    }

    /// Whether the application is stopped when the run starts.
    fn is_stopped(&self) -> bool {
        self.call.ends_with("of a stopped application")
    }

    fn fault(&self, call: &str, kind: FaultKind) -> Fault {
        Fault {
            function: self.function.to_owned(),
            operation: call.to_owned(),
            application: None,
            times: self.times,
            kind,
        }
    }

    /// Another fault that makes the function make this call, if it needs one.
    fn cause(&self) -> Option<Fault> {
        match (self.function, self.call) {
            ("prune-snapshots", "DescribeApplicationSnapshot") => {
                let refused = error("ResourceInUseException", 400, "It is in use.");
                Some(self.fault("DeleteApplicationSnapshot", refused))
            }
            ("describe-snapshot", "DescribeApplication") => {
                let missing = error("ResourceNotFoundException", 400, "It was made up.");
                Some(Fault {
                    times: Times::Always,
                    ..self.fault("DescribeApplicationSnapshot", missing)
                })
            }
            _ => None,
        }
    }
}

struct Socket {
    backend: Arc<Backend>,
    faults: Faults,
    /// The last invocation that has requested a snapshot.
    creator: Mutex<Option<Arc<Invocation>>>,
    without_row: Mutex<BTreeSet<String>>,
}

async fn serve(
    State(socket): State<Arc<Socket>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers.get("x-amz-target");
    let target = target.map(|target| target.to_str().unwrap());
    let (operation, body) = testkit::replay::decode_request(target, &body);
    let invocation = lock(&socket.backend.last_invocation).clone().unwrap();
    lock(&socket.backend.invariants).call_sent(&invocation, &operation, &body);
    let function = invocation.function.as_str();
    let creator = lock(&socket.creator).clone();
    let created = creator.is_some_and(|creator| Arc::ptr_eq(&creator, &invocation));
    let call = call_of(function, &operation, &body, created);
    if operation == "CreateApplicationSnapshot" {
        *lock(&socket.creator) = Some(invocation.clone());
    }
    if calls_of(function).iter().all(|(known, _)| *known != call) {
        lock(&socket.without_row).insert(format!("{function}: {call}"));
    }
    let fault = socket.faults.take(function, &call, b"");
    let backend = socket.backend.clone();
    let answer = backend.travel(invocation, operation, body, Duration::ZERO, fault);
    match answer.await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status().as_u16());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let body = answer.body().bytes().unwrap().to_vec();
            response.body(Body::from(body)).unwrap()
        }
        // A panic ends the task that serves the connection, which closes the socket.
        Err(_) => std::panic::resume_unwind(Box::new("the connection is lost")),
    }
}

/// The SDK configuration of the functions, with this endpoint and this timeout for an attempt, and without long
/// backoffs.
fn config(endpoint: &str, attempt_timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_timeout);
    client_config(endpoint)
        .into_builder()
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts.build())
        .build()
}

/// The backend for a cell, with an application that has five snapshots.
fn backend(cell: &Cell) -> Arc<Backend> {
    let start: Timestamp = START.parse().unwrap();
    let behaviour = Behaviour {
        page_limit: Some(4),
        ..Behaviour::with_snapshots_of(Duration::from_mins(1))
    };
    let existing = DELETED.iter().chain(&KEPT).zip((1..10).rev());
    let existing = existing.map(|(name, age)| {
        let created_at = start - SignedDuration::from_hours(age);
        SeededSnapshot::new(name, SnapshotStatus::Ready, created_at)
    });
    let mut flink = application(start, behaviour, true, existing);
    if cell.is_refused_a_snapshot() && cell.times == Times::Always {
        // The status of a seeded snapshot does not change by itself.
        let created_at = start - SignedDuration::from_hours(1);
        let by_hand = SeededSnapshot::new("by-hand", SnapshotStatus::Creating, created_at);
        flink.seed(APPLICATION, [by_hand]);
    }
    if cell.is_stopped() {
        stop_without_restore_point(&mut flink, start);
    }
    let fault_plan = FaultPlan {
        events: Box::new(Vec::new),
        ..FaultPlan::none()
    };
    let backend = Backend::new(Clock::skipping(start), flink, fault_plan);
    if cell.is_refused_a_snapshot() && cell.times != Times::Always {
        let by_hand = json!({ "SnapshotName": "by-hand" });
        backend.call("CreateApplicationSnapshot", by_hand).unwrap();
    }
    backend
}

/// Stops the application, configures it to restore from a snapshot, and deletes this snapshot.
fn stop_without_restore_point(flink: &mut Emulator, start: Timestamp) {
    let created_at = start - SignedDuration::from_mins(50);
    let restore_point = SeededSnapshot::new(RESTORE_POINT, SnapshotStatus::Ready, created_at);
    flink.seed(APPLICATION, [restore_point]);
    let restore = json!({ "ApplicationRestoreConfiguration": {
        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": RESTORE_POINT,
    }});
    let calls = [
        ("StopApplication", json!({ "Force": true })),
        (
            "UpdateApplication",
            json!({ "CurrentApplicationVersionId": 1, "RunConfigurationUpdate": restore }),
        ),
        (
            "DeleteApplicationSnapshot",
            json!({
                "SnapshotName": RESTORE_POINT,
                "SnapshotCreationTimestamp": created_at.as_second()
            }),
        ),
    ];
    for ((operation, mut request), minutes) in calls.into_iter().zip([40, 30, 20]) {
        request["ApplicationName"] = APPLICATION.into();
        let earlier = start - SignedDuration::from_mins(minutes);
        let answer = flink.call(operation, request.to_string().as_bytes(), earlier);
        answer.unwrap();
    }
}

/// Plays a cell. Returns its result, as the table has it.
async fn play(cell: &Cell) -> String {
    let backend = backend(cell);
    let socket = Arc::new(Socket {
        backend: backend.clone(),
        faults: Faults::default(),
        creator: Mutex::default(),
        without_row: Mutex::default(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let app = Router::new().fallback(serve).with_state(socket.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let attempt_timeout = match cell.kind {
        FaultKind::Delay(_) => ANSWER_TIMEOUT,
        _ => Duration::from_mins(1),
    };
    let world = World::new(backend.clone(), &config(&endpoint, attempt_timeout));

    let name = match cell.role {
        Role::State(_) => APPLICATION,
        Role::OnEvent => "not-there",
    };
    let input = json!({ "application_name": name, "retention": { "keep_last": 3 } });
    let arn = arn("run");
    world.create_execution(&arn, &input);
    if let Some(cause) = cell.cause() {
        socket.faults.inject(cause);
    }
    let fault = cell.fault(cell.call, cell.kind.clone());
    let (result, fault) = match cell.role {
        Role::State(state) => {
            let fault = socket.faults.inject(fault);
            let event = world.run_to_end(&arn).await;
            let result = match world.status(&arn) {
                Status::Succeeded(_) if cell.is_stopped() => skipped(&world),
                Status::Succeeded(_) => succeeded(&world),
                Status::Failed(error, cause) => {
                    let failed = failed(&error, &cause, |name| {
                        let input = RunInput::deserialize(&input).unwrap();
                        name.command(&arn, Some(&input))
                    });
                    let announced = lock(&backend.services).published.len();
                    socket.faults.clear(fault);
                    assert_eq!(world.deliver_event(&arn, &event.unwrap()).await, None);
                    let row = row(&world).unwrap();
                    assert_eq!(row["outcome"], "FAILED");
                    assert_eq!(row["failed_state"], state);
                    assert_eq!(row["error_name"], error);
                    format!("{failed}{}", times_announced(announced))
                }
                other => panic!("{other:?}"),
            };
            (result, fault)
        }
        Role::OnEvent => {
            let event = world.run_to_end(&arn).await.unwrap();
            let fault = socket.faults.inject(fault);
            let failure = world.deliver_event(&arn, &event).await;
            (handled(&world, failure), fault)
        }
    };
    assert!(socket.faults.hits(fault) > 0, "there was no such call");
    server.abort();
    let without_row = lock(&socket.without_row);
    assert!(
        without_row.is_empty(),
        "calls without a row: {without_row:?}"
    );
    let invariants = lock(&backend.invariants);
    assert_eq!(invariants.violations, [""; 0]);
    let created: usize = invariants.creations.values().sum();
    assert!(created <= 1, "{created} snapshots created");
    result
}

fn row(world: &World) -> Option<Map<String, Value>> {
    let services = lock(&world.backend.services);
    assert!(services.table.len() <= 1, "{:?}", services.table);
    services.rows(&arn("run")).pop()
}

fn times_announced(times: usize) -> String {
    match times {
        0 => String::new(),
        1 => ", notified".to_owned(),
        times => format!(", notified {times} times"),
    }
}

/// The result of a run that has succeeded. Asserts that its snapshot exists, that its record shows which snapshots were
/// deleted and which were not, and that a notification was sent.
fn succeeded(world: &World) -> String {
    let row = row(world).unwrap();
    let snapshots = world.backend.snapshots();
    let status = |wanted: &str| {
        let snapshot = snapshots.iter().find(|snapshot| name(snapshot) == wanted);
        snapshot.map(|snapshot| snapshot["SnapshotStatus"].as_str().unwrap())
    };
    let own = own_name(&row["snapshot_manager_run_id"]);
    assert_eq!(row["new_snapshot_name"], own);
    for name in [own.as_str()].into_iter().chain(KEPT) {
        assert_eq!(status(name), Some("READY"), "{name}");
    }
    let listed = |attribute: &str| -> Vec<&str> {
        let entries = row[attribute].as_array().unwrap().iter();
        let names = entries.map(|entry| {
            assert_ne!(entry["reason"], "");
            entry["snapshot_name"].as_str().unwrap()
        });
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names
    };
    let (left, deleted): (Vec<&str>, Vec<&str>) = DELETED
        .iter()
        .partition(|name| status(name) == Some("READY"));
    assert_eq!(listed("snapshots_deleted"), deleted);
    assert_eq!(listed("snapshots_failed_to_be_deleted"), left);
    assert_eq!(row["snapshots_deleted_count"], deleted.len());
    assert_eq!(row["snapshots_failed_to_be_deleted_count"], left.len());
    let (outcome, mut result) = match left.len() {
        0 => ("SUCCEEDED", "`SUCCEEDED`".to_owned()),
        left => (
            "PRUNE_INCOMPLETE",
            format!("`PRUNE_INCOMPLETE`: {left} of 3 not deleted, and reported"),
        ),
    };
    assert_eq!(row["outcome"], outcome);
    let announced = announced(world, outcome);
    assert_ne!(announced, 0);
    if announced > 1 {
        result += &times_announced(announced);
    }
    if !row.contains_key("notified") {
        result += ", not marked as notified";
    }
    result
}

/// The result of a run of the stopped application. Asserts that it has one record and one notification.
fn skipped(world: &World) -> String {
    let row = row(world).unwrap();
    assert_eq!(row["outcome"], "SKIPPED");
    assert_eq!(announced(world, "SKIPPED"), 1);
    let warned = row.contains_key("warnings");
    let warned = if warned { "" } else { ", without the warning" };
    format!("`SKIPPED`{warned}")
}

/// How many notifications of the run were sent. Asserts that each of them has this outcome.
fn announced(world: &World, outcome: &str) -> usize {
    let services = lock(&world.backend.services);
    for message in &services.published {
        assert_eq!(message.record["outcome"], outcome);
    }
    services.published.len()
}

/// The result of a failed execution or event. Asserts that the error is documented, and that its message has the remedy
/// and the next step.
fn failed(error: &str, cause: &str, next_step: impl FnOnce(ErrorName) -> String) -> String {
    let name = documented_error(error).unwrap_or_else(|| panic!("{error} is not documented"));
    let cause: Value = serde_json::from_str(cause).unwrap();
    let message = cause["errorMessage"].as_str().unwrap();
    let (redrive, replay) = (name.instructions(), name.replay_instructions());
    let has_remedy = message.contains(redrive) || message.contains(replay);
    assert!(has_remedy, "{message}");
    assert!(message.contains(&next_step(name)), "{message}");
    format!("`FAILED`: `{name}`")
}

/// The result for the event of a failed run. `failure` is the failure of the third attempt to handle the event, if it
/// failed.
fn handled(world: &World, failure: Option<Failure>) -> String {
    let row = row(world);
    let announced = announced(world, "FAILED");
    let mut result = match &row {
        None => "not recorded".to_owned(),
        Some(row) => {
            assert_eq!(row["outcome"], "FAILED");
            assert_eq!(row["error_name"], "ApplicationNotFound");
            match row.get("failed_state") {
                None => "recorded without its state".to_owned(),
                Some(state) => {
                    assert_eq!(state, "CreateSnapshot");
                    "recorded".to_owned()
                }
            }
        }
    };
    result += &times_announced(announced);
    if announced > 0 && !row.unwrap().contains_key("notified") {
        result += ", not marked as notified";
    }
    let Some((error, cause)) = failure else {
        assert_ne!(announced, 0);
        return result;
    };
    assert_eq!(lock(&world.backend.undelivered).len(), 1);
    let failed = failed(&error, &cause, |name| name.replay_instructions().to_owned());
    format!("{failed}, the event is kept; {result}")
}

#[test]
fn every_fault_at_every_call_is_retried_or_named() {
    let mut functions = ROLES.map(|(function, _)| function).to_vec();
    functions.dedup();
    assert_eq!(functions, functions::FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let modelled = runtime.block_on(modelled());
    let mut cells = Vec::new();
    for (function, role) in ROLES {
        for (call, action) in calls_of(function) {
            // The last state does not read the history.
            if role == Role::State("RecordAndNotify") && call == "GetExecutionHistory" {
                continue;
            }
            for (fault, kind) in faults(action, &modelled[action]) {
                cells.extend([Times::Count(1), Times::Always].map(|times| Cell {
                    function,
                    role,
                    call,
                    fault: fault.clone(),
                    kind: kind.clone(),
                    times,
                }));
            }
        }
    }
    let results = runtime.block_on(async {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let playing: Vec<_> = cells
            .iter()
            .map(|cell| {
                let (room, cell) = (room.clone(), cell.clone());
                tokio::spawn(async move {
                    let _place = match cell.kind {
                        FaultKind::Delay(_) => None,
                        _ => Some(room.acquire().await.unwrap()),
                    };
                    play(&cell).await
                })
            })
            .collect();
        let mut results = Vec::new();
        let mut broken = Vec::new();
        for (cell, playing) in cells.iter().zip(playing) {
            match playing.await {
                Ok(result) => results.push(result),
                Err(error) => broken.push(format!("{cell:?}: {error}")),
            }
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        results
    });
    expect_file![concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../resources/docs/faults.md"
    )]
    .assert_eq(&page(&cells, &results));
}
