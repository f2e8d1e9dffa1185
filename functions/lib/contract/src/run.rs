//! What an execution is asked to do, and who it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::{Span, SpanFieldwise};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Bounded;

/// What a snapshot's name begins with when this system took it; 13 digits of a run id follow.
/// The original Python sample named its snapshots the same, so those are managed too.
pub const MANAGED_PREFIX: &str = "custom_";

/// Whether the name says that this system, or the original sample, took the snapshot.
#[must_use]
pub fn is_managed(snapshot_name: &str) -> bool {
    managed_run_id(snapshot_name).is_some()
}

/// The id of the run that took a managed snapshot, from the snapshot's name.
#[must_use]
pub fn managed_run_id(snapshot_name: &str) -> Option<i64> {
    let id = snapshot_name.strip_prefix(MANAGED_PREFIX)?;
    let is_id = id.len() == 13 && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| id.parse().ok())?
}

/// Fields that this release does not know, as a newer one wrote them.
pub type UnknownFields = BTreeMap<String, Value>;

/// The input of an execution. The step that begins a run refuses an unknown field
/// ([`RunInput::refuse_unknown_fields`]). Every later step keeps it and hands it on, because the stack
/// may go back to an older release in the middle of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct RunInput {
    /// The Flink application, 1 to 128 of `a-z A-Z 0-9 _ . -`.
    pub application_name: ApplicationName,
    /// `RUN`: take a snapshot, then prune; `PRUNE`: take none, prune; `PLAN`: take and delete
    /// nothing, report the plan.
    #[serde(default)]
    pub mode: Mode,
    /// Which snapshots to keep. Given, it means exactly what it says.
    #[serde(default, deserialize_with = "with_a_rule")]
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
    /// Empty in a run that this release began.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl RunInput {
    /// The fields that the schema has.
    pub const FIELDS: [&str; 6] = [
        "application_name",
        "mode",
        "retention",
        "poll_interval_seconds",
        "ready_timeout_seconds",
        "notify_on",
    ];

    /// Refuses a field that this release does not know: a misspelt setting must not be ignored.
    ///
    /// # Errors
    /// One sentence that begins with the field.
    pub fn refuse_unknown_fields(&self) -> Result<(), String> {
        refuse("", &self.unknown, &Self::FIELDS)?;
        refuse("retention.", &self.retention.unknown, &Retention::FIELDS)
    }
}

