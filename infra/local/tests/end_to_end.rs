//! Whole runs on the real engine: the definition, the functions' processes, the SDK's calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, BillingMode};
use aws_sdk_sfn::types::ExecutionStatus;
use jiff::SignedDuration;
use local::engine::Engine;
use local::faults::{Kind, Times};
use local::msf::Lifecycle;
use reqwest::Method;
use serde_json::{Value, json};
use support::{
    Execution, Scenario, call, eventually, lambda, managed, message_about, new_engine,
    new_engine_for, run,
};

/// The states of a run that takes a snapshot, so many looks at it, and prunes in so many entries.
fn path(looks: usize, prunings: usize) -> Vec<&'static str> {
    let mut states = vec!["CreateSnapshot", "IsSnapshotStarted"];
    for _ in 0..looks {
        states.extend(["WaitForSnapshot", "DescribeSnapshot", "IsSnapshotReady"]);
    }
    for _ in 0..prunings {
        states.extend(["PruneSnapshots", "IsPruningDone"]);
    }
    states.push("RecordAndNotify");
    states
}

/// The names in a list of maps of the record.
fn names_in(list: &Value) -> Vec<&str> {
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|entry| entry["snapshot_name"].as_str().unwrap())
        .collect()
}

/// The execution has failed at that state with that error, whose message has the state's command;
/// the record says so, and so does the one notification.
async fn assert_failed(scenario: &Scenario<'_>, failed: &Execution, state: &str, error: &str) {
    assert_eq!(failed.status, ExecutionStatus::Failed);
    assert_eq!(failed.failed_state(), Some(state));
    let (name, message) = failed.error();
    assert_eq!(name, error);
    let machine = failed
        .arn
        .rsplit_once(':')
        .unwrap()
        .0
        .replace(":execution:", ":stateMachine:");
    let redrive = format!("redrive-execution --execution-arn {}", failed.arn);
    let start = format!("start-execution --state-machine-arn {machine} --input '");
    assert!(
        message.contains(&redrive) || message.contains(&start),
        "{message}"
    );

    let record = scenario.record(failed).await;
    assert_eq!(record["outcome"], "FAILED");
    assert_eq!(record["failed_state"], state);
    assert_eq!(record["error_name"], error);
    assert_eq!(record["error_message"], message);
    assert_eq!(record["execution_arn"], failed.arn);
    let notifications = scenario.notifications(1).await;
    let subject = format!("{}: FAILED at {state} with {error}", scenario.application);
    assert_eq!(notifications[0].0, subject);
    assert_eq!(notifications[0].1["error_message"], message);
}

#[test]
fn a_run_takes_its_snapshot_prunes_records_and_announces() {
    run(async {
        let scenario = Scenario::new("success").await;
        let old = scenario.seed(4);
        let done = scenario
            .execute(json!({ "retention": { "keep_last": 3 } }))
            .await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(done.states(), path(1, 2));

        let own = done.snapshot_name();
        let kept = vec![old[2].clone(), old[3].clone(), own.clone()];
        assert_eq!(scenario.names().await, kept);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
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

        let notifications = scenario.notifications(1).await;
        assert_eq!(notifications[0].0, "success: SUCCEEDED");
        assert_eq!(
            notifications[0].1["snapshots_deleted"],
            record["snapshots_deleted"]
        );
        assert_eq!(notifications[0].1["notified"], Value::Null);
    });
}

#[test]
fn a_run_with_nothing_to_prune_prunes_in_one_entry() {
    run(async {
        let scenario = Scenario::new("nothing-to-prune").await;
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.states(), path(1, 1));
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["snapshots_deleted_count"], 0);
    });
}

#[test]
fn a_slow_snapshot_is_looked_at_until_it_is_ready() {
    run(async {
        let scenario = Scenario::new("slow").await;
        scenario.behave(|behaviour| {
            behaviour.lifecycle = Some(Lifecycle {
                snapshot: Duration::from_secs(1),
                ..Lifecycle::default()
            });
        });
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        let looks = done
            .states()
            .into_iter()
            .filter(|state| *state == "DescribeSnapshot")
            .count();
        assert!(looks >= 2, "{looks} looks");
        assert_eq!(done.states(), path(looks, 1));
    });
}

#[test]
fn a_snapshot_that_fails_fails_the_run_where_it_is_looked_at() {
    run(async {
        let scenario = Scenario::new("snapshot-failed").await;
        scenario.behave(|behaviour| behaviour.snapshots_fail = true);
        let old = scenario.seed(4);
        let failed = scenario
            .execute(json!({ "retention": { "keep_last": 1 } }))
            .await;
        assert_failed(&scenario, &failed, "DescribeSnapshot", "SnapshotFailed").await;
        let record = scenario.record(&failed).await;
        assert_eq!(record["new_snapshot_name"], failed.snapshot_name());
        assert!(
            !record.contains_key("snapshots_deleted"),
            "nothing is known of deletions"
        );
        assert_eq!(scenario.names().await[..4], old, "nothing was deleted");
    });
}

#[test]
fn a_snapshot_that_timed_out_and_became_ready_is_redriven_to_success() {
    run(async {
        let scenario = Scenario::new("timed-out").await;
        scenario.behave(|behaviour| {
            behaviour.clock_behind = SignedDuration::from_hours(1);
            behaviour.lifecycle = Some(Lifecycle {
                snapshot: Duration::from_secs(2),
                ..Lifecycle::default()
            });
        });
        let failed = scenario
            .execute(json!({ "ready_timeout_seconds": 60 }))
            .await;
        assert_failed(&scenario, &failed, "DescribeSnapshot", "SnapshotTimedOut").await;

        scenario.until_ready(&failed.snapshot_name()).await;
        let done = scenario.redrive(&failed).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(done.run_id, failed.run_id);
        assert_eq!(
            scenario.names().await,
            [failed.snapshot_name()],
            "no second snapshot"
        );
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["execution_arn"], failed.arn);
        for attribute in ["failed_state", "error_name", "error_message"] {
            assert!(!record.contains_key(attribute), "{attribute}");
        }
        assert_eq!(scenario.notifications(1).await[0].0, "timed-out: SUCCEEDED");
    });
}

