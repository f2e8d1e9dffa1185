//! The handler on the wire: which requests it sends, and what it makes of each answer.
//!
//! - `requests`: the exact requests of a whole invocation.
//! - `outcomes`: what the row and the message say of each outcome.
//! - `announcements`: which runs are announced, and how often.
//! - `order`: which end of an execution may overwrite which.
//! - `failures`: what the record says of a failed execution.
//! - `history`: how the history of an execution is read.
//! - `refusals`: calls that fail, and invalid input.
//! - `texts`: what the texts may contain, and how long they may be.
//! - `given`: what the function is given.
//! - `invocation`: the services' answers, an invocation, and what it sent.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod announcements;
mod failures;
mod given;
mod history;
mod invocation;
mod order;
mod outcomes;
mod refusals;
mod requests;
mod texts;
