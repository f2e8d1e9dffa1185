//! The run's own snapshot does not exist, is not listed, or is older than that of a later run.

use contract::HeldBackCause::{LeftToLaterRun, SnapshotNotReady};
use contract::Pruning::{Continue, Done, Wait};
use serde_json::{Value, json};
use testkit::fixtures::{self, RUN_ID, describe_snapshot};
use testkit::replay::Answer::Error;

use crate::support::{
    batch_names, created, first_entry, found, gone, held_back, input, listed, listed_as, name,
    next, of_the_first_definition, prune, ready, running, snapshot,
};

#[tokio::test]
async fn a_lost_own_snapshot_is_reported_even_if_the_plan_deletes_nothing() {
    for (others, wanted) in [(vec![], 0), (vec![1], 0), (vec![1, 2], 1)] {
        for (by_name, message) in [
            (gone(0), "was READY and is now gone"),
            (found(0, "DELETING"), "was READY and is now DELETING"),
            (found(0, "FAILED"), "was READY and is now FAILED"),
        ] {
            let exchanges = [running(), ready(others.clone()), by_name];
            let output = prune(first_entry(), exchanges).await;
            assert_eq!(output.pruning, Done);
            assert_eq!(held_back(&output), Some((SnapshotNotReady, wanted)));
            let held = output.held_back.unwrap();
            assert!(held.message.contains(message), "{}", held.message);
        }
    }
}

#[tokio::test]
async fn a_lost_own_snapshot_is_not_reported_if_a_later_run_has_a_ready_snapshot() {
    let soon = RUN_ID / 1_000 + 61;
    let later = |created: Value, status| fixtures::snapshot(&name(-1), status, 3, created);
    for (newer, is_later_run) in [
        (later(json!(soon), "READY"), true),
        (later(json!(soon), "CREATING"), false),
        // Created before the own one, or in the future: not by a later run.
        (later(created(1), "READY"), false),
        (later(created(-2), "READY"), false),
        (fixtures::snapshot("by-hand", "READY", 3, created(0)), false),
    ] {
        for old in [vec![], vec![snapshot(3, "READY"), snapshot(4, "READY")]] {
            let expected = match (is_later_run, old.is_empty()) {
                (true, true) => None,
                (true, false) => Some(LeftToLaterRun),
                (false, _) => Some(SnapshotNotReady),
            };
            let listing = listed(old.into_iter().chain([newer.clone()]));
            let output = prune(first_entry(), [running(), listing, gone(0)]).await;
            let cause = output.held_back.map(|held_back| held_back.cause);
            assert_eq!(cause, expected, "{newer}");
        }
    }
}

#[tokio::test]
async fn the_own_snapshot_may_have_the_name_in_the_input() {
    let soon = RUN_ID / 1_000 + 61;
    let own = || fixtures::snapshot("before-upgrade", "READY", 3, created(0));
    let old = || [own(), snapshot(1, "READY"), snapshot(2, "READY")];
    let newer = |name: &str| fixtures::snapshot(name, "READY", 3, soon);
    let named = |scope: &str| {
        let mut input = first_entry();
        input["snapshot"]["name"] = "before-upgrade".into();
        input["run"]["input"]["snapshot_name"] = "before-upgrade".into();
        input["run"]["input"]["retention"]["scope"] = scope.into();
        input
    };
    // The own snapshot is protected in every scope, although the rules keep only a newer one.
    for scope in ["MANAGED", "ALL"] {
        let listing = listed(old().into_iter().chain([newer("by-hand")]));
        let output = prune(named(scope), [running(), listing]).await;
        assert_eq!(output.pruning, Continue, "{scope}");
        assert_eq!(batch_names(&output), [name(2)], "{scope}");
    }
    // A later run has a greater run id than this run, whatever the name of this run's snapshot is.
    let listing = listed(old().into_iter().chain([newer(&name(-1))]));
    let output = prune(named("MANAGED"), [running(), listing]).await;
    assert_eq!(output.held_back.unwrap().cause, LeftToLaterRun);
    // If the own snapshot is lost, the run reports it.
    let missing = Error(400, "ResourceNotFoundException", "no");
    let exchanges = [
        running(),
        ready([1, 2]),
        describe_snapshot("before-upgrade", missing),
    ];
    let output = prune(named("MANAGED"), exchanges).await;
    assert_eq!(output.held_back.unwrap().cause, SnapshotNotReady);
}

