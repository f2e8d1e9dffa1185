//! Two reasons to hold back all deletions of a plan: a later run, and the brake.

use contract::HeldBackCause::{LeftToLaterRun, MaxDeletionsPerRun};
use jiff::SignedDuration;
use retention::{BrakeCounts, Snapshot, Status, brake, doomed_names, left_to_later_run};
use serde_json::json;

use crate::support::{custom, now, plan_now, policy_of, ready, snapshot};

#[test]
fn pruning_is_left_only_to_a_later_run_with_a_ready_snapshot() {
    // The run's last snapshot has the number 5 and is an hour old.
    let created_at = now() - SignedDuration::from_hours(1);
    let after = |seconds: i64| Some(created_at + SignedDuration::from_secs(seconds));
    for (name, status, other_created_at, is_later_run) in [
        (custom(6), Status::Ready, after(1), true),
        (custom(6), Status::Creating, after(1), false),
        // The run's own, an earlier run's, and one that a person took.
        (custom(5), Status::Ready, after(1), false),
        (custom(4), Status::Ready, after(1), false),
        ("by-hand".to_owned(), Status::Ready, after(1), false),
        // Not created after the run's own.
        (custom(6), Status::Ready, after(0), false),
        (custom(6), Status::Ready, after(-1), false),
        (custom(6), Status::Ready, None, false),
        // The service's clock is ahead by less than a minute, or the time is nonsense.
        (custom(6), Status::Ready, after(3_659), true),
        (custom(6), Status::Ready, after(3_660), false),
        (custom(6), Status::Ready, after(90_000), false),
    ] {
        let other = Snapshot {
            created_at: other_created_at,
            ..snapshot(&name, status, 0)
        };
        let hold = left_to_later_run(5, created_at, &[ready(&custom(3), 9), other.clone()], now());
        assert_eq!(hold.is_some(), is_later_run, "{other:?}");
        if let Some(hold) = hold {
            let held_back = hold.into_held_back(7);
            assert_eq!(held_back.cause, LeftToLaterRun);
            assert_eq!(held_back.deletions_wanted, 7);
            assert!(held_back.message.contains(&name), "{}", held_back.message);
        }
    }
}

#[test]
fn the_brake_counts_deleted_snapshots_and_recommends_a_limit_with_room() {
    let ten = json!({ "keep_last": 1, "max_deletions_per_run": 10 });
    let none = json!({ "keep_last": 1 });
    for (policy, attempted, wanted, expected) in [
        (&ten, 0, 10, None),
        (&ten, 9, 1, None),
        // Nothing is left to hold back.
        (&ten, 11, 0, None),
        (
            &ten,
            0,
            11,
            Some((
                "delete 11 READY snapshots; max_deletions_per_run is 10, so",
                16,
            )),
        ),
        (
            &ten,
            10,
            1,
            Some((
                "1 READY snapshot in addition to 10 earlier in this run; ",
                16,
            )),
        ),
        (&ten, 0, 50, Some(("delete 50 ", 55))),
        (&ten, 0, 51, Some(("delete 51 ", 57))),
        (&none, 0, 20, None),
        (
            &none,
            0,
            21,
            Some((
                "the limit is 20, because 40 READY snapshots are in scope, so",
                26,
            )),
        ),
    ] {
        let policy = policy_of(policy.clone());
        let hold = brake(
            &policy,
            BrakeCounts {
                attempted,
                wanted,
                total: 40,
                from_last_day: 0,
            },
        );
        let case = format!("{attempted} {wanted}: {hold:?}");
        assert_eq!(hold.is_some(), expected.is_some(), "{case}");
        if let (Some(hold), Some((fact, recommended))) = (hold, expected) {
            assert_eq!(hold.cause, MaxDeletionsPerRun, "{case}");
            assert!(hold.message.contains(fact), "{case}");
            let remedy = format!("retention.max_deletions_per_run {recommended}. ");
            assert!(hold.message.contains(&remedy), "{case}");
        }
    }
}

#[test]
fn doomed_names_returns_only_the_snapshots_that_the_plan_deletes() {
    let listing = [1, 2, 3].map(|number| ready(&custom(number), 10 - number.cast_signed()));
    let verdicts = plan_now(&listing, &policy_of(json!({ "keep_last": 1 })));
    let doomed: Vec<&str> = doomed_names(&verdicts).collect();
    assert_eq!(doomed, [custom(2), custom(1)]);
}
