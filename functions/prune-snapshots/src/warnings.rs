//! What is no failure of a run but needs a person.

use contract::{RunInput, Scope, SnapshotName};
use retention::{Loss, Snapshot};

use crate::application::Application;
use crate::payload::{MAX_LISTED_WARNINGS, truncate_reason};

/// A sentence for each snapshot that the application or the policy relies on and that nobody can restore from, which are
/// the restore point and the names in `keep_names`, and for a snapshot that a person has named and the policy may delete.
/// The log has all of them.
pub(crate) fn warnings(
    listing: &[Snapshot],
    application: &Application,
    input: &RunInput,
) -> Vec<String> {
    let policy = &input.retention;
    let restore_point = application.restore.name().and_then(|name| {
        let listed = listing.iter().find(|snapshot| snapshot.name == name);
        flink::lost_restore_point(name, listed.map(|snapshot| snapshot.status.as_str()))
    });
    let own = input.snapshot_name.as_ref().map(SnapshotName::as_str);
    let own = own.filter(|name| policy.scope == Scope::All && !policy.keep_names.contains(name));
    let own = own.map(|name| {
        format!(
            "With scope ALL, a later run may delete this run's snapshot. To keep it, add its name to \
             keep_names, in a stack its parameter KeepNames: {name}."
        )
    });
    let pinned = policy.keep_names.as_slice().iter().filter_map(|name| {
        let loss = Loss::of(name, listing)?;
        let remedy = match loss {
            Loss::NotListed | Loss::Deleting => {
                "Correct the name, or find out who deleted the snapshot, and take the name out."
            }
            Loss::Failed => "No application can restore from it. Take the name out.",
        };
        Some(format!(
            "The snapshot {name} in keep_names {loss}. {remedy}"
        ))
    });
    let warnings = restore_point.into_iter().chain(own).chain(pinned);
    let mut warnings: Vec<String> = warnings.map(|warning| truncate_reason(&warning)).collect();
    for warning in &warnings {
        tracing::warn!(warning = warning.as_str(), "needs a person");
    }
    warnings.truncate(MAX_LISTED_WARNINGS);
    warnings
}