#[test]
fn a_stopped_application_is_skipped() {
    run(async {
        let scenario = Scenario::new("stopped").await;
        scenario.stop_application().await;
        let before = scenario.names().await;
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(
            done.states(),
            ["CreateSnapshot", "IsSnapshotStarted", "RecordAndNotify"]
        );
        assert_eq!(scenario.names().await, before);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SKIPPED");
        assert!(
            record["skip_reason"]
                .as_str()
                .unwrap()
                .contains("stopped is READY")
        );
        assert!(!record.contains_key("new_snapshot_name"));
        assert!(!record.contains_key("snapshots_deleted"));
    });
}

#[test]
fn an_application_that_is_not_there_fails_the_first_step() {
    run(async {
        let scenario = Scenario::without_application(support::engine().await, "not-there").await;
        let failed = scenario.execute(json!({})).await;
        assert_failed(&scenario, &failed, "CreateSnapshot", "ApplicationNotFound").await;
    });
}

#[test]
fn a_busy_application_is_tried_again_until_it_runs() {
    run(async {
        let scenario = Scenario::new("busy").await;
        scenario.behave(|behaviour| behaviour.status = Some("AUTOSCALING".to_owned()));
        let arn = scenario
            .start(json!({ "poll_interval_seconds": 1 }), 1)
            .await;
        eventually("ApplicationBusy", async || {
            let history = scenario.history(&arn).await;
            history.iter().find(|event| {
                let failed = event.task_failed_event_details();
                failed.and_then(|failed| failed.error()) == Some("ApplicationBusy")
            })?;
            Some(())
        })
        .await;
        scenario.behave(|behaviour| behaviour.status = None);
        let done = scenario.end_of(&arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        let errors: BTreeSet<&str> = done.task_errors().into_iter().collect();
        assert_eq!(errors, BTreeSet::from(["ApplicationBusy"]));
        assert_eq!(scenario.record(&done).await["outcome"], "SUCCEEDED");
    });
}

#[test]
fn disabled_snapshots_fail_the_first_step_and_a_redrive_goes_on_when_they_are_enabled() {
    run(async {
        let scenario = Scenario::new("disabled").await;
        scenario.set_snapshots_enabled(false).await;
        let failed = scenario.execute(json!({})).await;
        assert_failed(&scenario, &failed, "CreateSnapshot", "SnapshotsDisabled").await;

        scenario.set_snapshots_enabled(true).await;
        let done = scenario.redrive(&failed).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        let record = scenario.record(&done).await;
        assert_eq!(record["new_snapshot_name"], failed.snapshot_name());
    });
}

#[test]
fn a_full_quota_is_cured_by_the_command_in_its_message() {
    run(async {
        let scenario = Scenario::new("quota").await;
        let old = scenario.seed(6);
        scenario.behave(|behaviour| behaviour.snapshot_quota = 6);
        let input = json!({ "retention": { "keep_last": 2, "max_deletions_per_run": 1 } });
        let failed = scenario.execute(input.clone()).await;
        assert_failed(
            &scenario,
            &failed,
            "CreateSnapshot",
            "SnapshotLimitExceeded",
        )
        .await;
        assert_eq!(scenario.names().await, old);

        let (_, message) = failed.error();
        let command = message
            .split("--input '")
            .nth(1)
            .unwrap()
            .strip_suffix('\'')
            .unwrap();
        let prune: Value = serde_json::from_str(command).unwrap();
        assert_eq!(prune["mode"], "PRUNE");
        let pruned = scenario.execute(prune).await;
        assert_eq!(pruned.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.names().await, old[4..]);
        let record = scenario.record(&pruned).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["mode"], "PRUNE");
        assert!(!record.contains_key("new_snapshot_name"));

        let input = json!({ "retention": { "keep_last": 3 } });
        let done = scenario.execute(input).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.names().await.last(), Some(&done.snapshot_name()));
    });
}

#[test]
fn a_plan_takes_and_deletes_nothing_and_says_what_a_run_would_do() {
    run(async {
        let scenario = Scenario::new("plan").await;
        let old = scenario.seed(4);
        let input = json!({ "mode": "PLAN", "retention": { "keep_last": 2 } });
        let done = scenario.execute(input).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(done.states(), path(0, 1));
        assert_eq!(scenario.names().await, old);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "PLANNED");
        assert_eq!(record["deletions_planned"], 3);
        let plan = record["plan"].as_array().unwrap();
        let actions: Vec<&str> = plan.iter().map(|v| v["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["KEEP", "DELETE", "DELETE", "DELETE"]);
        assert!(!record.contains_key("snapshots_deleted"));
        assert_eq!(scenario.notifications(1).await[0].0, "plan: PLANNED");

        let run_now = scenario
            .execute(json!({ "retention": { "keep_last": 2 } }))
            .await;
        let deleted = scenario.record(&run_now).await["snapshots_deleted"].clone();
        assert_eq!(
            names_in(&deleted),
            old[..3],
            "the run does what the plan has said"
        );
    });
}

#[test]
fn an_application_that_is_updated_during_the_run_keeps_its_snapshots() {
    run(async {
        let scenario = Scenario::new("gate").await;
        let old = scenario.seed(4);
        let input = json!({ "retention": { "keep_last": 1 }, "poll_interval_seconds": 30 });
        let arn = scenario.start(input, 1).await;
        eventually("the run's snapshot", async || {
            (scenario.names().await.len() == 5).then_some(())
        })
        .await;
        scenario.behave(|behaviour| behaviour.status = Some("UPDATING".to_owned()));
        let done = scenario.end_of(&arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.names().await[..4], old);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "PRUNE_INCOMPLETE");
        assert_eq!(record["held_back"]["cause"], "APPLICATION_NOT_RUNNING");
        assert_eq!(record["held_back"]["deletions_wanted"], 4);
        assert_eq!(
            scenario.notifications(1).await[0].0,
            "gate: PRUNE_INCOMPLETE"
        );
    });
}

