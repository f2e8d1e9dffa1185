//! The operations on snapshots, and the changes of a snapshot's status.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::applications::{APPLICATION_NAME, Application, SNAPSHOT_NAME};
use super::behaviour::Context;
use super::input::{Input, Rule};
use super::paging::{page, page_by_position};
use super::{
    Answer, Emulator, Result, ServiceError, epoch_seconds, error, is_same_second, without_nulls,
    wrong_status,
};

/// The status of a snapshot. FAILED means that the service could not take the snapshot. Such a snapshot stays listed
/// until it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    Creating,
    Ready,
    Deleting,
    Failed,
}

impl SnapshotStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Ready => "READY",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
        }
    }
}

/// A snapshot that an application has from the beginning. Its status changes only through a call; even CREATING stays.
/// A deletion changes it, and so does a forced stop of the application, which makes a CREATING snapshot FAILED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededSnapshot {
    /// The name. It must be unique within the application; this is not checked.
    pub name: String,
    pub status: SnapshotStatus,
    /// The creation time. The service's model allows a description without it.
    pub created_at: Option<Timestamp>,
    /// The version of the application when the snapshot was taken, from 1.
    pub version_id: u32,
    /// The application's runtime environment when the snapshot was taken. The service's model allows a description
    /// without it.
    pub runtime: Option<String>,
}

impl SeededSnapshot {
    /// A snapshot of the application's first version.
    pub fn new(name: &str, status: SnapshotStatus, created_at: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            status,
            created_at: Some(created_at),
            version_id: 1,
            runtime: None,
        }
    }

    /// A READY snapshot, named as by a run that started at this time.
    pub fn managed(created_at: Timestamp) -> Self {
        let name = format!("custom_{}", created_at.as_millisecond());
        Self {
            runtime: Some("FLINK-1_20".to_owned()),
            ..Self::new(&name, SnapshotStatus::Ready, created_at)
        }
    }
}

/// The maximum number of snapshots of an application, from the service's quota page.
const SNAPSHOT_QUOTA: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The order of creation, for listings.
    number: u64,
    pub(super) name: String,
    pub(super) status: SnapshotStatus,
    /// Since when the snapshot has this status.
    since: Timestamp,
    /// The time of the next change of status, and the new status. The status is `None` if the snapshot is gone after
    /// that time. The snapshot does not change by itself if this field is `None`.
    change: Option<(Timestamp, Option<SnapshotStatus>)>,
    created_at: Option<Timestamp>,
    version_id: u32,
    runtime: Option<String>,
}

impl Snapshot {
    /// Changes the status. Returns the state before the change.
    fn change_to(
        &mut self,
        at: Timestamp,
        status: SnapshotStatus,
        change: Option<(Timestamp, Option<SnapshotStatus>)>,
    ) -> PastState {
        let before = self.clone();
        self.status = status;
        self.since = at;
        self.change = change;
        PastState {
            until: at,
            snapshot: before,
        }
    }

    fn details(&self) -> Value {
        without_nulls(json!({
            "SnapshotName": self.name,
            "SnapshotStatus": self.status.as_str(),
            "ApplicationVersionId": self.version_id,
            "SnapshotCreationTimestamp": self.created_at.map(epoch_seconds),
            "RuntimeEnvironment": self.runtime,
        }))
    }
}

/// The state of a snapshot before a change.
#[derive(Clone, Debug)]
pub(super) struct PastState {
    /// The time of the change.
    until: Timestamp,
    snapshot: Snapshot,
}

/// How long past states are kept. A listing that lags shows them.
const PAST_KEPT_FOR: SignedDuration = SignedDuration::from_mins(10);

impl Application {
    pub(super) fn advance_snapshots(&mut self, now: Timestamp) {
        let past = &mut self.past;
        self.snapshots.retain_mut(|snapshot| match snapshot.change {
            Some((at, to)) if at <= now => {
                let status = to.unwrap_or(snapshot.status);
                past.push(snapshot.change_to(at, status, None));
                to.is_some()
            }
            _ => true,
        });
        past.retain(|past| now.duration_since(past.until) <= PAST_KEPT_FOR);
    }

    /// Makes the CREATING snapshot FAILED, as a forced stop does.
    pub(super) fn abort_snapshot(&mut self, now: Timestamp) {
        for snapshot in &mut self.snapshots {
            if snapshot.status == SnapshotStatus::Creating {
                let past = snapshot.change_to(now, SnapshotStatus::Failed, None);
                self.past.push(past);
            }
        }
    }

    /// The snapshots as they were at a time, in the order of creation.
    fn snapshots_at(&self, then: Timestamp) -> Vec<&Snapshot> {
        let present = self.snapshots.iter();
        let past = self.past.iter().filter(|past| then < past.until);
        let mut all: Vec<&Snapshot> = present
            .chain(past.map(|past| &past.snapshot))
            .filter(|snapshot| snapshot.since <= then)
            .collect();
        all.sort_by_key(|snapshot| snapshot.number);
        all
    }

