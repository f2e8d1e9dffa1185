//! Everything behind the functions: the services, the executions and what is known of them.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::Value;

use crate::clock::Clock;
use crate::executions::Execution;
use crate::fault_plan::FaultPlan;
use crate::invariants::Invariants;
use crate::services::Services;
use crate::transport::Invocation;

/// Everything behind the functions.
pub struct Backend {
    pub clock: Clock,
    pub services: Mutex<Services>,
    pub fault_plan: Mutex<FaultPlan>,
    pub executions: Mutex<BTreeMap<String, Execution>>,
    /// Events that the failure rule's target has failed on three times.
    pub undelivered: Mutex<Vec<Value>>,
    pub invariants: Mutex<Invariants>,
    /// What record-and-notify has printed.
    pub printed: Mutex<Vec<Value>>,
    /// The invocation that began last: whose a call is, for who sees only the call.
    pub last: Mutex<Option<Arc<Invocation>>>,
}

impl Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Backend {
    pub fn new(clock: Clock, services: Services, fault_plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self {
            clock,
            services: Mutex::new(services),
            fault_plan: Mutex::new(fault_plan),
            executions: Mutex::default(),
            undelivered: Mutex::default(),
            invariants: Mutex::default(),
            printed: Mutex::default(),
            last: Mutex::default(),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Adds to the trace.
    pub fn tell(&self, what: &str) {
        lock(&self.invariants).tell(self.now(), what);
    }

    /// Remembers the variant.
    pub fn cover_variant(&self, what: &impl Debug) {
        let what = format!("{what:?}");
        let end = what.find(|c: char| !c.is_alphanumeric());
        self.cover(&what[..end.unwrap_or(what.len())]);
    }

    pub(crate) fn cover(&self, thing: &str) {
        lock(&self.invariants).coverage.insert(thing.to_owned());
    }

    /// A call of somebody else, for the application.
    pub fn call(&self, operation: &str, body: &Value) -> Result<Value, String> {
        let (status, answer) = lock(&self.services).answer(operation, body, self.now());
        match status {
            200 => Ok(serde_json::from_str(&answer).unwrap()),
            _ => Err(answer),
        }
    }
}
