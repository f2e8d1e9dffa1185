//! What is no failure of a run but needs a person.

use contract::Retention;
use retention::{Snapshot, Status};

use crate::application::Application;
use crate::payload::{MAX_LISTED_WARNINGS, truncate_reason};

/// A sentence for each snapshot that the application or the policy relies on and that does not exist: the restore
/// point, and the names in `keep_names`. The log has all of them.
pub(crate) fn lost_snapshots(
    listing: &[Snapshot],
    application: &Application,
    policy: &Retention,
) -> Vec<String> {
    let loss = |name: &str| {
        let listed = listing.iter().find(|snapshot| snapshot.name == name);
        match listed.map(|snapshot| &snapshot.status) {
            None => Some("is not listed"),
            Some(Status::Deleting) => Some("is DELETING"),
            Some(_) => None,
        }
    };
    let restore_point = application.restore.name().and_then(|name| {
        let loss = loss(name)?;
        Some(format!(
            "The restore point {name} {loss}, so the application cannot start from it. Find out who \
             deleted it, and configure another one."
        ))
    });
    let pinned = policy.keep_names.as_slice().iter().filter_map(|name| {
        let loss = loss(name)?;
        Some(format!(
            "The snapshot {name} in keep_names {loss}. Correct the name, or find out who deleted the \
             snapshot, and take the name out."
        ))
    });
    let warnings = restore_point.into_iter().chain(pinned);
    let mut warnings: Vec<String> = warnings.map(|warning| truncate_reason(&warning)).collect();
    for warning in &warnings {
        tracing::warn!(warning = warning.as_str(), "a snapshot is lost");
    }
    warnings.truncate(MAX_LISTED_WARNINGS);
    warnings
}
