//! The tests, tested: cargo-mutants changes the functions' code, one place at a time, and the tests have to fail.
//!
//! `.cargo/mutants.toml` says what is changed and which tests run. `resources/docs/mutants.md` lists each mutant that may
//! survive, with the reason.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// The workspace.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The list of survivors, in the workspace.
const PAGE: &str = "resources/docs/mutants.md";

/// Runs cargo-mutants, and holds the survivors against the page; whether they are the same. `shard` is a part of the
/// mutants, such as `1/8`; `None` for all.
pub async fn run(binary: &Path, target: &Path, shard: Option<&str>) -> Result<bool, String> {
    let status = Command::new(binary)
        .args(["mutants", "--no-shuffle", "--output"])
        .arg(target)
        .args(shard.into_iter().flat_map(|shard| ["--shard", shard]))
        .current_dir(WORKSPACE)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    // 2 and 3: mutants survived, or tests did not end.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(format!("cargo mutants: {status}"));
    }
    let out = target.join("mutants.out");
    let read = |name: &str| {
        let path = out.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let missed = read("missed.txt")?;
    let tried = [read("caught.txt")?, read("timeout.txt")?, missed.clone()].concat();
    let page = std::fs::read_to_string(Path::new(WORKSPACE).join(PAGE))
        .map_err(|error| format!("{PAGE}: {error}"))?;
    let (unexpected, killed) = differences(&page, &missed, &tried);
    for mutant in &unexpected {
        println!("Survived, and {PAGE} does not say why it may: {mutant}");
    }
    for mutant in &killed {
        println!("Did not survive, so it has no place in {PAGE}: {mutant}");
    }
    Ok(unexpected.is_empty() && killed.is_empty())
}

/// The survivors that the page lacks, and the mutants of the page that were tried and did not survive.
fn differences(page: &str, missed: &str, tried: &str) -> (Vec<String>, Vec<String>) {
    let listed: BTreeSet<String> = page.lines().filter_map(listed).collect();
    let missed: BTreeSet<String> = missed.lines().map(without_line).collect();
    let tried: BTreeSet<String> = tried.lines().map(without_line).collect();
    let unexpected = missed.difference(&listed).cloned().collect();
    let killed = listed
        .difference(&missed)
        .filter(|mutant| tried.contains(*mutant))
        .cloned()
        .collect();
    (unexpected, killed)
}

/// The mutant of a row of the page: its first cell, as code.
fn listed(row: &str) -> Option<String> {
    let (mutant, _) = row.strip_prefix("| `")?.split_once("` |")?;
    Some(mutant.replace("\\|", "|"))
}

/// `file:line:column: what` without line and column, which other changes move.
fn without_line(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_are_held_against_the_page_whatever_their_lines() {
        let page = "| mutant | reason |\n|---|---|\n\
                    | `a.rs: replace f -> u32 with 0` | because |\n\
                    | `a.rs: replace \\|\\| with && in g` | because |\n\
                    | `b.rs: replace h with ()` | because |\n";
        let missed = "a.rs:7:1: replace f -> u32 with 0\na.rs:9:9: replace i with ()\n";
        let caught = "a.rs:8:2: replace || with && in g\n";
        let (unexpected, killed) = differences(page, missed, &[missed, caught].concat());
        assert_eq!(unexpected, ["a.rs: replace i with ()"]);
        // Of what was not tried, nothing is known.
        assert_eq!(killed, ["a.rs: replace || with && in g"]);
    }
}
