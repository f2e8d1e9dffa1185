//! The functions in virtual time: the real handlers and the real SDK in one process, with AWS around them in memory.
//!
//! How a course is made of a seed:
//! - [`seed`]: what a seed decides.
//! - [`course`]: a course from its seed to its violations.
//!
//! What is injected:
//! - [`fault_plan`]: everything that can go wrong.
//! - [`releases`]: payloads as older and newer releases write them.
//!
//! What must hold:
//! - [`invariants`]: the promises that hold at every call, among them that of the `brake` and that of [`patience`].
//! - [`judge`]: the promises that hold when the runs have ended.
//!
//! What it happens in:
//! - [`world`]: the functions' clients and settings. It stands on [`backend`], which has everything else, and
//!   [`clock`], its time.
//! - [`state_machine`]: Step Functions and EventBridge, with [`executions`] and their histories, and the [`follower`] of
//!   the definition.
//! - [`lambda`]: Lambda, with the real handlers.
//! - [`transport`]: the calls on their way to the [`services`], which are DynamoDB, SNS and Managed Flink.
//!
//! Invariant: a course depends on its seed alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    missing_docs,
    clippy::missing_errors_doc,
    reason = "a panic fails the test, and a name that says everything needs no more words"
)]

pub mod backend;
mod brake;
pub mod clock;
pub mod course;
pub mod executions;
pub mod fault_plan;
pub mod follower;
pub mod invariants;
pub mod judge;
pub mod lambda;
pub mod patience;
pub mod releases;
pub mod seed;
pub mod services;
pub mod state_machine;
pub mod transport;
pub mod world;