    pub(super) fn begin_snapshot(&mut self, number: u64, name: String, context: &Context) {
        let outcome = if context.behaviour.snapshots_fail {
            SnapshotStatus::Failed
        } else {
            SnapshotStatus::Ready
        };
        self.snapshots.push(Snapshot {
            number,
            name,
            status: SnapshotStatus::Creating,
            since: context.now,
            change: Some((context.after(context.lifecycle.snapshot), Some(outcome))),
            created_at: Some(context.stamp),
            version_id: self.version_id,
            runtime: Some(self.runtime.clone()),
        });
    }

    pub(super) fn snapshot_in_progress(&self) -> Option<&Snapshot> {
        (self.snapshots.iter()).find(|snapshot| snapshot.status == SnapshotStatus::Creating)
    }

    fn find_snapshot(&mut self, name: &str) -> Result<&mut Snapshot> {
        let found = (self.snapshots.iter_mut()).find(|snapshot| snapshot.name == name);
        found.ok_or_else(|| no_snapshot(&self.name, name))
    }

    fn require_snapshots_supported(&self) -> Result<()> {
        let reason = if self.is_enhanced {
            "uses enhanced snapshots"
        } else if !self.runtime.starts_with("FLINK-") {
            "has no snapshots in its runtime environment"
        } else {
            return Ok(());
        };
        let message = format!("Application {} {reason}", self.name);
        Err(error("UnsupportedOperationException", message))
    }
}

pub(super) fn no_snapshot(application: &str, name: &str) -> ServiceError {
    let message = format!("Snapshot {name} of application {application} does not exist");
    error("ResourceNotFoundException", message)
}

impl Emulator {
    /// Adds snapshots to an application, oldest first. If the application does not exist yet, it gets them when it is
    /// created.
    pub fn seed(&mut self, application: &str, snapshots: impl IntoIterator<Item = SeededSnapshot>) {
        let seeds = self.seeds.entry(application.to_owned()).or_default();
        seeds.extend(snapshots);
        self.add_seeded_snapshots(application);
    }

    pub(super) fn add_seeded_snapshots(&mut self, name: &str) {
        if let Some(application) = self.applications.get_mut(name) {
            for seed in self.seeds.remove(name).unwrap_or_default() {
                self.last_number += 1;
                application.snapshots.push(Snapshot {
                    number: self.last_number,
                    name: seed.name,
                    status: seed.status,
                    since: Timestamp::MIN,
                    change: None,
                    created_at: seed.created_at,
                    version_id: seed.version_id,
                    runtime: seed.runtime,
                });
            }
        }
    }

    pub(super) fn create_application_snapshot(&mut self, input: &Input, now: Timestamp) -> Answer {
        let application_name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let name = input.required_string("SnapshotName", SNAPSHOT_NAME)?;
        let context = self.context(application_name, now);
        let number = self.next_number();
        let application = self.application(application_name)?;
        application.require_snapshots_supported()?;

        let status = context.status(application);
        if status == "READY" {
            let message = format!(
                "Application {application_name} is READY: only a RUNNING one can take snapshots"
            );
            return Err(error("InvalidRequestException", message));
        }
        if status != "RUNNING" {
            return Err(wrong_status(
                application_name,
                status,
                "CreateApplicationSnapshot",
            ));
        }
        if !application.snapshots_enabled {
            let message = format!("Snapshots are disabled for application {application_name}");
            return Err(error("InvalidRequestException", message));
        }
        if context.behaviour.downtime {
            let message = format!(
                "Failed to take snapshot for the application {application_name} at this moment. \
                 The application is currently experiencing downtime. Retry the request later."
            );
            return Err(error("InvalidApplicationConfigurationException", message));
        }
        if application.find_snapshot(name).is_ok() {
            let message =
                format!("Snapshot {name} of application {application_name} already exists");
            return Err(error("ResourceInUseException", message));
        }
        if let Some(other) = application.snapshot_in_progress() {
            let message = format!(
                "Snapshot {} of application {application_name} is CREATING",
                other.name
            );
            return Err(error("ResourceInUseException", message));
        }
        let quota = context.behaviour.snapshot_quota.unwrap_or(SNAPSHOT_QUOTA);
        if application.snapshots.len() >= quota {
            let message =
                format!("Application {application_name} has {quota} snapshots, its limit");
            return Err(error("LimitExceededException", message));
        }
        application.begin_snapshot(number, name.to_owned(), &context);
        Ok(json!({}))
    }

    pub(super) fn describe_application_snapshot(&mut self, input: &Input, _: Timestamp) -> Answer {
        let application_name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let name = input.required_string("SnapshotName", SNAPSHOT_NAME)?;
        let application = self.application(application_name)?;
        application.require_snapshots_supported()?;
        Ok(json!({ "SnapshotDetails": application.find_snapshot(name)?.details() }))
    }

