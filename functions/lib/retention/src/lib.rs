//! Decides which snapshots are deleted and why each is kept. No AWS, no clock.
//!
//! - [`Snapshot`]: a snapshot as the service lists it. [`merge`] makes one list from the pages of a listing.
//! - [`plan`]: the list, the policy, the protected names and the time -> one verdict for each snapshot.
//! - [`with_own`]: the list as it is when a run prunes.
//! - [`brake`] and [`later_run`]: what holds a plan back.
//! - [`Loss`]: why nobody can restore from a snapshot that somebody relies on.
//!
//! The function `prune-snapshots` and the command `cargo plan` use the same code. Invariants:
//! - There is one verdict for each snapshot, with its reasons.
//! - The newest READY snapshot is never deleted, nor is one that is CREATING, DELETING, of unknown status, or without a
//!   creation time.
//! - A plan depends only on its arguments.

mod hold;
mod plan;
mod snapshot;

use contract::TimeZoneName;
use jiff::tz::TimeZone;

pub use hold::{Hold, ReadySnapshots, brake, later_run};
pub use plan::{Protected, doomed_names, is_in_scope, plan, window_begin};
pub use snapshot::{Loss, Snapshot, Status, merge, with_own};

/// The time zone in which a policy's periods begin and end.
///
/// # Errors
/// Returns one sentence that begins with the field if no such time zone exists.
pub fn time_zone(name: &TimeZoneName) -> Result<TimeZone, String> {
    TimeZone::get(name.as_str()).map_err(|_| {
        format!(
            "retention.timezone: there is no time zone {:?}; use a name from the IANA time zone database, such as UTC or Europe/Zurich",
            name.as_str()
        )
    })
}
