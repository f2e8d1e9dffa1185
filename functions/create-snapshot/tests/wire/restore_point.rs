//! The restore point of a stopped application.

use contract::SnapshotCreation;
use serde_json::json;
use testkit::fixtures::{self, Exchange, describe_application, describe_snapshot};
use testkit::replay::Answer::{self, Error};

use crate::{found, missing, own_missing, run};

/// An application with this status that is configured to restore from the snapshot with this name.
fn restoring(status: &str, name: &str) -> Exchange {
    let restore =
        json!({ "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT", "SnapshotName": name });
    let restore = json!({ "ApplicationRestoreConfigurationDescription": restore });
    let configuration = json!({ "RunConfigurationDescription": restore });
    let application = fixtures::application(status, Some(configuration));
    describe_application(Answer::Ok(application))
}

/// Runs the step with these calls, and returns the warnings. The run has to be skipped.
async fn warnings(exchanges: impl IntoIterator<Item = Exchange>) -> Vec<String> {
    let exchanges = [own_missing()].into_iter().chain(exchanges);
    let output = run(exchanges).await.unwrap();
    assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
    output.warnings
}

#[tokio::test]
async fn a_skipped_run_warns_if_the_application_cannot_start_from_its_restore_point() {
    for status in ["READY", "STOPPING", "FORCE_STOPPING", "ROLLED_BACK"] {
        for (lookup, fact, remedy) in [
            (
                missing("good"),
                "does not exist",
                "Find out who deleted it, and configure another restore point.",
            ),
            (
                found("good", "DELETING"),
                "is DELETING",
                "Find out who deleted it, and configure another restore point.",
            ),
            (
                found("good", "FAILED"),
                "is FAILED",
                "Configure another restore point.",
            ),
        ] {
            let warning = format!(
                "The restore point good {fact}, so the application cannot start from it. {remedy}"
            );
            let warnings = warnings([restoring(status, "good"), lookup]).await;
            assert_eq!(warnings, [warning], "{status}");
        }
    }
}

#[tokio::test]
async fn a_skipped_run_does_not_warn_if_the_restore_point_is_usable_or_its_status_is_unknown() {
    let answered = |answer| describe_snapshot("good", answer);
    for lookup in [
        found("good", "READY"),
        found("good", "CREATING"),
        found("good", "SOMETHING_NEW"),
        answered(Error(400, "AccessDeniedException", "no")),
        answered(Error(400, "ThrottlingException", "slow")),
        answered(Error(400, "SomethingNewException", "no")),
        answered(Answer::Lost),
        answered(Answer::Ok(json!({}))),
    ] {
        let warnings = warnings([restoring("READY", "good"), lookup.clone()]).await;
        assert_eq!(warnings, [""; 0], "{lookup:?}");
    }
    // An application that is DELETING loses its snapshots anyway, and no snapshot can have an invalid name.
    for application in [restoring("DELETING", "good"), restoring("READY", "no name")] {
        assert_eq!(warnings([application]).await, [""; 0]);
    }
}
