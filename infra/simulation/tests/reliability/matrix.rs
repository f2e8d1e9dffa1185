//! Every fault at every call, once and always, over sockets and the SDK's own connections. The rows are made of
//! what the functions say that they call and of the errors in AWS's own models, the results are
//! `resources/docs/faults.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::serve::ListenerExt;
use contract::{ErrorName, RunInput};
use engine::faults::{Fault, FaultKind, Faults, Times};
use engine::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, SnapshotStatus};
use engine::{functions, python};
use expect_test::expect_file;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stack::{ACCOUNT, REGION};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use simulation::backend::{Backend, lock};
use simulation::clock::Clock;
use simulation::executions::Status;
use simulation::fault_plan::FaultPlan;
use simulation::invariants::list;
use simulation::services::{Services, plain};
use simulation::transport::Invocation;
use simulation::world::World;

/// How many cells are under way at once, those aside that mostly wait.
const AT_ONCE: usize = 8;

/// How long the SDK waits for an answer where one does not come. Elsewhere it waits for however slow a machine.
const PATIENCE: Duration = Duration::from_secs(1);

const APPLICATION: &str = "orders";
const RUN: &str = "arn:aws:states:eu-central-1:123456789012:execution:snapshot-manager:run";
const FROM: &str = "2026-01-01T00:00:00Z";

/// The snapshots that a run deletes, of the five that are there.
const DOOMED: [&str; 3] = [
    "custom_1000000000001",
    "custom_1000000000002",
    "custom_1000000000003",
];

/// Those that it keeps, beside its own.
const KEPT: [&str; 2] = ["custom_1000000000004", "custom_1000000000005"];

/// What a function is: a state, or the target of the failure rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    State(&'static str),
    OnEvent,
}

/// Every function with its roles and its calls.
const ROWS: [(&str, &[Role], &[&str]); 4] = [
    (
        "create-snapshot",
        &[Role::State("CreateSnapshot")],
        &create_snapshot::IAM_ACTIONS,
    ),
    (
        "describe-snapshot",
        &[Role::State("DescribeSnapshot")],
        &describe_snapshot::IAM_ACTIONS,
    ),
    (
        "prune-snapshots",
        &[Role::State("PruneSnapshots")],
        &prune_snapshots::IAM_ACTIONS,
    ),
    (
        "record-and-notify",
        &[Role::State("RecordAndNotify"), Role::OnEvent],
        &record_and_notify::IAM_ACTIONS,
    ),
];

/// Calls of an operation that mean something else than its first one. [`call_of`] tells them apart.
const OTHER_CALLS: [(&str, &str); 4] = [
    (
        "create-snapshot",
        "DescribeApplicationSnapshot, after a refused create",
    ),
    (
        "create-snapshot",
        "DescribeApplication, after a refused create",
    ),
    ("prune-snapshots", "ListApplicationSnapshots, a later page"),
    (
        "record-and-notify",
        "UpdateItem, the mark of the announcement",
    ),
];

/// The name under which a call has rows. `created` says that the invocation has asked for a snapshot.
fn call_of(function: &str, operation: &str, body: &Value, created: bool) -> String {
    let when = match (function, operation) {
        ("create-snapshot", "DescribeApplicationSnapshot" | "DescribeApplication") if created => {
            ", after a refused create"
        }
        ("prune-snapshots", "ListApplicationSnapshots") if body["NextToken"].is_string() => {
            ", a later page"
        }
        ("record-and-notify", "UpdateItem")
            if body["ExpressionAttributeValues"][":told"].is_object() =>
        {
            ", the mark of the announcement"
        }
        _ => "",
    };
    format!("{operation}{when}")
}

