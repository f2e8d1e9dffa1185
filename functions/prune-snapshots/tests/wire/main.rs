//! The handler on the wire: which requests it sends, and what it makes of each answer.
//!
//! - `batch`: what becomes of each snapshot of a batch, and how it is counted.
//! - `retry`: what is throttled, unconfirmed or refused, and when it is tried again.
//! - `pace`: when the deletions of a batch start.
//! - `plan_age`: batches that start too late.
//! - `own_snapshot`: the run's own snapshot is gone, not listed, or overtaken by a later run.
//! - `gate`: what holds deletions back.
//! - `warnings`: what is no failure but needs a person.
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
