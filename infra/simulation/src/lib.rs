//! The functions in virtual time: the real handlers and the real SDK in this process, and everything around them in
//! memory.
//!
//! - [`clock`]: the clock of a course.
//! - [`backend`]: everything behind the functions.
//! - [`world`]: functions, clients, and executions that somebody starts, stops and redrives.
//! - [`lambda`]: Lambda, with the real handlers.
//! - [`state_machine`]: Step Functions, and the events of executions that do not succeed.
//! - [`follower`]: Step Functions' way through the definition.
//! - [`executions`]: the executions and their histories.
//! - [`transport`]: the transport between the SDK and the services.
//! - [`services`]: DynamoDB, SNS and Managed Flink.
//! - [`fault_plan`]: what goes wrong, and when.
//! - [`releases`]: payloads as older and newer releases write them.
//! - [`invariants`]: what must hold whenever a call is made.
//! - [`judge`]: what must hold at the end.
//! - [`course`]: a course made of a seed.
//! - [`simulation`]: a course from its beginning to its judgement.
//!
//! Invariant: a course depends on its seed alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    missing_docs,
    clippy::missing_errors_doc,
    reason = "what cannot go on fails the test, and the parts are named for what they are"
)]

pub mod backend;
pub mod clock;
pub mod course;
pub mod executions;
pub mod fault_plan;
pub mod follower;
pub mod invariants;
pub mod judge;
pub mod lambda;
pub mod releases;
pub mod services;
pub mod simulation;
pub mod state_machine;
pub mod transport;
pub mod world;
