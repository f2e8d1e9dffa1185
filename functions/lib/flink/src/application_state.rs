//! Whether an application runs, by its status.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// Whether the application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// It runs: a snapshot can be taken.
    Running,
    /// It does not run and will not start by itself. There is nothing to take a snapshot of.
    Stopped,
    /// It does not run now, but probably soon.
    Busy,
}

impl ApplicationState {
    /// Only a RUNNING application can be snapshotted. An unknown status counts as busy: the run waits, and fails after
    /// the timeout. It is not skipped.
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
            ("RUNNING", ApplicationState::Running),
            ("READY", ApplicationState::Stopped),
            ("STOPPING", ApplicationState::Stopped),
            ("FORCE_STOPPING", ApplicationState::Stopped),
            ("DELETING", ApplicationState::Stopped),
            ("STARTING", ApplicationState::Busy),
            ("UPDATING", ApplicationState::Busy),
            ("AUTOSCALING", ApplicationState::Busy),
            ("MAINTENANCE", ApplicationState::Busy),
            ("ROLLING_BACK", ApplicationState::Busy),
            ("ROLLED_BACK", ApplicationState::Stopped),
            ("SOMETHING_NEW", ApplicationState::Busy),
        ] {
            let state = ApplicationState::of(&ApplicationStatus::from(status));
            assert_eq!(state, meaning, "{status}");
        }
    }
}
