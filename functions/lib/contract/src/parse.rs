//! JSON -> a type, with errors that name the field.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `value` as `T`.
///
/// # Errors
/// Returns one sentence that begins with the field.
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
