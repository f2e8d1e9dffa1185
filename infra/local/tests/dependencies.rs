//! What is compiled into the functions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use local::functions::FUNCTIONS;

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