#[test]
fn the_brake_deletes_nothing_and_is_acknowledged_by_a_larger_number() {
    run(async {
        let scenario = Scenario::new("brake").await;
        let old = scenario.seed(4);
        let input = json!({ "retention": { "keep_last": 1, "max_deletions_per_run": 3 } });
        let done = scenario.execute(input).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.names().await[..4], old);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "PRUNE_INCOMPLETE");
        assert_eq!(record["held_back"]["cause"], "MAX_DELETIONS_PER_RUN");
        let message = record["held_back"]["message"].as_str().unwrap();
        assert!(
            message.contains("retention.max_deletions_per_run 4"),
            "{message}"
        );

        let input =
            json!({ "mode": "PRUNE", "retention": { "keep_last": 1, "max_deletions_per_run": 4 } });
        let pruned = scenario.execute(input).await;
        assert_eq!(scenario.record(&pruned).await["snapshots_deleted_count"], 4);
        assert_eq!(scenario.names().await, [done.snapshot_name()]);
    });
}

#[test]
fn a_deletion_that_keeps_failing_is_recorded_by_name_and_the_others_are_done() {
    run(async {
        let scenario = Scenario::new("stubborn").await;
        let old = scenario.seed(3);
        scenario.behave(|behaviour| {
            behaviour.deletes_refused.insert(
                old[0].clone(),
                local::msf::ServiceError {
                    code: "ResourceInUseException".to_owned(),
                    message: "somebody restores from it".to_owned(),
                    http_status: 400,
                },
            );
        });
        let done = scenario
            .execute(json!({ "retention": { "keep_last": 1 } }))
            .await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(done.states(), path(1, 3));
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "PRUNE_INCOMPLETE");
        assert_eq!(names_in(&record["snapshots_deleted"]), [&old[1], &old[2]]);
        let failed = &record["snapshots_failed_to_be_deleted"];
        assert_eq!(names_in(failed), [&old[0]]);
        assert!(
            failed[0]["reason"]
                .as_str()
                .unwrap()
                .contains("somebody restores from it")
        );
    });
}

#[test]
fn a_bad_input_creates_nothing_and_names_the_field_and_the_cure() {
    run(async {
        let bad = |field: &str, value: Value| {
            let mut input = json!({});
            input[field] = value;
            input
        };
        let cases = [
            (
                "bad-missing",
                json!({ "application_name": null }),
                "application_name: invalid type",
            ),
            (
                "bad-name",
                json!({ "application_name": "a b" }),
                "application_name: \"a b\" has",
            ),
            (
                "bad-unknown",
                bad("keep_last", json!(3)),
                "unknown field `keep_last`",
            ),
            (
                "bad-mode",
                bad("mode", json!("DELETE")),
                "mode: unknown variant `DELETE`",
            ),
            (
                "bad-zero",
                bad("retention", json!({ "keep_last": 0 })),
                "retention.keep_last: ",
            ),
            (
                "bad-negative",
                bad("poll_interval_seconds", json!(-1)),
                "poll_interval_seconds: invalid value: integer `-1`, expected a whole number from \
                 1 to 300",
            ),
            (
                "bad-timeout",
                bad("ready_timeout_seconds", json!(59)),
                "ready_timeout_seconds: invalid value: integer `59`, expected a whole number \
                 from 60 to 86400",
            ),
            (
                "bad-text",
                bad("poll_interval_seconds", json!("15")),
                "poll_interval_seconds: ",
            ),
            (
                "bad-policy",
                bad("retention", json!({})),
                "retention: the policy keeps nothing: give at least one of keep_last",
            ),
            (
                "bad-duration",
                bad("retention", json!({ "keep_within": "-P7D" })),
                "retention.keep_within: \"-P7D\" is not a positive ISO 8601 duration",
            ),
            (
                "bad-zone",
                bad(
                    "retention",
                    json!({ "keep_daily": 7, "timezone": "Mars/Base" }),
                ),
                "retention.timezone: there is no time zone \"Mars/Base\"",
            ),
            (
                "bad-brake",
                bad(
                    "retention",
                    json!({ "keep_last": 1, "max_deletions_per_run": 0 }),
                ),
                "retention.max_deletions_per_run: ",
            ),
        ];
        for (application, input, place) in cases {
            let usable = input.get("application_name").is_none();
            let scenario = Scenario::new(application).await;
            scenario.seed(1);
            let failed = scenario.end_of(&scenario.start(input, 1).await).await;
            assert_eq!(
                failed.failed_state(),
                Some("CreateSnapshot"),
                "{application}"
            );
            let (name, message) = failed.error();
            assert_eq!(name, "InvalidInput", "{application}");
            assert!(message.contains(place), "{application}: {message}");
            assert!(
                message.contains("Nothing was changed. Correct the named field"),
                "{message}"
            );
            assert_eq!(scenario.names().await.len(), 1, "{application}");
            let app_name = if usable { application } else { "(unknown)" };
            let record = scenario.record_under(app_name, &failed).await;
            assert_eq!(record["error_name"], "InvalidInput");
            assert_eq!(record["error_message"], message);
        }
    });
}

/// The API calls of each function, and how many of that name a run makes before.
const CALLS: [(&str, &str, u32); 10] = [
    ("create-snapshot", "DescribeApplicationSnapshot", 0),
    ("create-snapshot", "DescribeApplication", 0),
    ("create-snapshot", "CreateApplicationSnapshot", 0),
    ("describe-snapshot", "DescribeApplicationSnapshot", 0),
    ("prune-snapshots", "DescribeApplication", 0),
    ("prune-snapshots", "DeleteApplicationSnapshot", 0),
    ("prune-snapshots", "ListApplicationSnapshots", 0),
    ("record-and-notify", "UpdateItem", 0),
    ("record-and-notify", "Publish", 0),
    ("record-and-notify", MARK.0, MARK.1),
];

/// The second write, which marks the record as announced.
const MARK: (&str, u32) = ("UpdateItem", 1);

