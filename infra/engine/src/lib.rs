//! AWS on one machine: the deployed template on MiniStack, behind a proxy of our own.
//!
//! - [`engine`]: the whole, started and stopped as one.
//! - [`ministack`]: the process of MiniStack, an emulator of AWS, and deployments on it by CloudFormation.
//! - [`differences`]: where the local deployment differs from the template.
//! - [`proxy`]: the one address of all services. It knows which function calls.
//! - [`permissions`]: what each function's role allows.
//! - [`faults`]: faults for tests, injected into calls.
//! - [`msf`]: our emulator of Managed Service for Apache Flink.
//! - [`functions`]: the functions' binaries.
//! - [`python`]: virtual environments with pinned packages.
//!
//! Invariants: everything listens on the loopback interface alone; a function's call that its role does not allow never
//! reaches a service; whatever was started ends with this process.

#![allow(clippy::missing_errors_doc, reason = "the errors are texts for people")]

pub mod differences;
pub mod engine;
pub mod faults;
pub mod functions;
pub mod ministack;
pub mod msf;
pub mod permissions;
pub mod proxy;
pub mod python;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another thread has panicked with the lock: what stands behind it is whole between two calls.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
