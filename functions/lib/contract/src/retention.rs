//! The retention policy.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::run::{UnknownFields, refuse};
use crate::{Bounded, KeepNames, KeepWithin, TimeZoneName};

/// A number of at least 1.
type Count = Bounded<1, { u32::MAX }>;

/// The retention policy. A snapshot is kept if a rule keeps it or if it is protected. An unknown field is
/// treated as one of the run input. `null` stands for a field that is left out, as a deployment writes it.
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
    /// Keep the N newest READY snapshots. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<Count>,
    /// Keep the newest snapshot of each of the last N hours that have one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<Count>,
    /// Keep the newest snapshot of each of the last N days that have one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<Count>,
    /// Keep the newest snapshot of each of the last N ISO weeks that have one. They begin on Monday.
    /// N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<Count>,
    /// Keep the newest snapshot of each of the last N months that have one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<Count>,
    /// Keep the newest snapshot of each of the last N years that have one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<Count>,
    /// Keep each snapshot that was taken within this duration before the newest one: ISO 8601, positive, for
    /// example `P7D` or `PT36H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<KeepWithin>,
    /// Protect the newest READY snapshot of each of the N highest application versions, which a rollback needs.
    /// N is at least 1.
    #[serde(default = "default_last", deserialize_with = "last_or_default")]
    #[schemars(with = "Option<Count>")]
    pub keep_last_versions: Count,
    /// Protect the newest READY snapshot of each of the N Flink runtimes that were seen last, since a job that goes
    /// back to an older runtime needs one of its snapshots. N is at least 1.
    #[serde(default = "default_last", deserialize_with = "last_or_default")]
    #[schemars(with = "Option<Count>")]
    pub keep_last_runtimes: Count,
    /// Protect the snapshots with these names, at most 100.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<KeepNames>")]
    pub keep_names: KeepNames,
    /// The IANA time zone in which hours, days, weeks, months and years begin.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<TimeZoneName>")]
    pub timezone: TimeZoneName,
    /// Which snapshots the rules see and may delete. `MANAGED`: those that this system or the original Python
    /// sample took. `ALL`: also those that a person or the service took.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Scope>")]
    pub scope: Scope,
    /// The brake: if a plan deletes more READY snapshots than this, the run deletes nothing more. At least 1. By default 25,
    /// or half of the READY snapshots in scope if that is less, but never less than 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletions_per_run: Option<Count>,
    /// Empty in a run that this release started. If it has a field, this release cannot tell what the policy keeps.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl Retention {
    /// The fields in the schema.
    pub const FIELDS: [&str; 13] = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "keep_within",
        "keep_last_versions",
        "keep_last_runtimes",
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

    /// The most READY snapshots that a run may delete if there are `ready` READY snapshots in scope. Without a number
    /// in the policy, a wrong policy must not empty a small set.
    #[must_use]
    pub fn max_deletions(&self, ready: u32) -> u32 {
        let default = (ready / 2).clamp(5, 25);
        self.max_deletions_per_run.map_or(default, Bounded::get)
    }

    /// Whether the policy has a rule. Without one, it would keep only what is protected, and nobody means that.
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

/// The error of a policy without a rule.
pub const NO_RULE: &str = "the policy keeps nothing: give at least one of keep_last, keep_hourly, \
                           keep_daily, keep_weekly, keep_monthly, keep_yearly and keep_within";

pub(crate) fn with_a_rule<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Retention, D::Error> {
    let retention = Retention::deserialize(deserializer)?;
    // All rules of a newer release's policy may be unknown here.
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

fn last_or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(default_last()))
}

/// The running version or runtime, and the one that a rollback returns to.
const fn default_last() -> Count {
    Bounded::of::<2>()
}

impl Default for Retention {
    /// `keep_last` is the default of the original sample's `number_of_older_snapshots_to_retain`.
    fn default() -> Self {
        Self {
            keep_last: Some(Bounded::of::<30>()),
            keep_hourly: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            keep_within: None,
            keep_last_versions: default_last(),
            keep_last_runtimes: default_last(),
            keep_names: KeepNames::default(),
            timezone: TimeZoneName::default(),
            scope: Scope::default(),
            max_deletions_per_run: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunInput;

    #[test]
    fn null_is_a_rule_or_setting_left_out() {
        let read = |text: &str| serde_json::from_str::<Retention>(text);
        let nulls = r#"{"keep_last":7,"keep_hourly":null,"keep_daily":null,"keep_weekly":null,
            "keep_monthly":null,"keep_yearly":null,"keep_within":null,"keep_last_versions":null,
            "keep_last_runtimes":null,"keep_names":null,"timezone":null,"scope":null,"max_deletions_per_run":null}"#;
        assert_eq!(read(nulls).unwrap(), read(r#"{"keep_last":7}"#).unwrap());
    }

    #[test]
    fn without_a_number_the_brake_is_25_or_half_of_a_small_set_but_at_least_5() {
        let read = |text: &str| serde_json::from_str::<Retention>(text).unwrap();
        let policy = read(r#"{"keep_last":1}"#);
        for (ready, most) in [
            (0, 5),
            (4, 5),
            (11, 5),
            (12, 6),
            (13, 6),
            (49, 24),
            (50, 25),
            (1_000, 25),
        ] {
            assert_eq!(policy.max_deletions(ready), most, "{ready}");
        }
        // The number of an older release's payload stays.
        let policy = read(r#"{"keep_last":1,"max_deletions_per_run":25}"#);
        assert_eq!(policy.max_deletions(8), 25);
        let policy = read(r#"{"keep_last":1,"max_deletions_per_run":1}"#);
        assert_eq!(policy.max_deletions(1_000), 1);
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
            r#""keep_last_runtimes":0"#,
            r#""max_deletions_per_run":0"#,
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
            refused.starts_with("101 names, but at most 100"),
            "{refused}"
        );
    }
}
