//! What the application says about the deletion of its snapshots.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::{
    ApplicationDetail, ApplicationRestoreConfiguration, ApplicationRestoreType as RestoreType,
};
use contract::Run;
use flink::RunState;
use step::StepError;

/// The application, as `DescribeApplication` returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// The status as the service writes it.
    pub(crate) status: String,
    /// What the status means.
    pub(crate) run_state: RunState,
    /// The current version.
    pub(crate) version_id: i64,
    /// The current Flink runtime.
    pub(crate) runtime: String,
    pub(crate) restore: Restore,
}

/// What the application restores from when it starts next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Its latest snapshot, which is protected as the newest, or nothing.
    LatestOrNone,
    /// The snapshot of this name.
    Named(String),
    /// A snapshot that the configuration does not name.
    UnknownSnapshot,
}

impl Restore {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::LatestOrNone | Self::UnknownSnapshot => None,
        }
    }
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
        run_state: RunState::of(application.application_status()),
        version_id: application.application_version_id,
        runtime: application.runtime_environment.as_str().to_owned(),
        restore: restore_configuration(&application).map_or(Restore::LatestOrNone, restore),
    })
}

fn restore_configuration(
    application: &ApplicationDetail,
) -> Option<&ApplicationRestoreConfiguration> {
    application
        .application_configuration_description
        .as_ref()?
        .run_configuration_description
        .as_ref()?
        .application_restore_configuration_description
        .as_ref()
}

/// An unknown restore type without a name may restore from any snapshot.
fn restore(configuration: &ApplicationRestoreConfiguration) -> Restore {
    match (
        &configuration.snapshot_name,
        &configuration.application_restore_type,
    ) {
        (Some(name), _) => Restore::Named(name.clone()),
        (None, RestoreType::SkipRestoreFromSnapshot | RestoreType::RestoreFromLatestSnapshot) => {
            Restore::LatestOrNone
        }
        (None, _) => Restore::UnknownSnapshot,
    }
}
