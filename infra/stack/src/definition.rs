//! The definition of the state machine: with its substitutions, and as a diagram.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::Value;

/// The text of the definition. It contains `${Name}` wherever a deployment substitutes a value.
pub const DEFINITION: &str = include_str!("../../../statemachine/snapshot-manager.asl.json");

/// Replaces every `${Name}` in a text by the value that `value` returns for the name.
pub fn fill_in(text: &str, value: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').context("a ${ has no }")?;
        filled += before;
        filled += &value(name)?;
        rest = after;
    }
    Ok(filled + rest)
}

/// Draws a definition as a Mermaid diagram. The states are in the order in which a run can reach them.
pub fn mermaid(definition: &str) -> Result<String> {
    let definition: Value = serde_json::from_str(definition)?;
    let mut diagram = "stateDiagram-v2\n".to_owned();
    // Mermaid requires that a choice is declared before its first use.
    for (name, state) in definition["States"].as_object().into_iter().flatten() {
        if state["Type"] == "Choice" {
            writeln!(diagram, "    state {name} <<choice>>")?;
        }
    }
    let start = str_of(&definition["StartAt"]);
    writeln!(diagram, "    [*] --> {start}")?;
    let mut reached = vec![start];
    let mut drawn = 0;
    while let Some(&name) = reached.get(drawn) {
        drawn += 1;
        let state = &definition["States"][name];
        let rules = state["Choices"].as_array().into_iter().flatten();
        let choices = rules.map(|rule| {
            let label = format!(": {}", str_of(&rule["StringEquals"]));
            (str_of(&rule["Next"]), label)
        });
        let next = state["Next"].as_str().map(|next| (next, String::new()));
        for (next, label) in choices.chain(next) {
            writeln!(diagram, "    {name} --> {next}{label}")?;
            if !reached.contains(&next) {
                reached.push(next);
            }
        }
        if state["End"] == true {
            writeln!(diagram, "    {name} --> [*]")?;
        }
    }
    Ok(diagram)
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
