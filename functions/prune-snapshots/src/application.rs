//! The properties of the application that decide which of its snapshots may be deleted.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::Run;
use flink::{ApplicationState, Restore};
use step::StepError;

/// The properties of the application that the plan depends on, from `DescribeApplication`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// The status as in the response, for example `RUNNING`.
    pub(crate) status: String,
    /// Whether an application with this status can take a snapshot now, later, or not at all.
    pub(crate) state: ApplicationState,
    /// The current version of the application.
    pub(crate) version_id: i64,
    /// The current Flink runtime, for example `FLINK-1_20`.
    pub(crate) runtime: String,
    /// What the application restores from at its next start.
    pub(crate) restore: Restore,
}

/// Describes the application.
///
/// # Errors
/// Returns the error of a failed call. Returns `EnhancedSnapshotsUnsupported` if the application has enhanced
/// snapshots. AWS does not document what `ListApplicationSnapshots` returns for such an application, so the listing
/// could be wrong or empty.
pub(crate) async fn describe(client: &Client, run: &Run) -> Result<Application, StepError> {
    let name = run.input.application_name.as_str();
    let application = flink::describe_application(client, name).await?;
    if application.has_enhanced_snapshots {
        return Err(flink::enhanced_snapshots_error(name));
    }
    let application = application.detail;
    Ok(Application {
        name: name.to_owned(),
        status: application.application_status().as_str().to_owned(),
        state: ApplicationState::of(application.application_status()),
        version_id: application.application_version_id,
        runtime: application.runtime_environment.as_str().to_owned(),
        restore: Restore::of(&application),
    })
}
