//! The restore point of a stopped application.

use contract::SnapshotCreation;
use serde_json::json;
use testkit::fixtures::{self, describe_application, describe_snapshot};
use testkit::replay::Answer::{self, Error};

use crate::{found, missing, own_missing, run};

#[tokio::test]
async fn a_skipped_run_of_a_stopped_application_warns_if_its_restore_point_is_lost() {
    let restoring = |status: &str, kind: &str, name: Option<&str>| {
        let mut restore = json!({ "ApplicationRestoreType": kind });
        if let Some(name) = name {
            restore["SnapshotName"] = name.into();
        }
        let restore = json!({ "ApplicationRestoreConfigurationDescription": restore });
        let configuration = json!({ "RunConfigurationDescription": restore });
        let application = fixtures::application(status, Some(configuration));
        describe_application(Answer::Ok(application))
    };
    let custom = "RESTORE_FROM_CUSTOM_SNAPSHOT";
    let refused = |code: &'static str| describe_snapshot("good", Error(400, code, "no"));
    for (status, kind, name, lookup, loss) in [
        (
            "READY",
            custom,
            Some("good"),
            Some(missing("good")),
            Some("does not exist"),
        ),
        (
            "STOPPING",
            custom,
            Some("good"),
            Some(missing("good")),
            Some("does not exist"),
        ),
        (
            "READY",
            custom,
            Some("good"),
            Some(found("good", "DELETING")),
            Some("is DELETING"),
        ),
        (
            "READY",
            custom,
            Some("good"),
            Some(found("good", "READY")),
            None,
        ),
        (
            "READY",
            custom,
            Some("good"),
            Some(found("good", "FAILED")),
            None,
        ),
        // What is not known is not said, and fails nothing.
        (
            "READY",
            custom,
            Some("good"),
            Some(refused("AccessDeniedException")),
            None,
        ),
        (
            "READY",
            custom,
            Some("good"),
            Some(refused("ThrottlingException")),
            None,
        ),
        (
            "READY",
            custom,
            Some("good"),
            Some(describe_snapshot("good", Answer::Lost)),
            None,
        ),
        ("READY", custom, Some("no name"), None, None),
        ("READY", custom, None, None, None),
        ("READY", "RESTORE_FROM_LATEST_SNAPSHOT", None, None, None),
        ("DELETING", custom, Some("good"), None, None),
    ] {
        let exchanges = [own_missing(), restoring(status, kind, name)];
        let output = run(exchanges.into_iter().chain(lookup)).await.unwrap();
        assert_eq!(output.snapshot_creation, SnapshotCreation::Skipped);
        let warning = loss.map(|loss| {
            format!(
                "The restore point good {loss}, so the application cannot start from it. Find out \
                 who deleted it, and configure another one."
            )
        });
        assert_eq!(
            output.warnings,
            Vec::from_iter(warning),
            "{status} {kind} {name:?}"
        );
    }
}
