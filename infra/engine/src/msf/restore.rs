//! The run configuration of an application: from which snapshot it restores its state when it starts.

use super::applications::{Application, SNAPSHOT_NAME};
use super::input::{Input, Rule};
use super::snapshots::no_snapshot;
use super::{Result, SnapshotStatus, error};

pub(super) const SKIP: &str = "SKIP_RESTORE_FROM_SNAPSHOT";
pub(super) const LATEST: &str = "RESTORE_FROM_LATEST_SNAPSHOT";
const CUSTOM: &str = "RESTORE_FROM_CUSTOM_SNAPSHOT";

#[derive(Clone, Debug, Default)]
pub(super) struct RunConfiguration {
    /// The restore type, and the name of the snapshot if the type is `RESTORE_FROM_CUSTOM_SNAPSHOT`.
    pub(super) restore: Option<(&'static str, Option<String>)>,
    pub(super) allow_non_restored_state: Option<bool>,
}

impl Application {
    /// The run configuration after a request has changed it. `RunConfiguration` and `RunConfigurationUpdate` have the
    /// same members.
    pub(super) fn updated_run(&self, given: Option<&Input>) -> Result<RunConfiguration> {
        let mut run = self.run.clone();
        let Some(given) = given else {
            return Ok(run);
        };
        if let Some(flink) = given.structure("FlinkRunConfiguration")? {
            let allow = flink.boolean("AllowNonRestoredState")?;
            run.allow_non_restored_state = allow.or(run.allow_non_restored_state);
        }
        if let Some(restore) = given.structure("ApplicationRestoreConfiguration")? {
            let rule = Rule::OneOf(&[SKIP, LATEST, CUSTOM]);
            let kind = restore.required_string("ApplicationRestoreType", rule)?;
            let snapshot = restore.string("SnapshotName", SNAPSHOT_NAME)?;
            let arn = restore.string("SnapshotArn", Rule::String(1, 2048))?;
            if arn.is_some() {
                let message = "SnapshotArn is for enhanced snapshots, which are not emulated";
                return Err(error("UnsupportedOperationException", message));
            }
            run.restore = Some(match kind {
                CUSTOM => {
                    let name = restore.required("SnapshotName", snapshot)?;
                    self.require_ready_snapshot(name)?;
                    (CUSTOM, Some(name.to_owned()))
                }
                _ if snapshot.is_some() => {
                    let reason = format!("is for {CUSTOM} only");
                    return Err(restore.refusal("SnapshotName", &reason));
                }
                SKIP => (SKIP, None),
                _ => (LATEST, None),
            });
        }
        Ok(run)
    }

    fn require_ready_snapshot(&self, name: &str) -> Result<()> {
        let found = (self.snapshots.iter()).find(|snapshot| snapshot.name == name);
        match found.map(|snapshot| snapshot.status) {
            Some(SnapshotStatus::Ready) => Ok(()),
            Some(other) => {
                let message = format!("Snapshot {name} is {}, not READY", other.as_str());
                Err(error("InvalidRequestException", message))
            }
            None => Err(no_snapshot(&self.name, name)),
        }
    }
}
