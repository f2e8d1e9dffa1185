//! What the application says about the deletion of its snapshots.

use aws_sdk_kinesisanalyticsv2::Client;
use contract::Run;
use flink::{ApplicationState, Restore};
use step::StepError;

/// The application, as `DescribeApplication` returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// The status as the service writes it.
    pub(crate) status: String,
    /// What the status means.
    pub(crate) state: ApplicationState,
    /// The current version.
    pub(crate) version_id: i64,
    /// The current Flink runtime.
    pub(crate) runtime: String,
    /// What it restores from when it starts next.
    pub(crate) restore: Restore,
}

/// # Errors
/// Returns `EnhancedSnapshotsUnsupported` if the application has enhanced snapshots: what the operations called here say
/// about such an application is not documented, so they could say that it has no snapshots.
pub(crate) async fn describe(flink: &Client, run: &Run) -> Result<Application, StepError> {
    let name = run.input.application_name.as_str();
    let application = flink::describe_application(flink, name).await?;
    if application.has_enhanced_snapshots {
        return Err(flink::enhanced(name));
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
