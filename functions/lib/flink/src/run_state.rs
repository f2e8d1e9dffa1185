//! Whether an application runs, by its status.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// Whether the application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It runs: a snapshot can be taken.
    Running,
    /// It does not run and will not start by itself. There is nothing to take a snapshot of.
    Stopped,
    /// It does not run now, but probably soon.
    Busy,
}

impl RunState {
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
            ("RUNNING", RunState::Running),
            ("READY", RunState::Stopped),
            ("STOPPING", RunState::Stopped),
            ("FORCE_STOPPING", RunState::Stopped),
            ("DELETING", RunState::Stopped),
            ("STARTING", RunState::Busy),
            ("UPDATING", RunState::Busy),
            ("AUTOSCALING", RunState::Busy),
            ("MAINTENANCE", RunState::Busy),
            ("ROLLING_BACK", RunState::Busy),
            ("ROLLED_BACK", RunState::Stopped),
            ("SOMETHING_NEW", RunState::Busy),
        ] {
            let run_state = RunState::of(&ApplicationStatus::from(status));
            assert_eq!(run_state, meaning, "{status}");
        }
    }
}
