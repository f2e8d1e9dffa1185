//! The names of applications, snapshots and time zones, with the limits of the services that use them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The beginning of the name of a managed snapshot. The 13 digits of a run id follow. The original Python sample gave
/// its snapshots names of the same form, so its snapshots are managed too.
pub const MANAGED_PREFIX: &str = "custom_";

/// Whether the name says that this system or the original Python sample took the snapshot.
#[must_use]
pub fn is_managed(snapshot_name: &str) -> bool {
    managed_run_id(snapshot_name).is_some()
}

/// The run id in the name of a managed snapshot. `None` if the snapshot is not managed. A later attempt of a run has a
/// number that is larger than the run id.
#[must_use]
pub fn managed_run_id(snapshot_name: &str) -> Option<i64> {
    let id = snapshot_name.strip_prefix(MANAGED_PREFIX)?;
    let is_id = id.len() == 13 && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| id.parse().ok())?
}

/// Whether the service accepts `name` as the name of a snapshot: 1 to 256 characters of `[a-zA-Z0-9_.-]`.
#[must_use]
pub fn is_snapshot_name(name: &str) -> bool {
    is_name(name, 256)
}

/// Whether `name` has 1 to `max_length` characters, all of `[a-zA-Z0-9_.-]`.
fn is_name(name: &str, max_length: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=max_length).contains(&name.len()) && name.bytes().all(legal)
}

/// The name of a Flink application: 1 to 128 characters of `[a-zA-Z0-9_.-]`, as in AWS's model of the service.
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
            length => Err(format!(
                "a name has 1 to 128 characters, this has {length} bytes"
            )),
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

/// A name that a person chooses for a snapshot: 1 to 256 characters of `[a-zA-Z0-9_.-]`, but not the name of a managed
/// snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

impl SnapshotName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if is_managed(&name) {
            Err(format!(
                "{name:?} is the name of a managed snapshot, which a run may delete; choose one that is not \
                 custom_<13 digits>"
            ))
        } else if is_snapshot_name(&name) {
            Ok(Self(name))
        } else {
            Err(format!(
                "{name:?} is not a valid snapshot name; choose one with 1 to 256 of a-z, A-Z, 0-9, '_', '.' and '-'"
            ))
        }
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

impl JsonSchema for SnapshotName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SnapshotName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9_.-]+$",
            "not": { "type": "string", "pattern": "^custom_[0-9]{13}$" }
        })
    }
}

/// The names of at most 100 snapshots, each of 1 to 256 characters of `[a-zA-Z0-9_.-]`, as in AWS's model of the
/// service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct KeepNames(Vec<String>);

/// The largest number of names. The list is part of the payload of every state, whose size Step Functions limits.
const MAX_KEEP_NAMES: usize = 100;

impl KeepNames {
    /// Whether the list has this name.
    #[must_use]
    pub fn contains(&self, snapshot_name: &str) -> bool {
        self.0.iter().any(|name| name == snapshot_name)
    }

    /// The names, in the order in which they were given.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for KeepNames {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let length = names.len();
        if length > MAX_KEEP_NAMES {
            return Err(format!(
                "{length} names, but at most {MAX_KEEP_NAMES} are allowed"
            ));
        }
        match names.iter().find(|name| !is_snapshot_name(name)) {
            None => Ok(Self(names)),
            Some(name) => Err(format!(
                "{name:?} is not a valid snapshot name: 1 to 256 of a-z, A-Z, 0-9, '_', '.' and '-'"
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
            "type": "array", "maxItems": MAX_KEEP_NAMES,
            "items": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9_.-]+$" }
        })
    }
}

/// The name of a time zone, for example `Europe/Zurich`. This type checks only the characters, not whether the time
/// zone exists.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_managed_only_if_its_name_is_custom_and_13_digits() {
        assert!(is_managed("custom_1763835747949"));
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
    fn the_name_of_an_application_is_accepted_unchanged_or_refused_with_the_reason() {
        let read = |name: &str| ApplicationName::try_from(name.to_owned());
        let longest = "a".repeat(128);
        let too_long = "a".repeat(129);
        let in_bytes = "é".repeat(64);
        for good in ["orders", "a.b_c-D9", &longest] {
            let name = read(good).unwrap();
            assert_eq!((name.as_str(), name.to_string()), (good, good.to_owned()));
        }
        for (bad, reason) in [
            ("", "has 1 to 128 characters, this has 0 bytes"),
            (
                too_long.as_str(),
                "has 1 to 128 characters, this has 129 bytes",
            ),
            ("a b", "\"a b\" has characters other than a-z"),
            (in_bytes.as_str(), "has characters other than a-z"),
        ] {
            let refused = read(bad).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn keep_names_accepts_100_names_and_contains_each_of_them() {
        let names: Vec<String> = (1..=100).map(|number| format!("before-{number}")).collect();
        let kept = KeepNames::try_from(names.clone()).unwrap();
        assert_eq!(kept.as_slice(), names);
        assert!(kept.contains("before-1") && kept.contains("before-100"));
        assert!(!kept.contains("before-101") && !kept.contains("before"));
        assert_eq!(Vec::from(kept), names);
    }

    #[test]
    fn names_are_written_as_they_were_read() {
        let snapshot = SnapshotName::try_from("before-upgrade".to_owned()).unwrap();
        assert_eq!(snapshot.as_str(), "before-upgrade");
        assert_eq!(String::from(snapshot), "before-upgrade");
        let zone = TimeZoneName::try_from("Europe/Zurich".to_owned()).unwrap();
        assert_eq!(zone.as_str(), "Europe/Zurich");
        assert_eq!(String::from(zone), "Europe/Zurich");
    }
}