fn error(code: &str, message: &str, status: u16) -> Kind {
    Kind::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        status,
    }
}

/// Checks the rows of a table, ten at a time; each check gets the number of its row.
fn for_each<T: Sync>(rows: &[T], check: impl AsyncFn(usize, &T) + Sync) {
    let rest = Mutex::new(rows.iter().enumerate());
    let next = || rest.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                while let Some((number, row)) = next() {
                    run(check(number, row));
                }
            });
        }
    });
}

/// A run that prunes two of three old snapshots.
fn pruning() -> Value {
    json!({ "retention": { "keep_last": 2 } })
}

/// The run has taken one snapshot and pruned, and its one record says so.
async fn assert_pruned(scenario: &Scenario<'_>, done: &Execution, old: &[String], row: &str) {
    assert_eq!(done.status, ExecutionStatus::Succeeded, "{row}");
    let own = done.snapshot_name();
    assert_eq!(
        scenario.names().await,
        [old[2].clone(), own.clone()],
        "{row}"
    );
    let record = scenario.record(done).await;
    assert_eq!(scenario.row_count().await, 1, "{row}");
    assert_eq!(record["outcome"], "SUCCEEDED", "{row}");
    assert_eq!(record["new_snapshot_name"], own, "{row}");
    let mut deleted = names_in(&record["snapshots_deleted"]);
    deleted.sort_unstable();
    assert_eq!(deleted, old[..2], "{row}");
    assert_eq!(record["snapshots_deleted_count"], 2, "{row}");
    assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0, "{row}");
    for attribute in ["held_back", "failed_state", "error_name", "error_message"] {
        assert!(!record.contains_key(attribute), "{row}: {attribute}");
    }
}

#[test]
fn each_failing_path_leaves_the_execution_failed_at_the_step_that_failed() {
    // A mark that is refused fails nothing.
    for_each(&CALLS[..9], async |number, row| {
        let (function, operation, _) = *row;
        let row = format!("{function} {operation}");
        let scenario = Scenario::new(&format!("denied-{number}")).await;
        let old = scenario.seed(3);
        let denied = format!("not authorized to perform: {operation}");
        let denied = error("AccessDeniedException", &denied, 400);
        let fault = scenario.inject(function, operation, Times::Always, denied);
        let failed = scenario.execute(pruning()).await;
        let state = match function {
            "create-snapshot" => "CreateSnapshot",
            "describe-snapshot" => "DescribeSnapshot",
            "prune-snapshots" => "PruneSnapshots",
            _ => "RecordAndNotify",
        };
        assert!(failed.error().1.contains(operation), "{row}");
        if state == "RecordAndNotify" {
            assert_eq!(failed.failed_state(), Some(state), "{row}");
            assert_eq!(failed.error().0, "AccessDenied", "{row}");
            // The failure cannot be recorded or announced either, and its event is kept.
            let queue_url = &scenario.engine.names().failure_queue_url;
            message_about(scenario.engine, queue_url, &failed.arn).await;
            let record = scenario.row(&scenario.application, failed.run_id).await;
            let record = record.unwrap_or_default();
            let outcome = (operation == "Publish").then(|| json!("FAILED"));
            assert_eq!(record.get("outcome"), outcome.as_ref(), "{row}");
            assert!(!record.contains_key("notified"), "{row}");
        } else {
            assert_failed(&scenario, &failed, state, "AccessDenied").await;
        }

        scenario.engine.proxy().faults().clear(fault);
        let done = scenario.redrive(&failed).await;
        assert_eq!(done.run_id, failed.run_id, "{row}");
        assert_pruned(&scenario, &done, &old, &row).await;
        let subject = format!("{}: SUCCEEDED", scenario.application);
        assert_eq!(scenario.notifications(1).await[0].0, subject, "{row}");
    });
}

/// A fault that a run gets over by itself.
#[derive(Debug)]
struct PassingFault {
    function: &'static str,
    operation: &'static str,
    /// So many calls are let through, so many are hit.
    times: (u32, u32),
    kind: Kind,
    /// Of the tries that the state machine repeats.
    errors: &'static [&'static str],
    announced: usize,
}

impl PassingFault {
    async fn assert_passes(&self, engine: &Engine, application: &str) {
        let row = format!("{self:?}");
        let scenario = Scenario::on(engine, application).await;
        let old = scenario.seed(3);
        let (through, hit) = self.times;
        let inject = |times, kind| scenario.inject(self.function, self.operation, times, kind);
        inject(Times::Count(through), Kind::Delay(Duration::ZERO));
        let fault = inject(Times::Count(hit), self.kind.clone());
        let done = scenario.execute(pruning()).await;
        assert_eq!(done.task_errors(), self.errors, "{row}");
        assert_eq!(engine.proxy().faults().hits(fault), hit, "{row}");
        assert_pruned(&scenario, &done, &old, &row).await;
        let announced = scenario.notifications(self.announced).await;
        let subject = format!("{application}: SUCCEEDED");
        assert!(announced.iter().all(|(told, _)| *told == subject), "{row}");
    }
}

#[test]
fn passing_faults_are_retried_and_leave_one_snapshot_and_one_record() {
    // How many of them the SDK's own retries do not get over, and what the step then fails with.
    let unavailable = ["ServiceUnavailable"].as_slice();
    let kinds = [
        (error("InternalFailure", "wait", 500), 3, unavailable),
        (error("ThrottlingException", "wait", 400), 3, &["Throttled"]),
        (Kind::NotJson, 1, unavailable),
        (Kind::DropBefore, 3, unavailable),
        (Kind::DropAfter, 1, &[]),
        (Kind::KillBefore, 1, &["Runtime.ExitError"]),
        (Kind::KillAfter, 1, &["Runtime.ExitError"]),
    ];
    let mut rows = Vec::new();
    for (function, operation, through) in CALLS {
        for (kind, attempts, errors) in &kinds {
            let is_mark = (operation, through) == MARK;
            let (hit, errors, announced) = match (operation, kind) {
                // Nobody knows whether it was announced: rather twice than not at all.
                ("Publish", Kind::DropAfter | Kind::KillAfter) => (1, *errors, 2),
                (_, Kind::KillBefore) if is_mark => (1, *errors, 2),
                (_, Kind::DropAfter | Kind::KillBefore | Kind::KillAfter) => (1, *errors, 1),
                // A mark that is refused is only logged.
                _ if is_mark => continue,
                // The SDK sends these once; a deletion is tried again with the next batch.
                ("CreateApplicationSnapshot", _) => (1, *errors, 1),
                ("DeleteApplicationSnapshot", _) => (1, &[][..], 1),
                _ => (*attempts, *errors, 1),
            };
            rows.push(PassingFault {
                function,
                operation,
                times: (through, hit),
                kind: kind.clone(),
                errors,
                announced,
            });
        }
    }
    // An account has a hundred applications at most.
    let engine = run(new_engine());
    for_each(&rows, async |number, row| {
        row.assert_passes(&engine, &format!("passing-{number}"))
            .await;
    });
    run(engine.stop());
}

