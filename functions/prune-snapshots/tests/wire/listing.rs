//! Pages of the listing, refused calls, and the largest payloads.

use contract::ErrorName::{
    AccessDenied, ApplicationNotFound, EnhancedSnapshotsUnsupported, ServiceUnavailable,
    SnapshotsUnsupported, Throttled, Unexpected,
};
use contract::{PruneSnapshotsOutput, Pruning};
use serde_json::{Value, json};
use testkit::fixtures::{self, Exchange, describe_application, failed_answers, list_snapshots};
use testkit::replay::Answer::{self, Error};
use testkit::replay::Service;

use crate::support::{
    NOW, application, batch_names, created, created_text, first_entry, handle, input, listed, name,
    prune, prune_fails, ready, running, snapshot,
};

/// The page of `token` with these snapshots, and with the token of the next one if there is one.
fn page(token: Option<&str>, snapshots: &[Value], next: Option<&str>) -> Exchange {
    let mut body = json!({ "SnapshotSummaries": snapshots });
    if let Some(next) = next {
        body["NextToken"] = next.into();
    }
    list_snapshots(token, Answer::Ok(body))
}

fn ready_page(token: Option<&str>, days: &[i64], next: Option<&str>) -> Exchange {
    let snapshots = days.iter().map(|days| snapshot(*days, "READY"));
    page(token, &snapshots.collect::<Vec<Value>>(), next)
}

#[tokio::test]
async fn all_pages_are_read_and_a_snapshot_that_is_listed_twice_counts_once() {
    let first = ready_page(None, &[0, 1], Some("a"));
    let second = ready_page(Some("a"), &[1, 2], None);
    let output = prune(input("RUN", 2, 25), [running(), first, second]).await;
    assert_eq!(output.snapshots_total, 3);
    assert_eq!(batch_names(&output), [name(2)]);
}

#[tokio::test]
async fn a_failed_page_fails_the_step_and_an_expired_token_restarts_the_listing_once() {
    let first = || ready_page(None, &[0], Some("a"));
    let second = |answer| list_snapshots(Some("a"), answer);
    let expired = || second(Error(400, "InvalidArgumentException", "token"));
    let broken = second(Error(500, "InternalFailure", "oops"));

    let error = prune_fails(first_entry(), [running(), first(), broken]).await;
    assert_eq!(error.name, ServiceUnavailable);

    let exchanges = [running(), first(), expired(), ready([0, 1])];
    let output = prune(first_entry(), exchanges).await;
    assert_eq!(output.snapshots_total, 2);

    let exchanges = [running(), first(), expired(), first(), expired()];
    let error = prune_fails(first_entry(), exchanges).await;
    assert_eq!(error.name, Unexpected);
}

#[tokio::test]
async fn a_listed_snapshot_with_an_invalid_name_fails_the_step() {
    let odd = fixtures::snapshot("a b", "READY", 3, created(1));
    let listing = listed([snapshot(0, "READY"), odd]);
    let error = prune_fails(first_entry(), [running(), listing]).await;
    assert_eq!(error.name, Unexpected);
    let fact = "ListApplicationSnapshots: \"a b\" is not the name of a snapshot.";
    assert_eq!(error.fact, fact);
}

#[tokio::test]
async fn each_refused_describe_call_has_an_error_name() {
    let rows = [
        (400, "ResourceNotFoundException", ApplicationNotFound),
        (400, "AccessDeniedException", AccessDenied),
        (400, "ThrottlingException", Throttled),
        (503, "Unavailable", ServiceUnavailable),
        (400, "InvalidRequestException", Unexpected),
    ];
    for (answer, name) in failed_answers(Error, &rows) {
        let exchanges = [describe_application(answer.clone())];
        let error = prune_fails(first_entry(), exchanges).await;
        assert_eq!(error.name, name, "{answer:?}");
    }
}

#[tokio::test]
async fn enhanced_snapshots_are_another_error_than_unsupported_snapshots() {
    let mode = |mode: &str| {
        let configuration = json!({ "SnapshotsEnabled": true, "SnapshotMode": mode });
        let configuration = json!({ "ApplicationSnapshotConfigurationDescription": configuration });
        let application = fixtures::application("RUNNING", Some(configuration));
        describe_application(Answer::Ok(application))
    };
    for run_mode in ["RUN", "PRUNE", "PLAN"] {
        // Nothing is listed, because an empty page would pass for an application without snapshots.
        for other in ["ENHANCED_SNAPSHOTS", "SOMETHING_NEW"] {
            let error = prune_fails(input(run_mode, 1, 25), [mode(other)]).await;
            assert_eq!(error.name, EnhancedSnapshotsUnsupported, "{other}");
        }
        for application in [mode("APPLICATION_SNAPSHOTS_LEGACY"), running()] {
            let unsupported = Error(400, "UnsupportedOperationException", "not this one");
            let exchanges = [application, list_snapshots(None, unsupported)];
            let error = prune_fails(input(run_mode, 1, 25), exchanges).await;
            assert_eq!(error.name, SnapshotsUnsupported);
        }
    }
}

