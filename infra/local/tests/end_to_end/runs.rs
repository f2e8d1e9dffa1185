//! Runs that succeed, and what they log.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use engine::functions::FUNCTIONS;
use engine::msf::Behaviour;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Scenario, call, eventually, names_in, new_engine_for, pruning, run};

#[test]
fn a_run_waits_for_its_snapshot_prunes_and_has_a_record_a_notification_and_metrics() {
    run(async {
        let scenario = Scenario::new("success").await;
        let old = scenario.seed(4);
        let slow = Behaviour::with_snapshots_of(Duration::from_secs(15));
        scenario.behave(|behaviour| *behaviour = slow);
        let input = json!({ "retention": { "keep_last": 3 } });
        let (done, record) = scenario.succeed("SUCCEEDED", input).await;
        let mut states = vec!["CreateSnapshot", "IsSnapshotStarted"];
        let entered = done.states();
        let looks = entered.iter().filter(|state| **state == "DescribeSnapshot");
        let looks = looks.count();
        assert!(looks >= 2, "{looks} looks");
        for _ in 0..looks {
            states.extend(["WaitForSnapshot", "DescribeSnapshot", "IsSnapshotReady"]);
        }
        states.extend(["PruneSnapshots", "IsPruningDone"].repeat(2));
        states.push("RecordAndNotify");
        assert_eq!(entered, states);

        let own = done.snapshot_name();
        let kept = vec![old[2].clone(), old[3].clone(), own.clone()];
        assert_eq!(scenario.names(), kept);
        assert_eq!(record["mode"], "RUN");
        assert_eq!(record["new_snapshot_name"], own);
        assert_eq!(record["flink_app_version_id"], "1");
        assert_eq!(record["snapshots_ready"], 3);
        assert_eq!(record["snapshots_total"], 5);
        assert_eq!(names_in(&record["snapshots_deleted"]), [&old[0], &old[1]]);
        assert_eq!(record["snapshots_failed_to_be_deleted"], json!([]));
        assert!(record["snapshot_seconds"].as_u64().unwrap() < 60);
        assert_eq!(record["started_at"], done.run_id);
        assert!(record["finished_at"].as_i64().unwrap() > done.run_id);
        assert!(!record.contains_key("error_name"));

        let (subject, announced) = scenario.notification().await;
        assert_eq!(subject, "success: SUCCEEDED");
        assert_eq!(announced["snapshots_deleted"], record["snapshots_deleted"]);
        assert_eq!(announced["notified"], Value::Null);

        let lines = scenario.metrics(&done).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!(line["ApplicationName"], "success");
        assert_eq!(line["Outcome"], "SUCCEEDED");
        for (metric, value) in [
            ("Runs", 1),
            ("HealthyRuns", 1),
            ("SnapshotTaken", 1),
            ("SnapshotsDeleted", 2),
            ("SnapshotsFailedToBeDeleted", 0),
            ("SnapshotsReady", 3),
        ] {
            assert_eq!(line[metric], value, "{metric}");
        }
        assert_eq!(line["SnapshotDuration"], record["snapshot_seconds"]);
        assert_eq!(line["SnapshotsTotal"], record["snapshots_total"]);
        assert_eq!(line["_aws"]["Timestamp"], record["finished_at"]);
        let newest = record["newest_ready_snapshot_create_time"].as_str();
        let newest: jiff::Timestamp = newest.unwrap().parse().unwrap();
        assert_eq!(line["NewestReadySnapshotTime"], newest.as_second());
    });
}

