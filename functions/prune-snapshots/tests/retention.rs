//! The plan: a table first, laws second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeSet;

use contract::{Action, Retention, Verdict};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use prune_snapshots::retention::{Protected, Snapshot, Status};

fn plan(
    snapshots: &[Snapshot],
    policy: &Retention,
    protected: Protected<'_>,
    now: Timestamp,
) -> Vec<Verdict> {
    let zone = TimeZone::get(policy.timezone.as_str()).unwrap();
    prune_snapshots::retention::plan(snapshots, policy, &zone, protected, now)
}

const NOW: &str = "2026-11-22T20:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn policy(keep_last: u32) -> Retention {
    serde_json::from_value(serde_json::json!({ "keep_last": keep_last })).unwrap()
}

/// A snapshot that was taken so many hours ago.
fn snapshot(name: &str, status: Status, hours_ago: i64) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        status,
        created_at: Some(now() - SignedDuration::from_hours(hours_ago)),
        application_version_id: 1,
    }
}

/// A managed name.
fn custom(number: u64) -> String {
    format!("custom_{number:013}")
}

fn verdict<'a>(verdicts: &'a [Verdict], name: &str) -> (Action, Vec<&'a str>) {
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict.snapshot_name == name)
        .unwrap();
    (
        verdict.action,
        verdict.reasons.iter().map(String::as_str).collect(),
    )
}

#[test]
fn every_kind_of_snapshot_has_its_verdict_and_its_reasons() {
    let mut timeless = snapshot(&custom(8), Status::Ready, 0);
    timeless.created_at = None;
    let listing = [
        snapshot(&custom(1), Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(3), Status::Ready, 3),
        snapshot(&custom(4), Status::Ready, 4),
        snapshot(&custom(5), Status::Ready, 400),
        snapshot(&custom(6), Status::Creating, 500),
        snapshot(&custom(7), Status::Deleting, 500),
        timeless,
        snapshot(&custom(9), Status::Failed, 24),
        snapshot(&custom(10), Status::Failed, 25),
        snapshot(&custom(11), Status::Failed, 72),
        snapshot(&custom(12), Status::Other("NEW".to_owned()), 500),
        snapshot("before-upgrade", Status::Ready, 500),
        snapshot("by-hand-failed", Status::Failed, 500),
    ];
    let (own, restore_point) = (custom(2), custom(4));
    let protected = Protected {
        own: Some(&own),
        restore_point: Some(&restore_point),
    };
    let verdicts = plan(&listing, &policy(2), protected, now());
    for (name, action, reasons) in [
        (
            custom(1),
            Action::Keep,
            vec![
                "protected: newest READY snapshot",
                "protected: newest of application version 1",
                "last 1 of 2",
            ],
        ),
        (
            custom(2),
            Action::Keep,
            vec!["protected: this run's own snapshot", "last 2 of 2"],
        ),
        (custom(3), Action::Delete, vec!["no rule keeps it"]),
        (
            custom(4),
            Action::Keep,
            vec!["protected: restore point of the application"],
        ),
        (custom(5), Action::Delete, vec!["no rule keeps it"]),
        (custom(6), Action::Ignore, vec!["CREATING"]),
        (custom(7), Action::Ignore, vec!["DELETING"]),
        (
            custom(8),
            Action::Keep,
            vec!["protected: no creation timestamp"],
        ),
        (custom(9), Action::Keep, vec!["failed within the last day"]),
        (custom(10), Action::Delete, vec!["failed 1 day ago"]),
        (custom(11), Action::Delete, vec!["failed 3 days ago"]),
        (custom(12), Action::Ignore, vec!["unknown status NEW"]),
        (
            "before-upgrade".to_owned(),
            Action::Ignore,
            vec!["not managed: the name is not custom_ and 13 digits"],
        ),
        (
            "by-hand-failed".to_owned(),
            Action::Ignore,
            vec!["not managed: the name is not custom_ and 13 digits"],
        ),
    ] {
        assert_eq!(verdict(&verdicts, &name), (action, reasons), "{name}");
    }
    let names: Vec<&str> = verdicts.iter().map(|v| v.snapshot_name.as_str()).collect();
    assert_eq!(names[0], custom(1), "newest first");
    assert_eq!(
        names[names.len() - 1],
        custom(8),
        "without a timestamp last"
    );
}

#[test]
fn failed_snapshots_do_not_count_towards_keep_last() {
    let listing = [
        snapshot(&custom(3), Status::Failed, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(1), Status::Ready, 3),
    ];
    let verdicts = plan(&listing, &policy(2), Protected::default(), now());
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.action == Action::Keep),
        "{verdicts:?}"
    );
}

#[test]
fn snapshots_that_are_not_managed_do_not_count_towards_keep_last_but_may_be_the_newest() {
    let listing = [
        snapshot("service-made", Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 2),
        snapshot(&custom(1), Status::Ready, 3),
    ];
    let verdicts = plan(&listing, &policy(1), Protected::default(), now());
    assert_eq!(
        verdict(&verdicts, "service-made"),
        (
            Action::Keep,
            vec![
                "protected: newest READY snapshot",
                "protected: newest of application version 1"
            ]
        )
    );
    assert_eq!(verdict(&verdicts, &custom(2)).0, Action::Keep);
    assert_eq!(verdict(&verdicts, &custom(1)).0, Action::Delete);
}

