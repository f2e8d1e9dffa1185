//! The retention policy.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::run::{UnknownFields, refuse_unknown};
use crate::{Bounded, KeepNames, KeepWithin, TimeZoneName};

/// A whole number that is at least 1.
type Count = Bounded<1, { u32::MAX }>;

/// The retention policy. A snapshot is kept if a rule keeps it or if it is protected. The first step of a run refuses
/// an unknown field. A field that is `null` counts as left out: a deployment writes `null` for each parameter without a
/// value.
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
    /// Keep the newest READY snapshot of each of the last N hours that have a READY one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<Count>,
    /// Keep the newest READY snapshot of each of the last N days that have a READY one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<Count>,
    /// Keep the newest READY snapshot of each of the last N ISO weeks that have a READY one. ISO weeks begin on Monday.
    /// N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<Count>,
    /// Keep the newest READY snapshot of each of the last N months that have a READY one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<Count>,
    /// Keep the newest READY snapshot of each of the last N years that have a READY one. N is at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<Count>,
    /// Keep each READY snapshot that was taken within this duration before the newest READY one. The duration is
    /// positive and in ISO 8601, for example `P7D` or `PT36H`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<KeepWithin>,
    /// Protect the newest READY snapshot of each of the N highest application versions, because a rollback restores
    /// from such a snapshot. N is at least 1.
    #[serde(
        default = "default_protected",
        deserialize_with = "null_as_default_protected"
    )]
    #[schemars(with = "Option<Count>")]
    pub keep_last_versions: Count,
    /// Protect the newest READY snapshot of each of the last N Flink runtimes that READY snapshots have, because a job
    /// that goes back to an older runtime needs a snapshot of that runtime. N is at least 1.
    #[serde(
        default = "default_protected",
        deserialize_with = "null_as_default_protected"
    )]
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
    /// Which snapshots the policy applies to. `MANAGED`: the snapshots that this system or the original Python sample
    /// took, which have names of `custom_` and 13 digits. `ALL`: also the snapshots that a person or the service took.
    /// No run deletes a snapshot to which its policy does not apply.
    #[serde(default, deserialize_with = "null_as_default")]
    #[schemars(with = "Option<Scope>")]
    pub scope: Scope,
    /// The deletion limit, also called the brake: how many READY snapshots one run may delete, at least 1. If the plan
    /// of a run exceeds the limit, the run makes none of the deletions in this plan. By default, the limit is half of
    /// the READY snapshots that `scope` selects, but at least 5 and at most 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletions_per_run: Option<Count>,
    /// The fields that this release does not know. Empty in a run that this release started. If there is one, this
    /// release cannot tell which snapshots the policy keeps, so it deletes nothing.
    #[serde(flatten)]
    #[schemars(skip)]
    pub unknown: UnknownFields,
}

impl Retention {
    /// The names of the fields that this release knows.
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
        refuse_unknown("", &self.unknown, &Self::FIELDS)
    }

    /// The deletion limit of a run that began with `ready` READY snapshots in scope. The default limit depends on
    /// `ready`, so that a wrong policy cannot delete most of a small number of snapshots.
    #[must_use]
    pub fn max_deletions(&self, ready: u32) -> u32 {
        let default = (ready / 2).clamp(5, 25);
        self.max_deletions_per_run.map_or(default, Bounded::get)
    }

    /// Whether the policy has a rule. A policy without a rule would keep only the protected snapshots, which nobody
    /// intends.
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

/// The message of the error for a policy without a rule.
pub const NO_RULE: &str = "the policy keeps nothing: give at least one of keep_last, keep_hourly, \
                           keep_daily, keep_weekly, keep_monthly, keep_yearly and keep_within";

/// Deserializes a policy, and refuses one without a rule.
pub(crate) fn policy_with_a_rule<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Retention, D::Error> {
    let retention = Retention::deserialize(deserializer)?;
    // In a policy of a newer release, all rules may be fields that this release does not know.
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

fn null_as_default_protected<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Count, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(default_protected()))
}

/// 2: the version or runtime that is in use, and the one to which a rollback returns.
const fn default_protected() -> Count {
    Bounded::of::<2>()
}

impl Default for Retention {
    /// `keep_last` is 30, as `number_of_older_snapshots_to_retain` is by default in the original sample.
    fn default() -> Self {
        Self {
            keep_last: Some(Bounded::of::<30>()),
            keep_hourly: None,
            keep_daily: None,
            keep_weekly: None,
            keep_monthly: None,
            keep_yearly: None,
            keep_within: None,
            keep_last_versions: default_protected(),
            keep_last_runtimes: default_protected(),
            keep_names: KeepNames::default(),
            timezone: TimeZoneName::default(),
            scope: Scope::default(),
            max_deletions_per_run: None,
            unknown: UnknownFields::new(),
        }
    }
}

/// Which snapshots the policy applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Scope {
    /// The managed snapshots: those whose name is `custom_` and 13 digits.
    #[default]
    Managed,
    /// All snapshots of the application.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunInput;

    #[test]
    fn a_field_that_is_null_counts_as_left_out() {
        let read = |text: &str| serde_json::from_str::<Retention>(text);
        let nulls = r#"{"keep_last":7,"keep_hourly":null,"keep_daily":null,"keep_weekly":null,
            "keep_monthly":null,"keep_yearly":null,"keep_within":null,"keep_last_versions":null,
            "keep_last_runtimes":null,"keep_names":null,"timezone":null,"scope":null,"max_deletions_per_run":null}"#;
        assert_eq!(read(nulls).unwrap(), read(r#"{"keep_last":7}"#).unwrap());
    }

    #[test]
    fn the_default_deletion_limit_is_half_of_the_ready_snapshots_from_5_to_25() {
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
        // A number in the policy takes the place of the default, even if it is larger.
        let policy = read(r#"{"keep_last":1,"max_deletions_per_run":25}"#);
        assert_eq!(policy.max_deletions(8), 25);
        let policy = read(r#"{"keep_last":1,"max_deletions_per_run":1}"#);
        assert_eq!(policy.max_deletions(1_000), 1);
    }

    #[test]
    fn a_policy_without_a_rule_is_refused() {
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
    fn names_zones_scopes_and_numbers_are_checked_when_a_policy_is_read() {
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
                "keep_everything: this field is unknown; expected one of `keep_last`, "
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