#[test]
fn a_function_that_hangs_in_any_of_its_calls_is_killed_by_lambda_and_called_again() {
    let engine = run(async {
        let engine = new_engine().await;
        for function in local::functions::FUNCTIONS {
            // Less than the SDK's 10 s for an attempt: the function is not to give up by itself.
            let path = format!("{}/configuration", engine.deployed_name(function).unwrap());
            lambda(&engine, Method::PUT, &path, &json!({ "Timeout": 4 })).await;
        }
        engine
    });
    for_each(&CALLS, async |number, (function, operation, through)| {
        let row = PassingFault {
            function,
            operation,
            times: (*through, 1),
            kind: Kind::Delay(Duration::from_hours(1)),
            errors: &["Sandbox.Timedout"],
            // What is not marked is announced again.
            announced: if (*operation, *through) == MARK { 2 } else { 1 },
        };
        row.assert_passes(&engine, &format!("hanging-{number}"))
            .await;
    });
    run(engine.stop());
}

#[test]
fn a_stopped_execution_is_recorded_as_aborted() {
    run(async {
        let scenario = Scenario::new("aborted").await;
        let arn = scenario
            .start(json!({ "poll_interval_seconds": 300 }), 1)
            .await;
        scenario.until_state(&arn, "WaitForSnapshot").await;
        let aborted = scenario.abort(&arn).await;
        let record = scenario.record(&aborted).await;
        assert_eq!(record["outcome"], "ABORTED");
        assert_eq!(record["failed_state"], "WaitForSnapshot");
        assert_eq!(record["new_snapshot_name"], aborted.snapshot_name());
        assert_eq!(
            scenario.notifications(1).await[0].0,
            "aborted: ABORTED at WaitForSnapshot"
        );
    });
}

#[test]
fn an_execution_that_takes_too_long_is_recorded_as_timed_out() {
    run(async {
        let engine = new_engine().await;
        let sfn = aws_sdk_sfn::Client::new(&engine.names().sdk_config());
        let machine = &engine.names().state_machine_arn;
        let described = sfn
            .describe_state_machine()
            .state_machine_arn(machine)
            .send()
            .await;
        let mut definition: Value = serde_json::from_str(described.unwrap().definition()).unwrap();
        definition["TimeoutSeconds"] = 30.into();
        let update = sfn.update_state_machine().state_machine_arn(machine);
        update
            .definition(definition.to_string())
            .send()
            .await
            .unwrap();

        let scenario = Scenario::on(&engine, "too-long").await;
        let arn = scenario
            .start(json!({ "poll_interval_seconds": 300 }), 1)
            .await;
        let ended = scenario.end_of(&arn).await;
        assert_eq!(ended.status, ExecutionStatus::TimedOut);
        let record = scenario.record(&ended).await;
        assert_eq!(record["outcome"], "TIMED_OUT");
        assert_eq!(record["failed_state"], "WaitForSnapshot");
        assert_eq!(record["new_snapshot_name"], ended.snapshot_name());
        assert!(!record.contains_key("error_name"));
        assert_eq!(
            scenario.notifications(1).await[0].0,
            "too-long: TIMED_OUT at WaitForSnapshot"
        );
        engine.stop().await;
    });
}

#[test]
fn without_its_table_a_run_fails_at_the_record_and_a_redrive_writes_it() {
    run(async {
        let engine = new_engine().await;
        let config = engine.names().sdk_config();
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let table = &engine.names().table;
        let unprotect = dynamodb.update_table().table_name(table);
        let unprotect = unprotect.deletion_protection_enabled(false);
        unprotect.send().await.unwrap();
        let described = dynamodb.describe_table().table_name(table);
        let described = described.send().await.unwrap().table.unwrap();
        let delete = dynamodb.delete_table().table_name(table);
        delete.send().await.unwrap();
        let scenario = Scenario::on(&engine, "no-table").await;
        let failed = scenario.execute(json!({})).await;
        assert_eq!(failed.failed_state(), Some("RecordAndNotify"));
        let (error, message) = failed.error();
        assert_eq!(error, "TableNotFound");
        assert!(message.starts_with("The table snapshot_manager_status does not exist. Create"));
        // Three tries to record the failure have failed too, and the event is kept.
        let undelivered =
            message_about(&engine, &engine.names().failure_queue_url, &failed.arn).await;
        assert_eq!(undelivered["requestContext"]["approximateInvokeCount"], 3);
        let event = &undelivered["requestPayload"];
        assert_eq!(event["detail"]["executionArn"], failed.arn);

        let create = dynamodb.create_table().table_name(table);
        let create = create
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(described.attribute_definitions)
            .set_key_schema(described.key_schema);
        create.send().await.unwrap();
        let done = scenario.redrive(&failed).await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["new_snapshot_name"], failed.snapshot_name());
        scenario.notifications(1).await;
        engine.stop().await;
    });
}

