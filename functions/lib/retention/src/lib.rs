//! Which snapshots go, and why each stays. No AWS, no clock.
//!
//! - [`snapshot`](Snapshot): a snapshot as the service lists it, and [`merge`], which makes one list of a listing's pages.
//! - [`plan`]: from the list, the policy, the protected names and the time to one verdict for each snapshot.
//!
//! The function `prune-snapshots` and the command `cargo plan` decide by the same code. Invariants:
//! - The verdicts cover the list: one for each snapshot, each with its reasons.
//! - The newest READY snapshot is never deleted, nor is one that is CREATING, DELETING, of unknown status, or without a
//!   creation time.
//! - A plan depends on its arguments alone.

mod plan;
mod snapshot;

use contract::TimeZoneName;
use jiff::tz::TimeZone;

pub use plan::{Protected, plan};
pub use snapshot::{Snapshot, Status, merge};

/// The time zone in which a policy's periods begin and end.
///
/// # Errors
/// Returns one sentence that names the field if no such time zone exists.
pub fn time_zone(name: &TimeZoneName) -> Result<TimeZone, String> {
    TimeZone::get(name.as_str()).map_err(|_| {
        format!(
            "retention.timezone: there is no time zone {:?}; take a name of the IANA time zone database, such as UTC or Europe/Zurich",
            name.as_str()
        )
    })
}
