//! What is compiled into the functions, and what no crate of the workspace may do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use cargo_metadata::MetadataCommand;
use engine::functions::FUNCTIONS;

/// `cargo tree` of a function, without its tests and build scripts, one package a line.
fn tree(function: &str, more: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges=normal",
            "--prefix=none",
            "--package",
        ])
        .arg(function)
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_function_has_a_second_http_or_tls_stack() {
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
fn unsafe_code_is_forbidden_in_every_crate() {
    let workspace = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    // Cargo refuses lints of a crate's own beside the workspace's, and rustc takes no `forbid` back.
    let has = |manifest: &str, section: &str, entry: &str| {
        let mut text = fs::read_to_string(manifest).unwrap();
        text.insert(0, '\n');
        text.contains(&format!("\n[{section}]\n{entry}\n"))
    };
    let root = workspace.workspace_root.join("Cargo.toml");
    let forbidden = has(
        root.as_str(),
        "workspace.lints.rust",
        r#"unsafe_code = "forbid""#,
    );
    assert!(forbidden, "{root} does not forbid unsafe_code first of all");
    for package in workspace.workspace_packages() {
        let manifest = package.manifest_path.as_str();
        let inherits = has(manifest, "lints", "workspace = true");
        assert!(inherits, "{manifest} needs [lints] workspace = true");
    }
}
