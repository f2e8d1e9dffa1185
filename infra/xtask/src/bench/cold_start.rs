//! Measures cold starts: each function runs in new processes, and does a little work.

use std::fs::{read_dir, read_to_string};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use engine::Engine;
use engine::environment;
use engine::group::Group;
use engine::ministack::FunctionSpec;
use engine::msf::SeededSnapshot;
use jiff::Timestamp;
use serde_json::{Value, json};
use stack::{EVERY_APPLICATION, REGION, Stack};
use tokio::time::{sleep, timeout};

use super::servers::{Servers, Tls};
use super::{Row, measured, median, worst};

/// The number of processes for each function and trust store. It is odd, so that one of them is the median.
pub(super) const PROCESSES: usize = 15;
/// The number of AWS calls that each process makes.
pub(super) const CALLS: usize = 2;
const APPLICATION: &str = "bench";

/// The values of each process of a function.
#[derive(Default)]
pub(super) struct Samples {
    /// From just before the process is created until it first asks for an invocation, in milliseconds.
    pub(super) start: Vec<f64>,
    /// The peak of the resident memory, in MiB. Measured only on Linux.
    pub(super) memory: Vec<f64>,
    /// The user and system time of all threads, in milliseconds. Measured only on Linux.
    pub(super) cpu: Vec<f64>,
}

/// Measures all functions. Their processes take turns, so that a busy moment of the machine affects all functions. Also
/// returns the number of certificates in the larger trust store.
pub(super) async fn measure(engine: &Engine) -> Result<(Vec<Row>, usize)> {
    let snapshot = SeededSnapshot::managed(Timestamp::from_millisecond(1_700_000_000_000)?);
    engine.create_application(APPLICATION, "READY", None, [snapshot])?;
    let settings = Stack::of(EVERY_APPLICATION)?.functions()?;
    let tls = Tls::new()?;
    let mut functions = Vec::new();
    for program in engine.deployment_spec().functions.values() {
        // After this read, the system has the binary in its page cache.
        let bytes = u32::try_from(std::fs::read(&program.binary)?.len())?;
        functions.push((program, f64::from(bytes) / 1e6, <[Samples; 2]>::default()));
    }
    for _ in 0..PROCESSES {
        for (program, _, samples) in &mut functions {
            let settings = settings.get(&program.name).context("no such function")?;
            for (trusted, samples) in tls.trust_stores.iter().zip(samples) {
                run(program, &settings.environment, &tls, trusted, samples)
                    .await
                    .with_context(|| program.name.clone())?;
            }
        }
    }
    let rows = functions
        .iter()
        .map(|(program, megabytes, samples)| row(program.name.clone(), *megabytes, samples));
    let all_cas = read_to_string(&tls.trust_stores[1])?;
    Ok((rows.collect(), all_cas.matches("BEGIN CERTIFICATE").count()))
}

/// The row of a function. The samples are those of processes that trust one certificate, and of processes that also
/// trust all certificates of the system, as on Lambda.
pub(super) fn row(name: String, megabytes: f64, [one_ca, all_cas]: &[Samples; 2]) -> Row {
    let values = vec![
        measured("binary", "MB", Some(megabytes), Some(6.0)),
        measured("start", "ms", median(&one_ca.start), Some(15.0)),
        measured("worst", "ms", worst(&one_ca.start), None),
        measured("memory", "MiB", median(&one_ca.memory), Some(12.0)),
        measured("CPU", "ms", median(&one_ca.cpu), Some(12.0)),
        measured("worst", "ms", worst(&one_ca.cpu), None),
        measured("start, all CAs", "ms", median(&all_cas.start), None),
        measured("memory, all CAs", "MiB", median(&all_cas.memory), None),
        measured("CPU, all CAs", "ms", median(&all_cas.cpu), None),
    ];
    Row { name, values }
}

/// Runs a process of a function until it has done its work. The process trusts the certificates in the file `trusted`.
async fn run(
    program: &FunctionSpec,
    environment: &[(String, String)],
    tls: &Tls,
    trusted: &Path,
    samples: &mut Samples,
) -> Result<()> {
    // The engine recognizes the function by this URL. It needs the id of the process only for faults that kill it,
    // which are not injected here, so any id will do.
    let engine = format!("{}/{}", program.endpoint, std::process::id());
    let mut servers = Servers::start(payloads(&program.name), engine, tls).await?;
    let began = Instant::now();
    let mut command = environment::bare(&program.binary);
    command
        .envs(environment.iter().cloned())
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", servers.runtime_api.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", program.name.as_str()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_ENDPOINT_URL", servers.endpoint.as_str()),
        ])
        .env("SSL_CERT_FILE", trusted)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = Group::start(&mut command)?;
    let finished = timeout(Duration::from_mins(1), servers.finished()).await;
    let (first_request, calls) = finished.context("the function does not finish its work")??;
    // Linux has not yet counted the last milliseconds of a thread that is still running.
    sleep(Duration::from_millis(5)).await;
    ensure!(calls == CALLS, "it made {calls} AWS calls, not {CALLS}");
    let start = first_request.duration_since(began).as_secs_f64();
    samples.start.push(start * 1e3);
    if cfg!(target_os = "linux") {
        let (memory, cpu) = used(process.leader().id().context("the process has ended")?)?;
        samples.memory.push(memory);
        samples.cpu.push(cpu);
    }
    Ok(())
}

/// The peak memory in MiB and the CPU time in milliseconds of an idle process, as Linux counts them.
fn used(pid: u32) -> Result<(f64, f64)> {
    let first_number = |text: &str| text.split_whitespace().next()?.parse::<f64>().ok();
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let kibibytes = lines.find_map(|line| first_number(line.strip_prefix("VmHWM:")?));
    let mut nanoseconds = 0.0;
    for thread in read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += first_number(&schedstat).unwrap_or(0.0);
    }
    match kibibytes {
        Some(kibibytes) if nanoseconds > 0.0 => Ok((kibibytes / 1024.0, nanoseconds / 1e6)),
        _ => bail!("this kernel does not provide VmHWM and schedstat in /proc"),
    }
}

/// The payloads with which a function is invoked, one after the other. The function makes [`CALLS`] calls in all.
fn payloads(function: &str) -> Vec<Value> {
    let arn = "arn:aws:states:us-east-1:123456789012:execution:snapshot-manager:bench";
    let started_at = "2026-11-22T20:02:27.949Z";
    let input = json!({"application_name": APPLICATION, "notify_on": "PROBLEMS"});
    // Each process gets another run: if a run is recorded already, the function has less to write.
    let run_id = Timestamp::now().as_millisecond();
    let run = json!({"run_id": run_id, "execution_arn": arn, "input": input});
    let snapshot = json!({"name": "custom_1700000000000", "accepted_at": started_at});
    match function {
        // The function finds no snapshot of the run, and takes none, because the application is not running.
        "create-snapshot" => {
            vec![json!({"execution_arn": arn, "execution_started_at": started_at, "input": input})]
        }
        "describe-snapshot" => vec![json!({"run": run, "snapshot": snapshot}); 2],
        // The function describes the application and lists one snapshot.
        "prune-snapshots" => {
            vec![json!({"run": run, "snapshot": snapshot, "batch": [], "progress": {}})]
        }
        // The function records the success, sends no notification, and marks the record as measured.
        "record-and-notify" => vec![json!({"run": run})],
        _ => Vec::new(),
    }
}