/// # Errors
/// The first unknown field, and those that are known.
fn refuse(place: &str, unknown: &UnknownFields, known: &[&str]) -> Result<(), String> {
    let Some(field) = unknown.keys().next() else {
        return Ok(());
    };
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let known = known.join(", ");
    let field = field.escape_debug();
    Err(format!(
        "{place}{field}: unknown field `{field}`, expected one of {known}"
    ))
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

/// How many of something, at least 1.
type Count = Bounded<1, { u32::MAX }>;

/// The retention policy: what any rule keeps stays, and so does what is protected. An unknown field
/// is treated as in [`RunInput`]; `null` is a field left out, as a deployment writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(expecting = "an object of rules")]
#[schemars(extend("additionalProperties" = false))]
#[schemars(extend("anyOf" = [
    { "required": ["keep_last"], "properties": { "keep_last": { "type": "integer" } } },
    { "required": ["keep_hourly"], "properties": { "keep_hourly": { "type": "integer" } } },
    { "required": ["keep_daily"], "properties": { "keep_daily": { "type": "integer" } } },
    { "required": ["keep_weekly"], "properties": { "keep_weekly": { "type": "integer" } } },
    { "required": ["keep_monthly"], "properties": { "keep_monthly": { "type": "integer" } } },
    { "required": ["keep_yearly"], "properties": { "keep_yearly": { "type": "integer" } } },
    { "required": ["keep_within"], "properties": { "keep_within": { "type": "string" } } },
]))]
pub struct Retention {
    /// Keep the newest so many READY snapshots, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<Count>,
    /// Keep the newest snapshot of each of the newest so many hours that have one, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<Count>,
    /// Keep the newest snapshot of each of the newest so many days that have one, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<Count>,
    /// Keep the newest snapshot of each of the newest so many ISO weeks that have one
    /// (they begin on Monday), at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<Count>,
    /// Keep the newest snapshot of each of the newest so many months that have one, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<Count>,
    /// Keep the newest snapshot of each of the newest so many years that have one, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<Count>,
    /// Keep everything that was taken within this duration before the newest snapshot; ISO 8601,
    /// positive, for example `P7D` or `PT36H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<KeepWithin>,
    /// Protect the newest READY snapshot of each of the so many highest application versions,
    /// which a rollback needs, at least 1.
    #[serde(default = "default_versions", deserialize_with = "versions_or_default")]
    #[schemars(with = "Option<Count>")]
    pub keep_last_versions: Count,
    /// Protect the snapshots of these names, at most 100.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<KeepNames>")]
    pub keep_names: KeepNames,
    /// The IANA time zone in which hours, days, weeks, months and years begin.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<TimeZoneName>")]
    pub timezone: TimeZoneName,
    /// `MANAGED`: rules see and delete only what this system, or the original sample, took; `ALL`: also
    /// snapshots by hand and by the service.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Scope>")]
    pub scope: Scope,
    /// The brake: a run whose plan wants more deletions than this deletes nothing. At least 1.
    #[serde(
        default = "default_max_deletions",
        deserialize_with = "max_deletions_or_default"
    )]
    #[schemars(with = "Option<Count>")]
    pub max_deletions_per_run: Count,
    /// Empty in a run that this release began. With one of them nobody knows what the policy keeps.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl Retention {
    /// The fields that the schema has.
    pub const FIELDS: [&str; 12] = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "keep_within",
        "keep_last_versions",
        "keep_names",
        "timezone",
        "scope",
        "max_deletions_per_run",
    ];

    /// Refuses a field that this release does not know.
    ///
    /// # Errors
    /// One sentence that begins with the field.
    pub fn refuse_unknown_fields(&self) -> Result<(), String> {
        refuse("", &self.unknown, &Self::FIELDS)
    }

    /// Whether a rule keeps anything. Without one, a policy would keep what is protected alone,
    /// which nobody means.
    #[must_use]
    pub const fn has_rule(&self) -> bool {
        self.keep_last.is_some()
            || self.keep_hourly.is_some()
            || self.keep_daily.is_some()
            || self.keep_weekly.is_some()
            || self.keep_monthly.is_some()
            || self.keep_yearly.is_some()
            || self.keep_within.is_some()
    }
}

/// What is said of a policy without a rule.
pub const NO_RULE: &str = "the policy keeps nothing: give at least one of keep_last, keep_hourly, \
                           keep_daily, keep_weekly, keep_monthly, keep_yearly and keep_within";

fn with_a_rule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Retention, D::Error> {
    let retention = Retention::deserialize(deserializer)?;
    // A newer release's policy may have nothing but rules that are unknown here.
    if retention.has_rule() || !retention.unknown.is_empty() {
        Ok(retention)
    } else {
        Err(D::Error::custom(NO_RULE))
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn versions_or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(default_versions()))
}

fn max_deletions_or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(default_max_deletions()))
}

/// The running version, and the one that a rollback goes back to.
const fn default_versions() -> Count {
    Bounded::clamped(2)
}

const fn default_max_deletions() -> Count {
    Bounded::clamped(25)
}

impl Default for Retention {
    /// `keep_last` is the original sample's `number_of_older_snapshots_to_retain`.
    fn default() -> Self {
        Self {
            keep_last: Some(Bounded::clamped(30)),
            keep_hourly: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            keep_within: None,
            keep_last_versions: default_versions(),
            keep_names: KeepNames::default(),
            timezone: TimeZoneName::default(),
            scope: Scope::default(),
            max_deletions_per_run: default_max_deletions(),
            unknown: UnknownFields::new(),
        }
    }
}

/// Which snapshots the rules see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Scope {
    /// Those whose name is `custom_` and 13 digits.
    #[default]
    Managed,
    /// All.
    All,
}

/// A positive ISO 8601 duration in whole years, months, weeks, days, hours, minutes and seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepWithin {
    text: String,
    span: SpanFieldwise,
}

impl KeepWithin {
    /// The duration.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span.0
    }
}

