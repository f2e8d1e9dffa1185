//! Which snapshots a plan deletes, and what holds all deletions of a plan back.
//!
//! - `rules`: which snapshots each rule keeps.
//! - `calendar`: periods in time zones, across clock changes, and across a year of runs.
//! - `protection`: snapshots to which no rule applies or that are protected.
//! - `hold`: the two reasons to hold back all deletions of a plan.
//! - `laws`: properties that every plan has.
//! - `support`: listings, policies and verdicts for the tests.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod calendar;
mod hold;
mod laws;
mod protection;
mod rules;
mod support;
