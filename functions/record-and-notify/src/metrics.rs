//! The metrics of a run: one line in CloudWatch's embedded metric format on stdout. CloudWatch Logs extracts the
//! metrics from this line, so the function needs neither a call to CloudWatch nor a permission for it.

use contract::{AuditRecord, HeldBackCause, Outcome};
use serde_json::{Map, Value, json};

/// The namespace of the metrics.
pub const NAMESPACE: &str = "SnapshotManager";

/// A metric with the dimension `ApplicationName`.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name in CloudWatch.
    pub name: &'static str,
    /// `Count` or `Seconds`.
    pub unit: &'static str,
    /// What the value means, for the reference documentation.
    pub meaning: &'static str,
    value: fn(&AuditRecord) -> Option<i64>,
}

/// The metric with the dimensions `ApplicationName` and `Outcome`.
pub const RUNS: Metric = Metric {
    name: "Runs",
    unit: "Count",
    meaning: "1 each time a run ends, with the run's outcome as a dimension. A run that fails and is redriven ends more than once.",
    value: |_| Some(1),
};

/// The metrics with the dimension `ApplicationName` alone. A metric is left out of the line if the record does not
/// contain its value.
pub const APPLICATION_METRICS: [Metric; 10] = [
    Metric {
        name: "HealthyRuns",
        unit: "Count",
        meaning: "1 if `SnapshotTaken` is 1 or the run ended `SKIPPED`, otherwise 0. A run of mode `PRUNE` or `PLAN` takes no snapshot, so its value is 0.",
        value: |record| {
            let healthy = has_own_snapshot(record) || record.outcome == Outcome::Skipped;
            Some(healthy.into())
        },
    },
    Metric {
        name: "SnapshotTaken",
        unit: "Count",
        meaning: "1 if the run reached its last state with its own snapshot READY, otherwise 0.",
        value: |record| Some(has_own_snapshot(record).into()),
    },
    Metric {
        name: "PruneIncomplete",
        unit: "Count",
        meaning: "1 if the run ended `PRUNE_INCOMPLETE`, 0 if it ended `SUCCEEDED`. Runs with other outcomes have no value.",
        value: |record| match record.outcome {
            Outcome::PruneIncomplete => Some(1),
            Outcome::Succeeded => Some(0),
            _ => None,
        },
    },
    Metric {
        name: "SnapshotDuration",
        unit: "Seconds",
        meaning: "The age of the run's own snapshot when the run first found it READY.",
        value: |record| if_completed(record, i64::try_from(record.snapshot_seconds?).ok()?),
    },
    Metric {
        name: "NewestReadySnapshotTime",
        unit: "Seconds",
        meaning: "The time at which the newest READY snapshot was created, in epoch seconds.",
        value: |record| {
            let time = record.newest_ready_snapshot_create_time?;
            Some(time.as_second())
        },
    },
    Metric {
        name: "SnapshotsReady",
        unit: "Count",
        meaning: "The number of READY snapshots after the run.",
        value: |record| record.snapshots_ready.map(i64::from),
    },
    Metric {
        name: "SnapshotsTotal",
        unit: "Count",
        meaning: "The number of all snapshots after the run, whatever their status. The quota counts these.",
        value: |record| record.snapshots_total.map(i64::from),
    },
    Metric {
        name: "SnapshotsDeleted",
        unit: "Count",
        meaning: "The number of snapshots that the run deleted.",
        value: |record| if_completed(record, record.snapshots_deleted_count?.into()),
    },
    Metric {
        name: "SnapshotsFailedToBeDeleted",
        unit: "Count",
        meaning: "The number of snapshots that the run tried to delete but could not.",
        value: |record| if_completed(record, record.snapshots_failed_to_be_deleted_count?.into()),
    },
    Metric {
        name: "Warnings",
        unit: "Count",
        meaning: "The number of warnings of the run, at most 20. Failed runs, and skipped runs without warnings, have no value.",
        value: |record| {
            let count = i64::try_from(record.warnings.len()).ok()?;
            let has_checked = count > 0 || record.snapshots_total.is_some();
            if has_checked {
                if_completed(record, count)
            } else {
                None
            }
        },
    },
];