impl TryFrom<String> for KeepWithin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // jiff reads much else: signs, fractions, lower case, words.
        let is_iso = text.starts_with('P')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b"PYMWDTHS".contains(&byte));
        match text.parse::<Span>() {
            Ok(span) if is_iso && span.is_positive() => Ok(Self {
                text,
                span: span.fieldwise(),
            }),
            _ => Err(format!(
                "{text:?} is not a positive ISO 8601 duration, such as P7D, P1M or PT36H"
            )),
        }
    }
}

impl From<KeepWithin> for String {
    fn from(within: KeepWithin) -> Self {
        within.text
    }
}

impl fmt::Display for KeepWithin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for KeepWithin {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeepWithin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^P[0-9YMWDTHS]+$" })
    }
}

/// Names of snapshots, at most 100, each 1 to 256 of `[a-zA-Z0-9_.-]`, as the service's own model says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct KeepNames(Vec<String>);

/// A list of names travels through every state, whose payload has a limit.
const NAMES_KEPT: usize = 100;

impl KeepNames {
    /// Whether the name is one of them.
    #[must_use]
    pub fn contains(&self, snapshot_name: &str) -> bool {
        self.0.iter().any(|name| name == snapshot_name)
    }
}

impl TryFrom<Vec<String>> for KeepNames {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        if names.len() > NAMES_KEPT {
            let length = names.len();
            return Err(format!(
                "{length} names, and at most {NAMES_KEPT} can be kept"
            ));
        }
        match names.iter().find(|name| !is_snapshot_name(name)) {
            None => Ok(Self(names)),
            Some(name) => Err(format!(
                "{name:?} is no snapshot's name: 1 to 256 of a-z, A-Z, 0-9, '_', '.' and '-'"
            )),
        }
    }
}

impl From<KeepNames> for Vec<String> {
    fn from(names: KeepNames) -> Self {
        names.0
    }
}

impl JsonSchema for KeepNames {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeepNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array", "maxItems": NAMES_KEPT,
            "items": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9_.-]+$" }
        })
    }
}

/// The name of a time zone, for example `Europe/Zurich`; the first step looks whether there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String);

impl TimeZoneName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TimeZoneName {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+/-".contains(&byte);
        if (1..=50).contains(&name.len()) && name.bytes().all(legal) {
            Ok(Self(name))
        } else {
            Err(format!(
                "{name:?} is not the name of a time zone, such as UTC or Europe/Zurich"
            ))
        }
    }
}

impl From<TimeZoneName> for String {
    fn from(name: TimeZoneName) -> Self {
        name.0
    }
}

impl JsonSchema for TimeZoneName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeZoneName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": 50, "pattern": "^[a-zA-Z0-9_+/-]+$"
        })
    }
}

/// Whether the service takes this as the name of a snapshot: 1 to 256 of `[a-zA-Z0-9_.-]`.
#[must_use]
pub fn is_snapshot_name(name: &str) -> bool {
    is_name(name, 256)
}

/// Whether the service takes this as a name: 1 to `most` of `[a-zA-Z0-9_.-]`.
fn is_name(name: &str, most: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=most).contains(&name.len()) && name.bytes().all(legal)
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
        match name.len() {
            _ if is_name(&name, 128) => Ok(Self(name)),
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

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// Which definition the execution follows, as its first state said: a redrive follows the one that
    /// the execution began with. 1 is that of release 0.1.0, which said nothing.
    #[serde(default = "first_definition")]
    pub definition: u32,
}

/// The number of the definition of release 0.1.0.
pub(crate) const fn first_definition() -> u32 {
    1
}

impl Run {
    /// The first definition whose `IsPruningDone` knows `WAIT`.
    const WAITS_BEFORE_PRUNING: u32 = 2;

