//! Lambda in this process: functions run as real child processes that speak the Runtime API.
//!
//! A process serves one invocation at a time. It is free again when it asks for the next one, and
//! only then is the invocation answered, so that calls in a row find the same warm process.
//! Differences from AWS: an initialisation that takes more than ten seconds fails the invocation
//! (AWS starts it again within the function's timeout); idle processes are kept for ever; events
//! for a function at its limit of processes wait in order for a free one (AWS retries them for
//! six hours).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::faults::percent_decoded;

/// Request and response of a synchronous invocation, in bytes (6 MB, Lambda's Invoke API reference).
const SYNCHRONOUS_LIMIT: usize = 6 * 1024 * 1024;
/// Payload of an event, in bytes (1 MB, Lambda's Invoke API reference).
const EVENT_LIMIT: usize = 1024 * 1024;
/// Lambda's limit for the initialisation of a function.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// Log lines kept per function, and invocations kept in all.
const KEPT: usize = 10_000;
/// Begins the access key id that each process gets; `LOCAL-<function>-<process>` tells who calls.
const ACCESS_KEY_PREFIX: &str = "LOCAL-";

/// What Lambda waits before it runs a failed event again: one minute, then two.
pub const AWS_RETRY_DELAYS: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// A function.
#[derive(Clone, Debug)]
pub struct FunctionSettings {
    /// Its name, 1–64 of `[a-zA-Z0-9_-]`.
    pub name: String,
    /// The program to run; it speaks the Runtime API.
    pub binary: PathBuf,
    /// Its environment, beside what Lambda itself sets. Nothing is inherited but `PATH`.
    pub environment: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// How many invocations may run at a time (AWS's reserved concurrency).
    pub max_processes: usize,
    /// Told to the function; not enforced.
    pub memory_megabytes: u32,
    /// How often an event that fails is tried again, at most twice.
    pub event_retries: usize,
    /// The ARN of the queue that gets the events on which the last attempt has failed.
    pub failure_destination: Option<String>,
}

/// What all functions share.
#[derive(Clone, Debug)]
pub struct LambdaSettings {
    /// The gateway, for example `http://127.0.0.1:5000`.
    pub endpoint: String,
    /// The region of ARNs and clients.
    pub region: String,
    /// The twelve digits of the account.
    pub account: String,
    /// An existing folder for one log file per function.
    pub logs: PathBuf,
    /// Waits before the second and the third attempt at an event.
    pub retry_delays: [Duration; 2],
    /// Where events go that are due to a failure destination.
    pub failures: mpsc::UnboundedSender<FailedEvent>,
}

/// An event whose attempts all failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedEvent {
    /// The function's name.
    pub function: String,
    /// Its failure destination.
    pub destination: String,
    /// The record that Lambda sends to a failure destination.
    pub record: Value,
}

/// One attempt at running a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// The request id, the same for all attempts at an event.
    pub request_id: String,
    /// 1, or for an event up to 3.
    pub attempt: u32,
    /// When the invocation was accepted.
    pub started: Timestamp,
    /// From then to the answer, a cold start included.
    pub duration: Duration,
    /// From the start of the process to its first call for work; `None` when the process was warm
    /// or never got that far.
    pub init: Option<Duration>,
    /// Whether a process was started for it.
    pub cold: bool,
    /// The `errorType`; `None` for success.
    pub error: Option<String>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request id.
    pub request_id: String,
    /// The function's payload, or `{"errorType", "errorMessage"}`.
    pub payload: Vec<u8>,
    /// Whether the payload is an error.
    pub failed: bool,
}

/// Why Lambda did not run a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No function of that name.
    NotFound(String),
    /// All processes are busy and there may not be more.
    TooManyRequests,
    /// The payload is over the limit, in bytes.
    TooLarge(usize),
    /// The payload is not JSON.
    NotJson(String),
    /// Not one of Lambda's invocation types.
    UnknownType(String),
    /// Lambda is being stopped.
    Stopped,
}

/// Lambda. Its processes are killed by [`Lambda::stop`] or when this is dropped; a process whose
/// gateway is gone ends by itself, since its call for the next invocation fails.
#[derive(Debug)]
pub struct Lambda(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: LambdaSettings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    functions: BTreeMap<String, Arc<Function>>,
    processes: HashMap<u64, Process>,
    last_process: u64,
    invocations: VecDeque<Invocation>,
    events: Vec<AbortHandle>,
    stopped: bool,
}

