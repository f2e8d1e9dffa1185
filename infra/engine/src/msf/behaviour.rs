//! How the emulated service behaves. Tests and demonstrations set its durations, quotas and faults.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::applications::Application;
use super::{Emulator, ServiceError};

/// How long each background operation of the service takes. An operation that takes no time has finished by the next
/// call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    pub starting: Duration,
    /// From STOPPING or `FORCE_STOPPING` to READY. A snapshot that the stop takes adds its own time.
    pub stopping: Duration,
    /// From UPDATING to RUNNING. A snapshot that the update takes adds its own time.
    pub updating: Duration,
    /// From CREATING to READY or FAILED.
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

/// The behaviour for one application. After a change of the behaviour, operations in progress still end at the time for
/// which they were planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Replaces the emulator's own lifecycle, if it is given.
    pub lifecycle: Option<Lifecycle>,
    /// Every snapshot ends FAILED.
    pub snapshots_fail: bool,
    /// The Flink job is down. A request for a snapshot gets the temporary `InvalidApplicationConfigurationException`
    /// that AWS's troubleshooting page describes.
    pub downtime: bool,
    /// How far the service's clock is behind the time of each call. It is negative if the clock is ahead.
    pub clock_behind: SignedDuration,
    /// Replaces the application's real status, for example by `AUTOSCALING`, or by a status that no model has yet.
    pub status: Option<String>,
    /// The quota of snapshots, by default 1,000. Only a snapshot that a client requests is refused because of the
    /// quota.
    pub snapshot_quota: Option<usize>,
    /// By the name of a snapshot: the error with which its deletion is refused.
    pub deletes_refused: BTreeMap<String, ServiceError>,
    /// The rate above which deletions are throttled.
    pub deletes_per_second: Option<u32>,
    /// The maximum number of snapshots on a page, 1 to 50. If the `Limit` of a request is smaller, the `Limit` counts.
    pub page_limit: Option<usize>,
    /// How many of the next `NextToken`s in requests for a listing of snapshots count as expired.
    pub tokens_expired: u32,
    /// How old the state is that a listing of snapshots shows, at most ten minutes.
    pub listing_lag: Duration,
    /// The `NextToken` of a listing is the number of snapshots on the pages so far. Then a deletion between two pages
    /// hides a snapshot, and a creation repeats one.
    pub tokens_are_positions: bool,
}

impl Behaviour {
    /// The default behaviour, except for the time that a snapshot takes.
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

/// What a call needs to know besides the state of the application.
pub(super) struct Context {
    /// The time of the call. Background operations run by this time.
    pub(super) now: Timestamp,
    /// The time of the call by the service's clock, for timestamps in responses.
    pub(super) stamp: Timestamp,
    pub(super) lifecycle: Lifecycle,
    pub(super) behaviour: Behaviour,
}

impl Context {
    /// The status that the service shows, and on which it decides.
    pub(super) fn status<'a>(&'a self, application: &'a Application) -> &'a str {
        (self.behaviour.status.as_deref()).unwrap_or(application.status)
    }

    /// The time after a duration that begins now. If the calendar has no such time, the duration never ends.
    pub(super) fn after(&self, duration: Duration) -> Timestamp {
        self.now.checked_add(duration).unwrap_or(Timestamp::MAX)
    }
}

impl Emulator {
    /// The behaviour for an application. It can be set before the application is created, and stays after the
    /// application is deleted.
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
