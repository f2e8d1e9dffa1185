//! Snapshots to which no rule applies or that are protected: failed, unfinished, unknown and unmanaged ones.

use contract::Action::{self, Delete, Ignore, Keep};
use contract::Verdict;
use retention::{RunProtection, Snapshot, Status};
use serde_json::json;

use crate::support::{custom, now, plan, plan_now, policy_of, ready, snapshot, verdict};

const NOT_MANAGED: &str = "not managed: the name is not custom_<13 digits>";
const NO_RULE: &str = "no rule keeps it";

/// The verdicts for the snapshots of the listing, in its order.
fn assert_verdicts(listing: &[Snapshot], verdicts: &[Verdict], expected: &[(Action, &str)]) {
    assert_eq!(listing.len(), expected.len());
    for (Snapshot { name, .. }, (action, reasons)) in listing.iter().zip(expected) {
        let found = verdict(verdicts, name);
        assert_eq!(found, (*action, (*reasons).to_owned()), "{name}");
    }
}

#[test]
fn each_kind_of_snapshot_has_its_verdict_and_reasons() {
    let mut timeless = ready(&custom(8), 0);
    timeless.created_at = None;
    let listing = [
        ready(&custom(1), 1),
        ready(&custom(2), 2),
        ready(&custom(3), 3),
        ready(&custom(4), 4),
        ready(&custom(5), 400),
        snapshot(&custom(6), Status::Creating, 500),
        snapshot(&custom(7), Status::Deleting, 500),
        timeless,
        snapshot(&custom(9), Status::Failed, 24),
        snapshot(&custom(10), Status::Failed, 25),
        snapshot(&custom(11), Status::Failed, 72),
        snapshot(&custom(12), Status::Other("NEW".to_owned()), 500),
        ready("before-upgrade", 500),
        snapshot("by-hand-failed", Status::Failed, 500),
    ];
    let (own, restore_point) = (custom(2), custom(4));
    let protected = RunProtection {
        own: Some(&own),
        restore_point: Some(&restore_point),
    };
    let policy = policy_of(json!({ "keep_last": 2 }));
    let verdicts = plan(&listing, &policy, protected, now());
    let newest = "protected: newest READY snapshot, protected: newest of application version 1, \
                  last 1 of 2";
    let expected = [
        (Keep, newest),
        (Keep, "protected: this run's own snapshot, last 2 of 2"),
        (Delete, NO_RULE),
        (Keep, "protected: restore point of the application"),
        (Delete, NO_RULE),
        (Ignore, "CREATING"),
        (Ignore, "DELETING"),
        (Keep, "protected: no creation timestamp"),
        (Keep, "FAILED, created within the last day"),
        (Delete, "FAILED, created 1 day ago"),
        (Delete, "FAILED, created 3 days ago"),
        (Ignore, "unknown status NEW"),
        (Ignore, NOT_MANAGED),
        (Ignore, NOT_MANAGED),
    ];
    assert_verdicts(&listing, &verdicts, &expected);
    let first = &verdicts.first().unwrap().snapshot_name;
    assert_eq!(*first, custom(1), "newest first");
    let last = &verdicts.last().unwrap().snapshot_name;
    assert_eq!(*last, custom(8), "without a timestamp last");
}

/// The actions for these snapshots under this policy, in their order.
fn actions(listing: &[Snapshot], keep_last: u32) -> Vec<Action> {
    let verdicts = plan_now(listing, &policy_of(json!({ "keep_last": keep_last })));
    let names = listing.iter().map(|snapshot| &snapshot.name);
    names.map(|name| verdict(&verdicts, name).0).collect()
}

#[test]
fn failed_snapshots_do_not_count_towards_keep_last() {
    let failed = snapshot(&custom(3), Status::Failed, 1);
    let listing = [failed, ready(&custom(2), 2), ready(&custom(1), 3)];
    assert_eq!(actions(&listing, 2), [Keep, Keep, Keep]);
}

#[test]
fn unmanaged_snapshots_do_not_count_towards_keep_last_but_can_be_the_newest_snapshot() {
    let listing = [
        ready("service-made", 1),
        ready(&custom(2), 2),
        ready(&custom(1), 3),
    ];
    assert_eq!(actions(&listing, 1), [Keep, Keep, Delete]);
    let verdicts = plan_now(&listing, &policy_of(json!({ "keep_last": 1 })));
    let reasons = "protected: newest READY snapshot, protected: newest of application version 1";
    assert_eq!(verdict(&verdicts, "service-made").1, reasons);
}

