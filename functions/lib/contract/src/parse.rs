//! Reads JSON as a type. The errors name the field.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads `value` as `T`.
///
/// # Errors
/// One sentence. It begins with the path of the wrong field, unless the wrong value is the whole document.
pub fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let fact = error.into_inner();
        if path == "." {
            fact.to_string()
        } else {
            format!("{path}: {fact}")
        }
    })
}

/// Reads an optional time. A text that is not a time counts as absent, because a malformed time must not prevent the
/// record of a run. This is safe: a step that lacks a time never deletes more than it would with the time.
pub(crate) fn time_or_absent<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::CreateSnapshotInput;

    #[test]
    fn an_error_begins_with_the_path_of_the_wrong_field() {
        for (payload, beginning) in [
            (json!({ "execution_arn": 7 }), "execution_arn: invalid type"),
            (json!({}), "missing field `execution_arn`"),
            (json!("x"), "invalid type: string"),
        ] {
            let refused = parse::<CreateSnapshotInput>(&payload).unwrap_err();
            assert!(refused.starts_with(beginning), "{refused}");
        }
    }
}
