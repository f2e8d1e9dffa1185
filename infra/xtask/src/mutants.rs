//! `cargo xtask mutants`: checks the tests. The tool cargo-mutants changes the functions' code in one place at a time.
//! A changed version is a mutant. For each mutant, at least one test must fail.
//!
//! There are two passes. The first runs the tests of the mutant's own package, which compile in seconds and catch most
//! mutants. The second tries the survivors again, with the tests of all functions. `.cargo/mutants.toml` configures
//! which code is changed. `resources/docs/mutants.md` lists each mutant that may survive, with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::environment::{self, Child};
use engine::functions;
use engine::group::Group;
use output::say;

use crate::tools::{WORKSPACE, cargo_tool};

const PAGE: &str = "resources/docs/mutants.md";

/// The packages whose tests run in the second pass. With the simulation and the end-to-end tests, the pass would take
/// days.
const TESTED_PACKAGES: &str = "contract,create-snapshot,describe-snapshot,flink,prune-snapshots,record-and-notify,retention,step";

/// Runs cargo-mutants and compares the survivors with the page. Returns whether they are the same. `shard` selects a
/// part of the mutants, for example `1/8`; `None` selects all.
pub async fn run(shard: Option<&str>) -> Result<bool> {
    let target = functions::target_folder()?;
    let binary = cargo_tool(&target, "cargo-mutants", "27.1.0").await?;
    let read = |path: &Path| {
        let text = fs::read_to_string(path);
        text.with_context(|| path.display().to_string())
    };
    let list = |name: &str| read(&target.join("mutants.out").join(name));
    let part = shard.into_iter().flat_map(|shard| ["--shard", shard]);
    try_mutants(&binary, &target, &part.collect::<Vec<_>>()).await?;
    let mut missed = list("missed.txt")?;
    let tried = [list("caught.txt")?, list("timeout.txt")?, missed.clone()].concat();
    if !missed.is_empty() {
        let survivors: Vec<String> = missed.lines().map(expression).collect();
        // `--re` selects the survivors. But 27.1.0 does not apply it to a mutant that deletes a field, and would try
        // all of these again. `--iterate` leaves out those that the first pass has caught.
        let mut again = vec!["--iterate", "--test-package", TESTED_PACKAGES];
        again.extend(survivors.iter().flat_map(|mutant| ["--re", mutant]));
        try_mutants(&binary, &target, &again).await?;
        missed = list("missed.txt")?;
    }
    let page = read(&Path::new(WORKSPACE).join(PAGE))?;
    let (unexpected, killed) = differences(&page, &missed, &tried);
    for mutant in &unexpected {
        say!("Survived, but is not in {PAGE}: {mutant}")?;
    }
    for mutant in &killed {
        say!("Is in {PAGE}, but did not survive: {mutant}")?;
    }
    Ok(unexpected.is_empty() && killed.is_empty())
}

/// Runs one pass of cargo-mutants. It writes its lists to `<target>/mutants.out`.
async fn try_mutants(binary: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let mut mutants = environment::command(Child::Cargo, binary);
    mutants
        .args(["mutants", "--no-shuffle", "--output"])
        .arg(target)
        .args(arguments)
        .current_dir(WORKSPACE);
    let status = Group::start(&mut mutants)?.status().await?;
    // Code 2: mutants survived. Code 3: tests did not end in time.
    ensure!(
        matches!(status.code(), Some(0 | 2 | 3)),
        "cargo mutants failed ({status})"
    );
    Ok(())
}

/// A regular expression that matches this mutant alone.
fn expression(mutant: &str) -> String {
    format!("^{}$", regex_syntax::escape(mutant))
}

/// Returns the survivors that the page does not list, and the mutants that it lists and that were tried, but did not
/// survive.
fn differences(page: &str, missed: &str, tried: &str) -> (Vec<String>, Vec<String>) {
    let listed: BTreeSet<String> = page.lines().filter_map(listed).collect();
    let missed: BTreeSet<String> = missed.lines().map(without_line).collect();
    let tried: BTreeSet<String> = tried.lines().map(without_line).collect();
    let unexpected = missed.difference(&listed).cloned().collect();
    let killed = listed.difference(&missed);
    let killed = killed.filter(|mutant| tried.contains(*mutant));
    (unexpected, killed.cloned().collect())
}

/// The mutant in a row of the page's table: the code in the first cell.
fn listed(row: &str) -> Option<String> {
    let (mutant, _) = row.strip_prefix("| `")?.split_once("` |")?;
    Some(mutant.replace("\\|", "|"))
}

/// The mutant `file:line:column: what` without line and column, because these change when the code above it changes.
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
    fn survivors_are_compared_with_the_page_without_line_numbers() {
        let page = "| mutant | reason |\n|---|---|\n\
                    | `a.rs: replace f -> u32 with 0` | because |\n\
                    | `a.rs: replace \\|\\| with && in g` | because |\n\
                    | `b.rs: replace h with ()` | because |\n";
        let missed = "a.rs:7:1: replace f -> u32 with 0\na.rs:9:9: replace i with ()\n";
        let caught = "a.rs:8:2: replace || with && in g\n";
        let (unexpected, killed) = differences(page, missed, &[missed, caught].concat());
        assert_eq!(unexpected, ["a.rs: replace i with ()"]);
        // The mutant in b.rs was not tried.
        assert_eq!(killed, ["a.rs: replace || with && in g"]);
    }
}
