//! Amazon Managed Service for Apache Flink on one machine: the applications and snapshots of `kinesisanalyticsv2`, in
//! memory.
//!
//! An [`Emulator`] depends only on the calls to it and on the times given with them: it has no clock, no randomness and no
//! I/O. Work of the service (a start, a snapshot, a deletion) ends at the first call, of any kind, whose time is late
//! enough. A later call with an earlier time does not undo it.
//!
//! The shapes, patterns, lengths and errors are those of the service's model, `2018-05-23`. This table has the choices
//! where neither the model nor the documentation says what the service does:
//!
//! | Behaviour | Choice | Why |
//! |---|---|---|
//! | Order of `ListApplicationSnapshots` | newest first, in the order of creation | `ListSnapshots` is documented so; nothing may rely on it here |
//! | `NextToken` | continues after the last snapshot shown; bound to the application | a deletion between two pages hides no other snapshot, a new snapshot appears on no later page; [`Behaviour::tokens_are_positions`] gives the opposite |
//! | Age of a listing | zero | nothing is documented; [`Behaviour::listing_lag`] gives another |
//! | `ListApplicationSnapshots` of an unknown application | `InvalidArgumentException`, "does not exist" | the model has no `ResourceNotFoundException` for it |
//! | Invalid `Limit` or `NextToken` of `ListApplications` | `InvalidRequestException` | the only error in the model |
//! | Describe or delete an unknown snapshot | `ResourceNotFoundException`, "does not exist" | clients expect this or `InvalidArgumentException`; [`Behaviour::deletes_refused`] gives the other |
//! | Snapshot of a stopped application (READY) | `InvalidRequestException` | AWS's own sample handles it on create |
//! | Snapshot in another status than RUNNING | `ResourceInUseException` | "not available for this operation" |
//! | Snapshot of an application with a customer managed key | the caller needs the rights on the key that the guide lists for callers of the API; otherwise the proxy answers `AccessDeniedException` | "the operator must have permissions for all CMKs involved" in `CreateApplicationSnapshot` |
//! | Snapshot with `SnapshotsEnabled` false | `InvalidRequestException` | the request does not fit the configuration |
//! | Name taken, even by a FAILED or DELETING snapshot | `ResourceInUseException` | enhanced snapshots are documented so |
//! | Another snapshot is CREATING | `ResourceInUseException` | one at a time is documented for enhanced snapshots |
//! | Several reasons to refuse a snapshot | the first of: status, configuration, downtime, name, other snapshot, quota | permanent reasons of the application first, then the snapshot's |
//! | Quota | counts every listed snapshot, whatever its status | snapshots of the service are known to count |
//! | Name of a snapshot of the service | `service_stop_` or `service_update_` and a number | different from a person's names and from `custom_…` |
//! | Stop or update that takes a snapshot | STOPPING or UPDATING lasts as long as the snapshot and the stop or update together, also if the snapshot ends FAILED; the snapshot has the version before the update | a snapshot that fails must not block the service |
//! | Stop without `Force`, or update, while a snapshot is CREATING | `ResourceInUseException` | one snapshot at a time |
//! | Forced stop while a snapshot is CREATING | the snapshot becomes FAILED | its job has ended |
//! | Forced stop | from STARTING, RUNNING, UPDATING, AUTOSCALING and STOPPING | "only in the running status, unless you set Force" |
//! | Operation in the wrong application status | `ResourceInUseException` | "not available for this operation" |
//! | Delete of a snapshot CREATING or DELETING | `ResourceInUseException` | documented for enhanced snapshots |
//! | Wrong `SnapshotCreationTimestamp` | `InvalidArgumentException`; compared in whole seconds | Terraform deletes with whole seconds; "not found" would read as deleted |
//! | Delete of a snapshot listed without a timestamp | `InvalidArgumentException` | no value is valid |
//! | `DeleteApplication` | from RUNNING and READY; `CreateTimestamp` as above; its snapshots are deleted with it | the documentation says that it stops the application |
//! | Update with the wrong version or token | `ConcurrentModificationException`; with neither: `InvalidArgumentException` | its documented meaning |
//! | Update that changes nothing | a new version, as after any update | "updates the ApplicationVersionId each time" |
//! | Restore type of a start without one | the last one; the first time, and after an update of SKIP, RESTORE_FROM_LATEST_SNAPSHOT | users of Terraform see the latter |
//! | Restore from an unknown snapshot, or one that is not READY | `ResourceNotFoundException`, `InvalidRequestException` | the model has both for start and update |
//! | Legacy snapshot operations on an application in `ENHANCED_SNAPSHOTS` mode or without Flink runtime | `UnsupportedOperationException` | "not valid for this operation" |
//! | `ListTagsForResource` without tags | no `Tags` member | the model requires one entry or more |
//! | Restore by `SnapshotArn` | `UnsupportedOperationException` | it names enhanced snapshots, which are not emulated |
//! | `ENHANCED_SNAPSHOTS` below Flink 1.20, or back from it | `UnsupportedOperationException` | the documentation excludes both |
//! | Applications per account | 100, then `LimitExceededException` | the default quota |
//! | Malformed JSON, wrong JSON type | `SerializationException` | as other JSON services of AWS; not in the model |
//! | Operation that is not emulated | `UnknownOperationException` | as for an operation that the service does not know |
//! | `VpcConfigurations`, SQL and Zeppelin parts of a configuration | accepted, not shown | nothing here uses them |