#[tokio::test]
async fn the_snapshots_of_the_runs_own_attempts_do_not_belong_to_a_later_run() {
    let attempt = |number: i64, status: &str| {
        let name = format!("custom_{}", RUN_ID + number);
        fixtures::snapshot(&name, status, 3, RUN_ID / 1_000 + 60 * number)
    };
    // The own snapshot is that of the third attempt, or an older release has dropped `snapshot_attempts`.
    for (own, attempts, is_later_run) in [(2, 3, false), (2, 1, false), (0, 3, false), (0, 2, true)]
    {
        let mut input = first_entry();
        input["run"]["input"]["snapshot_attempts"] = attempts.into();
        input["snapshot"]["name"] = format!("custom_{}", RUN_ID + own).into();
        let listing = listed([
            attempt(0, if own == 0 { "READY" } else { "FAILED" }),
            attempt(1, "FAILED"),
            attempt(2, "READY"),
            snapshot(3, "READY"),
        ]);
        let output = prune(input, [running(), listing]).await;
        let cause = output.held_back.map(|held_back| held_back.cause);
        assert_eq!(
            cause,
            is_later_run.then_some(LeftToLaterRun),
            "{own} {attempts}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_a_minute_for_the_listing_to_show_its_own_snapshot() {
    let own_creating = listed_as([(0, "CREATING"), (3, "READY")]);
    for listing in [ready([2, 3]), own_creating] {
        let exchanges = [running(), listing, found(0, "READY")];
        let output = prune(first_entry(), exchanges).await;
        assert_eq!(output.pruning, Wait);
        assert_eq!(output.held_back, None);
        let since = output.progress.waiting_since.unwrap().to_string();
        assert!(since.starts_with("2026-11-22T20:03:30"), "{since}");
        let waiting = next(output);

        let output = prune(waiting.clone(), [running(), ready([0, 2, 3])]).await;
        assert_eq!(output.pruning, Continue);
        assert_eq!(output.progress.waiting_since, None);

        for (since, pruning) in [
            ("2026-11-22T20:02:30.001Z", Wait),
            ("2026-11-22T20:02:30Z", Done),
        ] {
            let mut waiting = waiting.clone();
            waiting["progress"]["waiting_since"] = since.into();
            let exchanges = [running(), ready([2, 3]), found(0, "READY")];
            let output = prune(waiting, exchanges).await;
            assert_eq!(output.pruning, pruning, "{since}");
            let is_waiting = pruning == Wait;
            let still = output.progress.waiting_since;
            let since = is_waiting.then(|| since.parse().unwrap());
            assert_eq!(still, since, "the first wait counts");
            let cause = output.held_back.map(|held_back| held_back.cause);
            assert_eq!(cause, (!is_waiting).then_some(SnapshotNotReady));
        }
    }
}

#[tokio::test]
async fn a_run_of_the_first_definition_does_not_wait_for_the_listing() {
    let input = of_the_first_definition(first_entry());
    let output = prune(input, [running(), ready([3]), found(0, "READY")]).await;
    assert_eq!(output.pruning, Done);
    assert_eq!(output.held_back.unwrap().cause, SnapshotNotReady);
}

#[tokio::test]
async fn an_own_snapshot_without_a_creation_timestamp_closes_the_gate() {
    let own = fixtures::snapshot(&name(0), "READY", 3, Value::Null);
    let listing = || listed([own.clone(), snapshot(2, "READY"), snapshot(3, "READY")]);
    // It is reported even if there is nothing to delete.
    for (keep_last, wanted) in [(1, 1), (9, 0)] {
        let input = input("RUN", keep_last, 25);
        let output = prune(input, [running(), listing()]).await;
        assert_eq!(output.pruning, Done);
        assert_eq!(held_back(&output), Some((SnapshotNotReady, wanted)));
        let message = output.held_back.unwrap().message;
        assert!(message.contains("without a creation time"), "{message}");
    }
}
