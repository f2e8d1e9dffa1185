//! Code that the tests of several crates share. The deployed crates have it as a dev-dependency only.
//!
//! - [`fixtures`]: a run, an application, snapshots, and expected calls with their answers.
//! - [`replay`]: a scripted service that answers the requests of the real SDK clients.
//! - [`invoke`]: invokes a handler as Lambda does, and checks the response and every log line.
//! - [`hostile`]: invalid and malicious documents for property tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a panic is a failed test"
)]

pub mod fixtures;
pub mod hostile;
mod invocation;
pub mod replay;

pub use invocation::invoke;
