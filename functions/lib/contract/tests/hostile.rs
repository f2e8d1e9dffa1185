//! Malformed run inputs and payloads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Debug;

use contract::{
    AuditRecord, CreateSnapshotInput, DescribeSnapshotInput, ExecutionStatusChange,
    PruneSnapshotsInput, RecordAndNotifyInput, RunInput, RunSummary,
};
use proptest::prelude::*;
use schemars::schema_for;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::hostile::mutated;

fn run_input() -> Value {
    json!({
        "application_name": "orders", "mode": "RUN",
        "retention": {
            "keep_last": 14, "keep_hourly": 24, "keep_daily": 7, "keep_weekly": 4,
            "keep_monthly": 12, "keep_yearly": 3, "keep_within": "P7D", "keep_last_versions": 2,
            "keep_last_runtimes": 2, "keep_names": ["before-upgrade"], "timezone": "Europe/Zurich", "scope": "ALL",
            "max_deletions_per_run": 10
        },
        "snapshot_name": "before-release-42", "poll_interval_seconds": 30,
        "ready_timeout_seconds": 3600, "notify_on": "PROBLEMS"
    })
}

/// The payload of this release in the file `name`.json.
fn payload(name: &str) -> Value {
    let path = format!(
        "{}/../../../resources/events/{}/{name}.json",
        env!("CARGO_MANIFEST_DIR"),
        env!("CARGO_PKG_VERSION")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Asserts that if the document can be read as a `T`, the `T` can be written and read again without a change.
fn assert_read_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(document: Value) {
    if let Ok(read) = serde_json::from_value::<T>(document) {
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<T>(written).unwrap(), read);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn an_accepted_run_input_is_valid_by_the_schema_and_its_policy_has_a_rule(
        input in prop_oneof![
            mutated(run_input()),
            mutated(json!({ "application_name": "orders", "retention": [14, 24] })),
        ]
    ) {
        thread_local! {
            static SCHEMA: jsonschema::Validator =
                jsonschema::validator_for(schema_for!(RunInput).as_value()).unwrap();
        }
        // The first step refuses an input that is not an object.
        if input.is_object()
            && let Ok(read) = serde_json::from_value::<RunInput>(input.clone())
            && read.refuse_unknown_fields().is_ok()
            && read.refuse_unused_snapshot_name().is_ok()
        {
            prop_assert!(SCHEMA.with(|schema| schema.is_valid(&input)), "{}", input);
            prop_assert!(read.retention.has_rule());
            prop_assert!((1..=300).contains(&read.poll_interval_seconds.get()));
            prop_assert!((60..=86_400).contains(&read.ready_timeout_seconds.get()));
        }
        assert_read_back::<RunInput>(input);
    }

    #[test]
    fn a_payload_that_can_be_read_is_the_same_after_it_is_written_and_read_again(
        create in mutated(payload("create-snapshot-input")),
        describe in mutated(payload("describe-snapshot-input")),
        prune in mutated(payload("prune-snapshots-input.batch")),
        record in mutated(payload("record-and-notify-input")),
        event in mutated(payload("execution-status-change")),
        row in mutated(payload("audit-record")),
    ) {
        assert_read_back::<CreateSnapshotInput>(create);
        assert_read_back::<DescribeSnapshotInput>(describe);
        assert_read_back::<PruneSnapshotsInput>(prune);
        // The definition of release 0.1.0 passes only the summary of the run to the last state.
        assert_read_back::<RunSummary>(record["done"].clone());
        assert_read_back::<RecordAndNotifyInput>(record);
        assert_read_back::<ExecutionStatusChange>(event);
        assert_read_back::<AuditRecord>(row);
    }
}