#[derive(Debug)]
struct Function {
    settings: FunctionSettings,
    arn: String,
    pool: Mutex<Pool>,
    freed: Notify,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Pool {
    running: usize,
    /// Warm processes; the last one is used first.
    idle: Vec<(u64, oneshot::Sender<Job>)>,
}

#[derive(Debug)]
struct Log {
    lines: VecDeque<String>,
    file: File,
}

/// A process as the Runtime API sees it.
#[derive(Debug)]
struct Process {
    function: String,
    pid: Option<u32>,
    signals: mpsc::UnboundedSender<Signal>,
    task: AbortHandle,
}

/// What a process, or its killer, says.
#[derive(Debug)]
enum Signal {
    Next(oneshot::Sender<Work>),
    Done {
        request_id: String,
        result: Ended,
        taken: oneshot::Sender<bool>,
    },
    InitFailed(Vec<u8>),
    Kill,
}

/// What a process gets to do.
#[derive(Debug)]
struct Work {
    request_id: String,
    payload: Vec<u8>,
    deadline_ms: i64,
}

#[derive(Debug)]
struct Job {
    request_id: String,
    attempt: u32,
    payload: Vec<u8>,
    accepted: (Timestamp, Instant),
    reply: oneshot::Sender<Ended>,
}

#[derive(Debug)]
enum Ended {
    Success(Vec<u8>),
    Failure(Vec<u8>),
}

impl Lambda {
    /// A Lambda without functions.
    #[must_use]
    pub fn new(settings: LambdaSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            state: Mutex::default(),
        }))
    }

    /// Adds a function, or replaces the one of that name for later invocations.
    ///
    /// # Errors
    /// The function's log file cannot be opened.
    pub fn add(&self, settings: FunctionSettings) -> std::io::Result<()> {
        let LambdaSettings {
            region,
            account,
            logs,
            ..
        } = &self.0.settings;
        let file = File::options()
            .create(true)
            .append(true)
            .open(logs.join(format!("{}.log", settings.name)))?;
        let function = Function {
            arn: format!(
                "arn:aws:lambda:{region}:{account}:function:{}",
                settings.name
            ),
            pool: Mutex::default(),
            freed: Notify::new(),
            log: Mutex::new(Log {
                lines: VecDeque::new(),
                file,
            }),
            settings,
        };
        let name = function.settings.name.clone();
        lock(&self.0.state)
            .functions
            .insert(name, Arc::new(function));
        Ok(())
    }

    /// Runs a function and waits for its answer.
    ///
    /// # Errors
    /// Lambda refuses the invocation. A function that fails is an [`Answer`].
    pub async fn invoke(&self, function: &str, payload: Vec<u8>) -> Result<Answer, Refusal> {
        let function = self.0.function(function)?;
        accept(&payload, SYNCHRONOUS_LIMIT)?;
        let request_id = request_id();
        let (job, answered) = Job::new(&request_id, 1, payload);
        if self.0.dispatch(&function, job).is_err() {
            return Err(Refusal::TooManyRequests);
        }
        let ended = answered.await.map_err(|_| Refusal::Stopped)?;
        let (payload, failed) = match ended {
            Ended::Success(payload) => (payload, false),
            Ended::Failure(payload) => (payload, true),
        };
        Ok(Answer {
            request_id,
            payload,
            failed,
        })
    }

    /// Accepts an event and returns its request id. The function runs later, up to three times.
    ///
    /// # Errors
    /// Lambda refuses the event.
    pub fn send_event(&self, function: &str, payload: Vec<u8>) -> Result<String, Refusal> {
        let function = self.0.function(function)?;
        accept(&payload, EVENT_LIMIT)?;
        let request_id = request_id();
        let run = run_event(
            Arc::downgrade(&self.0),
            function,
            request_id.clone(),
            payload,
        );
        let task = tokio::spawn(run).abort_handle();
        let mut state = lock(&self.0.state);
        state.events.retain(|event| !event.is_finished());
        state.events.push(task);
        Ok(request_id)
    }

    /// Code and message of a refusal.
    pub(crate) fn told(&self, refusal: &Refusal, function: &str) -> (&'static str, String) {
        let (_, code, message) = refusal.told(&self.0.settings, function);
        (code, message)
    }

    /// The latest attempts of all functions, at most 10,000, oldest first, as they ended.
    #[must_use]
    pub fn invocations(&self) -> Vec<Invocation> {
        lock(&self.0.state).invocations.iter().cloned().collect()
    }

    /// The latest lines that a function wrote, at most 10,000, oldest first.
    #[must_use]
    pub fn logs(&self, function: &str) -> Vec<String> {
        match self.0.function(function) {
            Ok(function) => lock(&function.log).lines.iter().cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Function and process id of every process.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, u32)> {
        let state = lock(&self.0.state);
        let processes = state.processes.values();
        processes
            .filter_map(|process| Some((process.function.clone(), process.pid?)))
            .collect()
    }

    /// Kills a process, by Lambda's number, and waits until it is gone.
    pub(crate) async fn kill(&self, process: u64) {
        let signals = lock(&self.0.state)
            .processes
            .get(&process)
            .map(|process| process.signals.clone());
        if let Some(signals) = signals
            && signals.send(Signal::Kill).is_ok()
        {
            signals.closed().await;
        }
    }

    /// Refuses new work, kills every process and waits until all are gone. Events that wait for
    /// another attempt are lost.
    pub async fn stop(&self) {
        let processes: Vec<u64> = {
            let mut state = lock(&self.0.state);
            state.stopped = true;
            state.events.drain(..).for_each(|event| event.abort());
            state.processes.keys().copied().collect()
        };
        for process in processes {
            self.kill(process).await;
        }
    }

    /// Kills every process without waiting.
    pub(crate) fn abort(&self) {
        self.0.abort();
    }

    /// Answers `POST /2015-03-31/functions/{target}/invocations`.
    pub(crate) async fn serve_invoke(
        &self,
        target: &str,
        headers: &HeaderMap,
        payload: Vec<u8>,
    ) -> Response<Body> {
        let kind = headers
            .get("x-amz-invocation-type")
            .map_or("RequestResponse", |kind| kind.to_str().unwrap_or_default());
        let name = function_name(target);
        let accepted = |status, request_id: &str| {
            respond(
                status,
                Vec::new(),
                &[("x-amzn-requestid", request_id), EXECUTED_VERSION],
            )
        };
        let answer = match kind {
            "RequestResponse" => self.invoke(&name, payload).await.map(|answer| {
                let mut headers = vec![
                    ("x-amzn-requestid", answer.request_id.as_str()),
                    ("content-type", "application/json"),
                    EXECUTED_VERSION,
                ];
                if answer.failed {
                    headers.push(("x-amz-function-error", "Unhandled"));
                }
                respond(StatusCode::OK, answer.payload, &headers)
            }),
            "Event" => self
                .send_event(&name, payload)
                .map(|id| accepted(StatusCode::ACCEPTED, &id)),
            "DryRun" => self
                .0
                .function(&name)
                .map(|_| accepted(StatusCode::NO_CONTENT, &request_id())),
            other => Err(Refusal::UnknownType(other.to_owned())),
        };
        answer.unwrap_or_else(|refusal| {
            let (status, code, message) = refusal.told(&self.0.settings, &name);
            error_response(status, code, &message)
        })
    }

    /// Answers the Runtime API for a process; `path` follows `/runtime/{process}`.
    pub(crate) async fn serve_runtime(
        &self,
        process: u64,
        method: &Method,
        path: &str,
        body: Vec<u8>,
    ) -> Response<Body> {
        let known = lock(&self.0.state)
            .processes
            .get(&process)
            .map(|process| (process.signals.clone(), process.function.clone()));
        let call = path
            .strip_prefix("/2018-06-01/runtime/")
            .unwrap_or_default();
        let Some((signals, function)) = known else {
            return runtime_error(StatusCode::GONE, "this process is not known");
        };
        let call: Vec<&str> = call.split('/').collect();
        match (method.as_str(), call.as_slice()) {
            ("GET", ["invocation", "next"]) => {
                let (sender, work) = oneshot::channel();
                // When the process has ended, so has the other end of the channel, and `work` fails.
                let _ = signals.send(Signal::Next(sender));
                match (work.await, self.0.function(&function)) {
                    (Ok(work), Ok(function)) => next_response(work, &function.arn),
                    _ => runtime_error(StatusCode::GONE, "this process is being ended"),
                }
            }
            ("POST", ["invocation", request_id, end @ ("response" | "error")]) => {
                let size = body.len();
                let too_large = *end == "response" && size > SYNCHRONOUS_LIMIT;
                let result = match *end {
                    "response" if too_large => Ended::failure(
                        "Function.ResponseSizeTooLarge",
                        &format!(
                            "Response payload size ({size} bytes) exceeded maximum allowed payload size ({SYNCHRONOUS_LIMIT} bytes)."
                        ),
                    ),
                    "response" => Ended::Success(body),
                    _ => Ended::Failure(body),
                };
                let (taken, was_taken) = oneshot::channel();
                let request_id = (*request_id).to_owned();
                let _ = signals.send(Signal::Done {
                    request_id,
                    result,
                    taken,
                });
                match was_taken.await {
                    Ok(true) if too_large => {
                        runtime_error(StatusCode::PAYLOAD_TOO_LARGE, "the response is too large")
                    }
                    Ok(true) => runtime_accepted(),
                    _ => runtime_error(StatusCode::BAD_REQUEST, "Invalid request ID"),
                }
            }
            ("POST", ["init", "error"]) => {
                let _ = signals.send(Signal::InitFailed(body));
                runtime_accepted()
            }
            _ => runtime_error(StatusCode::NOT_FOUND, "no such call of the Runtime API"),
        }
    }
}

