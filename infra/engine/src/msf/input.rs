//! Reads the members of a request, and validates them as the service's model does.
//!
//! A value of the wrong JSON type is a `SerializationException`. A value that is missing, too long or malformed is an
//! `InvalidArgumentException`. Both messages contain the path of the member. Unknown members are ignored. A member that
//! is `null` counts as absent.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{Result, ServiceError, error};

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// `[a-zA-Z0-9_.-]+`, with at most this number of characters.
    Name(usize),
    /// `arn:.*`, at most 2,048 characters.
    Arn,
    /// Any text, with at least and at most these numbers of characters.
    String(usize, usize),
    OneOf(&'static [&'static str]),
    /// An integer from the first to the second number.
    Integer(i64, i64),
    Boolean,
    /// Epoch seconds. Fractions are allowed.
    Timestamp,
}

/// A structure in a request.
#[derive(Clone, Debug)]
pub(super) struct Input<'a> {
    /// Where the structure is in the request, for messages. Empty for the request itself.
    path: String,
    /// What is appended to the name of each member. A structure of `UpdateApplication` is like that of
    /// `CreateApplication`, but the names of its members end with `Update`.
    suffix: &'static str,
    members: &'a Map<String, Value>,
}

impl<'a> Input<'a> {
    pub(super) fn of(body: &'a Value) -> Result<Self> {
        Self::at(String::new(), "", body)
    }

    fn at(path: String, suffix: &'static str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(members) => Ok(Self {
                path,
                suffix,
                members,
            }),
            _ if path.is_empty() => Err(serialization("The request is not a JSON object")),
            _ => Err(serialization(format!("{path} is not a structure"))),
        }
    }

    pub(super) fn with_update_suffix(self) -> Self {
        Self {
            suffix: "Update",
            ..self
        }
    }

    pub(super) fn without_suffix(self) -> Self {
        Self { suffix: "", ..self }
    }

    /// Whether this structure is part of an update. In an update, every member is optional.
    pub(super) fn is_update(&self) -> bool {
        !self.suffix.is_empty()
    }

    pub(super) fn structure(&self, member: &str) -> Result<Option<Input<'a>>> {
        self.find(member)
            .map(|value| Self::at(self.path_of(member), self.suffix, value))
            .transpose()
    }

    /// The structures of a list. The list must have a permitted length.
    pub(super) fn list(
        &self,
        member: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Option<Vec<Input<'a>>>> {
        let path = self.path_of(member);
        let entries = match self.find(member) {
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(serialization(format!("{path} is not a list"))),
            None => return Ok(None),
        };
        require_length(&path, entries.len(), &length)?;
        (entries.iter().enumerate())
            .map(|(index, entry)| Self::at(format!("{path}[{index}]"), self.suffix, entry))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A map. It must have a permitted length, and its values must follow a rule.
    pub(super) fn string_map(
        &self,
        member: &str,
        length: RangeInclusive<usize>,
        rule: Rule,
    ) -> Result<Option<&'a Map<String, Value>>> {
        let path = self.path_of(member);
        let entries = match self.find(member) {
            Some(Value::Object(entries)) => entries,
            Some(_) => return Err(serialization(format!("{path} is not a map"))),
            None => return Ok(None),
        };
        require_length(&path, entries.len(), &length)?;
        for (key, value) in entries {
            let checked = rule.check(value);
            checked.map_err(|error| with_path(&format!("{path}.{key}"), error))?;
        }
        Ok(Some(entries))
    }

    /// The value of a member, or an error if the value breaks the rule.
    pub(super) fn value(&self, member: &str, rule: Rule) -> Result<Option<&'a Value>> {
        let Some(value) = self.find(member) else {
            return Ok(None);
        };
        let checked = rule.check(value);
        checked.map_err(|error| with_path(&self.path_of(member), error))?;
        Ok(Some(value))
    }

    pub(super) fn string(&self, member: &str, rule: Rule) -> Result<Option<&'a str>> {
        Ok(self.value(member, rule)?.and_then(Value::as_str))
    }

    pub(super) fn integer(&self, member: &str, min: i64, max: i64) -> Result<Option<i64>> {
        let found = self.value(member, Rule::Integer(min, max))?;
        Ok(found.and_then(Value::as_i64))
    }

    pub(super) fn boolean(&self, member: &str) -> Result<Option<bool>> {
        let found = self.value(member, Rule::Boolean)?;
        Ok(found.and_then(Value::as_bool))
    }

    pub(super) fn required_string(&self, member: &str, rule: Rule) -> Result<&'a str> {
        self.required(member, self.string(member, rule)?)
    }

    pub(super) fn required_timestamp(&self, member: &str) -> Result<Timestamp> {
        let found = self.value(member, Rule::Timestamp)?;
        self.required(member, found.and_then(timestamp))
    }

    pub(super) fn required<T>(&self, member: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| invalid(format!("{} is required", self.path_of(member))))
    }

    /// An error for a member whose value follows its rule, but is refused for another reason.
    pub(super) fn refusal(&self, member: &str, reason: &str) -> ServiceError {
        invalid(format!("{} {reason}", self.path_of(member)))
    }

    fn find(&self, member: &str) -> Option<&'a Value> {
        let found = self.members.get(&format!("{member}{}", self.suffix));
        found.filter(|value| !value.is_null())
    }

    fn path_of(&self, member: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}{member}{}", self.path, self.suffix)
    }
}

