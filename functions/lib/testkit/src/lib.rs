//! What the tests of several crates need. Only ever a dev-dependency of what is deployed.
//!
//! - [`replay`]: the services' answers, played back behind the real SDK clients.
//! - [`invoke`]: an invocation as Lambda makes it, with what holds for every answer and every line of the log.
//! - [`hostile`]: documents as nobody should send them, for property tests.

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
