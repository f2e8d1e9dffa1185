//! Properties that every plan has, whatever the listing and the policy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use retention::{RunProtection, Snapshot, Status};
use serde_json::{Value, json};

use crate::support::{custom, deletions, now, plan, plan_now, policy_of};

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        6 => Just(Status::Ready),
        1 => Just(Status::Creating),
        1 => Just(Status::Deleting),
        2 => Just(Status::Failed),
        1 => Just(Status::Other("NEW".to_owned())),
    ]
}

/// Listings with unique names. Some snapshots are not managed, have no timestamp, or the same one.
fn listings() -> impl Strategy<Value = Vec<Snapshot>> {
    // In minutes: mostly the last days, sometimes the future or earlier years.
    let age = prop_oneof![4 => -3_000_i64..9_000, 2 => 0_i64..100_000, 1 => 0_i64..2_000_000];
    let one = (
        status(),
        prop::option::weighted(0.9, age),
        prop::bool::weighted(0.8),
        1_i64..6,
        prop::option::weighted(0.8, 15_u32..20),
    );
    prop::collection::vec(one, 0..40).prop_map(|rows| {
        let rows = rows.into_iter().zip(0_u64..);
        rows.map(
            |((status, age, is_managed, version, runtime), number)| Snapshot {
                name: if is_managed {
                    custom(number)
                } else {
                    format!("by-hand-{number}")
                },
                status,
                created_at: age.map(|minutes| now() - SignedDuration::from_mins(minutes)),
                application_version_id: version,
                runtime: runtime.map(|minor| format!("FLINK-1_{minor}")),
            },
        )
        .collect()
    })
}

/// Policies with at least one rule, in any scope and a few time zones.
fn policies() -> impl Strategy<Value = Value> {
    let counts = prop::array::uniform6(prop::option::weighted(0.4, 1_u32..8));
    let within = prop::option::weighted(0.4, 1_u32..2_000);
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Zurich",
        "America/St_Johns",
        "Asia/Kathmandu",
    ]);
    (
        counts,
        within,
        (1_u32..5, 1_u32..5),
        prop::option::of(0_u64..40),
        zone,
        any::<bool>(),
    )
        .prop_map(|(counts, within, (versions, runtimes), pin, zone, all)| {
            let mut policy = json!({
                "keep_last_versions": versions, "keep_last_runtimes": runtimes, "timezone": zone,
                "scope": if all { "ALL" } else { "MANAGED" },
                "keep_names": pin.map(custom).into_iter().collect::<Vec<_>>(),
            });
            for (rule, count) in RULES.iter().zip(counts) {
                policy[rule] = json!(count);
            }
            policy["keep_within"] = json!(within.map(|hours| format!("PT{hours}H")));
            if !policy_of(policy.clone()).has_rule() {
                policy["keep_last"] = json!(1);
            }
            policy
        })
}

const RULES: [&str; 6] = [
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
];

/// The same policy with every count and window at least as large.
fn larger(policy: &Value, more: &[u32]) -> Value {
    let mut larger = policy.clone();
    let protections = ["keep_last_versions", "keep_last_runtimes"];
    for (rule, more) in RULES.iter().chain(&protections).zip(more) {
        if let Some(count) = policy[rule].as_u64() {
            larger[rule] = json!(count + u64::from(*more));
        } else if more % 2 == 1 {
            larger[rule] = json!(more);
        }
    }
    if let Some(within) = policy["keep_within"].as_str() {
        let hours: u32 = within[2..within.len() - 1].parse().unwrap();
        larger["keep_within"] = json!(format!("PT{}H", hours + more[0] * 24));
    }
    larger
}

