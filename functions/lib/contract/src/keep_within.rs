//! A calendar duration, such as one month.

use std::borrow::Cow;
use std::fmt;

use jiff::{Span, SpanFieldwise};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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
        // jiff also accepts signs, fractions, lower case and words.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_iso_durations_are_accepted() {
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
}
