//! An emulator of Amazon Managed Service for Apache Flink: the applications and snapshots of the API
//! `kinesisanalyticsv2`, in memory.
//!
//! The state of an [`Emulator`] depends only on the calls and on the times that the callers pass with them: it has no
//! clock, no randomness and no I/O. A background operation of the service (a start, a snapshot, a deletion) has
//! finished once any call has a time late enough. It stays finished, even if a later call has an earlier time.
//!
//! The shapes, patterns, lengths and errors are those of the service's model, `2018-05-23`. Where neither the model nor
//! the documentation says what the service does, this table lists what the emulator does, and why:
//!
//! | Behaviour | Choice | Why |
//! |---|---|---|
//! | Order of `ListApplicationSnapshots` | newest first, by the order of creation | the documentation says so of `ListSnapshots`; no code here may rely on it |
//! | `NextToken` | continues after the last snapshot of the page; valid for one application | a deletion between two pages hides no other snapshot, and a new snapshot appears on no later page; with [`Behaviour::tokens_are_positions`], both happen |
//! | Age of the state that a listing shows | zero | the documentation does not mention a lag; [`Behaviour::listing_lag`] sets one |
//! | `ListApplicationSnapshots` of an unknown application | `InvalidArgumentException`, "does not exist" | the model has no `ResourceNotFoundException` for it |
//! | Invalid `Limit` or `NextToken` of `ListApplications` | `InvalidRequestException` | the only error that the model has for this operation |
//! | Describe or delete an unknown snapshot | `ResourceNotFoundException`, "does not exist" | clients handle this and `InvalidArgumentException`; [`Behaviour::deletes_refused`] can return the latter |
//! | Snapshot of a stopped application (READY) | `InvalidRequestException` | AWS's own sample handles this error when it creates a snapshot |
//! | Snapshot of an application that is neither RUNNING nor READY | `ResourceInUseException` | "not available for this operation" |
//! | Snapshot of an application with a customer managed key | the caller needs the permissions for the key that the guide lists for callers of the API; without them, the proxy returns `AccessDeniedException` | "the operator must have permissions for all CMKs involved" in `CreateApplicationSnapshot` |
//! | Snapshot with `SnapshotsEnabled` false | `InvalidRequestException` | the request does not fit the configuration |
//! | Name taken, even by a FAILED or DELETING snapshot | `ResourceInUseException` | documented for enhanced snapshots |
//! | Another snapshot is CREATING | `ResourceInUseException` | one at a time is documented for enhanced snapshots |
//! | Several reasons to refuse a snapshot | the first of: status, configuration, downtime, name, other snapshot, quota | reasons about the application come before reasons about the snapshot |
//! | Quota | every listed snapshot counts, whatever its status | snapshots that the service takes are known to count |
//! | Name of a snapshot that the service takes | `service_stop_` or `service_update_` and a number | differs from names that people choose and from `custom_…` |
//! | Stop or update that takes a snapshot | the application is STOPPING or UPDATING for the time of the snapshot plus the time of the stop or update, even if the snapshot ends FAILED; the snapshot has the version before the update | a snapshot that fails must not block the stop or update |
//! | Stop without `Force`, or update, while a snapshot is CREATING | `ResourceInUseException` | one snapshot at a time |
//! | Forced stop while a snapshot is CREATING | the snapshot becomes FAILED, even one that the test created with the status CREATING | a forced stop ends the Flink job |
//! | Status in which a forced stop is possible | STARTING, RUNNING, UPDATING, AUTOSCALING and STOPPING | "only in the running status, unless you set Force" |
//! | Operation in the wrong application status | `ResourceInUseException` | "not available for this operation" |
//! | Deletion of a snapshot that is CREATING or DELETING | `ResourceInUseException` | documented for enhanced snapshots |
//! | Wrong `SnapshotCreationTimestamp` | `InvalidArgumentException`; times are compared in whole seconds | Terraform deletes with whole seconds; clients would take "not found" for deleted |
//! | Deletion of a snapshot that is listed without a timestamp | `InvalidArgumentException` | no value of the timestamp would be right |
//! | `DeleteApplication` | possible if the application is RUNNING or READY; `CreateTimestamp` is compared in whole seconds; the snapshots are deleted too | the documentation says that this operation stops the application |
//! | Update with the wrong version or token | `ConcurrentModificationException`; with neither: `InvalidArgumentException` | the documented meaning of this error |
//! | Update that changes nothing | a new version, as after any update | "updates the ApplicationVersionId each time" |
//! | Restore type of a start without one | that of the last start; RESTORE_FROM_LATEST_SNAPSHOT at the first start, and after an update if the last type was SKIP_RESTORE_FROM_SNAPSHOT | users of Terraform see the latter |
//! | Restore from an unknown snapshot, or one that is not READY | `ResourceNotFoundException`, `InvalidRequestException` | the model has both for start and update |
//! | Legacy snapshot operations on an application in `ENHANCED_SNAPSHOTS` mode, or with a runtime that is not Flink | `UnsupportedOperationException` | "not valid for this operation" |
//! | `ListTagsForResource` without tags | no `Tags` member | the model requires one entry or more |
//! | Restore by `SnapshotArn` | `UnsupportedOperationException` | the ARN is for enhanced snapshots, which are not emulated |
//! | `ENHANCED_SNAPSHOTS` below Flink 1.20, or back from it | `UnsupportedOperationException` | the documentation excludes both |
//! | Applications per account | 100, then `LimitExceededException` | the default quota |
//! | Malformed JSON, wrong JSON type | `SerializationException` | other JSON services of AWS return it; it is not in the model |
//! | Operation that is not emulated | `UnknownOperationException` | AWS returns it for an operation that a service does not know |
//! | `VpcConfigurations`, SQL and Zeppelin parts of a configuration | accepted, but not part of a description | nothing here uses them |

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

/// An error that a service returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// The exception's name, such as `ResourceInUseException`.
    pub code: String,
    pub message: String,
    /// The emulator itself returns only 400.
    pub http_status: u16,
}

/// The body of an error response: `__type`, and the message. The model decides the key of the message.
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
    /// A token bucket for each application, which limits the rate of deletions: the number of deletions that are left,
    /// and the time of the last call that used the bucket.
    deletion_buckets: BTreeMap<String, (f64, Timestamp)>,
    /// The seeded snapshots of applications that do not exist yet, by application.
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
            deletion_buckets: BTreeMap::new(),
            seeds: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// Carries out a call. `operation` is the part of the header `X-Amz-Target` after `KinesisAnalytics_20180523.`,
    /// `body` is the JSON of the request, and `now` is the time of the call.
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

    /// A new number, greater than all before it. Numbers order listings and make ids unique.
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

    /// The ARN of an application's customer managed key. `None` if the application does not exist or has no such key.
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

/// A timestamp in the format of the service: epoch seconds with at most three decimals.
fn epoch_seconds(timestamp: Timestamp) -> Value {
    #[allow(
        clippy::cast_precision_loss,
        reason = "a timestamp's milliseconds have 48 bits"
    )]
    let milliseconds = timestamp.as_millisecond() as f64;
    json!(milliseconds / 1000.0)
}

/// Removes the members that are null. The service leaves such members out.
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