#[test]
fn without_its_topic_a_run_is_recorded_and_fails_and_a_redrive_announces_it() {
    run(async {
        let engine = new_engine().await;
        let config = engine.names().sdk_config();
        let sns = aws_sdk_sns::Client::new(&config);
        sns.delete_topic()
            .topic_arn(&engine.names().topic_arn)
            .send()
            .await
            .unwrap();
        let scenario = Scenario::on(&engine, "no-topic").await;
        let failed = scenario.execute(json!({})).await;
        assert_eq!(failed.failed_state(), Some("RecordAndNotify"));
        assert_eq!(failed.error().0, "TopicNotFound");
        message_about(&engine, &engine.names().failure_queue_url, &failed.arn).await;
        let record = scenario.row("no-topic", failed.run_id).await.unwrap();
        assert_eq!(record["outcome"], "FAILED");
        assert_eq!(record["failed_state"], "RecordAndNotify");
        assert_eq!(record["error_name"], "TopicNotFound");
        assert_eq!(record["new_snapshot_name"], failed.snapshot_name());
        assert!(!record.contains_key("notified"));

        let name = engine.names().topic_arn.rsplit(':').next().unwrap();
        sns.create_topic().name(name).send().await.unwrap();
        // The queue was subscribed to the topic that is gone.
        let scenario = Scenario::without_application(&engine, "no-topic").await;
        let done = scenario.redrive(&failed).await;
        assert_eq!(scenario.record(&done).await["outcome"], "SUCCEEDED");
        assert_eq!(scenario.notifications(1).await[0].0, "no-topic: SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn every_log_line_is_json_says_which_run_it_is_about_and_has_no_credentials() {
    run(async {
        let scenario = Scenario::new("logged").await;
        scenario.seed(3);
        let done = scenario
            .execute(json!({ "retention": { "keep_last": 2 } }))
            .await;
        scenario.record(&done).await;
        for function in local::functions::FUNCTIONS {
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

#[test]
fn a_row_that_two_write_at_the_same_time_is_never_seen_half_written() {
    run(async {
        let names = support::engine().await.names();
        let dynamodb = aws_sdk_dynamodb::Client::new(&names.sdk_config());
        // So many that writing takes its time.
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

#[test]
fn overlapping_executions_for_one_application_all_end_in_a_correct_record() {
    let rows = [
        vec!["RUN", "RUN"],
        vec!["RUN", "PRUNE"],
        vec!["PRUNE", "RUN"],
        vec!["RUN", "RUN", "RUN"],
        vec!["PRUNE", "PRUNE"],
    ];
    for_each(&rows, async |number, modes| {
        let scenario = Scenario::new(&format!("overlap-{number}")).await;
        let old = scenario.seed(5);
        let takers = modes.iter().filter(|mode| **mode == "RUN").count();
        let mut arns = Vec::new();
        for (mode, number) in modes.iter().zip(1..) {
            let input = json!({
                "mode": mode,
                "retention": { "keep_last": takers + 1 },
                "poll_interval_seconds": 1,
            });
            arns.push(scenario.start(input, number).await);
        }
        let mut own = Vec::new();
        let mut deleted = BTreeSet::new();
        for (arn, mode) in arns.iter().zip(modes) {
            let done = scenario.end_of(arn).await;
            assert_eq!(done.status, ExecutionStatus::Succeeded, "{modes:?}");
            let record = scenario.record(&done).await;
            assert_eq!(record["outcome"], "SUCCEEDED", "{modes:?}");
            assert_eq!(record["execution_arn"], *arn);
            if *mode == "RUN" {
                assert_eq!(record["new_snapshot_name"], done.snapshot_name());
                own.push(done.snapshot_name());
            }
            let named = names_in(&record["snapshots_deleted"]);
            let named: BTreeSet<String> = named.into_iter().map(str::to_owned).collect();
            assert_eq!(record["snapshots_deleted_count"], named.len());
            deleted.extend(named);
        }
        let count = scenario.notifications(modes.len()).await.len();
        assert_eq!(scenario.row_count().await, i32::try_from(count).unwrap());

        let mut left = scenario.names().await;
        left.sort();
        own.sort();
        let expected: Vec<&String> = old[4..].iter().chain(&own).collect();
        assert_eq!(left.iter().collect::<Vec<_>>(), expected, "{modes:?}");
        // Two that prune at the same time may want the same: either finds it gone, as it was to be.
        let deleted: Vec<String> = deleted.into_iter().collect();
        assert_eq!(deleted, old[..4], "{modes:?}");
    });
}

/// The metrics of a run, as its function has written them to the log.
async fn metrics_of(scenario: &Scenario<'_>, execution: &Execution) -> Vec<Value> {
    eventually("the metrics", async || {
        let logs = scenario
            .engine
            .logs("record-and-notify", &execution.arn)
            .await
            .unwrap();
        let lines = logs
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_the_run: Vec<Value> = lines
            .filter(|line| {
                line["_aws"].is_object() && line["ExecutionArn"] == execution.arn.as_str()
            })
            .collect();
        (!of_the_run.is_empty()).then_some(of_the_run)
    })
    .await
}

#[test]
fn the_schedules_own_input_starts_a_run_that_succeeds() {
    run(async {
        let engine = new_engine_for("scheduled").await;
        let scenario = Scenario::on(&engine, "scheduled").await;
        let schedule = &engine.deployed().resources["StateMachineSchedule"];
        let schedule = call(
            &engine,
            Method::GET,
            &format!("schedules/{schedule}"),
            &Value::Null,
        )
        .await;
        let input: Value =
            serde_json::from_str(schedule["Target"]["Input"].as_str().unwrap()).unwrap();
        let arn = scenario.start(input, 1).await;
        let done = scenario.end_of(&arn).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.record(&done).await["outcome"], "SUCCEEDED");
        engine.stop().await;
    });
}

#[test]
fn a_run_that_succeeds_or_fails_has_one_line_of_metrics_that_agrees_with_its_record() {
    run(async {
        let scenario = Scenario::new("metrics").await;
        scenario.seed(3);
        let done = scenario
            .execute(json!({ "retention": { "keep_last": 2 } }))
            .await;
        let record = scenario.record(&done).await;
        let lines = metrics_of(&scenario, &done).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!(line["ApplicationName"], "metrics");
        assert_eq!(line["Outcome"], "SUCCEEDED");
        for (metric, value) in [
            ("Runs", 1),
            ("HealthyRuns", 1),
            ("SnapshotTaken", 1),
            ("SnapshotsDeleted", 2),
            ("SnapshotsFailedToBeDeleted", 0),
            ("SnapshotsReady", 2),
        ] {
            assert_eq!(line[metric], value, "{metric}");
        }
        assert_eq!(line["SnapshotDuration"], record["snapshot_seconds"]);
        assert_eq!(line["SnapshotsTotal"], record["snapshots_total"]);
        assert_eq!(line["_aws"]["Timestamp"], record["finished_at"]);
        let newest = record["newest_ready_snapshot_create_time"].as_str();
        let newest: jiff::Timestamp = newest.unwrap().parse().unwrap();
        assert_eq!(line["NewestReadySnapshotTime"], newest.as_second());

        let nowhere = Scenario::without_application(scenario.engine, "no-metrics").await;
        let failed = nowhere.execute(json!({})).await;
        nowhere.record(&failed).await;
        let lines = metrics_of(&nowhere, &failed).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["Outcome"], "FAILED");
        assert_eq!(lines[0]["FailedState"], "CreateSnapshot");
        assert_eq!(lines[0]["ErrorName"], "ApplicationNotFound");
        assert_eq!(
            (&lines[0]["HealthyRuns"], &lines[0]["SnapshotTaken"]),
            (&json!(0), &json!(0))
        );
        assert!(lines[0].get("SnapshotsTotal").is_none());
    });
}

/// Replays an event as the runbook says: the function is invoked with it.
async fn replay(scenario: &Scenario<'_>, event: &Value) -> Value {
    let function = &scenario.engine.names().function_name;
    let answer = lambda(
        scenario.engine,
        Method::POST,
        &format!("{function}/invocations"),
        event,
    )
    .await;
    assert!(answer.get("errorType").is_none(), "{answer}");
    answer
}

#[test]
fn a_run_that_is_killed_after_its_announcement_has_its_metrics() {
    run(async {
        let scenario = Scenario::new("killed-mark").await;
        // The first write is the record, the second the mark.
        let throttled = Kind::Delay(Duration::from_millis(1));
        scenario.inject(
            "record-and-notify",
            "UpdateItem",
            Times::Count(1),
            throttled,
        );
        let fault = scenario.inject(
            "record-and-notify",
            "UpdateItem",
            Times::Count(1),
            Kind::KillAfter,
        );
        let done = scenario.execute(json!({})).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        assert_eq!(scenario.engine.proxy().faults().hits(fault), 1);
        scenario.notifications(1).await;
        assert_eq!(metrics_of(&scenario, &done).await.len(), 1);
    });
}

#[test]
fn an_event_that_could_not_be_handled_is_replayed_from_the_failure_destination_once() {
    run(async {
        for (application, outcome) in [("replay-failed", "FAILED"), ("replay-aborted", "ABORTED")] {
            let scenario = Scenario::new(application).await;
            let fault = scenario.inject(
                "record-and-notify",
                "UpdateItem",
                Times::Always,
                Kind::Error {
                    code: "AccessDeniedException".to_owned(),
                    message: "not authorized to perform: dynamodb:UpdateItem".to_owned(),
                    status: 400,
                },
            );
            let (ended, state) = if outcome == "FAILED" {
                scenario.set_snapshots_enabled(false).await;
                (scenario.execute(json!({})).await, "CreateSnapshot")
            } else {
                let input = json!({ "poll_interval_seconds": 300 });
                let arn = scenario.start(input, 1).await;
                scenario.until_state(&arn, "WaitForSnapshot").await;
                (scenario.abort(&arn).await, "WaitForSnapshot")
            };
            let queue_url = &scenario.engine.names().failure_queue_url;
            let failure = message_about(scenario.engine, queue_url, &ended.arn).await;
            assert_eq!(failure["responsePayload"]["errorType"], "AccessDenied");
            assert_eq!(scenario.row(application, ended.run_id).await, None);

            scenario.engine.proxy().faults().clear(fault);
            let event = &failure["requestPayload"];
            assert_eq!(replay(&scenario, event).await["outcome"], outcome);
            let record = scenario.record(&ended).await;
            assert_eq!(record["failed_state"], state);
            // Once more: nothing changes, nobody is told.
            replay(&scenario, event).await;
            assert_eq!(scenario.record(&ended).await, record);
            scenario.notifications(1).await;
            assert_eq!(metrics_of(&scenario, &ended).await.len(), 1);
        }
    });
}

#[test]
fn an_event_that_comes_after_the_redrives_success_changes_nothing() {
    run(async {
        let scenario = Scenario::new("late-event").await;
        scenario.set_snapshots_enabled(false).await;
        let fault = scenario.inject(
            "record-and-notify",
            "UpdateItem",
            Times::Always,
            Kind::NotJson,
        );
        let failed = scenario.execute(json!({})).await;
        let queue_url = &scenario.engine.names().failure_queue_url;
        let failure = message_about(scenario.engine, queue_url, &failed.arn).await;
        scenario.engine.proxy().faults().clear(fault);
        scenario.set_snapshots_enabled(true).await;
        let done = scenario.redrive(&failed).await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");

        let late = replay(&scenario, &failure["requestPayload"]).await;
        assert_eq!(late["recorded"], "SUPERSEDED");
        assert_eq!(scenario.record(&done).await, record);
        assert_eq!(
            scenario.notifications(1).await[0].0,
            "late-event: SUCCEEDED"
        );
        let outcomes: Vec<Value> = metrics_of(&scenario, &done)
            .await
            .into_iter()
            .map(|line| line["Outcome"].clone())
            .collect();
        assert_eq!(outcomes, ["SUCCEEDED"]);
    });
}

#[test]
fn forty_runs_at_once_end_in_forty_correct_records() {
    run(async {
        let engine = new_engine().await;
        let scenarios = (0..40).map(async |number| {
            let scenario = Scenario::on(&engine, &format!("at-once-{number}")).await;
            scenario.seed(3);
            scenario
        });
        let scenarios = futures::future::join_all(scenarios).await;
        futures::future::join_all(scenarios.iter().map(async |scenario| {
            let done = scenario.execute(pruning()).await;
            assert_eq!(done.status, ExecutionStatus::Succeeded);
            let record = scenario.record(&done).await;
            assert_eq!(record["outcome"], "SUCCEEDED");
            assert_eq!(record["new_snapshot_name"], done.snapshot_name());
            assert_eq!(record["snapshots_deleted_count"], 2);
            scenario.notifications(1).await;
        }))
        .await;
        engine.stop().await;
    });
}

#[test]
fn a_thousand_snapshots_are_pruned_to_thirty_in_one_run_that_names_the_number() {
    run(async {
        let scenario = Scenario::new("thousand").await;
        scenario.seed_thousand(managed);
        let input = |brake: u32| json!({ "mode": "PRUNE", "retention": { "keep_last": 30, "max_deletions_per_run": brake } });
        let braked = scenario.execute(input(969)).await;
        let record = scenario.record(&braked).await;
        assert_eq!(record["outcome"], "PRUNE_INCOMPLETE");
        assert_eq!(record["held_back"]["deletions_wanted"], 970);
        assert_eq!(scenario.names().await.len(), 1_000);

        let done = scenario.execute(input(970)).await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED");
        assert_eq!(record["snapshots_deleted_count"], 970);
        assert_eq!(record["snapshots_deleted"].as_array().unwrap().len(), 100);
        assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0);
        assert_eq!(scenario.names().await.len(), 30);
    });
}

#[test]
fn a_service_that_throttles_slows_the_run_and_fails_nothing() {
    run(async {
        let scenario = Scenario::new("throttled").await;
        scenario.seed_thousand(managed);
        scenario.behave(|behaviour| behaviour.deletes_per_second = Some(100));
        let input = json!({
            "mode": "PRUNE", "retention": { "keep_last": 300, "max_deletions_per_run": 700 }
        });
        let done = scenario.execute(input).await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED", "{record:?}");
        assert_eq!(record["snapshots_deleted_count"], 700);
        assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0);
        assert_eq!(done.task_errors(), [""; 0]);
        assert_eq!(scenario.names().await.len(), 300);
    });
}

#[test]
fn a_prune_that_is_killed_in_the_middle_of_a_batch_counts_exactly_and_keeps_the_brake() {
    run(async {
        let scenario = Scenario::new("killed-prune").await;
        scenario.seed_thousand(managed);
        // A hundred deletions, then the process is gone in the middle of the next one.
        let no_fault = Kind::Delay(Duration::ZERO);
        scenario.inject(
            "prune-snapshots",
            "DeleteApplicationSnapshot",
            Times::Count(100),
            no_fault,
        );
        let killed = scenario.inject(
            "prune-snapshots",
            "DeleteApplicationSnapshot",
            Times::Count(1),
            Kind::KillAfter,
        );
        let input = json!({
            "mode": "PRUNE", "retention": { "keep_last": 700, "max_deletions_per_run": 300 }
        });
        let done = scenario.execute(input).await;
        assert_eq!(scenario.engine.proxy().faults().hits(killed), 1);
        assert_eq!(done.task_errors(), ["Runtime.ExitError"]);
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED", "{record:?}");
        assert_eq!(record["snapshots_deleted_count"], 300);
        assert_eq!(scenario.names().await.len(), 700);
    });
}

#[test]
fn a_page_that_fails_deletes_nothing_and_is_listed_again() {
    run(async {
        let scenario = Scenario::new("lost-page").await;
        scenario.seed_thousand(managed);
        // The first pages come, and then one that no retry of the SDK gets.
        let no_fault = Kind::Delay(Duration::ZERO);
        scenario.inject(
            "prune-snapshots",
            "ListApplicationSnapshots",
            Times::Count(7),
            no_fault,
        );
        let unavailable = Kind::Error {
            code: "InternalFailure".to_owned(),
            message: "try again".to_owned(),
            status: 500,
        };
        let lost = scenario.inject(
            "prune-snapshots",
            "ListApplicationSnapshots",
            Times::Count(3),
            unavailable,
        );
        let input = json!({
            "mode": "PRUNE", "retention": { "keep_last": 900, "max_deletions_per_run": 100 }
        });
        let done = scenario.execute(input).await;
        assert_eq!(scenario.engine.proxy().faults().hits(lost), 3);
        assert_eq!(done.task_errors(), ["ServiceUnavailable"]);
        assert_eq!(scenario.record(&done).await["snapshots_deleted_count"], 100);
        assert_eq!(scenario.names().await.len(), 900);
    });
}

#[test]
fn names_as_long_as_the_service_takes_them_fit_every_payload_and_the_record() {
    run(async {
        let scenario = Scenario::new("long-names").await;
        let long = |number: i64| format!("by-hand-{number:0>248}");
        scenario.seed_thousand(|hours, _| long(hours));
        let pins: Vec<String> = (901..=1_000).map(long).collect();
        let retention = json!({
            "keep_last": 300, "scope": "ALL", "keep_names": pins, "max_deletions_per_run": 600
        });
        let planned = scenario
            .execute(json!({ "mode": "PLAN", "retention": retention }))
            .await;
        let record = scenario.record(&planned).await;
        assert_eq!(record["outcome"], "PLANNED");
        // With the snapshot that a RUN would take.
        assert_eq!(record["deletions_planned"], 601);

        let done = scenario
            .execute(json!({ "mode": "PRUNE", "retention": retention }))
            .await;
        let record = scenario.record(&done).await;
        assert_eq!(record["outcome"], "SUCCEEDED", "{:?}", done.task_errors());
        assert_eq!(record["snapshots_deleted_count"], 600);
        let item = serde_json::to_string(&record).unwrap().len();
        assert!(item < 400_000, "{item}");
        assert_eq!(scenario.names().await.len(), 400);
    });
}
