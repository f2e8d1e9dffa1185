//! The application for the tests in `redrive` and `patience`. It has four snapshots, and a run deletes two of them.

use engine::msf::{SeededSnapshot, SnapshotStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulation::services::{APPLICATION, own_name};

pub(crate) fn start() -> Timestamp {
    "2026-11-22T20:02:27.949Z".parse().unwrap()
}

/// A snapshot for each of the four days before, oldest first.
pub(crate) fn four_snapshots() -> impl Iterator<Item = SeededSnapshot> {
    (1..=4).rev().map(|days| {
        let created_at = start() - SignedDuration::from_hours(24 * days);
        let name = own_name(&created_at.as_millisecond().into());
        SeededSnapshot::new(&name, SnapshotStatus::Ready, created_at)
    })
}

pub(crate) fn input() -> Value {
    json!({ "application_name": APPLICATION, "retention": { "keep_last": 3 } })
}
