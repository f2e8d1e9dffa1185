//! Whether an application can give a snapshot now.

use aws_sdk_kinesisanalyticsv2::types::ApplicationStatus;

/// What the application's status means for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can be taken.
    Running,
    /// There is nothing to take it of, and that is as somebody wants it.
    Stopped,
    /// Not now, but soon.
    Busy,
}

/// Only a RUNNING application gives snapshots. A status that is not known is taken for a passing
/// one, so that a new one of the service's fails the run after the retries instead of skipping it.
pub(crate) fn readiness(status: &ApplicationStatus) -> Readiness {
    use ApplicationStatus as Status;
    match status {
        Status::Running => Readiness::Running,
        // ROLLED_BACK is an end: the application does not run, and nothing goes on by itself.
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
