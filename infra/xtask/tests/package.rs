//! The package for the aws CLI. `cargo xtask package --check` deploys it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use engine::functions::FUNCTIONS;
use serde_json::Value;
use stack::template::{Deployment, TEMPLATE, Template};
use xtask::package::{README, commands, packaged};

fn document(text: &str) -> Value {
    let template = Template::read(text, Deployment::default()).unwrap();
    template.document().clone()
}

#[test]
fn the_packaged_template_differs_only_where_it_points_to_the_package() {
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
        let default = &mut packaged["Parameters"]["Architecture"]["Default"];
        assert_eq!(default.take(), architecture);
        template["Parameters"]["Architecture"]["Default"].take();
        let globals = template["Globals"]["Function"].as_object_mut().unwrap();
        globals.remove("CodeUri").unwrap();
        assert_eq!(packaged, template);
    }
}

#[test]
fn a_template_that_would_be_packaged_by_half_is_refused() {
    let other = TEMPLATE.replace("CodeUri: ..", "CodeUri: ../..");
    assert!(packaged(&other, "arm64").is_err());
}

#[test]
fn the_packages_readme_is_short_and_its_commands_parse() {
    let lines = README.lines().filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("```"));
    assert!(lines.count() <= 10);
    let commands = commands(README).unwrap();
    let parsed = Command::new("sh").args(["-nc", commands]).output();
    let parsed = parsed.unwrap();
    let message = String::from_utf8_lossy(&parsed.stderr);
    assert!(parsed.status.success(), "{message}");
    for expected in [
        "aws s3 mb ",
        "aws cloudformation package ",
        "aws cloudformation deploy ",
        "--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND ",
    ] {
        assert!(commands.contains(expected), "{expected}");
    }
    let parameters = document(TEMPLATE)["Parameters"].clone();
    let (_, overrides) = commands.split_once("--parameter-overrides ").unwrap();
    for pair in overrides.lines().next().unwrap().split(' ') {
        let (name, _) = pair.trim_matches('"').split_once('=').unwrap();
        assert!(parameters.get(name).is_some(), "{name}");
    }
}