fn with_path(path: &str, error: ServiceError) -> ServiceError {
    let message = format!("{path} {}", error.message);
    ServiceError { message, ..error }
}

impl Rule {
    /// The message of the error begins without the path. The caller puts the path before it.
    fn check(self, value: &Value) -> Result<()> {
        match self {
            Self::Boolean if value.is_boolean() => Ok(()),
            Self::Boolean => Err(serialization("is not a boolean")),
            Self::Timestamp if timestamp(value).is_some() => Ok(()),
            Self::Timestamp => Err(serialization("is not a timestamp in epoch seconds")),
            Self::Integer(min, max) => match value.as_i64() {
                None => Err(serialization("is not an integer")),
                Some(number) if (min..=max).contains(&number) => Ok(()),
                Some(_) => Err(invalid(format!("must be between {min} and {max}"))),
            },
            Self::Name(_) | Self::Arn | Self::String(..) | Self::OneOf(_) => match value.as_str() {
                None => Err(serialization("is not a string")),
                Some(string) => self.check_string(string),
            },
        }
    }

    fn check_string(self, string: &str) -> Result<()> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let (min, max) = match self {
            Self::Name(max) => (1, max),
            Self::Arn => (1, 2048),
            Self::String(min, max) => (min, max),
            _ => (0, usize::MAX),
        };
        if !(min..=max).contains(&string.chars().count()) {
            return Err(invalid(format!("must have {min} to {max} characters")));
        }
        match self {
            Self::OneOf(words) if !words.contains(&string) => {
                Err(invalid(format!("must be one of {}", words.join(", "))))
            }
            Self::Name(_) if !string.chars().all(is_name) => {
                Err(invalid("must match [a-zA-Z0-9_.-]+"))
            }
            Self::Arn if !string.starts_with("arn:") => Err(invalid("must match arn:.*")),
            _ => Ok(()),
        }
    }
}

fn require_length(path: &str, entries: usize, length: &RangeInclusive<usize>) -> Result<()> {
    if length.contains(&entries) {
        return Ok(());
    }
    let (min, max) = (length.start(), length.end());
    Err(invalid(format!("{path} must have {min} to {max} entries")))
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    let seconds = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
    Timestamp::from_duration(seconds).ok()
}

fn serialization(message: impl Into<String>) -> ServiceError {
    error("SerializationException", message)
}

fn invalid(message: impl Into<String>) -> ServiceError {
    error("InvalidArgumentException", message)
}
