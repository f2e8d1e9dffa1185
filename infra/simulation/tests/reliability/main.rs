//! Reliability: every fault at every call, every redrive, and thousands of random courses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the test"
)]

mod courses;
mod fixture;
mod matrix;
mod page;
mod patience;
mod redrive;
