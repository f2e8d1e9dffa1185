//! AWS on one machine: the project's template, deployed to the emulator MiniStack, behind a proxy.
//!
//! - [`Engine`]: all of it, started and stopped as one unit.
//! - [`home`]: the folder of an engine, and the list of running engines.
//! - [`ministack`]: the process of MiniStack, an emulator of AWS, and deployments to it with CloudFormation.
//! - [`differences`]: where the local deployment differs from the template.
//! - [`proxy`]: the single endpoint for all services. It knows which function makes a call.
//! - [`permissions`]: which calls the role of each function allows.
//! - [`faults`]: faults that tests inject into calls.
//! - [`msf`]: this project's emulator of Managed Service for Apache Flink.
//! - [`functions`]: builds the binaries of the Lambda functions.
//! - [`environment`]: which environment variables a child process inherits.
//! - [`group`]: child processes that end together with the processes that they start.
//! - [`python`]: virtual environments with pinned packages.
//! - [`prepare`]: installs the packages, builds the functions, and shows the progress.
//! - [`interrupt`]: Ctrl-C ends a command and every process that the command has started.
//!
//! Invariants:
//! - Everything listens on the loopback interface alone, and refuses requests from web pages of another origin.
//! - If the role of a function does not allow a call of the function, the call never reaches a service.
//! - Every process that the engine starts ends with the engine's own process.

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

pub use self::engine::{Connection, Engine, EngineSettings, client_config};

/// Locks a mutex, even if another thread panicked while it held the lock. That is safe here, because the data behind
/// these mutexes is valid between any two calls of its methods.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
