//! Reads JSON from a file that a person or another program wrote. It is strict, so that no part of the file is ignored
//! without an error.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Error, Result, ensure};
use encoding_rs::UTF_8;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The content of a file, or of standard input if the path is `-`.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses JSON in UTF-8, or in UTF-16 with a byte order mark, as `PowerShell` writes it. An object in which a key
/// occurs twice is an error, because one of the two values would be ignored.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    // If there is a byte order mark, it decides the encoding.
    let (text, _, is_malformed) = UTF_8.decode(bytes);
    ensure!(
        !is_malformed,
        "neither UTF-8 nor UTF-16 with a byte order mark"
    );
    ensure!(!text.trim().is_empty(), "empty");
    match serde_json::from_str(&text) {
        Ok(WithoutRepeatedKeys(value)) => Ok(value),
        Err(error) if error.is_data() => Err(error.into()),
        Err(error) => Err(Error::new(error).context("not JSON")),
    }
}

struct WithoutRepeatedKeys(Value);

impl<'de> Deserialize<'de> for WithoutRepeatedKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(WithoutRepeatedKeys(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, WithoutRepeatedKeys(value))) = fields.next_entry::<String, _>()? {
            if object.contains_key(&key) {
                let fact = format_args!("an object has the key {key:?} twice");
                return Err(de::Error::custom(fact));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_that_a_shell_writes_is_read() {
        let text = r#"{"a":[1,-1,0.5,null,true,"é𝄞"],"b":{"a":18446744073709551615}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        let utf_16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let marked = format!("\u{feff}{text}\r\n");
            marked.encode_utf16().flat_map(to_bytes).collect()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}\n").into_bytes(),
            utf_16(u16::to_le_bytes),
            utf_16(u16::to_be_bytes),
        ] {
            assert_eq!(parse(&bytes).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_exactly_one_json_document_is_refused() {
        let rows: [(&[u8], &str); 10] = [
            (b"", "empty"),
            (b" \r\n", "empty"),
            (b"\xef\xbb\xbf", "empty"),
            (b"\xff\xfe{", "neither UTF-8 nor UTF-16"),
            (b"\"\xe9\"", "neither UTF-8 nor UTF-16"),
            (b"keep_last: 3", "not JSON: expected value at line 1"),
            (b"{} {}", "not JSON: trailing characters"),
            (b"[1e999]", "not JSON: number out of range"),
            (
                br#"{"keep_last":3,"keep_last":30}"#,
                r#"an object has the key "keep_last" twice at line 1"#,
            ),
            (
                br#"[{"a":{"b":1,"\u0062":1}}]"#,
                r#"an object has the key "b" twice at line 1"#,
            ),
        ];
        for (bytes, refusal) in rows {
            let refused = format!("{:#}", parse(bytes).unwrap_err());
            assert!(refused.starts_with(refusal), "{refused}");
        }
    }
}
