//! Whole runs on the real engine: the template as it is deployed, the functions in processes of their own, the SDK's
//! calls.
//!
//! - `runs`: runs that come to their end, and what they log
//! - `failures`: executions that fail, are stopped or take too long, and redrives of those that failed
//! - `faults`: lost answers, killed processes and functions that hang, which a run gets over by itself
//! - `events`: events of failed executions that are handled late, or again
//! - `many`: many runs at once, and many snapshots

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod events;
mod failures;
mod faults;
mod many;
mod runs;
#[path = "../support/mod.rs"]
mod support;
