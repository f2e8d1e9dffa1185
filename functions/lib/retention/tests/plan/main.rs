//! The plan.
//!
//! - `rules`: what each rule keeps.
//! - `calendar`: periods in time zones, over clock changes, and over a year of runs.
//! - `protection`: what no rule decides on.
//! - `hold`: what holds a whole plan back.
//! - `laws`: what holds for every listing and policy.
//! - `support`: listings, policies and verdicts.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod calendar;
mod hold;
mod laws;
mod protection;
mod rules;
mod support;