    pub(super) fn list_application_snapshots(&mut self, input: &Input, now: Timestamp) -> Answer {
        let application_name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let limit = input.page_limit()?;
        let token = input.string("NextToken", Rule::String(1, 512))?;
        let expired = token.is_some() && self.use_up_expired_token(application_name);
        let behaviour = self.context(application_name, now).behaviour;
        let limit = limit.min(behaviour.page_limit.unwrap_or(limit));
        let as_invalid_argument =
            |missing: ServiceError| error("InvalidArgumentException", missing.message);
        let application = self
            .application(application_name)
            .map_err(as_invalid_argument)?;
        application.require_snapshots_supported()?;
        if expired {
            return Err(input.refusal("NextToken", "has expired"));
        }

        let listed = if behaviour.listing_lag.is_zero() {
            application.snapshots.iter().collect()
        } else {
            application.snapshots_at(now.saturating_sub(behaviour.listing_lag).unwrap_or(now))
        };
        let (listed, number) = (listed.into_iter(), application.number);
        let (shown, next) = if behaviour.tokens_are_positions {
            page_by_position(listed, number, limit, token)
        } else {
            page(listed, |snapshot| snapshot.number, number, limit, token)
        }
        .ok_or_else(|| input.refusal("NextToken", "is not one of this application's"))?;
        let summaries: Vec<_> = shown.into_iter().map(Snapshot::details).collect();
        let answer = json!({ "SnapshotSummaries": summaries, "NextToken": next });
        Ok(without_nulls(answer))
    }

    /// All snapshots of an application as they are now, newest first, whatever a listing shows.
    pub fn snapshots(&mut self, application: &str, now: Timestamp) -> Vec<Value> {
        let mut states = self.states_since(application, now, now);
        states.pop().unwrap_or_default()
    }

    /// All snapshots of an application as they were at `then`, and as they were after each change between `then` and
    /// `now`. `then` is at most ten minutes before `now`.
    pub fn states_since(
        &mut self,
        application: &str,
        then: Timestamp,
        now: Timestamp,
    ) -> Vec<Vec<Value>> {
        self.advance(now);
        let Some(application) = self.applications.get(application) else {
            return Vec::new();
        };
        let changes = (application.snapshots.iter().map(|snapshot| snapshot.since))
            .chain(application.past.iter().map(|past| past.until))
            .filter(|at| then < *at && *at <= now);
        let moments: BTreeSet<Timestamp> = changes.chain([then]).collect();
        let newest_first = |at| application.snapshots_at(at).into_iter().rev();
        let listed = |at| newest_first(at).map(Snapshot::details).collect();
        moments.into_iter().map(listed).collect()
    }

    /// Whether the token in this request counts as expired. Reduces
    /// [`Behaviour::tokens_expired`](super::Behaviour::tokens_expired) by one.
    fn use_up_expired_token(&mut self, application: &str) -> bool {
        let Some(behaviour) = self.behaviours.get_mut(application) else {
            return false;
        };
        let expires = behaviour.tokens_expired > 0;
        behaviour.tokens_expired = behaviour.tokens_expired.saturating_sub(1);
        expires
    }

    /// Takes one deletion from the application's rate limiter, a token bucket that holds the deletions of one second.
    /// Returns `false` if it is empty.
    fn take_from_bucket(&mut self, application: &str, per_second: u32, now: Timestamp) -> bool {
        let rate = f64::from(per_second);
        let bucket = self.deletion_buckets.entry(application.to_owned());
        let (left, since) = bucket.or_insert((rate, now));
        let passed = now.duration_since(*since).as_secs_f64().max(0.0);
        *left = (*left + passed * rate).min(rate);
        *since = now;
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }

    pub(super) fn delete_application_snapshot(&mut self, input: &Input, now: Timestamp) -> Answer {
        let application_name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let name = input.required_string("SnapshotName", SNAPSHOT_NAME)?;
        let created_at = input.required_timestamp("SnapshotCreationTimestamp")?;
        let context = self.context(application_name, now);
        if let Some(rate) = context.behaviour.deletes_per_second
            && !self.take_from_bucket(application_name, rate, now)
        {
            return Err(error("ThrottlingException", "Rate exceeded"));
        }
        let application = self.application(application_name)?;
        application.require_snapshots_supported()?;

        if let Some(refusal) = context.behaviour.deletes_refused.get(name) {
            return Err(refusal.clone());
        }
        if context.status(application) == "DELETING" {
            return Err(wrong_status(
                application_name,
                "DELETING",
                "DeleteApplicationSnapshot",
            ));
        }
        let snapshot = application.find_snapshot(name)?;
        if (snapshot.created_at).is_none_or(|listed| !is_same_second(listed, created_at)) {
            let reason = format!("is not when snapshot {name} was created");
            return Err(input.refusal("SnapshotCreationTimestamp", &reason));
        }
        match snapshot.status {
            SnapshotStatus::Ready | SnapshotStatus::Failed => {
                let change = Some((context.after(context.lifecycle.deleting), None));
                let past = snapshot.change_to(now, SnapshotStatus::Deleting, change);
                application.past.push(past);
                Ok(json!({}))
            }
            status @ (SnapshotStatus::Creating | SnapshotStatus::Deleting) => {
                let status = status.as_str();
                let message =
                    format!("Snapshot {name} of application {application_name} is {status}");
                Err(error("ResourceInUseException", message))
            }
        }
    }
}