impl Shared {
    fn function(&self, name: &str) -> Result<Arc<Function>, Refusal> {
        let state = lock(&self.state);
        let function = state.functions.get(name).cloned();
        function.ok_or_else(|| Refusal::NotFound(name.to_owned()))
    }

    /// Gives the job to a warm process or to a new one. Without either the job comes back.
    fn dispatch(self: &Arc<Self>, function: &Arc<Function>, mut job: Job) -> Result<(), Job> {
        let mut pool = lock(&function.pool);
        while let Some((_, process)) = pool.idle.pop() {
            match process.send(job) {
                Ok(()) => return Ok(()),
                Err(returned) => job = returned,
            }
        }
        if pool.running >= function.settings.max_processes {
            return Err(job);
        }
        pool.running += 1;
        drop(pool);
        self.start(function, job);
        Ok(())
    }

    /// Starts a process, already counted in the pool, for a job. A stopped Lambda drops the job,
    /// which its waiter sees.
    fn start(self: &Arc<Self>, function: &Arc<Function>, job: Job) {
        let mut state = lock(&self.state);
        if state.stopped {
            return;
        }
        state.last_process += 1;
        let id = state.last_process;
        let spawned = Instant::now();
        let (child, pid) = match self.spawn(function, id) {
            Ok(child) => {
                let pid = child.id();
                (Ok(child), pid)
            }
            Err(error) => (Err(error), None),
        };
        let (signals, received) = mpsc::unbounded_channel();
        let runner = Runner {
            shared: Arc::downgrade(self),
            function: function.clone(),
            id,
            spawned,
            received,
        };
        let task = tokio::spawn(runner.run(child, job)).abort_handle();
        let process = Process {
            function: function.settings.name.clone(),
            pid,
            signals,
            task,
        };
        state.processes.insert(id, process);
    }

