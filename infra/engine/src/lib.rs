//! AWS on one machine: the deployed template on MiniStack, behind a proxy of our own.
//!
//! - [`Engine`]: everything, started and stopped as one.
//! - [`home`]: the folder of an engine, and the engines that have announced themselves.
//! - [`ministack`]: the process of MiniStack, an emulator of AWS, and deployments on it by CloudFormation.
//! - [`differences`]: where the local deployment differs from the template.
//! - [`proxy`]: the one address of all services. It knows which function calls.
//! - [`permissions`]: what each function's role allows.
//! - [`faults`]: faults for tests, injected into calls.
//! - [`msf`]: our emulator of Managed Service for Apache Flink.
//! - [`functions`]: the functions' binaries.
//! - [`environment`]: what a child process inherits.
//! - [`group`]: child processes that end with what they have started.
//! - [`python`]: virtual environments with pinned packages.
//! - [`prepare`]: installs the packages and builds the functions, and shows the progress.
//! - [`interrupt`]: Ctrl-C, which ends a command and everything that it has started.
//!
//! Invariants: everything listens on the loopback interface alone, and answers no web page of another origin. A function's
//! call that its role does not allow never reaches a service. Everything that the engine starts ends with this process.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "the names say it, and the errors are messages for people"
)]

pub mod differences;
mod engine;
pub mod environment;
pub mod faults;
pub mod functions;
pub mod group;
pub mod home;
pub mod interrupt;
pub mod ministack;
pub mod msf;
pub mod permissions;
pub mod prepare;
pub mod proxy;
pub mod python;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::engine::{Engine, EngineSettings, Names, client};

/// Locks a mutex, even if another thread panicked while it had the lock: what our mutexes guard is valid between any two
/// calls.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
