//! What a function costs: the release binaries, each in fresh processes under the engine, calling
//! AWS over TLS as they do on Lambda.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesisanalyticsv2::types::{ApplicationStatus, RuntimeEnvironment};
use aws_sdk_sfn::types::ExecutionStatus;
use axum::Router;
use axum::body::Body;
use axum::extract::{self, Request, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::{Listener, ListenerExt};
use comfy_table::CellAlignment;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::demo::milliseconds;
use crate::engine::{Engine, EngineSettings, words};
use crate::faults::{Fault, Kind, Times};
use crate::follow::start_execution;
use crate::functions::Built;
use crate::msf::{SeededSnapshot, SnapshotStatus};
use crate::proxy::CALLER;
use crate::report::new_table;
use crate::stack::{EVERY_APPLICATION, REGION, Stack};

/// Fresh processes per function and trust store; odd, so that one of them is the median.
const PROCESSES: usize = 15;

/// Requests that each process makes.
const CALLS: usize = 2;

/// How long a process may take for its work.
const PATIENCE: Duration = Duration::from_mins(1);

/// The most that a request or an answer of these calls has, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Where systems keep the certificates that they trust: Debian and Ubuntu; Fedora and Amazon Linux;
/// openSUSE; Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const APPLICATION: &str = "bench";
const SNAPSHOT: &str = "custom_1700000000000";

/// What is shown of a function, and what it must stay below.
struct Column {
    title: &'static str,
    unit: &'static str,
    value: fn(&Measured) -> Option<f64>,
    budget: Option<f64>,
}

const COLUMNS: [Column; 9] = [
    Column {
        title: "binary",
        unit: "MB",
        value: |function| Some(function.megabytes),
        budget: Some(6.0),
    },
    Column {
        title: "start",
        unit: "ms",
        value: |function| median(&function.one_ca, |process| Some(process.start)),
        budget: Some(15.0),
    },
    Column {
        title: "worst",
        unit: "ms",
        value: |function| worst(&function.one_ca, |process| Some(process.start)),
        budget: None,
    },
    Column {
        title: "memory",
        unit: "MiB",
        value: |function| median(&function.one_ca, |process| Some(process.used?.memory)),
        budget: Some(12.0),
    },
    Column {
        title: "CPU",
        unit: "ms",
        value: |function| median(&function.one_ca, |process| Some(process.used?.cpu)),
        budget: Some(12.0),
    },
    Column {
        title: "worst",
        unit: "ms",
        value: |function| worst(&function.one_ca, |process| Some(process.used?.cpu)),
        budget: None,
    },
    Column {
        title: "start, all CAs",
        unit: "ms",
        value: |function| median(&function.all_cas, |process| Some(process.start)),
        budget: None,
    },
    Column {
        title: "memory, all CAs",
        unit: "MiB",
        value: |function| median(&function.all_cas, |process| Some(process.used?.memory)),
        budget: None,
    },
    Column {
        title: "CPU, all CAs",
        unit: "ms",
        value: |function| median(&function.all_cas, |process| Some(process.used?.cpu)),
        budget: None,
    },
];

/// A function and its processes.
struct Measured {
    name: String,
    megabytes: f64,
    /// Those that trust the local CA alone.
    one_ca: Vec<Process>,
    /// Those that trust the system's CAs too, as on Lambda; none where there is no system bundle.
    all_cas: Vec<Process>,
}

/// What one process took.
#[derive(Clone, Copy)]
struct Process {
    /// From before its creation to its first call for work, in milliseconds.
    start: f64,
    /// Known on Linux.
    used: Option<Used>,
}

#[derive(Clone, Copy)]
struct Used {
    /// The most that was resident, in MiB.
    memory: f64,
    /// User and system time of all threads, in milliseconds.
    cpu: f64,
}

/// Measures the functions and prints the table to stdout; whether all budgets are kept.
///
/// # Errors
/// A text for people: something could not be measured.
pub async fn run(settings: EngineSettings) -> Result<bool, String> {
    let mut functions = settings.built.clone();
    functions.sort_by(|one, other| one.name.cmp(&other.name));
    let engine = Engine::start(settings).await?;
    let done = async {
        Ok::<_, String>((
            measure(&engine, &functions).await?,
            delete_at_scale(&engine).await?,
        ))
    };
    let done = done.await;
    engine.stop().await;
    let ((measured, certificates), deletions) = done?;

    println!("{}", report(&measured));
    println!(
        "\nMedian and worst of {PROCESSES} processes. Start: to the first call for work. Memory: the peak. \
         CPU: of the start and {CALLS} HTTPS calls."
    );
    if let Some(certificates) = certificates {
        println!("All CAs: {certificates} certificates are trusted instead of one.");
    }
    println!("\nA run that deletes {DOOMED} snapshots, each call answered after 50 ms:");
    for deletion in &deletions {
        println!(
            "{:<34} {:>6.1} s, budget {:.1} s",
            deletion.what, deletion.seconds, deletion.budget
        );
    }
    let mut broken = broken(&measured);
    let late = deletions
        .iter()
        .filter(|deletion| deletion.seconds > deletion.budget);
    broken.extend(late.map(|deletion| deletion.what.to_owned()));
    for budget in &broken {
        println!("Over budget: {budget}");
    }
    Ok(broken.is_empty())
}

/// So many of a full quota go.
const DOOMED: u32 = 970;

/// No invocation of prune-snapshots takes longer, in seconds: the state machine's timeout is twice
/// and more of it.
const INVOCATION_LIMIT: f64 = 30.0;

/// A run with many deletions, timed.
struct Deletion {
    what: &'static str,
    seconds: f64,
    budget: f64,
}

/// Full quotas of snapshots, pruned to thirty: without a limit, and by a service that allows ten
/// deletions a second, where a run may take 15 % longer than the limit imposes.
async fn delete_at_scale(engine: &Engine) -> Result<Vec<Deletion>, String> {
    let mut done = Vec::new();
    for (application, what, rate, budget) in [
        ("unlimited", "without a limit", None, 15.0),
        (
            "limited",
            "with 10 deletions a second",
            Some(10),
            f64::from(DOOMED) / 10.0 * 1.15,
        ),
    ] {
        done.push(Deletion {
            what,
            seconds: prune_a_full_quota(engine, application, rate).await?,
            budget,
        });
    }
    let reports = engine.logs("prune-snapshots", "REPORT").await?;
    let longest = reports.iter().filter_map(|line| milliseconds(line)).max();
    let longest = f64::from(longest.unwrap_or(0)) / 1e3;
    done.push(Deletion {
        what: "longest invocation of both",
        seconds: longest,
        budget: INVOCATION_LIMIT,
    });
    Ok(done)
}

/// Seconds of the execution.
async fn prune_a_full_quota(
    engine: &Engine,
    application: &str,
    rate: Option<u32>,
) -> Result<f64, String> {
    let config = engine.names().sdk_config();
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&config);
    create_running(&flink, application).await?;
    let now = Timestamp::now();
    let snapshots = (1..=1_000).map(|hours| {
        let created_at = now - SignedDuration::from_hours(hours);
        SeededSnapshot {
            name: format!("custom_{}", created_at.as_millisecond()),
            status: SnapshotStatus::Ready,
            created_at: Some(created_at),
            version_id: 1,
        }
    });
    {
        let emulator = engine.proxy().emulator();
        let mut emulator = emulator.lock().unwrap_or_else(PoisonError::into_inner);
        emulator.seed(application, snapshots);
        emulator.behaviour(application).deletes_per_second = rate;
    }
    for operation in [
        "DescribeApplication",
        "ListApplicationSnapshots",
        "DeleteApplicationSnapshot",
        "DescribeApplicationSnapshot",
    ] {
        engine.proxy().faults().inject(Fault {
            function: Some("prune-snapshots".to_owned()),
            operation: operation.to_owned(),
            application: Some(application.to_owned()),
            times: Times::Always,
            kind: Kind::Delay(Duration::from_millis(50)),
        });
    }
    let input = json!({
        "application_name": application, "mode": "PRUNE",
        "retention": { "keep_last": 30, "max_deletions_per_run": DOOMED }
    });
    let sfn = aws_sdk_sfn::Client::new(&config);
    let began = Instant::now();
    let execution = start_execution(&sfn, engine.names(), application, &input).await?;
    loop {
        let described = sfn.describe_execution().execution_arn(&execution);
        let described = described.send().await.map_err(|error| words(&error))?;
        match described.status {
            ExecutionStatus::Running => tokio::time::sleep(Duration::from_millis(50)).await,
            ExecutionStatus::Succeeded => break,
            status => return Err(format!("the run with many deletions ended {status}")),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let emulator = engine.proxy().emulator();
    let mut emulator = emulator.lock().unwrap_or_else(PoisonError::into_inner);
    emulator.behaviour(application).deletes_per_second = None;
    Ok(seconds)
}

async fn create(
    flink: &aws_sdk_kinesisanalyticsv2::Client,
    application: &str,
) -> Result<(), String> {
    flink
        .create_application()
        .application_name(application)
        .runtime_environment(RuntimeEnvironment::from("FLINK-1_20"))
        .service_execution_role("arn:aws:iam::123456789012:role/bench")
        .send()
        .await
        .map(drop)
        .map_err(|error| words(&error))
}

async fn create_running(
    flink: &aws_sdk_kinesisanalyticsv2::Client,
    application: &str,
) -> Result<(), String> {
    create(flink, application).await?;
    let start = flink.start_application().application_name(application);
    start.send().await.map_err(|error| words(&error))?;
    loop {
        let describe = flink.describe_application().application_name(application);
        let described = describe.send().await.map_err(|error| words(&error))?;
        let status = described
            .application_detail
            .map(|detail| detail.application_status);
        if status == Some(ApplicationStatus::Running) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The functions in turn, so that a busy moment of the machine is shared by all. Also the number of
/// certificates in the system's trust store.
async fn measure(
    engine: &Engine,
    functions: &[Built],
) -> Result<(Vec<Measured>, Option<usize>), String> {
    create_application(engine).await?;
    let settings = Stack::of(EVERY_APPLICATION)?.functions()?;
    let front = Front::start(&engine.names().endpoint).await?;
    let trust = Trust::write(&front.ca)?;
    let mut measured = functions
        .iter()
        .map(|function| {
            let size = std::fs::metadata(&function.binary)
                .map_err(|error| format!("{}: {error}", function.binary.display()))?
                .len();
            Ok(Measured {
                name: function.name.clone(),
                megabytes: number(size) / 1e6,
                one_ca: Vec::new(),
                all_cas: Vec::new(),
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    for round in 0..=PROCESSES {
        for (function, measured) in functions.iter().zip(&mut measured) {
            let settings = settings.get(&function.name);
            let environment = settings.map_or(&[][..], |it| it.environment.as_slice());
            let one_ca = measure_process(environment, &front, function, &trust.one_ca).await?;
            let all_cas = match &trust.all_cas {
                Some(all_cas) => {
                    Some(measure_process(environment, &front, function, all_cas).await?)
                }
                None => None,
            };
            // The first round reads the binaries from disk.
            if round > 0 {
                measured.one_ca.push(one_ca);
                measured.all_cas.extend(all_cas);
            }
        }
    }
    Ok((measured, trust.certificates))
}

/// An application that does not run, with a snapshot.
async fn create_application(engine: &Engine) -> Result<(), String> {
    let flink = aws_sdk_kinesisanalyticsv2::Client::new(&engine.names().sdk_config());
    create(&flink, APPLICATION).await?;
    let snapshot = SeededSnapshot {
        name: SNAPSHOT.to_owned(),
        status: SnapshotStatus::Ready,
        created_at: Some(Timestamp::now()),
        version_id: 1,
    };
    engine
        .proxy()
        .emulator()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .seed(APPLICATION, [snapshot]);
    Ok(())
}

/// What a function is invoked with, one payload after the other, to make [`CALLS`] requests in all.
fn payloads(function: &str) -> Vec<Value> {
    let execution_arn = "arn:aws:states:us-east-1:123456789012:execution:snapshot-manager:bench";
    let started_at = "2026-11-22T20:02:27.949Z";
    let input = json!({"application_name": APPLICATION, "notify_on": "PROBLEMS"});
    let run =
        json!({"run_id": 1_795_377_747_949_i64, "execution_arn": execution_arn, "input": input});
    let snapshot = json!({"name": SNAPSHOT, "accepted_at": started_at});
    match function {
        // Its snapshot is not there, the application does not run: skipped.
        "create-snapshot" => vec![json!({
            "execution_arn": execution_arn,
            "execution_started_at": started_at,
            "input": input,
        })],
        "describe-snapshot" => vec![json!({"run": run, "snapshot": snapshot}); 2],
        // It describes the application and lists one snapshot.
        "prune-snapshots" => {
            vec![json!({"run": run, "snapshot": snapshot, "batch": [], "progress": {}})]
        }
        // Success is recorded, but not announced.
        "record-and-notify" => vec![json!({"run": run}); 2],
        _ => Vec::new(),
    }
}

/// Starts a process that trusts the certificates of that file, lets it do its work, and ends it.
async fn measure_process(
    environment: &[(String, String)],
    front: &Front,
    function: &Built,
    trusted: &Path,
) -> Result<Process, String> {
    let name = &function.name;
    let told = |error: std::io::Error| format!("{name}: {error}");
    let runtime = Runtime::start(payloads(name)).await.map_err(told)?;
    let began = Instant::now();
    let mut process = Command::new(&function.binary)
        .env_clear()
        .envs(environment.iter().cloned())
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime.address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.as_str()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_ENDPOINT_URL", front.endpoint_of(name).as_str()),
        ])
        .env("SSL_CERT_FILE", trusted)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(told)?;
    let (first, answers) = tokio::time::timeout(PATIENCE, runtime.done())
        .await
        .map_err(|_| format!("{name} does not end its work"))?;
    let failed = answers.iter().find(|(way, _)| way != "response");
    if let Some((_, error)) = failed {
        return Err(format!("{name} failed: {error}"));
    }
    // A thread that still runs has not been charged for its last milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let made = front.passing.calls.swap(0, Ordering::Relaxed);
    if made != CALLS {
        return Err(format!("{name} made {made} requests, not {CALLS}"));
    }
    let pid = process.id().ok_or_else(|| format!("{name} has ended"))?;
    let used = used(pid)?;
    process.kill().await.map_err(told)?;
    Ok(Process {
        start: first.duration_since(began).as_secs_f64() * 1e3,
        used,
    })
}

/// Lambda's Runtime API for one process, with work for it.
struct Runtime {
    address: String,
    work: Arc<Mutex<RuntimeWork>>,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(Default)]
struct RuntimeWork {
    /// The first call for work.
    first: Option<Instant>,
    /// What is to be done, the last first.
    left: Vec<Value>,
    /// `response` or `error`, and what it says.
    answers: Vec<(String, String)>,
    idle: bool,
}

impl Runtime {
    async fn start(mut payloads: Vec<Value>) -> std::io::Result<Self> {
        payloads.reverse();
        let work = Arc::new(Mutex::new(RuntimeWork {
            left: payloads,
            ..RuntimeWork::default()
        }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{way}", post(answer))
            .with_state(work.clone());
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        Ok(Self {
            address,
            work,
            server: tokio::spawn(async move { axum::serve(listener, app).await }),
        })
    }

    /// Waits until the process asks for work and there is none left.
    async fn done(&self) -> (Instant, Vec<(String, String)>) {
        loop {
            {
                let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
                if let (true, Some(first)) = (work.idle, work.first) {
                    return (first, work.answers.clone());
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(work): State<Arc<Mutex<RuntimeWork>>>) -> Response<Body> {
    let payload = {
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        work.first.get_or_insert_with(Instant::now);
        work.idle = work.left.is_empty();
        work.left.pop()
    };
    let Some(payload) = payload else {
        return std::future::pending().await;
    };
    let mut response = Response::new(Body::from(payload.to_string()));
    let deadline = (Timestamp::now() + SignedDuration::from_mins(1)).as_millisecond();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", "bench".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:bench".to_owned(),
        ),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn answer(
    State(work): State<Arc<Mutex<RuntimeWork>>>,
    extract::Path((_, way)): extract::Path<(String, String)>,
    body: String,
) -> StatusCode {
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    work.answers.push((way, body));
    StatusCode::ACCEPTED
}

/// What a process that does nothing now has used; `None` where there is no Linux to ask.
fn used(pid: u32) -> Result<Option<Used>, String> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let status = read(folder.join("status"))?;
    let peak: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next())
        .and_then(|kibibytes| kibibytes.parse().ok())
        .ok_or_else(|| format!("/proc/{pid}/status has no VmHWM"))?;
    let mut nanoseconds = 0;
    let threads = std::fs::read_dir(folder.join("task"))
        .map_err(|error| format!("/proc/{pid}/task: {error}"))?;
    for thread in threads.flatten() {
        let schedstat = read(thread.path().join("schedstat"))?;
        let on_cpu = schedstat.split_whitespace().next();
        nanoseconds += on_cpu.and_then(|on_cpu| on_cpu.parse().ok()).unwrap_or(0);
    }
    if nanoseconds == 0 {
        return Err(format!(
            "/proc/{pid}/task/*/schedstat is empty: this kernel does not keep it"
        ));
    }
    Ok(Some(Used {
        memory: number(peak) / 1024.0,
        cpu: number(nanoseconds) / 1e6,
    }))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "three digits of it are shown; exact up to 2^53"
)]
fn number(count: u64) -> f64 {
    count as f64
}

fn median(processes: &[Process], value: fn(&Process) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = processes.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn worst(processes: &[Process], value: fn(&Process) -> Option<f64>) -> Option<f64> {
    processes.iter().filter_map(value).max_by(f64::total_cmp)
}

/// One row for each function; the last row has the budgets.
fn report(measured: &[Measured]) -> String {
    let mut table = new_table([]);
    let titles = COLUMNS.iter().map(|column| column.title);
    table.set_header(std::iter::once("function").chain(titles));
    for function in measured {
        let values = COLUMNS.iter().map(|column| {
            (column.value)(function).map_or("-".to_owned(), |value| {
                format!("{value:.2} {}", column.unit)
            })
        });
        table.add_row(std::iter::once(function.name.clone()).chain(values));
    }
    let budgets = COLUMNS.iter().map(|column| {
        column.budget.map_or(String::new(), |budget| {
            format!("< {budget} {}", column.unit)
        })
    });
    table.add_row(std::iter::once("budget".to_owned()).chain(budgets));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The budgets that are not kept, in words.
fn broken(measured: &[Measured]) -> Vec<String> {
    let mut broken = Vec::new();
    for function in measured {
        for column in &COLUMNS {
            if let (Some(value), Some(budget)) = ((column.value)(function), column.budget)
                && value >= budget
            {
                let Column { title, unit, .. } = column;
                broken.push(format!(
                    "{title} of {} is {value:.2} {unit}, not below {budget} {unit}",
                    function.name
                ));
            }
        }
    }
    broken
}

/// Trust stores, as files for `SSL_CERT_FILE`; they go when this does.
struct Trust {
    _folder: tempfile::TempDir,
    one_ca: PathBuf,
    all_cas: Option<PathBuf>,
    /// How many `all_cas` has.
    certificates: Option<usize>,
}

impl Trust {
    fn write(ca: &str) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("trust stores: {error}");
        let folder = tempfile::tempdir().map_err(told)?;
        let one_ca = folder.path().join("one-ca.pem");
        std::fs::write(&one_ca, ca).map_err(told)?;
        let mut trust = Self {
            one_ca,
            all_cas: None,
            certificates: None,
            _folder: folder,
        };
        let system = SYSTEM_BUNDLES
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        if let Some(system) = system {
            let all_cas = trust.one_ca.with_file_name("all-cas.pem");
            let bundle = format!("{system}\n{ca}");
            std::fs::write(&all_cas, &bundle).map_err(told)?;
            trust.all_cas = Some(all_cas);
            trust.certificates = Some(bundle.matches("BEGIN CERTIFICATE").count());
        }
        Ok(trust)
    }
}

/// HTTPS on localhost, passed on to the proxy.
struct Front {
    /// `AWS_ENDPOINT_URL`.
    endpoint: String,
    /// The certificate that a client must trust, PEM.
    ca: String,
    passing: Arc<Passing>,
    server: JoinHandle<std::io::Result<()>>,
}

struct Passing {
    client: reqwest::Client,
    proxy: String,
    /// The requests of the process that is measured.
    calls: AtomicUsize,
}

impl Front {
    async fn start(proxy: &str) -> Result<Self, String> {
        let told = |error: &dyn std::error::Error| format!("the HTTPS endpoint: {error}");
        let (ca, acceptor) = certificates().map_err(|error| told(&*error))?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| told(&error))?;
        let port = tcp.local_addr().map_err(|error| told(&error))?.port();
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| told(&error))?;
        let passing = Arc::new(Passing {
            client,
            proxy: proxy.to_owned(),
            calls: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(pass_on).with_state(passing.clone());
        let serve = axum::serve(TlsListener { tcp, acceptor }, app);
        Ok(Self {
            endpoint: format!("https://localhost:{port}"),
            ca,
            passing,
            server: tokio::spawn(async move { serve.await }),
        })
    }

    /// A function's own address behind this one. Whose process it is does not matter here.
    fn endpoint_of(&self, function: &str) -> String {
        format!("{}{CALLER}{function}/0", self.endpoint)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A new CA in PEM, and TLS with a certificate of that CA for localhost.
fn certificates() -> Result<(String, TlsAcceptor), Box<dyn std::error::Error>> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "bench");
    let ca_key = KeyPair::generate()?;
    let pem = ca.self_signed(&ca_key)?.pem();

    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?
        .signed_by(&key, &Issuer::new(ca, ca_key))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())?;
    Ok((pem, TlsAcceptor::from(Arc::new(config))))
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// One handshake at a time: so many processes run.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (connection, address) = Listener::accept(&mut self.tcp).await;
            // Without this, small answers wait 40 ms for the client's acknowledgement.
            let _ = connection.set_nodelay(true);
            // A client that does not trust us reports that itself.
            if let Ok(secured) = self.acceptor.accept(connection).await {
                return (secured, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

async fn pass_on(State(passing): State<Arc<Passing>>, request: Request) -> Response<Body> {
    passing.calls.fetch_add(1, Ordering::Relaxed);
    let (mut head, body) = request.into_parts();
    // The proxy refuses calls to other hosts.
    head.headers.remove(header::HOST);
    let answer = async {
        let body = axum::body::to_bytes(body, BODY_LIMIT)
            .await
            .map_err(|error| error.to_string())?;
        let mut received = passing
            .client
            .request(head.method, format!("{}{}", passing.proxy, head.uri))
            .headers(head.headers)
            .body(body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = received.status();
        let headers = std::mem::take(received.headers_mut());
        let body = received.bytes().await.map_err(|error| error.to_string())?;
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok::<_, String>(answer)
    };
    answer
        .await
        .unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(start: f64) -> Process {
        Process { start, used: None }
    }

    fn measured(megabytes: f64, starts: [f64; 3]) -> Measured {
        Measured {
            name: "f".to_owned(),
            megabytes,
            one_ca: starts.map(process).to_vec(),
            all_cas: Vec::new(),
        }
    }

    #[test]
    fn a_budget_is_kept_by_a_median_below_it_whatever_the_worst() {
        assert_eq!(
            broken(&[measured(5.9, [900.0, 14.9, 1.0])]),
            Vec::<String>::new()
        );
        assert_eq!(
            broken(&[measured(6.0, [1.0, 15.5, 16.0])]),
            [
                "binary of f is 6.00 MB, not below 6 MB",
                "start of f is 15.50 ms, not below 15 ms"
            ]
        );
    }

    #[test]
    fn what_is_not_measured_is_shown_as_a_dash() {
        let report = report(&[measured(5.9, [1.0, 2.0, 3.0])]);
        let row = report.lines().find(|line| line.trim().starts_with("f "));
        let cells: Vec<&str> = row.map_or(Vec::new(), |row| row.split_whitespace().collect());
        assert_eq!(
            cells,
            [
                "f", "5.90", "MB", "2.00", "ms", "3.00", "ms", "-", "-", "-", "-", "-", "-"
            ]
        );
    }
}
