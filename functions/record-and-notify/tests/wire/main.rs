//! The requests that the handler sends, and how it handles each answer.
//!
//! - `requests`: the exact requests of a whole invocation.
//! - `outcomes`: what the row and the message contain for each outcome.
//! - `announcements`: which runs send a notification, and how many.
//! - `order`: which record of an execution may overwrite which other record.
//! - `failures`: what the record of a failed execution contains.
//! - `history`: how the history of an execution is read.
//! - `refusals`: failed calls and invalid input.
//! - `texts`: the content and the length of the subject, the e-mail and the SMS.
//! - `given`: inputs, events and histories.
//! - `invocation`: answers of the services, and an invocation with the requests that it sent.

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
