//! What an application's status means for its snapshots.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// Whether the application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It runs: a snapshot can be taken.
    Running,
    /// It does not run, on purpose. There is nothing to take a snapshot of.
    Stopped,
    /// It does not run now, but probably soon.
    Busy,
}

impl Readiness {
    /// Only a RUNNING application can be snapshotted. An unknown status counts as temporary, so that a run waits
    /// for the end of a new status of the service, and then fails, instead of skipping the snapshot.
    #[must_use]
    pub fn of(status: &ApplicationStatus) -> Self {
        use ApplicationStatus as Status;
        match status {
            Status::Running => Self::Running,
            // ROLLED_BACK is final: the application does not run, and does not start by itself.
            Status::Ready
            | Status::Stopping
            | Status::ForceStopping
            | Status::Deleting
            | Status::RolledBack => Self::Stopped,
            _ => Self::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_meaning() {
        for (status, meaning) in [
            ("RUNNING", Readiness::Running),
            ("READY", Readiness::Stopped),
            ("STOPPING", Readiness::Stopped),
            ("FORCE_STOPPING", Readiness::Stopped),
            ("DELETING", Readiness::Stopped),
            ("STARTING", Readiness::Busy),
            ("UPDATING", Readiness::Busy),
            ("AUTOSCALING", Readiness::Busy),
            ("MAINTENANCE", Readiness::Busy),
            ("ROLLING_BACK", Readiness::Busy),
            ("ROLLED_BACK", Readiness::Stopped),
            ("SOMETHING_NEW", Readiness::Busy),
        ] {
            let readiness = Readiness::of(&ApplicationStatus::from(status));
            assert_eq!(readiness, meaning, "{status}");
        }
    }
}
