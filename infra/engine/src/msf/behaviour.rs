//! How the emulated service behaves: durations, quotas and faults, which tests and demonstrations set.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::applications::Application;
use super::{Emulator, ServiceError};

/// How long the service takes for its work in the background. Zero: it has finished before the next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    pub starting: Duration,
    /// From STOPPING or `FORCE_STOPPING` to READY, without the snapshot of the stop.
    pub stopping: Duration,
    /// From UPDATING to RUNNING, without the snapshot of the update.
    pub updating: Duration,
    /// A snapshot's time from CREATING to READY or FAILED.
    pub snapshot: Duration,
    pub deleting: Duration,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            starting: second,
            stopping: second,
            updating: second,
            snapshot: Duration::from_secs(8),
            deleting: second,
        }
    }
}

/// The behaviour for one application. A change applies to what begins after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Replaces the emulator's own.
    pub lifecycle: Option<Lifecycle>,
    pub snapshots_fail: bool,
    /// The job is down: snapshots are refused with the temporary `InvalidApplicationConfigurationException` that AWS's
    /// troubleshooting page describes.
    pub downtime: bool,
    /// How far the service's clock is behind the times of the calls. Negative: ahead.
    pub clock_behind: SignedDuration,
    /// Replaces the status of the life cycle, for example by `AUTOSCALING` or a status that no model has yet.
    pub status: Option<String>,
    /// How many snapshots the application may have before a manual one is refused, if not a thousand.
    pub snapshot_quota: Option<usize>,
    /// Refuses the deletion of the snapshot of this name with this error.
    pub deletes_refused: BTreeMap<String, ServiceError>,
    /// More deletions in a second are throttled.
    pub deletes_per_second: Option<u32>,
    /// The maximum of snapshots on a page, 1 to 50. A smaller `Limit` holds too.
    pub page_limit: Option<usize>,
    /// How many of the next `NextToken`s in requests for a listing of snapshots have expired.
    pub tokens_expired: u32,
    /// The age of a listing of snapshots, at most ten minutes.
    pub listing_lag: Duration,
    /// A listing's `NextToken` is the number of snapshots shown so far. A deletion between two pages then hides a
    /// snapshot, and a creation repeats one.
    pub tokens_are_positions: bool,
}

impl Behaviour {
    /// The default, but a snapshot takes this long.
    pub fn with_snapshots_of(duration: Duration) -> Self {
        Self {
            lifecycle: Some(Lifecycle {
                snapshot: duration,
                ..Lifecycle::default()
            }),
            ..Self::default()
        }
    }
}

/// What one call needs to know about an application besides its state.
pub(super) struct Context {
    /// The time of the call, by which life cycles run.
    pub(super) now: Timestamp,
    /// The same time by the service's clock, for timestamps.
    pub(super) stamp: Timestamp,
    pub(super) lifecycle: Lifecycle,
    pub(super) behaviour: Behaviour,
}

impl Context {
    /// The status to show and to act on.
    pub(super) fn status<'a>(&'a self, application: &'a Application) -> &'a str {
        (self.behaviour.status.as_deref()).unwrap_or(application.status)
    }

    /// The end of a duration that begins now. One beyond the calendar never ends.
    pub(super) fn after(&self, duration: Duration) -> Timestamp {
        self.now.checked_add(duration).unwrap_or(Timestamp::MAX)
    }
}

impl Emulator {
    /// The behaviour for an application. It may be set before the application is created, and outlives it.
    pub fn behaviour(&mut self, application: &str) -> &mut Behaviour {
        self.behaviours.entry(application.to_owned()).or_default()
    }

    pub(super) fn context(&self, application: &str, now: Timestamp) -> Context {
        let behaviour = self.behaviours.get(application).cloned();
        let behaviour = behaviour.unwrap_or_default();
        let lifecycle = (behaviour.lifecycle.clone()).unwrap_or_else(|| self.lifecycle.clone());
        Context {
            now,
            stamp: now.saturating_sub(behaviour.clock_behind).unwrap_or(now),
            lifecycle,
            behaviour,
        }
    }
}
