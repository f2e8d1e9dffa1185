//! Warnings: what needs attention although the run does not fail.

use contract::{RunInput, SnapshotName};
use retention::{Loss, Snapshot, Status, unpinned_warning};

use crate::application::Application;
use crate::payload::{MAX_LISTED_WARNINGS, truncate_warning};

/// Returns one sentence for each of the following snapshots:
///
/// - the application's restore point, if nobody can restore from it;
/// - a snapshot in `keep_names`, if nobody can restore from it;
/// - the run's own snapshot, if the input has a `snapshot_name` and a later run may delete the snapshot.
///
/// The output lists at most [`MAX_LISTED_WARNINGS`]. The log has all of them.
pub(crate) fn warnings(
    listing: &[Snapshot],
    application: &Application,
    input: &RunInput,
) -> Vec<String> {
    let policy = &input.retention;
    let restore_point = application.restore.name().and_then(|name| {
        let listed = listing.iter().find(|snapshot| snapshot.name == name);
        flink::lost_restore_point_warning(name, listed.map(|snapshot| snapshot.status.as_str()))
    });
    let own = input.snapshot_name.as_ref().map(SnapshotName::as_str);
    let is_ready = |name: &&str| {
        listing
            .iter()
            .any(|it| it.name == **name && it.status == Status::Ready)
    };
    let own = own
        .filter(is_ready)
        .and_then(|name| unpinned_warning(name, policy));
    let pinned = policy.keep_names.as_slice().iter().filter_map(|name| {
        let loss = Loss::of(name, listing)?;
        let remedy = match loss {
            Loss::NotListed | Loss::Deleting => {
                "If the name is misspelt, correct it. If the snapshot was deleted, find out who deleted it, and remove the name from keep_names."
            }
            Loss::Failed => "No application can restore from it. Remove the name from keep_names.",
        };
        Some(format!(
            "The snapshot {name} in keep_names {loss}. {remedy}"
        ))
    });
    let warnings = restore_point.into_iter().chain(own).chain(pinned);
    let mut warnings: Vec<String> = warnings.map(|warning| truncate_warning(&warning)).collect();
    for warning in &warnings {
        tracing::warn!(warning = warning.as_str(), "needs attention");
    }
    warnings.truncate(MAX_LISTED_WARNINGS);
    warnings
}
