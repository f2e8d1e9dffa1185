//! A simulation of whole runs in virtual time: the real handlers and the real SDK in one process, with AWS around them
//! in memory.
//!
//! A course is one random sequence of runs, faults and changes of the application. A seed, which is a number, decides
//! all of it.
//!
//! How a seed becomes a course:
//! - [`seed`]: what a seed decides.
//! - [`course`]: plays a course, and returns the promises that were broken in it, its violations.
//!
//! What is injected:
//! - [`fault_plan`]: everything that can go wrong.
//! - [`releases`]: payloads as older and newer releases write them.
//!
//! What must hold:
//! - [`invariants`]: the promises that are checked at every call. The modules `brake` and `busy_waits` have two of
//!   them.
//! - [`judge`]: the promises that are checked after the runs have ended.
//!
//! The simulated environment:
//! - [`world`]: the functions' clients and settings. It stands on [`backend`], which has everything else, and
//!   [`clock`], its time.
//! - [`state_machine`]: Step Functions and EventBridge, with [`executions`] and their histories, and the [`follower`],
//!   which interprets the definition.
//! - [`lambda`]: Lambda, with the real handlers.
//! - [`transport`]: carries calls to the [`services`], which are DynamoDB, SNS, Managed Flink and the history of Step
//!   Functions.
//!
//! Invariant: a course depends only on its seed.

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
mod busy_waits;
pub mod clock;
pub mod course;
pub mod executions;
pub mod fault_plan;
pub mod follower;
pub mod invariants;
pub mod judge;
pub mod lambda;
pub mod releases;
pub mod seed;
pub mod services;
pub mod state_machine;
pub mod transport;
pub mod world;
