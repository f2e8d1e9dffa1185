//! botocore judges the engine: boto3 makes every call, its validation checks each request, and its parsers and shapes check
//! each answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use engine::environment::{Child, command};
use engine::functions;
use engine::python::{self, Packages};
use jiff::{SignedDuration, Timestamp};
use local::demo::managed_snapshot;
use reqwest::{Method, Response, StatusCode};
use support::{engine, run};

/// Runs a judge, a program beside this file, which must succeed. Returns its output.
async fn judge(packages: Packages, file: &str, environment: &[(&str, &str)]) -> String {
    let target = functions::target_folder().unwrap();
    let python = python::install(&target, packages, |_| ()).await.unwrap();
    let mut judge = command(Child::Engine, python);
    judge
        .arg(format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR")))
        .envs(environment.iter().copied());
    let judged = judge.output().await.unwrap();
    let stdout = String::from_utf8(judged.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{stdout}\n{stderr}");
    stdout
}

#[test]
fn every_operation_and_every_error_passes_botocores_parsers_and_shapes() {
    run(async {
        let engine = engine().await;
        {
            let mut emulator = engine.proxy().emulator().lock().unwrap();
            emulator.behaviour("judge-downtime").downtime = true;
            emulator.behaviour("judge-failing").snapshots_fail = true;
            let now = Timestamp::now();
            let hours = (1..=1_000).rev().map(SignedDuration::from_hours);
            let quota = hours.map(|age| managed_snapshot(now - age));
            emulator.seed("judge-full", quota);
        }
        let names = engine.names();
        let environment = [
            ("AWS_ENDPOINT_URL", names.endpoint.as_str()),
            ("AWS_DEFAULT_REGION", names.region.as_str()),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ];
        let output = judge(python::BOTOCORE, "boto3_judge.py", &environment).await;
        let operations = output.lines().last().unwrap_or_default();
        assert!(operations.contains("13 operations"), "{output}");
    });
}

#[test]
fn calls_to_other_hosts_are_refused_on_every_route() {
    run(async {
        let endpoint = &engine().await.names().endpoint;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let port = endpoint.rsplit(':').next().unwrap();
        for (name, allowed) in [("127.0.0.1", true), ("example.com", false)] {
            let host = format!("{name}:{port}");
            let request = client.post(endpoint).header("host", &host);
            let request = request.header("x-amz-target", "DynamoDB_20120810.ListTables");
            let answer = request.body("{}").send().await.unwrap();
            assert_eq!(answer.status().is_success(), allowed, "{host}");
            assert_is_not_shared(&answer);
            let names = client.get(format!("{endpoint}/_names"));
            let names = names.header("host", &host).send().await.unwrap();
            assert_eq!(names.status().is_success(), allowed, "{host}");
        }
    });
}

fn assert_is_not_shared(answer: &Response) {
    let mut headers = answer.headers().keys();
    let open = headers.find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(open, None);
}

/// What a browser asks before a page of another origin may call an operation of AWS.
async fn preflight(url: &str) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(Method::OPTIONS, url);
    request
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,x-amz-target",
        )
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "cors")
        .send()
        .await
        .unwrap()
}

#[test]
fn a_preflight_is_refused_on_every_route() {
    run(async {
        let endpoint = &engine().await.names().endpoint;
        for path in ["", "/_names", "/bucket/key", "/_caller/create-snapshot/7/"] {
            let answer = preflight(&format!("{endpoint}{path}")).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
            assert_is_not_shared(&answer);
        }
    });
}

#[test]
fn ministack_answers_only_below_its_secret_path() {
    run(async {
        let address = engine().await.ministack_address();
        let (open, secret) = address.rsplit_once('/').unwrap();
        assert!(secret.len() > 20, "{secret}");
        assert_eq!(preflight(open).await.status(), StatusCode::FORBIDDEN);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (base, status) in [(open, 403), (address, 200)] {
            let request = client.post(base).body("{}");
            let request = request.header("x-amz-target", "DynamoDB_20120810.ListTables");
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{base}");
        }
        let health = format!("{open}/_ministack/health");
        let answer = client.get(health).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    });
}

#[test]
fn redrives_timeouts_and_stops_pass_botocores_shapes() {
    run(async {
        judge(python::MINISTACK, "redrive_judge.py", &[]).await;
    });
}
