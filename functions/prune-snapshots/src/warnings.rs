//! What is no failure of a run but needs a person.

use contract::Retention;
use retention::{Loss, Snapshot};

use crate::application::Application;
use crate::payload::{MAX_LISTED_WARNINGS, truncate_reason};

/// A sentence for each snapshot that the application or the policy relies on and that nobody can restore from: the
/// restore point, and the names in `keep_names`. The log has all of them.
pub(crate) fn lost_snapshots(
    listing: &[Snapshot],
    application: &Application,
    policy: &Retention,
) -> Vec<String> {
    let restore_point = application.restore.name().and_then(|name| {
        let loss = Loss::of(name, listing)?;
        let remedy = match loss {
            Loss::NotListed | Loss::Deleting => {
                "Find out who deleted it, and configure another one."
            }
            Loss::Failed => "Configure another one.",
        };
        Some(format!(
            "The restore point {name} {loss}, so the application cannot start from it. {remedy}"
        ))
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
    let warnings = restore_point.into_iter().chain(pinned);
    let mut warnings: Vec<String> = warnings.map(|warning| truncate_reason(&warning)).collect();
    for warning in &warnings {
        tracing::warn!(warning = warning.as_str(), "a snapshot is lost");
    }
    warnings.truncate(MAX_LISTED_WARNINGS);
    warnings
}