/// What a policy deletes of a listing.
fn deleted(listing: &[Snapshot], policy: &Value) -> BTreeSet<String> {
    deletions(&plan_now(listing, &policy_of(policy.clone())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn verdicts_partition_the_listing_and_each_has_a_reason(listing in listings(), policy in policies()) {
        let verdicts = plan_now(&listing, &policy_of(policy));
        let judged: BTreeSet<&str> = verdicts.iter().map(|v| v.snapshot_name.as_str()).collect();
        let listed: BTreeSet<&str> = listing.iter().map(|s| s.name.as_str()).collect();
        prop_assert_eq!(verdicts.len(), listing.len());
        prop_assert_eq!(judged, listed);
        prop_assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
    }

    #[test]
    fn the_newest_ready_snapshot_is_always_kept(listing in listings(), policy in policies()) {
        let deleted = deleted(&listing, &policy);
        let newest = listing
            .iter()
            .filter(|s| s.status == Status::Ready && s.created_at.is_some())
            .max_by_key(|s| (s.created_at, s.name.clone()));
        prop_assert!(newest.is_none_or(|newest| !deleted.contains(&newest.name)));
    }

    #[test]
    fn the_newest_ready_snapshot_of_each_of_the_last_runtimes_is_kept(
        listing in listings(), policy in policies()
    ) {
        let deleted = deleted(&listing, &policy);
        let mut newest = BTreeMap::new();
        for s in listing.iter().filter(|s| s.status == Status::Ready && s.created_at.is_some()) {
            if let Some(runtime) = &s.runtime {
                let newest = newest.entry(runtime).or_insert((s.created_at, &s.name));
                *newest = (*newest).max((s.created_at, &s.name));
            }
        }
        let mut last: Vec<_> = newest.into_values().collect();
        last.sort();
        let runtimes = policy["keep_last_runtimes"].as_u64().unwrap();
        for (_, name) in last.into_iter().rev().take(usize::try_from(runtimes).unwrap()) {
            prop_assert!(!deleted.contains(name), "{}", name);
        }
    }

    #[test]
    fn only_ready_or_failed_snapshots_in_scope_with_a_timestamp_are_deleted(
        listing in listings(), policy in policies()
    ) {
        let deleted = deleted(&listing, &policy);
        for snapshot in listing.iter().filter(|s| deleted.contains(&s.name)) {
            prop_assert!(snapshot.created_at.is_some());
            match snapshot.status {
                Status::Ready => prop_assert!(policy["scope"] == "ALL" || contract::is_managed(&snapshot.name)),
                Status::Failed => prop_assert!(contract::is_managed(&snapshot.name)),
                _ => prop_assert!(false, "{:?}", snapshot),
            }
        }
    }

    #[test]
    fn what_is_protected_by_name_is_never_deleted(
        listing in listings(), policy in policies(), own in 0_u64..40, restore in 0_u64..40
    ) {
        let (own, restore) = (custom(own), custom(restore));
        let protected = RunProtection { own: Some(&own), restore_point: Some(&restore) };
        let policy = policy_of(policy);
        let deleted = deletions(&plan(&listing, &policy, protected, now()));
        prop_assert!(!deleted.contains(&own) && !deleted.contains(&restore));
        prop_assert!(deleted.iter().all(|name| !policy.keep_names.contains(name)));
    }

    #[test]
    fn larger_counts_and_windows_delete_a_subset(
        listing in listings(), policy in policies(), more in prop::collection::vec(0_u32..5, 8)
    ) {
        let few = deleted(&listing, &policy);
        let fewer = deleted(&listing, &larger(&policy, &more));
        prop_assert!(fewer.is_subset(&few), "{:?} of {:?}", fewer, few);
    }

    #[test]
    fn what_scope_managed_deletes_scope_all_deletes_too(listing in listings(), policy in policies()) {
        let mut scoped = policy;
        scoped["scope"] = json!("MANAGED");
        let managed = deleted(&listing, &scoped);
        scoped["scope"] = json!("ALL");
        let all = deleted(&listing, &scoped);
        prop_assert!(managed.is_subset(&all), "{:?} of {:?}", managed, all);
    }

    #[test]
    fn planning_the_survivors_again_deletes_nothing(listing in listings(), policy in policies()) {
        let gone = deleted(&listing, &policy);
        let survivors: Vec<Snapshot> =
            listing.into_iter().filter(|s| !gone.contains(&s.name)).collect();
        let again = deleted(&survivors, &policy);
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn a_snapshot_missing_from_the_listing_never_makes_another_one_be_deleted(
        listing in listings(), policy in policies(), missing in any::<prop::sample::Index>()
    ) {
        prop_assume!(!listing.is_empty());
        let whole = deleted(&listing, &policy);
        let mut partial = listing.clone();
        partial.remove(missing.index(listing.len()));
        let partial = deleted(&partial, &policy);
        prop_assert!(partial.is_subset(&whole), "{:?} of {:?}", partial, whole);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (listing, shuffled) in listings().prop_flat_map(|listing| {
            (Just(listing.clone()), Just(listing).prop_shuffle())
        }),
        policy in policies()
    ) {
        let policy = policy_of(policy);
        let verdicts = plan_now(&listing, &policy);
        prop_assert_eq!(verdicts, plan_now(&shuffled, &policy));
    }
}