/// The longest name. Snapshots of such names are not managed.
fn long_name(number: usize) -> String {
    format!("{number:0>256}")
}

/// 1,000 managed snapshots, and one with a long name on each page.
fn largest_listing() -> Vec<Exchange> {
    let days: Vec<i64> = (1..=1_000).collect();
    let pages = days.chunks(50).enumerate();
    pages
        .map(|(number, days)| {
            let long = fixtures::snapshot(&long_name(number), "READY", 3, created(-2));
            let snapshots = days.iter().map(|days| snapshot(*days, "READY"));
            let token = (number > 0).then(|| number.to_string());
            let next = (number < 19).then(|| (number + 1).to_string());
            let snapshots: Vec<Value> = snapshots.chain([long]).collect();
            page(token.as_deref(), &snapshots, next.as_deref())
        })
        .collect()
}

async fn prune_largest(application: Exchange, input: &Value) -> PruneSnapshotsOutput {
    let exchanges = [application].into_iter().chain(largest_listing());
    let output = prune(input.clone(), exchanges).await;
    assert_fits(&output);
    output
}

fn assert_fits(output: &PruneSnapshotsOutput) {
    let length = serde_json::to_vec(output).unwrap().len();
    assert!(length < 262_144, "{length} bytes");
}

#[tokio::test]
async fn the_largest_payloads_stay_within_256_kib() {
    let mut run = input("PRUNE", 1, 10_000);
    let failed = json!({ "snapshot_name": long_name(1), "reason": "r".repeat(300) });
    let deleted = json!({
        "snapshot_name": long_name(1), "created_at": created_text(1),
        "application_version_id": 999_999_999, "reason": "no rule keeps it"
    });
    run["progress"] = json!({
        "deleted_count": 4_000, "deleted": vec![deleted; 100],
        "failed_count": 50, "failed": vec![failed; 50]
    });
    let output = prune_largest(running(), &run).await;
    assert_eq!(output.batch.len(), 250);

    let mut plan = input("PLAN", 1, 10_000);
    let output = prune_largest(application("READY", None), &plan).await;
    assert_eq!(output.verdicts.len(), 200);
    assert_eq!(output.deletions_wanted, 1_000);

    // Every rule keeps every snapshot, and there are as many pinned names as are allowed.
    let pinned: Vec<String> = (0..100).map(long_name).collect();
    plan["run"]["input"]["retention"] = json!({
        "keep_last": 10_000, "keep_hourly": 10_000, "keep_daily": 10_000, "keep_weekly": 10_000,
        "keep_monthly": 10_000, "keep_yearly": 10_000, "keep_within": "P1000Y",
        "keep_names": pinned, "scope": "ALL"
    });
    plan["progress"] = run["progress"].clone();
    let gone =
        json!({ "SnapshotName": "r".repeat(400), "ApplicationRestoreType": "SOMETHING_NEW" });
    let output = prune_largest(application("READY", Some(gone)), &plan).await;
    assert_eq!(output.warnings.len(), 20);
    assert!(output.verdicts.len() > 100, "{}", output.verdicts.len());
    assert_eq!(output.deletions_wanted, 0);

    run["run"]["input"]["retention"]["keep_names"] = json!(pinned);
    let output = prune_largest(running(), &run).await;
    assert_eq!(output.batch.len(), 250);

    // A whole batch with the longest names is unconfirmed.
    let doomed = |number| {
        json!({
            "snapshot_name": long_name(number), "created_at": created_text(1),
            "application_version_id": 999_999_999, "reason": "no rule keeps it"
        })
    };
    run["batch"] = (1_000..1_250).map(doomed).collect();
    let service = Service::answering_with(move |operation, _| match operation {
        "DescribeApplication" => running().2,
        "ListApplicationSnapshots" => Answer::Ok(json!({ "SnapshotSummaries": [] })),
        _ => Error(503, "Unavailable", "later"),
    });
    let output = handle(&service, run, NOW).await.unwrap();
    assert_eq!((output.pruning, output.batch.len()), (Pruning::Wait, 250));
    assert!(output.batch.iter().all(|doomed| doomed.tried));
    assert_fits(&output);
}
