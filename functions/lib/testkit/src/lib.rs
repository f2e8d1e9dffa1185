//! What the tests of several crates share. Deployed crates use it as a dev-dependency only.
//!
//! - [`fixtures`]: a run, an application, snapshots, and the calls about them, as most tests need them.
//! - [`replay`]: scripted responses of the services, behind the real SDK clients.
//! - [`invoke`]: an invocation as Lambda makes it, with checks of every response and every log line.
//! - [`hostile`]: invalid and malicious documents, for property tests.

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
