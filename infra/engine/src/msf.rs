//! Amazon Managed Service for Apache Flink on one machine: the applications and snapshots of
//! `kinesisanalyticsv2`, in memory.
//!
//! An [`Emulator`] is a function of the calls made to it and of the times given with them: it has
//! no clock, no randomness and no I/O. What takes time at the service (a start, a snapshot, a
//! deletion) is over as soon as a call comes with a time late enough, whichever call that is; what
//! has happened stays so if a later call comes with an earlier time.
//!
//! The shapes, patterns, lengths and errors are those of the service's model, `2018-05-23`. Where
//! neither the model nor the documentation says what the service does, this is what was chosen:
//!
//! | Behaviour | Choice | Why |
//! |---|---|---|
//! | Order of `ListApplicationSnapshots` | newest first, by the order in which they came to be | `ListSnapshots` is documented so; nothing may rely on it here |
//! | `NextToken` | continues after the last snapshot shown; bound to the application | a snapshot deleted between two pages hides no other, one created appears on no later page; [`Behaviour::tokens_are_positions`] gives tokens that shift |
//! | Age of a listing | none | nothing is documented; [`Behaviour::listing_lag`] gives one |
//! | `ListApplicationSnapshots` without the application | `InvalidArgumentException`, "does not exist" | no `ResourceNotFoundException` is modelled |
//! | Bad `Limit` or `NextToken` of `ListApplications` | `InvalidRequestException` | the only error modelled |
//! | Describe or delete a snapshot that is not there | `ResourceNotFoundException`, "does not exist" | clients know this and `InvalidArgumentException`; [`Behaviour::deletes_refused`] gives the other |
//! | Snapshot of a stopped application (READY) | `InvalidRequestException` | AWS's own sample handles it on create |
//! | Snapshot in any other status but RUNNING | `ResourceInUseException` | "not available for this operation" |
//! | Snapshot with `SnapshotsEnabled` false | `InvalidRequestException` | the request does not fit the configuration |
//! | Name taken, even by a FAILED or DELETING snapshot | `ResourceInUseException` | enhanced snapshots are documented so |
//! | Another snapshot is CREATING | `ResourceInUseException` | one at a time is documented for enhanced snapshots |
//! | Several reasons to refuse a snapshot | the first of: status, configuration, downtime, name, other snapshot, quota | the lasting reasons of the application first, then the snapshot's |
//! | Quota | counts every listed snapshot, whatever its status | service-made ones are known to count |
//! | Name of a service-made snapshot | `service_stop_` or `service_update_` and a number | looks like neither a person's name nor `custom_…` |
//! | Stop or update that takes a snapshot | STOPPING or UPDATING lasts as long as the snapshot and then the stop or update; a FAILED snapshot does not hold it up; the snapshot has the version before the update | the service must not stop for a snapshot that cannot be had |
//! | Stop without `Force`, or update, while a snapshot is CREATING | `ResourceInUseException` | one snapshot at a time |
//! | Forced stop while a snapshot is CREATING | the snapshot becomes FAILED | its job is gone |
//! | Forced stop | from STARTING, RUNNING, UPDATING, AUTOSCALING and STOPPING | "only in the running status, unless you set Force" |
//! | Operation in the wrong application status | `ResourceInUseException` | "not available for this operation" |
//! | Delete of a snapshot CREATING or DELETING | `ResourceInUseException` | documented for enhanced snapshots |
//! | Wrong `SnapshotCreationTimestamp` | `InvalidArgumentException`; compared in whole seconds | Terraform deletes with whole seconds; "not found" would read as deleted |
//! | Delete of a snapshot listed without a timestamp | `InvalidArgumentException` | no value is right |
//! | `DeleteApplication` | from RUNNING and READY; `CreateTimestamp` as above; snapshots go with it | the documentation says that it halts the application |
//! | Update with the wrong version or token | `ConcurrentModificationException`; with neither: `InvalidArgumentException` | its documented meaning |
//! | Update that changes nothing | a new version like any other | "updates the ApplicationVersionId each time" |
//! | Restore type of a start without one | the last one; the first time, and after an update of SKIP, RESTORE_FROM_LATEST_SNAPSHOT | Terraform's users see the latter |
//! | Restore from a snapshot that is not there, or not READY | `ResourceNotFoundException`, `InvalidRequestException` | both modelled for start and update |
//! | Legacy snapshot operations on an application in `ENHANCED_SNAPSHOTS` mode or without Flink runtime | `UnsupportedOperationException` | "not valid for this operation" |
//! | `ListTagsForResource` without tags | no `Tags` member | the model wants one entry or more |
//! | Restore by `SnapshotArn` | `UnsupportedOperationException` | it names enhanced snapshots, which are not emulated |
//! | `ENHANCED_SNAPSHOTS` below Flink 1.20, or back from it | `UnsupportedOperationException` | the documentation rules both out |
//! | Applications per account | 100, then `LimitExceededException` | the default quota |
//! | Malformed JSON, wrong JSON type | `SerializationException` | as other JSON services of AWS; not in the model |
//! | Operation that is not emulated | `UnknownOperationException` | as the service would for one it does not know |
//! | `VpcConfigurations`, SQL and Zeppelin parts of a configuration | accepted, not shown | nothing here uses them |

