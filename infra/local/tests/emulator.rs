//! botocore checks the engine: boto3 makes every call, botocore's validation checks each request, and its parsers and
//! shapes check each response.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use engine::environment::{Child, command};
use engine::functions;
use engine::msf::{Lifecycle, SeededSnapshot};
use engine::python::{self, Packages};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use support::{Scenario, engine, new_engine, run};

/// Runs a judge: a Python program beside this file, which must succeed. Returns its output.
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
            // The judge makes several calls while an application or a snapshot changes.
            let step = Duration::from_millis(700);
            emulator.behaviour("judge-orders").lifecycle = Some(Lifecycle {
                starting: step,
                stopping: step,
                updating: step,
                snapshot: step,
                deleting: step,
            });
            emulator.behaviour("judge-downtime").downtime = true;
            emulator.behaviour("judge-failing").snapshots_fail = true;
            let now = Timestamp::now();
            let hours = (1..=1_000).rev().map(SignedDuration::from_hours);
            let quota = hours.map(|age| SeededSnapshot::managed(now - age));
            emulator.seed("judge-full", quota);
        }
        let names = engine.connection();
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
        let endpoint = &engine().await.connection().endpoint;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let port = endpoint.rsplit(':').next().unwrap();
        for (name, allowed) in [("127.0.0.1", true), ("example.com", false)] {
            let host = format!("{name}:{port}");
            let request = client.post(endpoint).header("host", &host);
            let request = request.header("x-amz-target", "DynamoDB_20120810.ListTables");
            let answer = request.body("{}").send().await.unwrap();
            assert_eq!(answer.status().is_success(), allowed, "{host}");
            assert_permits_no_other_origin(&answer);
            let names = client.get(format!("{endpoint}/_names"));
            let names = names.header("host", &host).send().await.unwrap();
            assert_eq!(names.status().is_success(), allowed, "{host}");
        }
    });
}

fn assert_permits_no_other_origin(answer: &Response) {
    let mut headers = answer.headers().keys();
    let open = headers.find(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(open, None);
}

/// Sends the preflight request that a browser sends before it lets a page of another origin call an operation of AWS.
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
        let endpoint = &engine().await.connection().endpoint;
        for path in ["", "/_names", "/bucket/key", "/_caller/create-snapshot/7/"] {
            let answer = preflight(&format!("{endpoint}{path}")).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
            assert_permits_no_other_origin(&answer);
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
fn every_listener_is_on_the_loopback_interface_and_refuses_web_pages() {
    run(async {
        // After a function has run, MiniStack serves a Runtime API for it.
        let scenario = Scenario::new("listens").await;
        scenario.execute(json!({})).await;
        let ministack = child_with("serve.py");
        // With these services, MiniStack would listen on all interfaces, if packages are installed that are not among
        // the pinned ones.
        let environment = fs::read_to_string(format!("/proc/{ministack}/environ")).unwrap();
        for off in ["IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0"] {
            assert!(environment.split('\0').any(|it| it == off), "{off}");
        }
        let listening = listening(ministack);
        assert!(
            listening.len() > 2,
            "proxy, MiniStack, Runtime APIs: {listening:?}"
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (address, port) in listening {
            assert_eq!(
                address, "0100007F",
                "127.0.0.1, as Linux writes it: port {port}"
            );
            let page = client.get(format!("http://127.0.0.1:{port}/"));
            let answer = page.header("origin", "http://evil.example").send().await;
            assert_eq!(
                answer.unwrap().status(),
                StatusCode::FORBIDDEN,
                "port {port}"
            );
        }
    });
}

/// All processes, each with its parent and its process group.
fn processes() -> impl Iterator<Item = (u32, u32, u32)> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().into_string().ok()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
        let mut field = || fields.next()?.parse().ok();
        Some((pid, field()?, field()?))
    })
}

/// The child of this process whose command line contains this text.
fn child_with(argument: &str) -> u32 {
    let mut children = processes().filter(|(_, parent, _)| *parent == std::process::id());
    let child = children.find(|(pid, ..)| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        line.is_ok_and(|line| line.contains(argument))
    });
    child.unwrap().0
}

/// The address and port of each socket on which this process, or a process of that group, listens.
fn listening(group: u32) -> Vec<(String, u16)> {
    let own = std::process::id();
    let listeners = processes().filter(|(pid, _, its)| *its == group || *pid == own);
    let sockets: HashSet<String> = listeners
        .flat_map(|(pid, ..)| {
            fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
        })
        .filter_map(|file| {
            fs::read_link(file.ok()?.path())
                .ok()?
                .into_os_string()
                .into_string()
                .ok()
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")));
    let mut listening = Vec::new();
    for line in tables.iter().flatten().flat_map(|table| table.lines()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A stands for LISTEN. The tenth field is the inode of the socket.
        if fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9])) {
            let (address, port) = fields[1].rsplit_once(':').unwrap();
            let port = u16::from_str_radix(port, 16).unwrap();
            listening.push((address.to_owned(), port));
        }
    }
    listening
}

#[test]
fn other_services_answer_through_the_proxy_as_they_do_directly() {
    run(async {
        let engine = new_engine().await;
        let names = engine.connection();
        let environment = [
            ("AWS_ENDPOINT_URL", names.endpoint.as_str()),
            ("MINISTACK_URL", engine.ministack_address()),
            ("AWS_DEFAULT_REGION", names.region.as_str()),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("STATE_MACHINE_ARN", names.state_machine_arn.as_str()),
            ("TABLE_NAME", names.table.as_str()),
            ("TOPIC_ARN", names.topic_arn.as_str()),
            ("FAILURE_QUEUE_URL", names.failure_queue_url.as_str()),
            ("FUNCTION_NAME", names.function_name.as_str()),
        ];
        let output = judge(python::MINISTACK, "proxy_judge.py", &environment).await;
        assert!(output.contains("29 calls, 9 of them refused"), "{output}");
        engine.stop().await;
    });
}

#[test]
fn redrives_timeouts_and_stops_pass_botocores_shapes() {
    run(async {
        judge(python::MINISTACK, "redrive_judge.py", &[]).await;
    });
}
