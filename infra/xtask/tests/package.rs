//! Tests of the package that is deployed with the aws CLI. `cargo xtask package --check` deploys it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use engine::environment::{Child, bare, command};
use engine::functions::FUNCTIONS;
use serde_json::Value;
use stack::template::{Deployment, TEMPLATE, Template};
use xtask::package::{README, packaged, readme_commands};

fn document(text: &str) -> Value {
    let template = Template::read(text, Deployment::default()).unwrap();
    template.document().clone()
}

#[test]
fn the_packages_template_differs_only_in_paths_and_the_architecture() {
    for architecture in ["arm64", "x86_64"] {
        let mut packaged = document(&packaged(TEMPLATE, architecture).unwrap());
        let mut template = document(TEMPLATE);

        let resources = packaged["Resources"].as_object_mut().unwrap();
        let mut zips = Vec::new();
        for resource in resources.values_mut() {
            let properties = resource["Properties"].as_object_mut().unwrap();
            zips.extend(properties.remove("CodeUri"));
        }
        let mut expected = FUNCTIONS.map(|function| format!("{function}.zip"));
        zips.sort_by_key(Value::to_string);
        expected.sort();
        assert_eq!(zips, expected);

        let definition = &mut packaged["Resources"]["StateMachine"]["Properties"]["DefinitionUri"];
        assert_eq!(definition.take(), "snapshot-manager.asl.json");
        template["Resources"]["StateMachine"]["Properties"]["DefinitionUri"].take();
        let parameter = packaged["Parameters"]["Architecture"].take();
        for field in ["Default", "AllowedPattern"] {
            assert_eq!(parameter[field], architecture);
        }
        template["Parameters"]["Architecture"].take();
        let globals = template["Globals"]["Function"].as_object_mut().unwrap();
        globals.remove("CodeUri").unwrap();
        assert_eq!(packaged, template);
    }
}

#[test]
fn a_template_that_does_not_have_the_expected_text_is_refused() {
    let other = TEMPLATE.replace("CodeUri: ..", "CodeUri: ../..");
    assert!(packaged(&other, "arm64").is_err());
}

#[test]
fn the_same_content_results_in_the_same_zip_and_bootstrap_is_executable() {
    let folder = tempfile::tempdir().unwrap();
    let zips = ["first", "second"].map(|name| {
        // A different file with the same content. Its time and mode differ.
        let content = folder.path().join(name);
        fs::write(&content, "#!/bin/sh").unwrap();
        let mode: u32 = if name == "first" { 0o600 } else { 0o777 };
        fs::set_permissions(&content, Permissions::from_mode(mode)).unwrap();
        let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + 86_400 * u64::from(mode));
        let file = File::options().write(true).open(&content).unwrap();
        file.set_modified(modified).unwrap();
        let zip = folder.path().join(format!("{name}.zip"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/archive.py");
        let status = command(Child::Tool, "python3")
            .arg(script)
            .arg(&zip)
            .arg(format!("bootstrap={}", content.display()))
            .arg(format!("LICENSE={}", content.display()))
            .as_std_mut()
            .status();
        assert!(status.unwrap().success());
        zip
    });
    let bytes = zips.clone().map(|zip| fs::read(zip).unwrap());
    assert!(bytes[0] == bytes[1]);
    let listing = "import sys, zipfile\nfor entry in zipfile.ZipFile(sys.argv[1]).infolist(): print(entry.filename, oct(entry.external_attr >> 16))";
    let listed = command(Child::Tool, "python3")
        .args(["-c", listing])
        .arg(&zips[0])
        .as_std_mut()
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, "bootstrap 0o100755\nLICENSE 0o100644\n");
}

#[test]
fn the_packages_readme_is_short_and_its_commands_parse() {
    let lines = README.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("```"));
    assert!(lines.count() <= 10);
    let commands = readme_commands(README).unwrap();
    let mut shell = bare("/bin/sh");
    let parsed = shell.args(["-nc", commands]).as_std_mut().output();
    let parsed = parsed.unwrap();
    let message = String::from_utf8_lossy(&parsed.stderr);
    assert!(parsed.status.success(), "{message}");
    for expected in [
        "aws s3 mb ",
        "aws cloudformation package ",
        "aws cloudformation deploy ",
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND ",
        // The command must set it: an update keeps the value of a parameter that the command does not name.
        "\"Architecture=ARCHITECTURE\"",
    ] {
        assert!(commands.contains(expected), "{expected}");
    }
    // The deployer's policy does not allow this action.
    assert!(README.contains("`aws s3 mb` needs `s3:CreateBucket`"));
    let parameters = document(TEMPLATE)["Parameters"].clone();
    let (_, overrides) = commands.split_once("--parameter-overrides ").unwrap();
    for pair in overrides.lines().next().unwrap().split(' ') {
        let (name, _) = pair.trim_matches('"').split_once('=').unwrap();
        assert!(parameters.get(name).is_some(), "{name}");
    }
}
