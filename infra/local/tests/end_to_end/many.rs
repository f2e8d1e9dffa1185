//! Many runs at the same time, and many snapshots.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::ExecutionStatus;
use engine::faults::FaultKind;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Scenario, engine, names_in, new_engine, run};

#[test]
fn forty_simultaneous_runs_two_for_each_application_leave_forty_correct_records() {
    run(async {
        let engine = new_engine().await;
        let scenarios = (0..20).map(async |number| {
            let scenario = Scenario::on(&engine, &format!("at-once-{number}")).await;
            let old = scenario.seed(5);
            (scenario, old)
        });
        let scenarios = join_all(scenarios).await;
        let modes = [
            ["RUN", "RUN"],
            ["RUN", "PRUNE"],
            ["PRUNE", "RUN"],
            ["PRUNE", "PRUNE"],
        ];
        let pairs = scenarios.iter().zip(modes.iter().cycle());
        let pairs = pairs.map(async |((scenario, old), modes)| {
            assert_end_well_together(scenario, old, *modes).await;
        });
        join_all(pairs).await;
        engine.stop().await;
    });
}

/// Runs an execution of each mode at the same time. Asserts that together they delete all snapshots except for the
/// newest of the five old ones and the runs' own, and that each record has the execution's part of the deletions. A run
/// that finds the other run's snapshot in progress is skipped.
async fn assert_end_well_together(scenario: &Scenario<'_>, old: &[String], modes: [&str; 2]) {
    let takers = modes.iter().filter(|mode| **mode == "RUN").count();
    let mut arns = Vec::new();
    for (mode, number) in modes.iter().zip(1..) {
        let input = json!({
            "mode": mode, "retention": { "keep_last": takers + 1 }, "poll_interval_seconds": 1
        });
        arns.push(scenario.start(input, number).await);
    }
    let mut own = BTreeSet::new();
    let mut deleted = BTreeSet::new();
    for (arn, mode) in arns.iter().zip(modes) {
        let done = scenario.end_of(arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded, "{modes:?}");
        let record = scenario.record(&done).await;
        assert_eq!(record["execution_arn"], *arn);
        if takers == 2 && record["outcome"] == "SKIPPED" {
            continue;
        }
        assert_eq!(record["outcome"], "SUCCEEDED", "{modes:?}");
        if mode == "RUN" {
            assert_eq!(record["new_snapshot_name"], done.snapshot_name());
            own.insert(done.snapshot_name());
        }
        let named = names_in(&record["snapshots_deleted"]);
        let named: BTreeSet<String> = named.into_iter().map(str::to_owned).collect();
        assert_eq!(record["snapshots_deleted_count"], named.len());
        deleted.extend(named);
    }
    scenario.notifications(2).await;
    assert_eq!(scenario.row_count().await, 2, "{modes:?}");
    assert!(takers == 0 || !own.is_empty(), "{modes:?}");
    let (expected, kept) = old.split_at(old.len() + own.len() - takers - 1);
    let left: BTreeSet<String> = scenario.names().into_iter().collect();
    let kept: BTreeSet<String> = kept.iter().cloned().chain(own).collect();
    assert_eq!(left, kept, "{modes:?}");
    // Two runs that prune at the same time may want to delete the same snapshot. The second finds it gone, and counts
    // it as deleted.
    let expected: BTreeSet<String> = expected.iter().cloned().collect();
    assert_eq!(deleted, expected, "{modes:?}");
}

/// The input of a run that prunes to this number of snapshots, with this limit of deletions.
fn prune(keep_last: u32, max_deletions: u32) -> Value {
    let retention = json!({ "keep_last": keep_last, "max_deletions_per_run": max_deletions });
    json!({ "mode": "PRUNE", "retention": retention })
}

#[test]
fn one_run_prunes_a_thousand_snapshots_to_thirty_if_its_limit_allows_that() {
    run(async {
        let scenario = Scenario::new("thousand").await;
        scenario.seed_thousand();
        let (_, record) = scenario.succeed("PRUNE_INCOMPLETE", prune(30, 969)).await;
        assert_eq!(record["held_back"]["cause"], "MAX_DELETIONS_PER_RUN");
        assert_eq!(record["held_back"]["deletions_wanted"], 970);
        let message = record["held_back"]["message"].as_str().unwrap();
        let cure = "retention.max_deletions_per_run 1067";
        assert!(message.contains(cure), "{message}");
        assert_eq!(scenario.names().len(), 1_000);

        let (_, record) = scenario.succeed("SUCCEEDED", prune(30, 970)).await;
        assert_eq!(record["mode"], "PRUNE");
        assert!(!record.contains_key("new_snapshot_name"));
        assert_eq!(record["snapshots_deleted_count"], 970);
        assert_eq!(record["snapshots_deleted"].as_array().unwrap().len(), 100);
        assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0);
        assert_eq!(scenario.names().len(), 30);
    });
}

#[test]
fn throttling_slows_the_run_but_no_deletion_fails() {
    run(async {
        let scenario = Scenario::new("throttled").await;
        scenario.seed_thousand();
        scenario.behave(|behaviour| behaviour.deletes_per_second = Some(100));
        let (done, record) = scenario.succeed("SUCCEEDED", prune(300, 700)).await;
        assert_eq!(record["snapshots_deleted_count"], 700);
        assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0);
        assert_eq!(done.task_errors(), [""; 0]);
        assert_eq!(scenario.names().len(), 300);
    });
}

#[test]
fn a_run_whose_function_is_killed_during_a_batch_counts_exactly_and_respects_its_limit() {
    run(async {
        let scenario = Scenario::new("killed-prune").await;
        scenario.seed_thousand();
        let (function, operation) = ("prune-snapshots", "DeleteApplicationSnapshot");
        let killed = scenario.inject_after(100, function, operation, FaultKind::KillAfter);
        let (done, record) = scenario.succeed("SUCCEEDED", prune(700, 300)).await;
        assert_eq!(scenario.faults().hits(killed), 1);
        assert_eq!(done.task_errors(), ["Runtime.ExitError"]);
        assert_eq!(record["snapshots_deleted_count"], 300);
        assert_eq!(scenario.names().len(), 700);
    });
}

#[test]
fn a_row_with_two_simultaneous_writers_is_never_read_half_written() {
    run(async {
        let names = engine().await.connection();
        let dynamodb = aws_sdk_dynamodb::Client::new(&names.sdk_config());
        // With this many attributes, a write takes some time.
        let fields: Vec<String> = (0..40).map(|n| format!("field_{n} = :arn")).collect();
        let update_expression = format!("SET execution_arn = :arn, {}", fields.join(", "));
        for number in 0..20 {
            let write = || {
                let update = dynamodb.update_item().table_name(&names.table);
                update
                    .key("app_name", AttributeValue::S("two-writers".to_owned()))
                    .key(
                        "snapshot_manager_run_id",
                        AttributeValue::N(number.to_string()),
                    )
                    .update_expression(&update_expression)
                    .condition_expression("attribute_not_exists(app_name) OR execution_arn = :arn")
                    .expression_attribute_values(":arn", AttributeValue::S("same".to_owned()))
                    .send()
            };
            let (one, other) = tokio::join!(write(), write());
            one.unwrap();
            other.unwrap();
        }
    });
}
