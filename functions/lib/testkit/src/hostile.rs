//! Invalid and malicious documents for property tests.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Number, Value, json};

/// Whether `text` is one line in which all text is visible: no character breaks the line, is invisible, or changes the
/// order in which the text after it is displayed.
#[must_use]
pub fn is_plain_line(text: &str) -> bool {
    !text.contains(char::is_control) && !text.contains(DECEPTIVE)
}

/// Examples of each kind of deceptive character, except control characters: line and paragraph separators, characters
/// that change the text direction, zero-width characters, and tags.
const DECEPTIVE: [char; 14] = [
    '\u{ad}',
    '\u{34f}',
    '\u{3164}',
    '\u{fe0f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202e}',
    '\u{2066}',
    '\u{200f}',
    '\u{200b}',
    '\u{61c}',
    '\u{feff}',
    '\u{fffa}',
    '\u{e0041}',
];

/// Strings that break or forge lines, are empty or too long, or contain unexpected characters.
pub fn texts() -> impl Strategy<Value = String> {
    const TEXTS: &[&str] = &[
        "Odd\r\n\r\nExecution: https://evil.example",
        "Execution: https://evil.example",
        "Record: app_name payments",
        "\n{\"level\":\"ERROR\",\"error_name\":\"Forged\"}",
        "\u{1b}[2J\u{9b}31m\u{7f}\u{0}\u{8}\u{b}\u{c}",
        "\u{85}next line",
        "a' ; rm -rf / ; '\"\\$(id)`id`",
        "",
        " ",
        "null",
        "-1",
        "NaN",
        "1e999",
        "SOMETHING_NEW",
        "custom_1795377747949",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00.999999999Z",
        "+10000-01-01T00:00:00Z",
        "2026-11-22T20:02:28.42Z",
    ];
    prop_oneof![
        4 => select(TEXTS).prop_map(str::to_owned),
        2 => select(&DECEPTIVE[..]).prop_map(|c| format!("a{c}b")),
        2 => (select(vec!['n', '\u{1}', '"', '\u{1f980}', '\n']), select(vec![128_usize, 129, 256, 257, 2_500]))
            .prop_map(|(c, length)| c.to_string().repeat(length)),
        1 => "\\PC{0,12}",
    ]
}

/// Numbers at and beyond the limits of the numeric types.
fn numbers() -> impl Strategy<Value = Number> {
    const NUMBERS: &[&str] = &[
        "0",
        "-0.0",
        "-1",
        "1.5",
        "1e-320",
        "-1e-20",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "253402300800",
        "-377705116800",
        "1795377747.9999999999",
        "1e15",
        "1e300",
        "-1e300",
    ];
    select(NUMBERS).prop_map(|text| text.parse().unwrap_or_else(|_| 0.into()))
}

/// Any JSON value.
pub fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => numbers().prop_map(Value::from),
        4 => texts().prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => (1_usize..120).prop_map(|depth| (0..depth).fold(json!(1), |inner, _| json!([inner]))),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((texts(), inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// A change of one value in a document.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Value),
    AddField(String, Value),
    RepeatItems(u8),
    ReverseItems,
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Remove),
        4 => values().prop_map(Change::Replace),
        1 => (texts(), values()).prop_map(|(name, value)| Change::AddField(name, value)),
        1 => (1_u8..4).prop_map(Change::RepeatItems),
        1 => Just(Change::ReverseItems),
    ]
}

/// The document with up to four changes.
pub fn mutated(document: Value) -> impl Strategy<Value = Value> {
    vec((any::<Index>(), changes()), 0..5).prop_map(move |changes| {
        let mut document = document.clone();
        for (index, change) in changes {
            let pointers = places(&document);
            let pointer = index.get(&pointers);
            change_at(&mut document, pointer, change);
        }
        document
    })
}

/// The JSON pointers to all values in a document, including the document itself.
#[must_use]
pub fn places(document: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match document {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    let mut all = vec![String::new()];
    for (name, value) in inner {
        let below = places(value).into_iter();
        all.extend(below.map(|pointer| format!("/{name}{pointer}")));
    }
    all
}

/// The document without the value at the JSON pointer.
#[must_use]
pub fn without(mut document: Value, pointer: &str) -> Value {
    change_at(&mut document, pointer, Change::Remove);
    document
}

fn change_at(document: &mut Value, pointer: &str, change: Change) {
    if let Change::Remove = change {
        let Some((parent, name)) = pointer.rsplit_once('/') else {
            return;
        };
        match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.remove(&name.replace("~1", "/").replace("~0", "~"));
            }
            Some(Value::Array(items)) => {
                if let Ok(index) = name.parse::<usize>() {
                    items.remove(index);
                }
            }
            _ => {}
        }
        return;
    }
    let Some(target) = document.pointer_mut(pointer) else {
        return;
    };
    match (change, target) {
        (Change::Replace(value), target) => *target = value,
        (Change::AddField(name, value), Value::Object(fields)) => {
            fields.insert(name, value);
        }
        (Change::RepeatItems(times), Value::Array(items)) => {
            let copy = items.clone();
            items.extend((0..times).flat_map(|_| copy.clone()));
        }
        (Change::ReverseItems, Value::Array(items)) => items.reverse(),
        _ => {}
    }
}