mod applications;
mod configuration;
mod input;
mod snapshots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use applications::Application;
use input::Input;
use snapshots::Snapshot;

/// How long the service takes for what it does in the background. Zero: done by the next call at
/// the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// STARTING until RUNNING.
    pub starting: Duration,
    /// STOPPING or `FORCE_STOPPING` until READY; the snapshot of a stop comes on top.
    pub stopping: Duration,
    /// UPDATING until RUNNING; the snapshot of an update comes on top.
    pub updating: Duration,
    /// A snapshot's CREATING until READY or FAILED.
    pub snapshot: Duration,
    /// DELETING until gone, of snapshots and applications alike.
    pub deleting: Duration,
}

impl Default for Lifecycle {
    /// Long enough to be seen in a demonstration.
    fn default() -> Self {
        Self {
            starting: Duration::from_secs(1),
            stopping: Duration::from_secs(1),
            updating: Duration::from_secs(1),
            snapshot: Duration::from_secs(8),
            deleting: Duration::from_secs(1),
        }
    }
}

/// What is particular about one application, for tests and demonstrations. Changes count for what
/// begins after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Used instead of the emulator's own.
    pub lifecycle: Option<Lifecycle>,
    /// Snapshots end FAILED instead of READY.
    pub snapshots_fail: bool,
    /// The job is down: snapshots are refused with the passing
    /// `InvalidApplicationConfigurationException` that AWS's troubleshooting page describes.
    pub downtime: bool,
    /// How far the service's clock is behind: its timestamps are this much earlier than the time
    /// of the call. Negative: ahead.
    pub clock_behind: SignedDuration,
    /// The status that is shown and acted upon, whatever the life cycle says, for example
    /// `AUTOSCALING` or one that no model knows yet.
    pub status: Option<String>,
    /// How many snapshots the application may have before a manual one is refused.
    pub snapshot_quota: usize,
    /// Refuses the deletion of the snapshot of this name with this error.
    pub deletes_refused: BTreeMap<String, ServiceError>,
    /// More deletions in a second than this are throttled.
    pub deletes_per_second: Option<u32>,
    /// The most snapshots on a page, whatever `Limit` asks for, 1 to 50.
    pub page_limit: usize,
    /// This many of the next `NextToken`s that a listing of snapshots is given have expired.
    pub tokens_expired: u32,
    /// A listing of snapshots is as of so long ago, ten minutes at most. All else is as of now.
    pub listing_lag: Duration,
    /// A listing's `NextToken` says how many were shown: what is deleted or created between two pages moves
    /// the rest, so that one is never shown, or twice.
    pub tokens_are_positions: bool,
}

/// Snapshots per application, from the service's quota page.
const SNAPSHOT_QUOTA: usize = 1000;

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            lifecycle: None,
            snapshots_fail: false,
            downtime: false,
            clock_behind: SignedDuration::ZERO,
            status: None,
            snapshot_quota: SNAPSHOT_QUOTA,
            deletes_refused: BTreeMap::new(),
            deletes_per_second: None,
            page_limit: 50,
            tokens_expired: 0,
            listing_lag: Duration::ZERO,
            tokens_are_positions: false,
        }
    }
}

