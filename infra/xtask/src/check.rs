//! `cargo xtask check`: lints the template, the definition and the dependencies.

use anyhow::Result;
use engine::environment::{Child, cargo};
use engine::functions::{self, MANIFEST};
use engine::prepare::install;
use output::say;

use crate::tools::{CHECKOV, SAM, cargo_tool, command, output, run as run_command};

/// A placeholder in the arguments below. It stands for the file with SAM's translation of the template.
const TRANSLATION: &str = "TRANSLATION";

/// The linters: a description, the program, its arguments, and the folder of the workspace in which it runs.
///
/// cargo-deny has the option `--hide-inclusion-graph`, because the graph of a finding fills a page; `cargo tree
/// --invert` prints the same graph.
#[rustfmt::skip]
const LINTERS: [[&str; 4]; 11] = [
    ["SAM's translation of the template", "python", "xtask/python/translate.py template.yaml TRANSLATION", "infra"],
    ["sam validate --lint", "sam", "validate --lint --region us-east-1", "infra"],
    ["cfn-lint of the template", "cfn-lint", "template.yaml", "infra"],
    ["cfn-lint of SAM's translation", "cfn-lint", "TRANSLATION", "infra"],
    ["the deployer's policy against SAM's translation", "python", "xtask/python/covered.py TRANSLATION ../resources/policies/deployer.json", "infra"],
    ["resource types without tags in SAM's translation", "python", "xtask/python/untagged.py TRANSLATION", "infra"],
    ["SAM's parser on the documented deployment", "python", "xtask/python/documented.py template.yaml ../resources/docs/deploy.md", "infra"],
    ["statelint of the definition", "statelint", "snapshot-manager.asl.json", "statemachine"],
    ["checkov of the template", "checkov", "--config-file .checkov.yaml --skip-download --quiet --compact --file template.yaml", "infra"],
    ["cargo deny of the dependencies", "cargo-deny", "--frozen --config .deny.toml check --hide-inclusion-graph --deny warnings licenses bans sources", "."],
    ["cargo machete: dependencies that no code uses", "cargo-machete", "functions infra", "."],
];

/// Runs the linters. Prints a line for each linter to stdout, followed by the linter's output if it fails. Returns
/// whether all linters have passed.
pub async fn run() -> Result<bool> {
    let target = functions::target_folder()?;
    let tools = [
        install(&target, SAM).await?,
        install(&target, CHECKOV).await?,
        cargo_tool(&target, "cargo-deny", "0.20.2").await?,
        cargo_tool(&target, "cargo-machete", "0.9.2").await?,
    ];
    // cargo-deny needs the dependencies for every platform, but a build fetches only those for this platform.
    run_command(cargo().args(["fetch", "--locked", "--manifest-path", MANIFEST])).await?;
    let temporary = tempfile::tempdir()?;
    let translation = temporary.path().join("translation.yaml");
    let translation = translation.to_string_lossy();
    let mut all_passed = true;
    for [what, program, arguments, folder] in LINTERS {
        let arguments = arguments.split(' ');
        let arguments = arguments.map(|it| it.replace(TRANSLATION, &translation));
        let mut linter = command(Child::Tool, &tools, program, folder)?;
        let output = output(linter.args(arguments)).await?;
        let passed = output.status.success();
        say!("{:<4} {what}", if passed { "ok" } else { "FAIL" })?;
        if !passed {
            say!("{}", String::from_utf8_lossy(&output.stdout).trim_end())?;
            say!("{}", String::from_utf8_lossy(&output.stderr).trim_end())?;
        }
        all_passed &= passed;
    }
    Ok(all_passed)
}
