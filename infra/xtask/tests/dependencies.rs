//! Which packages may be compiled into the functions and into `cargo plan`. Also: no crate may have unsafe code, and
//! processes are started and text is printed in one module each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;
use engine::functions::FUNCTIONS;

/// The dependencies of a package of the workspace, as `cargo tree` prints them, without those of tests and build
/// scripts.
fn tree(package: &str, more: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args("tree --locked --offline --edges=normal --prefix=none --package".split(' '))
        .arg(package)
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn each_function_has_only_one_http_stack_and_one_tls_stack() {
    for function in FUNCTIONS {
        let is = |line: &str, package: &str| line.starts_with(&format!("{package} v"));
        let duplicates = tree(function, &["--duplicates", "--depth=0"]);
        for once in [
            "hyper",
            "http",
            "http-body",
            "h2",
            "rustls",
            "hyper-rustls",
            "aws-lc-rs",
        ] {
            let twice = duplicates.iter().any(|line| is(line, once));
            assert!(!twice, "{function} has {once} twice");
        }
        let packages = tree(function, &[]);
        for never in ["ring", "openssl", "native-tls", "hyper-tls"] {
            let there = packages.iter().any(|line| is(line, never));
            assert!(!there, "{function} has {never}");
        }
    }
}

#[test]
fn cargo_plan_needs_no_engine_no_aws_client_no_tls_and_no_iam() {
    for line in tree("plan", &[]) {
        for never in ["engine v", "aws-", "rustls", "hyper", "tokio", "iam-rs"] {
            assert!(!line.starts_with(never), "cargo plan has {line}");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_in_every_crate() {
    let workspace = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    // Cargo does not allow a crate to have lints of its own if it inherits those of the workspace, and in rustc,
    // nothing can undo a `forbid`.
    let has = |manifest: &str, section: &str, entry: &str| {
        let mut text = fs::read_to_string(manifest).unwrap();
        text.insert(0, '\n');
        text.contains(&format!("\n[{section}]\n{entry}\n"))
    };
    let root = workspace.workspace_root.join("Cargo.toml");
    let forbid = r#"unsafe_code = "forbid""#;
    let forbids = has(root.as_str(), "workspace.lints.rust", forbid);
    assert!(forbids, "{root} must forbid unsafe_code as its first lint");
    for package in workspace.workspace_packages() {
        let manifest = package.manifest_path.as_str();
        let inherits = has(manifest, "lints", "workspace = true");
        assert!(inherits, "{manifest} needs [lints] workspace = true");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .flat_map(|entry| match entry.unwrap().path() {
            path if path.is_dir() => sources(&path),
            path => vec![path],
        })
        .collect()
}

#[test]
fn the_commands_start_processes_in_one_module_and_print_in_one_crate() {
    let infra = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crates = ["engine", "local", "output", "plan", "stack", "xtask"];
    for path in crates
        .iter()
        .flat_map(|it| sources(&infra.join(it).join("src")))
    {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("MetadataCommand", "");
        for (call, place, cure) in [
            (
                "Command::new(",
                "environment.rs",
                "engine::environment::command",
            ),
            (".spawn()", "group.rs", "engine::group::Group"),
            ("println!(", "", "output::say or output::note"),
            ("print!(", "", "output::say or output::note"),
        ] {
            let is_place = path.file_name().is_some_and(|name| name == place);
            let path = path.display();
            assert!(
                is_place || !text.contains(call),
                "{path} has {call}; use {cure}"
            );
        }
    }
}
