//! What an application's status means for a snapshot.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// Whether a snapshot of the application can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// A snapshot can be taken.
    Running,
    /// The application does not run, on purpose. There is nothing to take a snapshot of.
    Stopped,
    /// A snapshot cannot be taken now, but probably soon.
    Busy,
}

/// Only a RUNNING application can be snapshotted. An unknown status counts as temporary, so that a new
/// status of the service fails the run after the retries instead of skipping it.
pub(crate) fn readiness(status: &ApplicationStatus) -> Readiness {
    use ApplicationStatus as Status;
    match status {
        Status::Running => Readiness::Running,
        // ROLLED_BACK is final: the application does not run, and does not start by itself.
        Status::Ready
        | Status::Stopping
        | Status::ForceStopping
        | Status::Deleting
        | Status::RolledBack => Readiness::Stopped,
        _ => Readiness::Busy,
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
            assert_eq!(
                readiness(&ApplicationStatus::from(status)),
                meaning,
                "{status}"
            );
        }
    }
}