#[test]
fn a_plan_changes_nothing_and_the_next_run_does_what_the_plan_says() {
    run(async {
        let scenario = Scenario::new("plan").await;
        let old = scenario.seed(4);
        let mut input = pruning();
        input["mode"] = "PLAN".into();
        let (done, record) = scenario.succeed("PLANNED", input).await;
        let states = [
            "CreateSnapshot",
            "IsSnapshotStarted",
            "PruneSnapshots",
            "IsPruningDone",
            "RecordAndNotify",
        ];
        assert_eq!(done.states(), states);
        assert_eq!(scenario.names(), old);
        assert_eq!(record["deletions_planned"], 3);
        let plan = record["plan"].as_array().unwrap();
        let actions: Vec<&str> = plan.iter().map(|v| v["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["DELETE", "DELETE", "DELETE", "KEEP"]);
        assert!(!record.contains_key("snapshots_deleted"));
        assert_eq!(scenario.notification().await.0, "plan: PLANNED");

        let (_, record) = scenario.succeed("SUCCEEDED", pruning()).await;
        assert_eq!(names_in(&record["snapshots_deleted"]), old[..3]);
    });
}

#[test]
fn a_stopped_application_is_skipped() {
    run(async {
        let scenario = Scenario::new("stopped").await;
        scenario.stop_application().await;
        let before = scenario.names();
        let (done, record) = scenario.succeed("SKIPPED", json!({})).await;
        let states = ["CreateSnapshot", "IsSnapshotStarted", "RecordAndNotify"];
        assert_eq!(done.states(), states);
        assert_eq!(scenario.names(), before);
        let reason = record["skip_reason"].as_str().unwrap();
        assert!(
            reason.contains("stopped is not running (status READY)"),
            "{reason}"
        );
        assert!(!record.contains_key("new_snapshot_name"));
        assert!(!record.contains_key("snapshots_deleted"));
    });
}

#[test]
fn a_run_waits_for_a_busy_application_and_takes_another_snapshot_after_a_failed_one() {
    run(async {
        let scenario = Scenario::new("second-attempt").await;
        scenario.behave(|behaviour| {
            behaviour.status = Some("AUTOSCALING".to_owned());
            behaviour.snapshots_fail = true;
        });
        let input = json!({ "poll_interval_seconds": 1 });
        let arn = scenario.start(input, 1).await;
        scenario.until_state(&arn, "WaitForApplication").await;
        assert_eq!(scenario.names(), [""; 0]);
        scenario.behave(|behaviour| behaviour.status = None);
        eventually("the first attempt", async || {
            (!scenario.names().is_empty()).then_some(())
        })
        .await;
        scenario.behave(|behaviour| behaviour.snapshots_fail = false);
        let done = scenario.end_of(&arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(done.task_errors(), [""; 0]);
        let record = scenario.record(&done).await;
        let second = format!("custom_{}", done.run_id + 1);
        assert_eq!(record["new_snapshot_name"], second);
        assert_eq!(scenario.names(), [done.snapshot_name(), second]);
    });
}

#[test]
fn the_schedules_own_input_starts_a_run_that_succeeds() {
    run(async {
        let engine = new_engine_for("scheduled").await;
        let scenario = Scenario::on(&engine, "scheduled").await;
        let schedule = &engine.deployed().resources["StateMachineSchedule"];
        let path = format!("schedules/{schedule}");
        let schedule = call(&engine, Method::GET, &path, &Value::Null).await;
        let input = schedule["Target"]["Input"].as_str().unwrap();
        let input = serde_json::from_str(input).unwrap();
        let arn = scenario.start(input, 1).await;
        let done = scenario.end_of(&arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&done).await["outcome"], "SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn every_log_line_is_json_names_its_run_and_has_no_credentials() {
    run(async {
        let scenario = Scenario::new("logged").await;
        scenario.seed(3);
        let (done, _) = scenario.succeed("SUCCEEDED", pruning()).await;
        for function in FUNCTIONS {
            let logs = scenario.engine.logs(function, &done.arn).await.unwrap();
            assert!(!logs.is_empty(), "{function} has said nothing");
            for line in &logs {
                let line: Value =
                    serde_json::from_str(line).unwrap_or_else(|_| panic!("{function}: {line}"));
                if line["span"].is_object() {
                    assert_eq!(line["span"]["run_id"], done.run_id, "{line}");
                    let name = &line["span"]["snapshot_name"];
                    assert_eq!(*name, done.snapshot_name(), "{line}");
                }
            }
            for line in scenario.engine.logs(function, "").await.unwrap() {
                for secret in ["AWS4-HMAC", "SECRET", "Credential"] {
                    assert!(!line.contains(secret), "{line}");
                }
            }
        }
    });
}