mod applications;
mod behaviour;
mod configuration;
mod input;
mod paging;
mod restore;
mod snapshots;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

use applications::Application;
pub use behaviour::{Behaviour, Lifecycle};
use input::Input;
pub use snapshots::{SeededSnapshot, SnapshotStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// The exception's name, such as `ResourceInUseException`.
    pub code: String,
    pub message: String,
    /// 400 for all errors of the emulator itself.
    pub http_status: u16,
}

/// The body of an error answer: `__type`, and the message under the key that the model has for it.
pub fn error_body(code: &str, message: &str) -> Value {
    let key = match code {
        "TooManyTagsException" => "message",
        _ => "Message",
    };
    json!({ "__type": code, key: message })
}

impl ServiceError {
    pub fn new(code: &str, http_status: u16, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            http_status,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}

type Result<T, E = ServiceError> = std::result::Result<T, E>;

type Answer = Result<Value>;

fn error(code: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::new(code, 400, message)
}

#[derive(Clone, Debug)]
pub struct Emulator {
    region: String,
    account: String,
    lifecycle: Lifecycle,
    applications: BTreeMap<String, Application>,
    behaviours: BTreeMap<String, Behaviour>,
    /// How many deletions each application may have at once, and since when.
    allowances: BTreeMap<String, (f64, Timestamp)>,
    /// For applications that do not exist yet.
    seeds: BTreeMap<String, Vec<SeededSnapshot>>,
    last_number: u64,
}

impl Emulator {
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

    /// Answers a call. `operation` is what follows `KinesisAnalytics_20180523.` in the header `X-Amz-Target`, `body` is
    /// the JSON of the request, `now` is the time of the call.
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

    fn advance(&mut self, now: Timestamp) {
        self.applications
            .retain(|_, application| application.advance(now));
    }

    /// A new number. It orders listings and makes ids unique.
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn application(&mut self, name: &str) -> Result<&mut Application> {
        self.applications.get_mut(name).ok_or_else(|| {
            let message = format!("Application {name} does not exist");
            error("ResourceNotFoundException", message)
        })
    }

    /// The ARN of the customer managed key of an application, if it has one.
    pub fn key_of(&self, application_arn: &str) -> Option<String> {
        let mut applications = self.applications.values();
        let found = applications.find(|application| application.arn == application_arn);
        let key = found?.key_id()?;
        if key.starts_with("arn:") {
            return Some(key.to_owned());
        }
        let owner = format!("{}:{}", self.region, self.account);
        Some(format!("arn:aws:kms:{owner}:key/{key}"))
    }

    fn arn(&self, application: &str) -> String {
        let owner = format!("{}:{}", self.region, self.account);
        format!("arn:aws:kinesisanalytics:{owner}:application/{application}")
    }
}

/// A timestamp as the service writes it: epoch seconds with at most three decimals.
fn epoch_seconds(timestamp: Timestamp) -> Value {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a timestamp's milliseconds have 48 bits"
    )]
    let milliseconds = timestamp.as_millisecond() as f64;
    json!(milliseconds / 1000.0)
}

/// Removes the members that are null, which are absent on the wire.
fn without_nulls(mut structure: Value) -> Value {
    if let Value::Object(members) = &mut structure {
        members.retain(|_, value| !value.is_null());
    }
    structure
}

fn is_same_second(one: Timestamp, other: Timestamp) -> bool {
    one.as_second() == other.as_second()
}

fn wrong_status(name: &str, status: &str, operation: &str) -> ServiceError {
    let message = format!("Application {name} is {status}: {operation} is not possible");
    error("ResourceInUseException", message)
}