    fn spawn(&self, function: &Arc<Function>, id: u64) -> std::io::Result<Child> {
        let LambdaSettings {
            endpoint, region, ..
        } = &self.settings;
        let FunctionSettings {
            name,
            binary,
            environment,
            memory_megabytes,
            ..
        } = &function.settings;
        let mut child = Command::new(binary)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("AWS_REGION", region)
            .env("AWS_DEFAULT_REGION", region)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(
                "AWS_ACCESS_KEY_ID",
                format!("{ACCESS_KEY_PREFIX}{name}-{id}"),
            )
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_LAMBDA_RUNTIME_API", format!("{endpoint}/runtime/{id}"))
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env(
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                memory_megabytes.to_string(),
            )
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", id.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(output) = child.stdout.take() {
            tokio::spawn(keep_lines(output, function.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(keep_lines(output, function.clone()));
        }
        Ok(child)
    }

    fn abort(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.events.drain(..).for_each(|event| event.abort());
        let processes = std::mem::take(&mut state.processes);
        for process in processes.values() {
            process.task.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The life of one process.
struct Runner {
    shared: Weak<Shared>,
    function: Arc<Function>,
    id: u64,
    /// Before the process was created.
    spawned: Instant,
    received: mpsc::UnboundedReceiver<Signal>,
}

impl Runner {
    async fn run(mut self, child: std::io::Result<Child>, job: Job) {
        let leftover = match child {
            Ok(child) => self.serve(child, job).await,
            Err(error) => {
                let binary = self.function.settings.binary.display();
                let message = format!("RequestId: {} Error: {binary}: {error}", job.request_id);
                let ended = Ended::failure("Runtime.InvalidEntrypoint", &message);
                self.release();
                self.finish(job, ended, true, None);
                None
            }
        };
        if let Some(shared) = self.shared.upgrade() {
            lock(&shared.state).processes.remove(&self.id);
            if let Some(job) = leftover {
                shared.start(&self.function, job);
            }
        }
    }

    /// Gives up the place in the pool. Before the last answer: who invokes again on seeing it shall
    /// find the place.
    fn release(&self) {
        lock(&self.function.pool).running -= 1;
        self.function.freed.notify_one();
    }

    /// Serves jobs until the process ends and its place is given up. A job that was given to it
    /// after its end comes back, with the place still taken for a fresh process.
    async fn serve(&mut self, mut child: Child, first: Job) -> Option<Job> {
        let mut next = match self.initialise(&mut child, &first.request_id).await {
            Ok(next) => next,
            Err(ended) => {
                self.release();
                self.finish(first, ended, true, None);
                return None;
            }
        };
        let mut init = Some(self.spawned.elapsed());
        let mut job = first;
        loop {
            let (ended, process) = self.perform(&mut child, &job, next).await;
            let (sender, receiver) = oneshot::channel();
            if process.is_some() {
                // Before the answer, for the same reason as in `release`.
                lock(&self.function.pool).idle.push((self.id, sender));
            } else {
                self.release();
            }
            self.finish(job, ended, init.is_some(), init.take());
            next = process?;
            self.function.freed.notify_one();
            let Some(given) = self.next_job(&mut child, receiver).await else {
                self.release();
                return None;
            };
            job = given;
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Some(job);
            }
        }
    }

    /// Waits for the first call for work.
    async fn initialise(
        &mut self,
        child: &mut Child,
        request_id: &str,
    ) -> Result<oneshot::Sender<Work>, Ended> {
        let limit = tokio::time::sleep(INIT_LIMIT);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                biased;
                Some(signal) = self.received.recv() => match signal {
                    Signal::Next(next) => return Ok(next),
                    Signal::InitFailed(error) => {
                        let _ = child.kill().await;
                        return Err(Ended::Failure(error));
                    }
                    Signal::Kill => drop(child.start_kill()),
                    Signal::Done { taken, .. } => drop(taken.send(false)),
                },
                status = child.wait() => return Err(Ended::exit(request_id, status.ok())),
                () = &mut limit => {
                    let _ = child.kill().await;
                    return Err(Ended::timeout(request_id, INIT_LIMIT));
                }
            }
        }
    }

    /// Runs one job, until the process asks for another one, ends or is killed.
    async fn perform(
        &mut self,
        child: &mut Child,
        job: &Job,
        next: oneshot::Sender<Work>,
    ) -> (Ended, Option<oneshot::Sender<Work>>) {
        let timeout = self.function.settings.timeout;
        let deadline = tokio::time::sleep(timeout);
        let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        // A process that hung up meanwhile is about to end, which is seen below.
        let _ = next.send(Work {
            request_id: job.request_id.clone(),
            payload: job.payload.clone(),
            deadline_ms: Timestamp::now()
                .as_millisecond()
                .saturating_add(milliseconds),
        });
        tokio::pin!(deadline);
        let mut result = None;
        loop {
            tokio::select! {
                biased;
                Some(signal) = self.received.recv() => match signal {
                    Signal::Done { request_id, result: ended, taken } => {
                        let ours = request_id == job.request_id && result.is_none();
                        if ours {
                            result = Some(ended);
                        }
                        let _ = taken.send(ours);
                    }
                    Signal::Next(next) => if let Some(ended) = result {
                        return (ended, Some(next));
                    },
                    Signal::InitFailed(_) => {}
                    Signal::Kill => drop(child.start_kill()),
                },
                status = child.wait() => {
                    let ended = result.unwrap_or_else(|| Ended::exit(&job.request_id, status.ok()));
                    return (ended, None);
                }
                () = &mut deadline => {
                    let _ = child.kill().await;
                    let ended = result.unwrap_or_else(|| Ended::timeout(&job.request_id, timeout));
                    return (ended, None);
                }
            }
        }
    }

    /// Waits, idle, for a job; `None` when the process ended without one.
    async fn next_job(
        &mut self,
        child: &mut Child,
        mut job: oneshot::Receiver<Job>,
    ) -> Option<Job> {
        loop {
            tokio::select! {
                biased;
                job = &mut job => return job.ok(),
                _ = child.wait() => {
                    let mut pool = lock(&self.function.pool);
                    pool.idle.retain(|(id, _)| *id != self.id);
                    // Jobs are sent under this lock: now there is one or there never will be.
                    return job.try_recv().ok();
                }
                Some(signal) = self.received.recv() => match signal {
                    Signal::Kill => drop(child.start_kill()),
                    Signal::Done { taken, .. } => drop(taken.send(false)),
                    Signal::Next(_) | Signal::InitFailed(_) => {}
                },
            }
        }
    }

    /// Records the attempt and answers it.
    fn finish(&self, job: Job, ended: Ended, cold: bool, init: Option<Duration>) {
        let error = match &ended {
            Ended::Success(_) => None,
            Ended::Failure(payload) => Some(error_type(payload)),
        };
        let (started, clock) = job.accepted;
        if let Some(shared) = self.shared.upgrade() {
            let mut state = lock(&shared.state);
            if state.invocations.len() == KEPT {
                state.invocations.pop_front();
            }
            state.invocations.push_back(Invocation {
                function: self.function.settings.name.clone(),
                request_id: job.request_id,
                attempt: job.attempt,
                started,
                duration: clock.elapsed(),
                init,
                cold,
                error,
            });
        }
        // Nobody waits any more when the caller hung up.
        let _ = job.reply.send(ended);
    }
}

/// Runs an event until it succeeds, as often as the function's settings say, and reports its failure.
async fn run_event(
    shared: Weak<Shared>,
    function: Arc<Function>,
    request_id: String,
    payload: Vec<u8>,
) {
    let Some(delays) = shared.upgrade().map(|shared| shared.settings.retry_delays) else {
        return;
    };
    let retries = function.settings.event_retries.min(delays.len());
    let mut attempt = 0;
    let mut error = Vec::new();
    for delay in std::iter::once(Duration::ZERO)
        .chain(delays)
        .take(1 + retries)
    {
        tokio::time::sleep(delay).await;
        attempt += 1;
        let (mut job, answered) = Job::new(&request_id, attempt, payload.clone());
        loop {
            let freed = function.freed.notified();
            let Some(shared) = shared.upgrade() else {
                return;
            };
            match shared.dispatch(&function, job) {
                Ok(()) => break,
                Err(returned) => job = returned,
            }
            drop(shared);
            freed.await;
        }
        let Ok(Ended::Failure(failure)) = answered.await else {
            return;
        };
        error = failure;
    }
    if let Some(shared) = shared.upgrade()
        && let Some(destination) = &function.settings.failure_destination
    {
        let now = Timestamp::now();
        let record = failure_record(&function.arn, &request_id, attempt, &payload, &error, now);
        // A receiver that is gone does not want it.
        let _ = shared.settings.failures.send(FailedEvent {
            function: function.settings.name.clone(),
            destination: destination.clone(),
            record,
        });
    }
}

/// The record of a failed event as Lambda sends it to a destination.
fn failure_record(
    arn: &str,
    request_id: &str,
    attempts: u32,
    payload: &[u8],
    error: &[u8],
    now: Timestamp,
) -> Value {
    json!({
        "version": "1.0",
        "timestamp": format!("{now:.3}"),
        "requestContext": {
            "requestId": request_id,
            "functionArn": format!("{arn}:$LATEST"),
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json_or_text(payload),
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": json_or_text(error),
    })
}

fn json_or_text(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}

impl Job {
    fn new(request_id: &str, attempt: u32, payload: Vec<u8>) -> (Self, oneshot::Receiver<Ended>) {
        let (reply, answered) = oneshot::channel();
        let job = Self {
            request_id: request_id.to_owned(),
            attempt,
            payload,
            accepted: (Timestamp::now(), Instant::now()),
            reply,
        };
        (job, answered)
    }
}

impl Ended {
    fn failure(error_type: &str, message: &str) -> Self {
        Self::Failure(error_payload(error_type, message))
    }

    fn timeout(request_id: &str, after: Duration) -> Self {
        let seconds = after.as_secs_f64();
        let message =
            format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds");
        Self::failure("Sandbox.Timedout", &message)
    }

    fn exit(request_id: &str, status: Option<ExitStatus>) -> Self {
        let how = match status {
            Some(status) if status.success() => "without providing a reason".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("with error: exit status {code}"),
                (None, Some(9)) => "with error: signal: killed".to_owned(),
                _ => format!("with error: {status}"),
            },
            None => "without providing a reason".to_owned(),
        };
        let message = format!("RequestId: {request_id} Error: Runtime exited {how}");
        Self::failure("Runtime.ExitError", &message)
    }
}

impl Refusal {
    /// HTTP status, code and message.
    fn told(&self, settings: &LambdaSettings, name: &str) -> (StatusCode, &'static str, String) {
        let LambdaSettings {
            region, account, ..
        } = settings;
        match self {
            Self::NotFound(_) => (
                StatusCode::NOT_FOUND,
                "ResourceNotFoundException",
                format!("Function not found: arn:aws:lambda:{region}:{account}:function:{name}"),
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                "Rate Exceeded.".to_owned(),
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestTooLargeException",
                format!(
                    "Request must be smaller than {limit} bytes for the InvokeFunction operation"
                ),
            ),
            Self::NotJson(error) => (
                StatusCode::BAD_REQUEST,
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {error}"),
            ),
            Self::UnknownType(kind) => (
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                format!(
                    "Value '{kind}' at 'invocationType' must be Event, RequestResponse or DryRun"
                ),
            ),
            Self::Stopped => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "ServiceException",
                "Lambda is being stopped".to_owned(),
            ),
        }
    }
}

