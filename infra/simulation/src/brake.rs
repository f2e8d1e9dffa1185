//! The promise of the brake, the limit `max_deletions_per_run` of a policy: a run deletes at most this number of READY
//! snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::invariants::is_in_scope;
use crate::services::name;
use crate::transport::Invocation;

/// The limit if the policy does not set one and `ready` READY snapshots are in scope.
fn default_brake(ready: usize) -> usize {
    match ready {
        0..12 => 5,
        12..50 => ready / 2,
        _ => 25,
    }
}

/// The violation, if an execution has deleted more READY snapshots than its policy allows. `deleted` has the snapshots
/// that the execution has deleted, by name. The flag says whether the deletion was late, that is, took effect after the
/// function had stopped waiting for the response. Late deletions do not count.
pub(crate) fn violation(
    invocation: &Invocation,
    deleted: &BTreeMap<String, (Arc<Invocation>, bool)>,
) -> Option<String> {
    let policy = &invocation.state_input["run"]["input"]["retention"];
    let status = |invocation: &Invocation, wanted: &str| {
        let listing = invocation.planned_from.as_ref()?;
        let mut listed = listing.snapshots.iter();
        let listed = listed.find(|snapshot| name(snapshot) == wanted)?;
        Some(listed["SnapshotStatus"].clone())
    };
    let ready = deleted
        .iter()
        .filter(|(name, (invocation, _))| status(invocation, name).is_none_or(|it| it != "FAILED"));
    let count = ready.clone().filter(|(_, (_, is_late))| !is_late).count();
    let listed = invocation.planned_from.iter();
    let listed = listed.flat_map(|listing| &listing.snapshots);
    let listed = listed.filter(|snapshot| snapshot["SnapshotStatus"] == "READY");
    let listed = listed.map(name);
    let listed = listed.filter(|name| is_in_scope(name, policy));
    let all: BTreeSet<&str> = ready.map(|(name, _)| name.as_str()).chain(listed).collect();
    let brake = policy["max_deletions_per_run"].as_u64();
    let most = brake.map_or(default_brake(all.len()), |brake| {
        usize::try_from(brake).unwrap()
    });
    (count > most).then(|| {
        format!("a run deletes no more than its limit {brake:?}: {count} deletions, not {most}")
    })
}