/// The status of a snapshot, as the service spells it in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// Being taken.
    Creating,
    /// Usable.
    Ready,
    /// Being deleted, still listed.
    Deleting,
    /// Could not be taken; stays listed until deleted.
    Failed,
}

impl SnapshotStatus {
    /// The value on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Ready => "READY",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
        }
    }
}

/// A snapshot that is there already. It keeps its status, even CREATING, until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededSnapshot {
    /// Unique within the application; not checked.
    pub name: String,
    /// See [`SnapshotStatus`].
    pub status: SnapshotStatus,
    /// The model lets the service leave it out.
    pub created_at: Option<Timestamp>,
    /// The application's version when it was taken, from 1.
    pub version_id: u32,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// The exception's name, such as `ResourceInUseException`.
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// 400 for everything that the emulator raises by itself.
    pub http_status: u16,
}

/// The body of an error answer: `__type` and the message, under the key that the model has for it.
#[must_use]
pub fn error_body(code: &str, message: &str) -> Value {
    let key = match code {
        "TooManyTagsException" => "message",
        _ => "Message",
    };
    json!({ "__type": code, key: message })
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}

/// The error is the service's unless another type is named.
type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// What an operation answers.
type Answer = Result<Value>;

fn error(code: &str, message: impl Into<String>) -> ServiceError {
    ServiceError {
        code: code.to_owned(),
        message: message.into(),
        http_status: 400,
    }
}

/// The service in one region of one account.
#[derive(Clone, Debug)]
pub struct Emulator {
    region: String,
    account: String,
    lifecycle: Lifecycle,
    applications: BTreeMap<String, Application>,
    behaviours: BTreeMap<String, Behaviour>,
    /// Deletions that each application may have at once, as of a time.
    allowances: BTreeMap<String, (f64, Timestamp)>,
    /// For applications that are not created yet.
    seeds: BTreeMap<String, Vec<SeededSnapshot>>,
    last_number: u64,
}

impl Emulator {
    /// An account without applications.
    #[must_use]
    pub fn new(region: &str, account: &str, lifecycle: Lifecycle) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            lifecycle,
            applications: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            allowances: BTreeMap::new(),
            seeds: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// What is particular about an application. It may be set before the application is created
    /// and outlives it.
    pub fn behaviour(&mut self, application: &str) -> &mut Behaviour {
        self.behaviours.entry(application.to_owned()).or_default()
    }

    /// Gives an application snapshots that are there already, the oldest first: now if it exists,
    /// otherwise as soon as it is created.
    pub fn seed(&mut self, application: &str, snapshots: impl IntoIterator<Item = SeededSnapshot>) {
        let waiting = self.seeds.entry(application.to_owned()).or_default();
        waiting.extend(snapshots);
        self.plant_seeds(application);
    }

    /// Answers one call. `operation` is what follows `KinesisAnalytics_20180523.` in the header
    /// `X-Amz-Target`, `body` the JSON that came with it, `now` the time at which it came.
    pub fn call(&mut self, operation: &str, body: &[u8], now: Timestamp) -> Result<Value> {
        self.advance(now);
        let answer: fn(&mut Self, &Input, Timestamp) -> Answer = match operation {
            "CreateApplication" => Self::create_application,
            "DescribeApplication" => Self::describe_application,
            "ListApplications" => Self::list_applications,
            "StartApplication" => Self::start_application,
            "StopApplication" => Self::stop_application,
            "UpdateApplication" => Self::update_application,
            "DeleteApplication" => Self::delete_application,
            "TagResource" => Self::tag_resource,
            "ListTagsForResource" => Self::list_tags_for_resource,
            "CreateApplicationSnapshot" => Self::create_application_snapshot,
            "DescribeApplicationSnapshot" => Self::describe_application_snapshot,
            "ListApplicationSnapshots" => Self::list_application_snapshots,
            "DeleteApplicationSnapshot" => Self::delete_application_snapshot,
            _ => {
                let message = format!("{operation} is not emulated");
                return Err(error("UnknownOperationException", message));
            }
        };
        let body: Value = serde_json::from_slice(body).map_err(|fault| {
            let message = format!("The request is not JSON: {fault}");
            error("SerializationException", message)
        })?;
        answer(self, &Input::of(&body)?, now)
    }