const EXECUTED_VERSION: (&str, &str) = ("x-amz-executed-version", "$LATEST");

/// Lambda's error, in its REST-JSON form.
pub(crate) fn error_response(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let kind = if status.is_server_error() {
        "Service"
    } else {
        "User"
    };
    let body = json!({"Type": kind, "Message": message, "message": message});
    respond(
        status,
        body.to_string().into_bytes(),
        &[
            ("content-type", "application/json"),
            ("x-amzn-errortype", code),
            ("x-amzn-requestid", &request_id()),
        ],
    )
}

/// The payload of a function's error.
pub(crate) fn error_payload(error_type: &str, message: &str) -> Vec<u8> {
    let error = json!({"errorType": error_type, "errorMessage": message});
    error.to_string().into_bytes()
}

/// The `errorType` of an error payload, as far as it has one.
fn error_type(payload: &[u8]) -> String {
    let error: Value = serde_json::from_slice(payload).unwrap_or_default();
    error["errorType"].as_str().unwrap_or("Unknown").to_owned()
}

fn accept(payload: &[u8], limit: usize) -> Result<(), Refusal> {
    if payload.len() > limit {
        return Err(Refusal::TooLarge(limit));
    }
    if payload.is_empty() {
        return Ok(());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(payload)
        .map(drop)
        .map_err(|error| Refusal::NotJson(error.to_string()))
}

fn next_response(work: Work, arn: &str) -> Response<Body> {
    let payload = if work.payload.is_empty() {
        b"{}".to_vec()
    } else {
        work.payload
    };
    let trace = format!(
        "Root=1-{:08x}-{};Sampled=0",
        work.deadline_ms / 1000,
        &work.request_id.replace('-', "")[..24]
    );
    respond(
        StatusCode::OK,
        payload,
        &[
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", &work.request_id),
            ("lambda-runtime-deadline-ms", &work.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", arn),
            ("lambda-runtime-trace-id", &trace),
        ],
    )
}

fn runtime_accepted() -> Response<Body> {
    let body = json!({"status": "OK"}).to_string().into_bytes();
    let json = [("content-type", "application/json")];
    respond(StatusCode::ACCEPTED, body, &json)
}

fn runtime_error(status: StatusCode, message: &str) -> Response<Body> {
    let body = error_payload("InvalidRequest", message);
    respond(status, body, &[("content-type", "application/json")])
}

/// A response of these headers. A value that is no header value is left out.
pub(crate) fn respond(
    status: StatusCode,
    body: Vec<u8>,
    headers: &[(&'static str, &str)],
) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

/// The function that a name or ARN names, with or without account and qualifier, percent-encoded or not.
pub(crate) fn function_name(target: &str) -> String {
    let target = percent_decoded(target);
    let parts: Vec<&str> = target.split(':').collect();
    let name = match parts.iter().position(|part| *part == "function") {
        Some(position) if parts.len() > 1 => parts.get(position + 1),
        _ => parts.first(),
    };
    name.map_or_else(String::new, |name| (*name).to_owned())
}

/// The function's process that signed a request: the function's name and the process's number.
pub(crate) fn caller(headers: &HeaderMap) -> Option<(String, u64)> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let key = credential.split('/').next()?;
    let (function, process) = key.strip_prefix(ACCESS_KEY_PREFIX)?.rsplit_once('-')?;
    Some((function.to_owned(), process.parse().ok()?))
}

/// A random id in the form of a version 4 UUID. Every `RandomState` has keys of its own.
pub(crate) fn request_id() -> String {
    let (high, low) = (
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1),
    );
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Keeps what a process writes, in memory and in the function's log file.
async fn keep_lines(output: impl AsyncRead + Unpin, function: Arc<Function>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        let mut log = lock(&function.log);
        // A full disk must not stop the function.
        let _ = writeln!(log.file, "{text}");
        if log.lines.len() == KEPT {
            log.lines.pop_front();
        }
        log.lines.push_back(text);
    }
}

/// Nothing here panics half-way through a change, so a poisoned lock guards sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_name_partial_arn_and_arn_encoded_or_qualified() {
        for target in [
            "prune",
            "prune:$LATEST",
            "123456789012:function:prune",
            "arn:aws:lambda:us-east-1:123456789012:function:prune",
            "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aprune%3A%24LATEST",
        ] {
            assert_eq!(function_name(target), "prune", "{target}");
        }
        assert_eq!(function_name("function"), "function");
    }

    #[test]
    fn the_access_key_tells_function_and_process() {
        let signed = |key: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0"
            );
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            caller(&headers)
        };
        assert_eq!(
            signed("LOCAL-create-snapshot-12"),
            Some(("create-snapshot".to_owned(), 12))
        );
        assert_eq!(signed("AKIAEXAMPLE"), None);
        assert_eq!(caller(&HeaderMap::new()), None);
    }

    #[test]
    fn payloads_over_the_limit_or_not_json_are_refused() {
        assert_eq!(accept(b"", 10), Ok(()));
        assert_eq!(accept(br#"{"a":1}"#, 7), Ok(()));
        assert_eq!(accept(br#"{"a":1}"#, 6), Err(Refusal::TooLarge(6)));
        assert!(matches!(accept(b"{", 6), Err(Refusal::NotJson(_))));
    }

    #[test]
    fn a_timeout_reads_as_lambda_writes_it() {
        let Ended::Failure(payload) = Ended::timeout("id-1", Duration::from_millis(1500)) else {
            panic!("a timeout is a failure");
        };
        let expected = json!({"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: id-1 Error: Task timed out after 1.50 seconds"});
        assert_eq!(json_or_text(&payload), expected);
    }

    #[test]
    fn the_failure_record_carries_request_and_last_response() {
        let record = failure_record(
            "arn:aws:lambda:us-east-1:123456789012:function:f",
            "id-1",
            3,
            br#"{"a":1}"#,
            br#"{"errorType":"Boom"}"#,
            "2026-11-22T18:00:00.1234Z".parse().unwrap(),
        );
        assert_eq!(record["timestamp"], "2026-11-22T18:00:00.123Z");
        assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
        assert_eq!(record["requestPayload"], json!({"a": 1}));
        assert_eq!(record["responsePayload"], json!({"errorType": "Boom"}));
    }

    #[test]
    fn request_ids_look_like_uuids_and_differ() {
        let (one, other) = (request_id(), request_id());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
