//! The requests that the handler sends, and how it handles each answer.
//!
//! - `batch`: the deletions of a batch, and how each result is counted.
//! - `retry`: deletions that are throttled, unconfirmed or refused, and when they are retried.
//! - `pace`: when the deletions of a batch start.
//! - `plan_age`: batches that start too late.
//! - `own_snapshot`: the run's own snapshot does not exist, is not listed, or is older than that of a later run.
//! - `gate`: what holds deletions back.
//! - `warnings`: what needs attention although the run does not fail.
//! - `listing`: pages, refused calls, and the largest payloads.
//! - `support`: inputs, calls and answers.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod batch;
mod gate;
mod listing;
mod own_snapshot;
mod pace;
mod plan_age;
mod retry;
mod support;
mod warnings;