/// Whether the run completed its last state. What a failed run has done is counted when a redrive of the run completes.
fn is_completed(record: &AuditRecord) -> bool {
    !record.outcome.is_failed_execution()
}

/// Whether the run completed and its own snapshot was still READY. A snapshot that was READY can be deleted before the
/// run ends.
fn has_own_snapshot(record: &AuditRecord) -> bool {
    let held_back = record.held_back.as_ref().map(|held| held.cause);
    is_completed(record)
        && record.snapshot_seconds.is_some()
        && held_back != Some(HeldBackCause::SnapshotNotReady)
}

fn if_completed(record: &AuditRecord, value: i64) -> Option<i64> {
    is_completed(record).then_some(value)
}

/// Builds the line with the metrics of a record. The other fields of the line identify the run.
#[must_use]
pub fn emf_line(record: &AuditRecord) -> Value {
    let known: Vec<(&Metric, i64)> = APPLICATION_METRICS
        .iter()
        .filter_map(|metric| Some((metric, (metric.value)(record)?)))
        .collect();
    let definition = |metric: &Metric| json!({ "Name": metric.name, "Unit": metric.unit });
    let definitions: Vec<Value> = known.iter().map(|(metric, _)| definition(metric)).collect();
    let directive = |dimensions: &[&str], metrics: &[Value]| {
        let dimension_sets = [dimensions];
        json!({ "Namespace": NAMESPACE, "Dimensions": dimension_sets, "Metrics": metrics })
    };
    let mut line = Map::from_iter([
        (
            "_aws".to_owned(),
            json!({
                "Timestamp": record.finished_at,
                "CloudWatchMetrics": [
                    directive(&["ApplicationName"], &definitions),
                    directive(&["ApplicationName", "Outcome"], &[definition(&RUNS)]),
                ],
            }),
        ),
        (RUNS.name.to_owned(), json!((RUNS.value)(record))),
        ("ApplicationName".to_owned(), json!(record.app_name)),
        ("Outcome".to_owned(), json!(record.outcome)),
        ("RunId".to_owned(), json!(record.snapshot_manager_run_id)),
        ("ExecutionArn".to_owned(), json!(record.execution_arn)),
        ("FailedState".to_owned(), json!(record.failed_state)),
        ("ErrorName".to_owned(), json!(record.error_name)),
    ]);
    let values = known.iter();
    line.extend(values.map(|(metric, value)| (metric.name.to_owned(), json!(value))));
    line.retain(|_, value| !value.is_null());
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &Value) -> AuditRecord {
        let mut record = json!({
            "app_name": "orders", "snapshot_manager_run_id": 7, "outcome": "SUCCEEDED",
            "execution_arn": "arn", "started_at": 7, "finished_at": 1_795_377_760_000_i64,
        });
        let all = record.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn every_listed_metric_has_a_number_and_every_dimension_has_a_string() {
        for fields in [
            json!({}),
            json!({
                "snapshot_seconds": 61, "newest_ready_snapshot_create_time": "2026-11-22T22:24:24.95Z",
                "snapshots_ready": 4, "snapshots_total": 8, "snapshots_deleted_count": 3,
                "snapshots_failed_to_be_deleted_count": 1,
            }),
            json!({ "outcome": "FAILED", "failed_state": "PruneSnapshots", "error_name": "Throttled" }),
        ] {
            let line = emf_line(&record(&fields));
            assert_eq!(line["_aws"]["Timestamp"], 1_795_377_760_000_i64);
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                for dimension in directive["Dimensions"][0].as_array().unwrap() {
                    assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
                }
                for metric in directive["Metrics"].as_array().unwrap() {
                    assert!(line[metric["Name"].as_str().unwrap()].is_i64(), "{line}");
                }
            }
        }
    }

    #[test]
    fn a_metric_whose_value_is_not_in_the_record_is_left_out() {
        let line = emf_line(&record(&json!({ "outcome": "SKIPPED" })));
        let defined = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        let names: Vec<&Value> = defined
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| &metric["Name"])
            .collect();
        assert_eq!(names, ["HealthyRuns", "SnapshotTaken"]);
        assert!(line.get("SnapshotsTotal").is_none());
    }

    #[test]
    fn a_run_is_healthy_if_it_took_its_snapshot_or_was_skipped() {
        let own = json!({ "snapshot_seconds": 61 });
        let pruned = json!({ "mode": "PRUNE", "snapshots_deleted_count": 3 });
        // The snapshot was deleted before the run ended.
        let lost = json!({
            "snapshot_seconds": 61,
            "held_back": { "cause": "SNAPSHOT_NOT_READY", "deletions_wanted": 0, "message": "Gone." }
        });
        for (outcome, fields, healthy, taken, prune_incomplete) in [
            ("SUCCEEDED", &own, 1, 1, json!(0)),
            ("PRUNE_INCOMPLETE", &own, 1, 1, json!(1)),
            ("PRUNE_INCOMPLETE", &lost, 0, 0, json!(1)),
            ("SKIPPED", &json!({}), 1, 0, Value::Null),
            ("SUCCEEDED", &pruned, 0, 0, json!(0)),
            ("PRUNE_INCOMPLETE", &pruned, 0, 0, json!(1)),
            ("PLANNED", &json!({ "mode": "PLAN" }), 0, 0, Value::Null),
            // A failed run is counted when its redrive reaches the end.
            ("FAILED", &own, 0, 0, Value::Null),
            ("TIMED_OUT", &own, 0, 0, Value::Null),
            ("ABORTED", &own, 0, 0, Value::Null),
        ] {
            let mut fields = fields.clone();
            fields["outcome"] = outcome.into();
            let line = emf_line(&record(&fields));
            assert_eq!(line["HealthyRuns"], healthy, "{fields}");
            assert_eq!(line["SnapshotTaken"], taken, "{fields}");
            assert_eq!(line["PruneIncomplete"], prune_incomplete, "{fields}");
            assert_eq!(line["Runs"], 1);
        }
        let failed = json!({ "outcome": "FAILED", "snapshots_deleted_count": 3 });
        assert!(emf_line(&record(&failed)).get("SnapshotsDeleted").is_none());
    }

    #[test]
    fn warnings_are_counted_only_if_the_run_has_checked_for_them() {
        for (fields, count) in [
            (json!({ "snapshots_total": 8 }), json!(0)),
            (
                json!({ "snapshots_total": 8, "warnings": ["One.", "Two."] }),
                json!(2),
            ),
            (json!({ "outcome": "SKIPPED" }), Value::Null),
            (
                json!({ "outcome": "SKIPPED", "warnings": ["One."] }),
                json!(1),
            ),
            (
                json!({ "outcome": "FAILED", "snapshots_total": 8, "warnings": ["One."] }),
                Value::Null,
            ),
        ] {
            let line = emf_line(&record(&fields));
            assert_eq!(line["Warnings"], count, "{fields}");
        }
    }

    #[test]
    fn the_time_of_the_newest_snapshot_is_given_in_epoch_seconds() {
        let time = json!({ "newest_ready_snapshot_create_time": "2026-11-22T22:24:24.95Z" });
        let line = emf_line(&record(&time));
        assert_eq!(line["NewestReadySnapshotTime"], 1_795_386_264);
        let forged = json!({ "newest_ready_snapshot_create_time": "yesterday" });
        assert!(
            emf_line(&record(&forged))
                .get("NewestReadySnapshotTime")
                .is_none()
        );
    }
}
