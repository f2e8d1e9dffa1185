//! What an execution is asked to do, and who it is.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Bounded;

/// What a snapshot's name begins with when this system took it; 13 digits of a run id follow.
/// The original Python sample named its snapshots the same, so those are managed too.
pub const MANAGED_PREFIX: &str = "custom_";

/// Whether the name says that this system, or the original sample, took the snapshot.
#[must_use]
pub fn is_managed(snapshot_name: &str) -> bool {
    snapshot_name
        .strip_prefix(MANAGED_PREFIX)
        .is_some_and(|id| id.len() == 13 && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The input of an execution. An unknown field is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunInput {
    /// The Flink application, 1 to 128 of `a-z A-Z 0-9 _ . -`.
    pub application_name: ApplicationName,
    /// `RUN`: take a snapshot, then prune; `PRUNE`: take none, prune; `PLAN`: take and delete
    /// nothing, report the plan.
    #[serde(default)]
    pub mode: Mode,
    /// Which snapshots to keep. Given, it means exactly what it says.
    #[serde(default)]
    pub retention: Retention,
    /// The shortest wait between two looks at the snapshot, in seconds, 1 to 300.
    #[serde(default = "default_poll_interval")]
    pub poll_interval_seconds: Bounded<1, 300>,
    /// The age in seconds, 60 to 86,400, from which a snapshot that is not READY fails the run
    /// with `SnapshotTimedOut`.
    #[serde(default = "default_ready_timeout")]
    pub ready_timeout_seconds: Bounded<60, 86_400>,
    /// `ALL` runs, or only `PROBLEMS`: FAILED, `TIMED_OUT`, ABORTED, `PRUNE_INCOMPLETE`.
    #[serde(default)]
    pub notify_on: NotifyOn,
}

/// The original sample's `snapshot_creation_wait_time_seconds`.
const fn default_poll_interval() -> Bounded<1, 300> {
    Bounded::clamped(15)
}

const fn default_ready_timeout() -> Bounded<60, 86_400> {
    Bounded::clamped(7_200)
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Mode {
    /// Take a snapshot, then prune.
    #[default]
    Run,
    /// Take no snapshot, prune.
    Prune,
    /// Take and delete nothing, report the plan.
    Plan,
}

/// Which runs are announced. The record is written for every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum NotifyOn {
    /// All runs.
    #[default]
    All,
    /// Only runs that end FAILED, `TIMED_OUT`, ABORTED or `PRUNE_INCOMPLETE`.
    Problems,
}

/// The retention policy. An unknown field is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Keep the newest so many READY snapshots, at least 1.
    #[serde(deserialize_with = "needed_rule")]
    pub keep_last: Bounded<1, { u32::MAX }>,
    /// The brake: a run whose plan wants more deletions than this deletes nothing. At least 1.
    #[serde(
        default = "default_max_deletions",
        deserialize_with = "max_deletions_or_default"
    )]
    #[schemars(with = "Option<Bounded<1, { u32::MAX }>>")]
    pub max_deletions_per_run: Bounded<1, { u32::MAX }>,
}

/// A deployment writes `null` for a rule that it leaves out; a policy is left with none without this
/// one.
fn needed_rule<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Bounded<1, { u32::MAX }>, D::Error> {
    Option::deserialize(deserializer)?
        .ok_or_else(|| D::Error::custom("null leaves the rule out, and a policy needs one rule"))
}

/// `null` is what a deployment writes for a setting that it leaves out.
fn max_deletions_or_default<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Bounded<1, { u32::MAX }>, D::Error> {
    let given = Option::deserialize(deserializer)?;
    Ok(given.unwrap_or(default_max_deletions()))
}

const fn default_max_deletions() -> Bounded<1, { u32::MAX }> {
    Bounded::clamped(25)
}

impl Default for Retention {
    /// `keep_last` is the original sample's `number_of_older_snapshots_to_retain`.
    fn default() -> Self {
        Self {
            keep_last: Bounded::clamped(30),
            max_deletions_per_run: default_max_deletions(),
        }
    }
}

/// The name of an MSF application: 1 to 128 of `[a-zA-Z0-9_.-]`, as the service's own model says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApplicationName(String);

impl ApplicationName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ApplicationName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        match name.len() {
            1..=128 if name.bytes().all(legal) => Ok(Self(name)),
            1..=128 => Err(format!(
                "{name:?} has characters other than a-z, A-Z, 0-9, '_', '.' and '-'"
            )),
            length => Err(format!("a name has 1 to 128 characters, this has {length}")),
        }
    }
}

impl From<ApplicationName> for String {
    fn from(name: ApplicationName) -> Self {
        name.0
    }
}

impl std::fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for ApplicationName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ApplicationName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-zA-Z0-9_.-]+$"
        })
    }
}

/// One run: the same for every retry and redrive of its execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The start of the execution in epoch milliseconds, truncated; the table's sort key.
    pub run_id: i64,
    /// The execution in Step Functions.
    pub execution_arn: String,
    /// What was asked for, defaults filled in.
    pub input: RunInput,
}

impl Run {
    /// The name of the snapshot that this run takes, if it takes one.
    #[must_use]
    pub fn snapshot_name(&self) -> String {
        format!("{MANAGED_PREFIX}{:013}", self.run_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_snapshot_so_that_it_is_managed() {
        let run = Run {
            run_id: 1_763_835_747_949,
            execution_arn: String::new(),
            input: serde_json::from_str(r#"{"application_name":"orders"}"#).unwrap(),
        };
        assert_eq!(run.snapshot_name(), "custom_1763835747949");
        assert!(is_managed(&run.snapshot_name()));
    }

    #[test]
    fn only_custom_and_13_digits_is_managed() {
        for other in [
            "",
            "custom_",
            "custom_176383574794",
            "custom_17638357479490",
            "custom_17638357479x9",
            "Custom_1763835747949",
            "before-upgrade",
            "xcustom_1763835747949",
        ] {
            assert!(!is_managed(other), "{other}");
        }
    }

    #[test]
    fn null_is_a_rule_or_setting_left_out() {
        let read = |text: &str| serde_json::from_str::<Retention>(text);
        let retention = read(r#"{"keep_last":7,"max_deletions_per_run":null}"#).unwrap();
        assert_eq!(retention.keep_last.get(), 7);
        assert_eq!(retention.max_deletions_per_run, default_max_deletions());
        let refused = read(r#"{"keep_last":null}"#).unwrap_err().to_string();
        assert!(refused.starts_with("null leaves the rule out"), "{refused}");
    }

    #[test]
    fn what_is_left_out_of_the_run_input_has_its_default() {
        let input: RunInput = serde_json::from_str(r#"{"application_name":"orders"}"#).unwrap();
        assert_eq!(
            serde_json::to_value(input).unwrap(),
            serde_json::json!({
                "application_name": "orders",
                "mode": "RUN",
                "retention": { "keep_last": 30, "max_deletions_per_run": 25 },
                "poll_interval_seconds": 15,
                "ready_timeout_seconds": 7200,
                "notify_on": "ALL"
            })
        );
    }
}