    /// Lets time pass.
    fn advance(&mut self, now: Timestamp) {
        self.applications
            .retain(|_, application| application.advance(now));
    }

    fn plant_seeds(&mut self, name: &str) {
        if let Some(application) = self.applications.get_mut(name) {
            for seed in self.seeds.remove(name).unwrap_or_default() {
                self.last_number += 1;
                let snapshot = Snapshot::seeded(self.last_number, seed);
                application.snapshots.push(snapshot);
            }
        }
    }

    /// A number that was never given before: it orders what is listed and makes ids unique.
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn conduct(&self, name: &str, now: Timestamp) -> Conduct {
        let behaviour = self.behaviours.get(name).cloned().unwrap_or_default();
        let lifecycle = (behaviour.lifecycle.clone()).unwrap_or_else(|| self.lifecycle.clone());
        Conduct {
            now,
            stamp: now.saturating_sub(behaviour.clock_behind).unwrap_or(now),
            lifecycle,
            behaviour,
        }
    }
}

/// All that one call needs to know about an application besides its state.
struct Conduct {
    /// The time of the call: life cycles run by it.
    now: Timestamp,
    /// The same by the service's clock: timestamps show it.
    stamp: Timestamp,
    lifecycle: Lifecycle,
    behaviour: Behaviour,
}

impl Conduct {
    /// The status to show and to act upon.
    fn status<'a>(&'a self, application: &'a Application) -> &'a str {
        (self.behaviour.status.as_deref()).unwrap_or(application.status)
    }

    /// The time so much later; a duration beyond the calendar never ends.
    fn after(&self, duration: Duration) -> Timestamp {
        self.now.checked_add(duration).unwrap_or(Timestamp::MAX)
    }

    fn is_same_second(one: Timestamp, other: Timestamp) -> bool {
        one.as_second() == other.as_second()
    }
}

/// Epoch seconds with three decimals at most, as the service writes timestamps.
fn epoch_seconds(timestamp: Timestamp) -> Value {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a timestamp's milliseconds have 48 bits"
    )]
    let milliseconds = timestamp.as_millisecond() as f64;
    json!(milliseconds / 1000.0)
}

/// The structure without the members that are null: they are absent on the wire.
fn without_nulls(mut structure: Value) -> Value {
    if let Value::Object(members) = &mut structure {
        members.retain(|_, value| !value.is_null());
    }
    structure
}

fn wrong_status(name: &str, status: &str, operation: &str) -> ServiceError {
    let message = format!("Application {name} is {status}: {operation} is not possible");
    error("ResourceInUseException", message)
}

/// One page of what is listed newest first, and the token of the next page.
///
/// The token is the owner's number and that of the last item shown, so that it stays good whatever
/// is created and deleted in between, and fits the narrower of the two patterns in the model.
fn page<'a, T>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    number_of: impl Fn(&T) -> u64,
    owner: u64,
    limit: usize,
    token: Option<&str>,
) -> Option<(Vec<&'a T>, Option<String>)> {
    let before = token.map_or(Some(u64::MAX), |token| number_in(token, owner))?;
    let mut rest = items.rev().filter(|item| number_of(item) < before);
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = shown.last().filter(|_| more);
    let next = next.map(|last| token_with(number_of(last), owner));
    Some((shown, next))
}

/// The same with a token that is the number of items shown so far.
fn page_by_position<'a, T>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    owner: u64,
    limit: usize,
    token: Option<&str>,
) -> Option<(Vec<&'a T>, Option<String>)> {
    let from = token.map_or(Some(0), |token| number_in(token, owner))?;
    let from = usize::try_from(from).ok()?;
    let mut rest = items.rev().skip(from);
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().is_some().then(|| from + shown.len());
    let next = next.and_then(|next| Some(token_with(u64::try_from(next).ok()?, owner)));
    Some((shown, next))
}

fn token_with(number: u64, owner: u64) -> String {
    format!("{owner:016x}{number:016x}")
}

fn number_in(token: &str, owner: u64) -> Option<u64> {
    let digits = token.strip_prefix(&format!("{owner:016x}"))?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, 16).ok();
    number.filter(|_| is_ours)
}