/// The calls of a function that have rows, with their IAM actions.
fn calls_of(function: &str, actions: &[&'static str]) -> Vec<(String, &'static str)> {
    let operation = |action: &'static str| action.split_once(':').unwrap().1;
    let calls = actions.iter().flat_map(|action| {
        let first = operation(action).to_owned();
        let others = OTHER_CALLS.iter().filter(move |(whose, call)| {
            *whose == function && call.split(", ").next() == Some(operation(action))
        });
        let others = others.map(|(_, call)| (*call).to_owned());
        std::iter::once(first)
            .chain(others)
            .map(|call| (call, *action))
    });
    calls.collect()
}

/// An error as botocore's model of the service has it.
#[derive(Clone, Debug, Deserialize)]
struct Modelled {
    code: String,
    status: u16,
}

/// The modelled errors of each operation, by its IAM action.
async fn modelled() -> BTreeMap<String, Vec<Modelled>> {
    const ASK_BOTOCORE: &str = "
import json, sys
from botocore.loaders import Loader

services = {'kinesisanalytics': 'kinesisanalyticsv2', 'states': 'stepfunctions'}

def errors(action):
    prefix, operation = action.split(':')
    model = Loader().load_service_model(services.get(prefix, prefix), 'service-2')
    for error in model['operations'][operation]['errors']:
        shape = model['shapes'][error['shape']]
        said = shape.get('error', {})
        status = said.get('httpStatusCode', 500 if shape.get('fault') else 400)
        yield {'code': said.get('code', error['shape']), 'status': status}

print(json.dumps({action: list(errors(action)) for action in sys.argv[1:]}))
";
    let actions: BTreeSet<&str> = ROWS
        .iter()
        .flat_map(|(_, _, actions)| actions.iter().copied())
        .collect();
    let target = functions::target_folder().unwrap();
    let python = python::install(&target, python::BOTOCORE, |_| ())
        .await
        .unwrap();
    let said = Command::new(python)
        .args(["-c", ASK_BOTOCORE])
        .args(actions)
        .output()
        .await
        .unwrap();
    let complained = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{complained}");
    serde_json::from_slice(&said.stdout).unwrap()
}

/// What is done to a call, in the words of the table.
fn faults(action: &str, modelled: &[Modelled]) -> Vec<(String, FaultKind)> {
    let error = |code: &str, status, message: &str| FaultKind::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        status,
    };
    let (throttled, denied) = match action {
        "sns:Publish" => ("Throttling", ("AuthorizationError", 403)),
        _ => ("ThrottlingException", ("AccessDeniedException", 400)),
    };
    let coded = modelled
        .iter()
        .map(|modelled| (modelled.code.as_str(), modelled.status))
        .chain([
            denied,
            (throttled, 400),
            ("SomethingNewException", 400),
            ("InternalFailure", 500),
            ("ServiceUnavailable", 503),
        ]);
    let mut all: Vec<(String, FaultKind)> = Vec::new();
    for (code, status) in coded {
        let label = format!("`{code}`");
        if all.iter().all(|(other, _)| *other != label) {
            all.push((label, error(code, status, "It was made up.")));
        }
        // Two codes of the Flink service mean something else with these words.
        let words = match (action.split(':').next(), code) {
            (Some("kinesisanalytics"), "InvalidArgumentException") => "does not exist",
            (Some("kinesisanalytics"), "InvalidApplicationConfigurationException") => {
                "experiencing downtime"
            }
            _ => continue,
        };
        let label = format!("`{code}` (\"{words}\")");
        all.push((label, error(code, status, &format!("orders: {words}"))));
    }
    let others = [
        ("no answer", FaultKind::Delay(Duration::from_hours(1))),
        ("connection lost before the effect", FaultKind::DropBefore),
        ("connection lost after the effect", FaultKind::DropAfter),
        ("HTML in the place of an answer", FaultKind::NotJson),
    ];
    let others = others.map(|(label, kind)| (label.to_owned(), kind));
    all.extend(others);
    all
}

/// A run, or the event of a run that has failed, and what goes wrong.
#[derive(Clone, Debug)]
struct Cell {
    function: &'static str,
    role: Role,
    call: String,
    fault: String,
    kind: FaultKind,
    times: Times,
}

