//! Whatever goes wrong: every fault at every call, every redrive, and thousands of random courses, with the
//! real handlers and the real SDK in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    missing_docs,
    reason = "a test that cannot go on fails, and its parts are named for what they are"
)]

mod course;
mod executions;
#[path = "../support/follower.rs"]
mod follower;
mod judge;
mod matrix;
mod mischief;
mod redrive;
mod releases;
mod services;
mod simulation;
mod stage;
mod watch;
mod wire;
