//! Whether a snapshot of an application can be taken, depending on the application's status.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// Whether a snapshot of the application can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// The application is RUNNING, so a snapshot can be taken.
    Running,
    /// The application is not running, or is stopping, and does not start by itself. No snapshot can be taken.
    Stopped,
    /// No snapshot can be taken now, but the application will probably be RUNNING soon.
    Busy,
}

impl ApplicationState {
    /// Converts a status. An unknown status counts as busy. So the run is not skipped: it waits, and fails after the
    /// timeout if the application is still not RUNNING.
    #[must_use]
    pub fn of(status: &ApplicationStatus) -> Self {
        use ApplicationStatus as Status;
        match status {
            Status::Running => Self::Running,
            // An application that is ROLLED_BACK does not start by itself.
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
    fn each_status_is_running_stopped_or_busy() {
        for (status, expected) in [
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
            assert_eq!(state, expected, "{status}");
        }
    }
}
