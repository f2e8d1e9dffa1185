//! Decides which snapshots to delete, and gives the reasons. This crate calls no service and reads no clock.
//!
//! - [`Snapshot`] is a snapshot as the service lists it. [`merge`] combines the pages of a listing.
//! - [`plan`] computes one verdict for each snapshot from the listing, the policy, the protected names and the time.
//! - [`with_own_snapshot`] adds the snapshot that a run would take to a listing.
//! - [`brake`] and [`left_to_later_run`] decide whether all deletions of a plan are held back.
//! - [`Loss`] says why nobody can restore from a snapshot. [`unpinned_warning`] warns that a later run may delete a
//!   snapshot.
//!
//! The function `prune-snapshots` and the command `cargo plan` both use this crate. Invariants:
//!
//! - A plan has one verdict for each snapshot, and each verdict has at least one reason.
//! - A plan never deletes the newest READY snapshot. It never deletes a snapshot that is CREATING or DELETING, has an
//!   unknown status, or has no creation time.
//! - A plan depends only on the arguments of [`plan`].

mod hold;
mod plan;
mod snapshot;

use contract::TimeZoneName;
use jiff::tz::TimeZone;

pub use hold::{BrakeCounts, Hold, brake, left_to_later_run};
pub use plan::{RunProtection, doomed_names, is_in_scope, keep_within_start, plan};
pub use snapshot::{Loss, Snapshot, Status, merge, unpinned_warning, with_own_snapshot};

/// Returns the time zone in which the periods of a policy, such as days and months, begin and end.
///
/// # Errors
/// If no such time zone exists, returns one sentence that begins with the name of the field.
pub fn time_zone(name: &TimeZoneName) -> Result<TimeZone, String> {
    TimeZone::get(name.as_str()).map_err(|_| {
        format!(
            "retention.timezone: there is no time zone {:?}; use a name from the IANA time zone database, such as UTC or Europe/Zurich",
            name.as_str()
        )
    })
}
