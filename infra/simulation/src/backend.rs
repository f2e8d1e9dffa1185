//! The backend of a course: the services, the executions, and what the checks know about them.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::msf::Emulator;
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::Clock;
use crate::executions::Execution;
use crate::fault_plan::FaultPlan;
use crate::invariants::Invariants;
use crate::services::{APPLICATION, Services};
use crate::transport::Invocation;

pub struct Backend {
    pub clock: Clock,
    pub services: Mutex<Services>,
    pub fault_plan: Mutex<FaultPlan>,
    /// All executions, by ARN.
    pub executions: Mutex<BTreeMap<String, Execution>>,
    /// The events of failed executions for which all three attempts of record-and-notify failed.
    pub undelivered: Mutex<Vec<Value>>,
    pub invariants: Mutex<Invariants>,
    /// The lines with metrics that record-and-notify has printed.
    pub metrics: Mutex<Vec<Value>>,
    /// The invocation that began last. A server that is called over a socket takes it for the caller, because a socket
    /// does not tell which invocation uses it.
    pub last_invocation: Mutex<Option<Arc<Invocation>>>,
}

impl Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

/// Locks a mutex. Panics if a thread has panicked while it held the lock, because the course has ended then.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Backend {
    pub fn new(clock: Clock, flink: Emulator, fault_plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self {
            clock,
            services: Mutex::new(Services::new(flink)),
            fault_plan: Mutex::new(fault_plan),
            executions: Mutex::default(),
            undelivered: Mutex::default(),
            invariants: Mutex::default(),
            metrics: Mutex::default(),
            last_invocation: Mutex::default(),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn log(&self, what: &str) {
        lock(&self.invariants).log(self.now(), what);
    }

    pub(crate) fn cover(&self, what: &str) {
        lock(&self.invariants).cover(what);
    }

    /// Adds the name of an enum's variant to the coverage.
    pub(crate) fn cover_variant(&self, variant: &impl Debug) {
        let variant = format!("{variant:?}");
        let end = variant.find(|c: char| !c.is_alphanumeric());
        self.cover(&variant[..end.unwrap_or(variant.len())]);
    }

    /// A call to Managed Flink about the application, by anybody except the functions.
    pub fn call(&self, operation: &str, mut request: Value) -> Result<Value, String> {
        request["ApplicationName"] = APPLICATION.into();
        let (status, answer) = lock(&self.services).answer(operation, &request, self.now());
        match status {
            200 => Ok(serde_json::from_str(&answer).unwrap()),
            _ => Err(answer),
        }
    }

    /// All snapshots of the application as they are now, newest first.
    pub fn snapshots(&self) -> Vec<Value> {
        lock(&self.services)
            .flink
            .snapshots(APPLICATION, self.now())
    }
}