#[test]
fn snapshots_with_the_same_creation_time_are_sorted_by_name() {
    let listing = [ready(&custom(1), 1), ready(&custom(2), 1)];
    assert_eq!(actions(&listing, 1), [Delete, Keep]);
}

#[test]
fn names_in_keep_names_and_the_newest_snapshots_of_the_highest_versions_are_protected() {
    let versioned = |name: &str, version: i64, hours_ago: i64| Snapshot {
        application_version_id: version,
        ..ready(name, hours_ago)
    };
    let listing = [
        versioned(&custom(1), 9, 1),
        versioned(&custom(2), 9, 2),
        // A rollback to version 8 after version 9.
        versioned(&custom(3), 8, 3),
        versioned(&custom(4), 7, 4),
        versioned(&custom(5), 6, 5),
        versioned("by-hand", 10, 6),
    ];
    let policy = json!({ "keep_last": 1, "keep_last_versions": 3, "keep_names": [custom(5)] });
    let verdicts = plan_now(&listing, &policy_of(policy));
    let newest = "protected: newest READY snapshot, protected: newest of application version 9, \
                  last 1 of 1";
    let expected = [
        (Keep, newest),
        (Delete, NO_RULE),
        (Keep, "protected: newest of application version 8"),
        (Delete, NO_RULE),
        (Keep, "protected: named in keep_names"),
        (Keep, "protected: newest of application version 10"),
    ];
    assert_verdicts(&listing, &verdicts, &expected);
}

#[test]
fn the_newest_snapshot_of_each_of_the_last_runtimes_is_protected() {
    let of = |runtime: Option<&str>, number: u64, hours_ago: i64| Snapshot {
        runtime: runtime.map(str::to_owned),
        ..ready(&custom(number), hours_ago)
    };
    let listing = [
        of(None, 1, 1),
        of(Some("FLINK-1_20"), 2, 2),
        // A job that went back to an older runtime for a while.
        of(Some("FLINK-1_15"), 3, 3),
        of(Some("FLINK-1_20"), 4, 4),
        of(Some("FLINK-1_18"), 5, 5),
        of(None, 6, 6),
    ];
    let by_default = json!({ "keep_last": 1 });
    let all = json!({ "keep_last": 1, "keep_last_runtimes": 3 });
    let last = json!({ "keep_last": 1, "keep_last_runtimes": 1 });
    let (newest, one_15, one_18) = (
        "protected: newest of runtime FLINK-1_20",
        "protected: newest of runtime FLINK-1_15",
        "protected: newest of runtime FLINK-1_18",
    );
    for (policy, second, third, fifth) in [
        (
            by_default,
            (Keep, newest),
            (Keep, one_15),
            (Delete, NO_RULE),
        ),
        (all, (Keep, newest), (Keep, one_15), (Keep, one_18)),
        (last, (Keep, newest), (Delete, NO_RULE), (Delete, NO_RULE)),
    ] {
        let verdicts = plan_now(&listing, &policy_of(policy));
        let first = "protected: newest READY snapshot, protected: newest of application version 1, \
                     last 1 of 1";
        let expected = [
            (Keep, first),
            second,
            third,
            (Delete, NO_RULE),
            fifth,
            (Delete, NO_RULE),
        ];
        assert_verdicts(&listing, &verdicts, &expected);
    }
}

#[test]
fn with_scope_all_unmanaged_snapshots_count_and_are_deleted_but_not_failed_ones() {
    let listing = [
        ready("by-hand-1", 1),
        ready(&custom(2), 2),
        ready("by-hand-3", 3),
        ready(&custom(4), 4),
        snapshot("by-hand-failed", Status::Failed, 72),
        snapshot(&custom(5), Status::Failed, 72),
    ];
    let policy = policy_of(json!({ "keep_last": 1, "scope": "ALL" }));
    let verdicts = plan_now(&listing, &policy);
    let actions = listing
        .each_ref()
        .map(|snapshot| verdict(&verdicts, &snapshot.name).0);
    assert_eq!(actions, [Keep, Keep, Delete, Delete, Ignore, Delete]);
    // Somebody who took the newer one by hand may delete it by hand.
    let reasons = "protected: newest READY managed snapshot";
    assert_eq!(verdict(&verdicts, &custom(2)).1, reasons);
}