impl Cell {
    /// Whether the application is taking another snapshot when the run begins.
    fn is_refused_a_snapshot(&self) -> bool {
        self.function == "create-snapshot"
            && (self.call == "ListApplicationSnapshots" || self.call.contains("refused create"))
    }

    fn is_refused_a_deletion(&self) -> bool {
        self.function == "prune-snapshots" && self.call == "DescribeApplicationSnapshot"
    }

    fn fault(&self, call: &str, kind: FaultKind) -> Fault {
        Fault {
            function: Some(self.function.to_owned()),
            operation: call.to_owned(),
            application: None,
            times: self.times,
            kind,
        }
    }
}

/// The services of one cell, behind a socket.
struct Socket {
    backend: Arc<Backend>,
    faults: Faults,
    /// The last invocation that has asked for a snapshot.
    creator: Mutex<Option<Arc<Invocation>>>,
    /// Function and call of what has no row.
    rowless: Mutex<BTreeSet<String>>,
}

async fn serve(
    State(socket): State<Arc<Socket>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers.get("x-amz-target");
    let target = target.map(|target| target.to_str().unwrap());
    let (operation, body) = testkit::replay::read(target, &body);
    let invocation = lock(&socket.backend.last).clone().unwrap();
    lock(&socket.backend.invariants).sent(&invocation, &operation, &body);
    let function = invocation.function.as_str();
    let creator = lock(&socket.creator).clone();
    let created = creator.is_some_and(|creator| Arc::ptr_eq(&creator, &invocation));
    let call = call_of(function, &operation, &body, created);
    if operation == "CreateApplicationSnapshot" {
        *lock(&socket.creator) = Some(invocation.clone());
    }
    let (_, _, actions) = ROWS.iter().find(|row| row.0 == function).unwrap();
    let mut calls = calls_of(function, actions).into_iter();
    if !calls.any(|(known, _)| known == call) {
        lock(&socket.rowless).insert(format!("{function}: {call}"));
    }
    let kind = socket.faults.take(Some(function), &call, b"");
    let backend = socket.backend.clone();
    let way = backend.travel(invocation, operation, body, Duration::ZERO, kind);
    match way.await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status().as_u16());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            let body = answer.body().bytes().unwrap().to_vec();
            response.body(Body::from(body)).unwrap()
        }
        // The task that serves the connection unwinds, and the socket with it.
        Err(_) => std::panic::resume_unwind(Box::new("the connection is lost")),
    }
}

/// The functions' own configuration with that endpoint, in a hurry to try again.
fn config(endpoint: String, patience: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(patience);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIAEXAMPLE",
            "secret",
            None,
            None,
            "matrix",
        )))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .timeout_config(timeouts.build())
        .endpoint_url(endpoint)
        .build()
}

/// An application that runs, with five snapshots.
fn services(cell: &Cell) -> Services {
    let from: Timestamp = FROM.parse().unwrap();
    let mut flink = Emulator::new(REGION, ACCOUNT, Lifecycle::default());
    *flink.behaviour(APPLICATION) = Behaviour {
        lifecycle: Some(Lifecycle {
            snapshot: Duration::from_mins(1),
            ..Lifecycle::default()
        }),
        page_limit: 4,
        ..Behaviour::default()
    };
    let create = json!({
        "ApplicationName": APPLICATION, "RuntimeEnvironment": "FLINK-1_20",
        "ServiceExecutionRole": "arn:aws:iam::123456789012:role/flink",
    });
    let application = json!({ "ApplicationName": APPLICATION });
    let earlier = from - SignedDuration::from_hours(1);
    for (operation, request, at) in [
        ("CreateApplication", &create, earlier),
        ("StartApplication", &application, earlier),
        ("DescribeApplication", &application, from),
    ] {
        let request = request.to_string();
        flink.call(operation, request.as_bytes(), at).unwrap();
    }
    let seeded = |name: &str, status, age| SeededSnapshot {
        name: name.to_owned(),
        status,
        created_at: Some(from - SignedDuration::from_hours(age)),
        version_id: 1,
    };
    let ages = (1..10).rev();
    let all = DOOMED.iter().chain(&KEPT).zip(ages);
    let all = all.map(|(name, age)| seeded(name, SnapshotStatus::Ready, age));
    flink.seed(APPLICATION, all);
    if cell.is_refused_a_snapshot() {
        if cell.times == Times::Always {
            let endless = seeded("by-hand", SnapshotStatus::Creating, 1);
            flink.seed(APPLICATION, [endless]);
        } else {
            let by_hand = json!({ "ApplicationName": APPLICATION, "SnapshotName": "by-hand" });
            let (operation, by_hand) = ("CreateApplicationSnapshot", by_hand.to_string());
            flink.call(operation, by_hand.as_bytes(), from).unwrap();
        }
    }
    Services::new(flink)
}

