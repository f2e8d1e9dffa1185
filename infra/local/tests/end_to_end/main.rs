//! Whole runs on the local engine: the template as it is deployed, the functions in their own processes, and real calls
//! of the SDK.
//!
//! - `runs`: runs that succeed, and what they log
//! - `failures`: executions that fail, are stopped or time out, and their redrives
//! - `faults`: lost responses, killed processes and functions that hang, from which a run recovers by itself
//! - `events`: events of failed executions that arrive late or are replayed
//! - `many`: many runs at the same time, and many snapshots

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod events;
mod failures;
mod faults;
mod many;
mod runs;
#[path = "../support/mod.rs"]
mod support;