#[test]
fn snapshots_of_the_same_time_are_ordered_by_name() {
    let listing = [
        snapshot(&custom(1), Status::Ready, 1),
        snapshot(&custom(2), Status::Ready, 1),
    ];
    let verdicts = plan(&listing, &policy(1), Protected::default(), now());
    assert_eq!(verdict(&verdicts, &custom(1)).0, Action::Delete);
    assert_eq!(verdict(&verdicts, &custom(2)).0, Action::Keep);
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        6 => Just(Status::Ready),
        1 => Just(Status::Creating),
        1 => Just(Status::Deleting),
        2 => Just(Status::Failed),
        1 => Just(Status::Other("NEW".to_owned())),
    ]
}

/// Listings with unique names, some not managed, some without a timestamp, some of the same time.
fn listings() -> impl Strategy<Value = Vec<Snapshot>> {
    let one = (
        status(),
        prop::option::weighted(0.9, -50_i64..2_000),
        prop::bool::weighted(0.8),
    );
    prop::collection::vec(one, 0..40).prop_map(|rows| {
        rows.into_iter()
            .zip(0_u64..)
            .map(|((status, hours_ago, managed), number)| Snapshot {
                name: if managed {
                    custom(number)
                } else {
                    format!("by-hand-{number}")
                },
                status,
                created_at: hours_ago.map(|hours| now() - SignedDuration::from_hours(hours)),
                application_version_id: 1,
            })
            .collect()
    })
}

fn deletions(verdicts: &[Verdict]) -> BTreeSet<String> {
    verdicts
        .iter()
        .filter(|verdict| verdict.action == Action::Delete)
        .map(|verdict| verdict.snapshot_name.clone())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn verdicts_partition_the_listing_and_each_has_a_reason(listing in listings(), keep in 1_u32..20) {
        let verdicts = plan(&listing, &policy(keep), Protected::default(), now());
        let judged: BTreeSet<&str> = verdicts.iter().map(|v| v.snapshot_name.as_str()).collect();
        let listed: BTreeSet<&str> = listing.iter().map(|s| s.name.as_str()).collect();
        prop_assert_eq!(verdicts.len(), listing.len());
        prop_assert_eq!(judged, listed);
        prop_assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
    }

    #[test]
    fn the_newest_ready_snapshot_is_always_kept(listing in listings(), keep in 1_u32..20) {
        let deleted = deletions(&plan(&listing, &policy(keep), Protected::default(), now()));
        let newest = listing
            .iter()
            .filter(|s| s.status == Status::Ready && s.created_at.is_some())
            .max_by_key(|s| (s.created_at, s.name.clone()));
        prop_assert!(newest.is_none_or(|newest| !deleted.contains(&newest.name)));
    }

    #[test]
    fn only_managed_ready_or_failed_snapshots_with_a_timestamp_are_deleted(
        listing in listings(), keep in 1_u32..20
    ) {
        let deleted = deletions(&plan(&listing, &policy(keep), Protected::default(), now()));
        for snapshot in listing.iter().filter(|s| deleted.contains(&s.name)) {
            prop_assert!(contract::is_managed(&snapshot.name));
            prop_assert!(snapshot.created_at.is_some());
            prop_assert!(matches!(snapshot.status, Status::Ready | Status::Failed));
        }
    }

    #[test]
    fn what_is_protected_by_name_is_never_deleted(
        listing in listings(), keep in 1_u32..20, own in 0_u64..40, restore in 0_u64..40
    ) {
        let (own, restore) = (custom(own), custom(restore));
        let protected = Protected { own: Some(&own), restore_point: Some(&restore) };
        let deleted = deletions(&plan(&listing, &policy(keep), protected, now()));
        prop_assert!(!deleted.contains(&own) && !deleted.contains(&restore));
    }

    #[test]
    fn a_larger_count_deletes_a_subset(listing in listings(), keep in 1_u32..20, more in 0_u32..20) {
        let few = deletions(&plan(&listing, &policy(keep), Protected::default(), now()));
        let fewer = deletions(&plan(&listing, &policy(keep + more), Protected::default(), now()));
        prop_assert!(fewer.is_subset(&few));
    }

    #[test]
    fn planning_the_survivors_again_deletes_nothing(listing in listings(), keep in 1_u32..20) {
        let deleted = deletions(&plan(&listing, &policy(keep), Protected::default(), now()));
        let survivors: Vec<Snapshot> =
            listing.into_iter().filter(|s| !deleted.contains(&s.name)).collect();
        let again = deletions(&plan(&survivors, &policy(keep), Protected::default(), now()));
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn a_snapshot_missing_from_the_listing_never_makes_another_one_be_deleted(
        listing in listings(), keep in 1_u32..20, missing in any::<prop::sample::Index>()
    ) {
        prop_assume!(!listing.is_empty());
        let whole = deletions(&plan(&listing, &policy(keep), Protected::default(), now()));
        let mut partial = listing.clone();
        partial.remove(missing.index(listing.len()));
        let partial = deletions(&plan(&partial, &policy(keep), Protected::default(), now()));
        prop_assert!(partial.is_subset(&whole), "{:?} of {:?}", partial, whole);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (listing, shuffled) in listings().prop_flat_map(|listing| {
            (Just(listing.clone()), Just(listing).prop_shuffle())
        }),
        keep in 1_u32..20
    ) {
        let verdicts = plan(&listing, &policy(keep), Protected::default(), now());
        prop_assert_eq!(verdicts, plan(&shuffled, &policy(keep), Protected::default(), now()));
    }
}