    /// Whether the execution's definition knows the answer `WAIT` of `PruneSnapshots`.
    #[must_use]
    pub const fn can_wait_before_pruning(&self) -> bool {
        self.definition >= Self::WAITS_BEFORE_PRUNING
    }

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
            definition: 1,
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
        let nulls = r#"{"keep_last":7,"keep_hourly":null,"keep_daily":null,"keep_weekly":null,
            "keep_monthly":null,"keep_yearly":null,"keep_within":null,"keep_last_versions":null,
            "keep_names":null,"timezone":null,"scope":null,"max_deletions_per_run":null}"#;
        assert_eq!(read(nulls).unwrap(), read(r#"{"keep_last":7}"#).unwrap());
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_refused() {
        for retention in [
            "{}",
            r#"{"keep_last":null}"#,
            r#"{"keep_names":["x"],"keep_last_versions":9}"#,
        ] {
            let input = format!(r#"{{"application_name":"a","retention":{retention}}}"#);
            let refused = serde_json::from_str::<RunInput>(&input).unwrap_err();
            assert!(refused.to_string().starts_with(NO_RULE), "{refused}");
        }
        for rule in [
            r#""keep_last":1"#,
            r#""keep_hourly":1"#,
            r#""keep_daily":1"#,
            r#""keep_weekly":1"#,
            r#""keep_monthly":1"#,
            r#""keep_yearly":1"#,
            r#""keep_within":"P1D""#,
        ] {
            let input = format!(r#"{{"application_name":"a","retention":{{{rule}}}}}"#);
            assert!(serde_json::from_str::<RunInput>(&input).is_ok(), "{rule}");
        }
    }

    #[test]
    fn only_positive_iso_durations_are_taken() {
        let read = |text: &str| KeepWithin::try_from(text.to_owned());
        for good in ["P7D", "P1M", "PT36H", "P1Y2M3W4DT5H6M7S", "P52W"] {
            let within = read(good).unwrap();
            assert_eq!(String::from(within), good);
        }
        for bad in [
            "",
            "P",
            "PT",
            "P0D",
            "PT0S",
            "-P7D",
            "P-7D",
            "+P7D",
            "7D",
            "7 days ago",
            "7 days",
            "p7d",
            "P7d",
            "P1.5D",
            "PT1,5H",
            "P7D ",
            "1 month",
            "P99999999999Y",
        ] {
            let refused = read(bad).unwrap_err();
            assert!(
                refused.ends_with("such as P7D, P1M or PT36H"),
                "{bad}: {refused}"
            );
        }
    }

    #[test]
    fn names_and_zones_are_checked_before_anything_is_done() {
        let read = |field: &str| serde_json::from_str::<Retention>(&format!("{{{field}}}"));
        for good in [
            r#""timezone":"Europe/Zurich""#,
            r#""timezone":"Etc/GMT+5""#,
            r#""keep_names":["before-upgrade","custom_1795377747949"]"#,
            r#""scope":"ALL""#,
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in [
            r#""timezone":"""#,
            r#""timezone":"Europe Zurich""#,
            r#""timezone":"../etc/passwd.x""#,
            r#""keep_names":["a b"]"#,
            r#""keep_names":[""]"#,
            r#""keep_names":"a""#,
            r#""scope":"SOME""#,
            r#""keep_daily":0"#,
            r#""keep_last_versions":0"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let unknown = read(r#""keep_last":1,"keep_everything":1"#).unwrap();
        let refused = unknown.refuse_unknown_fields().unwrap_err();
        assert!(
            refused.starts_with(
                "keep_everything: unknown field `keep_everything`, expected one of `keep_last`, "
            ),
            "{refused}"
        );
        let too_many = format!(r#""keep_names":{}"#, serde_json::json!(vec!["a"; 101]));
        let refused = read(&too_many).unwrap_err().to_string();
        assert!(
            refused.starts_with("101 names, and at most 100"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_left_out_of_the_run_input_has_its_default() {
        let input: RunInput = serde_json::from_str(r#"{"application_name":"orders"}"#).unwrap();
        assert_eq!(
            serde_json::to_value(input).unwrap(),
            serde_json::json!({
                "application_name": "orders",
                "mode": "RUN",
                "retention": {
                    "keep_last": 30, "keep_last_versions": 2, "keep_names": [], "timezone": "UTC",
                    "scope": "MANAGED", "max_deletions_per_run": 25
                },
                "poll_interval_seconds": 15,
                "ready_timeout_seconds": 7200,
                "notify_on": "ALL"
            })
        );
    }
}
