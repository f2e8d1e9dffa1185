//! The state machine's definition: filled in as a deployment does, and drawn.

use std::fmt::Write;

use serde_json::Value;

/// The definition as it is deployed, with `${Name}` where a deployment fills something in.
pub const DEFINITION: &str = include_str!("../../../statemachine/snapshot-manager.asl.json");

/// A text with every `${Name}` replaced.
pub fn fill_in(
    text: &str,
    value: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a ${ without its }")?;
        filled += before;
        filled += &value(name)?;
        rest = after;
    }
    Ok(filled + rest)
}

/// The definition as a Mermaid diagram, in the order in which a run comes to its states.
pub fn mermaid(definition: &str) -> Result<String, String> {
    let definition: Value = serde_json::from_str(definition).map_err(|e| e.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let start = text(&definition["StartAt"]);
    let mut diagram = "stateDiagram-v2\n".to_owned();
    // Mermaid wants to know a choice before it is first named.
    for (name, state) in definition["States"].as_object().into_iter().flatten() {
        if state["Type"] == "Choice" {
            let _ = writeln!(diagram, "    state {name} <<choice>>");
        }
    }
    let _ = writeln!(diagram, "    [*] --> {start}");
    let mut drawn = vec![start];
    let mut at = 0;
    while let Some(name) = drawn.get(at).cloned() {
        at += 1;
        let state = &definition["States"][&name];
        let rules = state["Choices"].as_array().into_iter().flatten();
        let ways = rules
            .map(|rule| {
                (
                    text(&rule["Next"]),
                    format!(": {}", text(&rule["StringEquals"])),
                )
            })
            .chain(
                state["Next"]
                    .as_str()
                    .map(|next| (next.to_owned(), String::new())),
            );
        for (next, label) in ways {
            let _ = writeln!(diagram, "    {name} --> {next}{label}");
            if !drawn.contains(&next) {
                drawn.push(next);
            }
        }
        if state["End"] == true {
            let _ = writeln!(diagram, "    {name} --> [*]");
        }
    }
    Ok(diagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_filled_in_or_named() {
        let arn = |name: &str| match name {
            "A" => Ok("arn".to_owned()),
            other => Err(format!("no {other}")),
        };
        assert_eq!(fill_in("x ${A} y ${A}", arn).unwrap(), "x arn y arn");
        assert_eq!(fill_in("${B}", arn).unwrap_err(), "no B");
    }
}
