//! What an application restores from when it starts.

use aws_sdk_kinesisanalyticsv2::types::{ApplicationDetail, ApplicationRestoreType as RestoreType};

/// What an application restores from at its next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The latest snapshot, or no snapshot. The latest snapshot needs no other protection, because the newest READY
    /// snapshot is always protected.
    LatestOrNone,
    /// The snapshot with this name.
    Named(String),
    /// A snapshot that the configuration does not name.
    UnknownSnapshot,
}

impl Restore {
    /// Reads the restore configuration of the application. If the restore type is unknown and no snapshot is named, the
    /// application may restore from any snapshot.
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

    /// The name of the restore point, which is the snapshot that the configuration names. `None` if it names none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::LatestOrNone | Self::UnknownSnapshot => None,
        }
    }
}

/// Returns the warning if the application cannot restore from its restore point `name`, because this snapshot does not
/// exist or is DELETING or FAILED. `status` is the status of the snapshot, and `None` if it does not exist. There is no
/// warning about a snapshot that is READY, CREATING or of an unknown status.
#[must_use]
pub fn lost_restore_point_warning(name: &str, status: Option<&str>) -> Option<String> {
    let (problem, remedy) = match status {
        None => ("does not exist", "Find out who deleted it, and configure"),
        Some("DELETING") => ("is DELETING", "Find out who deleted it, and configure"),
        Some("FAILED") => ("is FAILED", "Configure"),
        Some(_) => return None,
    };
    Some(format!(
        "The restore point {name} {problem}, so the application cannot start from it. {remedy} another restore point."
    ))
}