/// What becomes of the cell, in the words of the table.
async fn play(cell: &Cell) -> String {
    let fault_plan = FaultPlan {
        events: Box::new(Vec::new),
        ..FaultPlan::none()
    };
    let clock = Clock::that_skips(FROM.parse().unwrap());
    let backend = Backend::new(clock, services(cell), fault_plan);
    let socket = Arc::new(Socket {
        backend: backend.clone(),
        faults: Faults::default(),
        creator: Mutex::default(),
        rowless: Mutex::default(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let app = Router::new().fallback(serve).with_state(socket.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let patience = match cell.kind {
        FaultKind::Delay(_) => PATIENCE,
        _ => Duration::from_mins(1),
    };
    let world = World::new(backend.clone(), &config(endpoint, patience));

    let mut input = json!({
        "application_name": APPLICATION, "retention": { "keep_last": 3 }
    });
    if cell.role == Role::OnEvent {
        input["application_name"] = "not-there".into();
    }
    world.begin(RUN, &input);
    if cell.is_refused_a_deletion() {
        let refused = FaultKind::Error {
            code: "ResourceInUseException".to_owned(),
            message: "It is in use.".to_owned(),
            status: 400,
        };
        let refused = cell.fault("DeleteApplicationSnapshot", refused);
        socket.faults.inject(refused);
    }
    let inject = || {
        let fault = cell.fault(&cell.call, cell.kind.clone());
        socket.faults.inject(fault)
    };
    let (result, fault) = match cell.role {
        Role::State(place) => {
            let fault = inject();
            let event = world.go(RUN).await;
            let result = match world.status(RUN) {
                Status::Succeeded(_) => succeeded(&world),
                Status::Failed(error, cause) => {
                    let failed = failed(&error, &cause, &input, None);
                    let announced = lock(&backend.services).published.len();
                    socket.faults.clear(fault);
                    assert_eq!(world.deliver(RUN, &event.unwrap()).await, None);
                    let row = row(&world).unwrap();
                    assert_eq!(row["outcome"], "FAILED");
                    assert_eq!(row["failed_state"], place);
                    assert_eq!(row["error_name"], error);
                    format!("{failed}{}", times_announced(announced))
                }
                other => panic!("{other:?}"),
            };
            (result, fault)
        }
        Role::OnEvent => {
            let event = world.go(RUN).await.unwrap();
            let fault = inject();
            let given_up = world.deliver(RUN, &event).await;
            (handled(&world, given_up, &input), fault)
        }
    };
    assert!(socket.faults.hits(fault) > 0, "there was no such call");
    server.abort();
    let rowless = lock(&socket.rowless);
    assert!(rowless.is_empty(), "calls without a row: {rowless:?}");
    let invariants = lock(&backend.invariants);
    assert_eq!(invariants.violations, [""; 0]);
    let created: usize = invariants.created.values().sum();
    assert!(created <= 1, "{created} snapshots created");
    result
}

fn row(world: &World) -> Option<Map<String, Value>> {
    let services = lock(&world.backend.services);
    let rows: Vec<_> = services.table.values().collect();
    assert!(rows.len() <= 1, "{rows:?}");
    rows.first().map(|row| plain(row))
}

fn times_announced(times: usize) -> String {
    match times {
        0 => String::new(),
        1 => ", announced".to_owned(),
        times => format!(", announced {times} times"),
    }
}

/// A run that has succeeded: its own snapshot is there, its record says what is deleted and what is not, it was
/// announced.
fn succeeded(world: &World) -> String {
    let row = row(world).unwrap();
    let now = world.backend.now();
    let mut services = lock(&world.backend.services);
    let all = list(&mut services, APPLICATION, now);
    let status = |name: &str| {
        let snapshot = all.iter().find(|snapshot| snapshot["SnapshotName"] == name);
        snapshot.map(|snapshot| snapshot["SnapshotStatus"].as_str().unwrap())
    };
    let own = format!("custom_{}", row["snapshot_manager_run_id"]);
    assert_eq!(row["new_snapshot_name"], own);
    for name in [own.as_str()].into_iter().chain(KEPT) {
        assert_eq!(status(name), Some("READY"), "{name}");
    }
    let names = |list: &str| -> Vec<&str> {
        let entries = row[list].as_array().unwrap().iter();
        let mut names: Vec<&str> = entries
            .map(|entry| {
                assert_ne!(entry["reason"], "");
                entry["snapshot_name"].as_str().unwrap()
            })
            .collect();
        names.sort_unstable();
        names
    };
    let (left, deleted): (Vec<&str>, Vec<&str>) = DOOMED
        .iter()
        .partition(|name| status(name) == Some("READY"));
    assert_eq!(names("snapshots_deleted"), deleted);
    assert_eq!(names("snapshots_failed_to_be_deleted"), left);
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
    let published = services.published.iter();
    assert!(
        published
            .clone()
            .all(|told| told.record["outcome"] == outcome)
    );
    assert_ne!(published.len(), 0);
    if published.len() > 1 {
        result += &times_announced(published.len());
    }
    if !row.contains_key("notified") {
        result += ", not marked as announced";
    }
    result
}

/// An execution, or an event, that was failed on: the error has a documented name, and its message the cure.
fn failed(error: &str, cause: &str, input: &Value, event: Option<&str>) -> String {
    let name = ErrorName::ALL
        .into_iter()
        .find(|name| name.as_str() == error)
        .unwrap_or_else(|| panic!("{error} is not documented"));
    let cause: Value = serde_json::from_str(cause).unwrap();
    let message = cause["errorMessage"].as_str().unwrap();
    let input = RunInput::deserialize(input).unwrap();
    let command = name.command(RUN, Some(&input));
    let way_on = event.unwrap_or(&command);
    assert!(message.contains(name.instructions()), "{message}");
    assert!(message.contains(way_on), "{message}");
    format!("`FAILED`: `{name}`")
}

/// What has become of the event of a run that has failed.
fn handled(world: &World, given_up: Option<(String, String)>, input: &Value) -> String {
    let row = row(world);
    let services = lock(&world.backend.services);
    let announced = services.published.len();
    for told in &services.published {
        assert_eq!(told.record["outcome"], "FAILED");
    }
    let mut result = match &row {
        None => "not recorded".to_owned(),
        Some(row) => {
            assert_eq!(row["outcome"], "FAILED");
            assert_eq!(row["error_name"], "ApplicationNotFound");
            match row.get("failed_state") {
                None => "recorded without its state".to_owned(),
                Some(place) => {
                    assert_eq!(place, "CreateSnapshot");
                    "recorded".to_owned()
                }
            }
        }
    };
    result += &times_announced(announced);
    if announced > 0 && !row.unwrap().contains_key("notified") {
        result += ", not marked as announced";
    }
    match given_up {
        None => {
            assert_ne!(announced, 0);
            result
        }
        Some((error, cause)) => {
            assert_eq!(lock(&world.backend.undelivered).len(), 1);
            let failed = failed(&error, &cause, input, Some("replay the event"));
            format!("{failed}, the event is kept; {result}")
        }
    }
}

const INTRODUCTION: &str = "\
# Faults

[README](../../README.md) · [Deploy](deploy.md) · [Deploy by hand](console.md) · [Retention](retention.md) · [Operations](operations.md) · [Reference](reference.md) · [Reliability](reliability.md) · **Faults** · [Design](design.md) · [Changelog](changelog.md) · [Architecture](../../ARCHITECTURE.md)

This page has the result of each fault at each call of each function. The faults are: the errors in AWS's model of the
operation; the errors of any call (denied, throttled, an unknown code, HTTP 500 and 503); no answer; a connection that
closes before or after the service has done its work; and a page of a proxy. Under _once_, only the first such call meets
the fault. Under _always_, every such call does.

The run has mode `RUN`. Its application has five snapshots. The run must take one snapshot and delete three.

- `SUCCEEDED`: the run did that, was recorded, and was announced, each once unless the row says otherwise.
- `FAILED`: the execution ended in that state, with that error. The [table of errors](reference.md#errors) says what to
  do. So does the message, with the command. Each failed run was then recorded and announced from its event, without a
  fault.
- _The event is kept_: three attempts to handle the event failed, and the failure destination has it.

Some errors are not true, for example that a snapshot does not exist while it is listed. Their rows show what a function
believes.

Some calls happen only after another fault:

- _After a refused create_: another snapshot is being taken, for a minute under _once_, without end under _always_. Alone,
  the latter would be `ApplicationBusy`.
- `DescribeApplicationSnapshot` of `PruneSnapshots`: one deletion (_once_) or each deletion (_always_) is refused with
  `ResourceInUseException`. Alone, the latter would be `PRUNE_INCOMPLETE`.

The test `every_fault_at_every_call_is_retried_or_named` writes this page, with the functions' own code and SDK over
sockets. If the page differs from what they do, the test fails.
`UPDATE_EXPECT=1 cargo test --locked --test reliability every_fault` writes it again.
";

#[test]
fn every_fault_at_every_call_is_retried_or_named() {
    assert_eq!(ROWS.map(|row| row.0), functions::FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let modelled = runtime.block_on(modelled());
    let mut cells = Vec::new();
    for (function, roles, actions) in ROWS {
        for role in roles {
            for (call, action) in calls_of(function, actions) {
                // The last state reads no history.
                if *role == Role::State("RecordAndNotify") && call == "GetExecutionHistory" {
                    continue;
                }
                for (fault, kind) in faults(action, &modelled[action]) {
                    for times in [Times::Count(1), Times::Always] {
                        cells.push(Cell {
                            function,
                            role: *role,
                            call: call.clone(),
                            fault: fault.clone(),
                            kind: kind.clone(),
                            times,
                        });
                    }
                }
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

/// The results as tables: faults with the same results share a row.
fn page(cells: &[Cell], results: &[String]) -> String {
    let mut rows: Vec<(Role, &str, &[String], Vec<&str>)> = Vec::new();
    for (cell, results) in cells.chunks(2).zip(results.chunks(2)) {
        let Cell {
            role, call, fault, ..
        } = &cell[0];
        let same = rows
            .iter_mut()
            .find(|row| row.0 == *role && row.1 == call && row.2 == results);
        match same {
            Some(row) => row.3.push(fault),
            None => rows.push((*role, call, results, vec![fault])),
        }
    }
    let mut page = INTRODUCTION.to_owned();
    let mut at_hand = None;
    for (role, call, results, faults) in rows {
        if at_hand != Some(role) {
            at_hand = Some(role);
            let title = match role {
                Role::State(state) => state,
                Role::OnEvent => "RecordAndNotify, on the event of a run that has failed",
            };
            let head = "| call | fault | once | always |\n|---|---|---|---|";
            let _ = writeln!(page, "\n## {title}\n\n{head}");
        }
        let call = match call.split_once(", ") {
            Some((operation, when)) => format!("`{operation}`, {when}"),
            None => format!("`{call}`"),
        };
        let (faults, results) = (faults.join(", "), results.join(" | "));
        let _ = writeln!(page, "| {call} | {faults} | {results} |");
    }
    page
}
