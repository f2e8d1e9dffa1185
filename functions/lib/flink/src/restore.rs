//! What an application restores from.

use aws_sdk_kinesisanalyticsv2::types::{ApplicationDetail, ApplicationRestoreType as RestoreType};

/// What an application restores from when it starts next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// Its latest snapshot, which is protected as the newest, or nothing.
    LatestOrNone,
    /// The snapshot of this name.
    Named(String),
    /// A snapshot that the configuration does not name.
    UnknownSnapshot,
}

impl Restore {
    /// As the application is configured. An unknown restore type without a name may restore from any snapshot.
    #[must_use]
    pub fn of(application: &ApplicationDetail) -> Self {
        let configuration = application
            .application_configuration_description
            .as_ref()
            .and_then(|it| it.run_configuration_description.as_ref())
            .and_then(|it| it.application_restore_configuration_description.as_ref());
        let Some(configuration) = configuration else {
            return Self::LatestOrNone;
        };
        match (
            &configuration.snapshot_name,
            &configuration.application_restore_type,
        ) {
            (Some(name), _) => Self::Named(name.clone()),
            (
                None,
                RestoreType::SkipRestoreFromSnapshot | RestoreType::RestoreFromLatestSnapshot,
            ) => Self::LatestOrNone,
            (None, _) => Self::UnknownSnapshot,
        }
    }

    /// The name of the restore point, if the configuration has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::LatestOrNone | Self::UnknownSnapshot => None,
        }
    }
}

/// The warning of a restore point that is lost. `status` is the snapshot's, `None` if there is no such snapshot. One that
/// is CREATING, or of an unknown status, is not lost.
#[must_use]
pub fn lost_restore_point(name: &str, status: Option<&str>) -> Option<String> {
    let (loss, find_out) = match status {
        None => ("is not listed", "Find out who deleted it, and configure"),
        Some("DELETING") => ("is DELETING", "Find out who deleted it, and configure"),
        Some("FAILED") => ("is FAILED", "Configure"),
        Some(_) => return None,
    };
    Some(format!(
        "The restore point {name} {loss}, so the application cannot start from it. {find_out} another one."
    ))
}
