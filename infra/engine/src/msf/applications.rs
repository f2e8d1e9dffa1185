//! The operations on applications, and the changes of an application's status.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::Context;
use super::configuration::{
    ENHANCED, LEGACY, RUNTIMES, SnapshotSetting, default_configuration, described,
    described_logging, require_runtime_for_enhanced,
};
use super::input::{Input, Rule};
use super::paging::page;
use super::restore::{LATEST, RunConfiguration, SKIP};
use super::snapshots::{PastState, Snapshot};
use super::tags::{given_tags, tags_with};
use super::{
    Answer, Emulator, Result, ServiceError, epoch_seconds, error, is_same_second, without_nulls,
    wrong_status,
};

pub(super) const APPLICATION_NAME: Rule = Rule::Name(128);
pub(super) const SNAPSHOT_NAME: Rule = Rule::Name(256);

/// The maximum number of applications in an account and Region, from the service's page on endpoints and quotas.
const APPLICATION_QUOTA: usize = 100;

const MAX_VERSION: u32 = 999_999_999;

#[derive(Clone, Debug)]
pub(super) struct Application {
    /// The order of creation, for listings.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) arn: String,
    description: Option<String>,
    pub(super) runtime: String,
    role: String,
    mode: String,
    /// The real status. Callers see [`Context::status`].
    pub(super) status: &'static str,
    /// The time of the next change of status, and the new status. The status is `None` if the application is gone after
    /// that time.
    change: Option<(Timestamp, Option<&'static str>)>,
    pub(super) version_id: u32,
    updated_from: Option<u32>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// The `ConditionalToken`, which changes with every new version.
    token: String,
    pub(super) snapshots_enabled: bool,
    pub(super) is_enhanced: bool,
    pub(super) run: RunConfiguration,
    /// The `ApplicationConfigurationDescription`, without the members for which this struct has other fields.
    configuration: Value,
    logging: Vec<Value>,
    pub(super) tags: BTreeMap<String, String>,
    /// Oldest first.
    pub(super) snapshots: Vec<Snapshot>,
    /// The past states of the snapshots, of the last ten minutes.
    pub(super) past: Vec<PastState>,
}

impl Application {
    /// Makes every change that is due by now. Returns `false` if the application is gone.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        self.advance_snapshots(now);
        match self.change {
            Some((at, to)) if at <= now => {
                self.change = None;
                self.status = to.unwrap_or(self.status);
                to.is_some()
            }
            _ => true,
        }
    }

    /// Sets a status for a duration. `then` is the status after it, or `None` if the application is gone after it.
    fn enter(
        &mut self,
        status: &'static str,
        duration: Duration,
        then: Option<&'static str>,
        context: &Context,
    ) {
        self.status = status;
        self.change = Some((context.after(duration), then));
    }

    /// Begins the snapshot that the service takes before a stop or an update. The quota does not apply to it. Returns
    /// its duration, which is zero if the application takes no snapshots.
    fn take_service_snapshot(
        &mut self,
        number: u64,
        occasion: &str,
        context: &Context,
    ) -> Duration {
        if !self.snapshots_enabled || self.is_enhanced || !self.runtime.starts_with("FLINK-") {
            return Duration::ZERO;
        }
        self.begin_snapshot(number, format!("service_{occasion}_{number}"), context);
        context.lifecycle.snapshot
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        let encryption = &self.configuration["ApplicationEncryptionConfigurationDescription"];
        let is_customer_managed = encryption["KeyType"] == "CUSTOMER_MANAGED_KEY";
        encryption["KeyId"].as_str().filter(|_| is_customer_managed)
    }

    fn require_no_snapshot_in_progress(&self, operation: &str) -> Result<()> {
        if let Some(Snapshot { name, .. }) = self.snapshot_in_progress() {
            let snapshot = format!("Snapshot {name} of application {}", self.name);
            let message = format!("{snapshot} is CREATING: {operation} is not possible");
            return Err(error("ResourceInUseException", message));
        }
        Ok(())
    }

    fn detail(&self, context: &Context) -> Value {
        let mut configuration = self.configuration.clone();
        configuration["ApplicationSnapshotConfigurationDescription"] = json!({
            "SnapshotsEnabled": self.snapshots_enabled,
            "SnapshotMode": if self.is_enhanced { ENHANCED } else { LEGACY },
        });
        if let Some((kind, snapshot)) = &self.run.restore {
            let run = &mut configuration["RunConfigurationDescription"];
            let restore = json!({ "ApplicationRestoreType": kind, "SnapshotName": snapshot });
            run["ApplicationRestoreConfigurationDescription"] = without_nulls(restore);
        }
        if let Some(allow) = self.run.allow_non_restored_state {
            let run = &mut configuration["RunConfigurationDescription"];
            run["FlinkRunConfigurationDescription"] = json!({ "AllowNonRestoredState": allow });
        }

        without_nulls(json!({
            "ApplicationARN": self.arn,
            "ApplicationName": self.name,
            "RuntimeEnvironment": self.runtime,
            "ServiceExecutionRole": self.role,
            "ApplicationStatus": context.status(self),
            "ApplicationVersionId": self.version_id,
            "CreateTimestamp": epoch_seconds(self.created_at),
            "LastUpdateTimestamp": epoch_seconds(self.updated_at),
            "ApplicationVersionCreateTimestamp": epoch_seconds(self.updated_at),
            "ApplicationConfigurationDescription": configuration,
            "CloudWatchLoggingOptionDescriptions": self.logging,
            "ApplicationMaintenanceConfigurationDescription": {
                "ApplicationMaintenanceWindowStartTime": "06:00",
                "ApplicationMaintenanceWindowEndTime": "14:00",
            },
            "ConditionalToken": self.token,
            "ApplicationMode": self.mode,
            "ApplicationDescription": self.description,
            "ApplicationVersionUpdatedFrom": self.updated_from,
        }))
    }

    fn summary(&self, context: &Context) -> Value {
        json!({
            "ApplicationName": self.name,
            "ApplicationARN": self.arn,
            "ApplicationStatus": context.status(self),
            "ApplicationVersionId": self.version_id,
            "RuntimeEnvironment": self.runtime,
            "ApplicationMode": self.mode,
        })
    }
}

impl Emulator {
    pub(super) fn create_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let description = input.string("ApplicationDescription", Rule::String(0, 1024))?;
        let runtime = input.required_string("RuntimeEnvironment", Rule::OneOf(RUNTIMES))?;
        let role = input.required_string("ServiceExecutionRole", Rule::Arn)?;
        let modes = Rule::OneOf(&["STREAMING", "INTERACTIVE"]);
        let mode = input.string("ApplicationMode", modes)?;
        let configuration = input.structure("ApplicationConfiguration")?;
        let snapshots = SnapshotSetting::read(configuration.as_ref())?;
        let is_enhanced = snapshots.is_enhanced.unwrap_or(false);
        require_runtime_for_enhanced(is_enhanced, runtime)?;
        let configuration = described(&default_configuration(runtime), configuration.as_ref())?;
        let logging = described_logging(input)?;
        let tags = tags_with(BTreeMap::new(), &given_tags(input)?.unwrap_or_default())?;

        if self.applications.contains_key(name) {
            let message = format!("Application {name} already exists");
            return Err(error("ResourceInUseException", message));
        }
        if self.applications.len() >= APPLICATION_QUOTA {
            let message = format!("The account has {APPLICATION_QUOTA} applications, its limit");
            return Err(error("LimitExceededException", message));
        }

        let context = self.context(name, now);
        let number = self.next_number();
        let application = Application {
            number,
            name: name.to_owned(),
            arn: self.arn(name),
            description: description.map(str::to_owned),
            runtime: runtime.to_owned(),
            role: role.to_owned(),
            mode: mode.unwrap_or("STREAMING").to_owned(),
            status: "READY",
            change: None,
            version_id: 1,
            updated_from: None,
            created_at: context.stamp,
            updated_at: context.stamp,
            token: format!("{number:032x}"),
            snapshots_enabled: snapshots.is_enabled.unwrap_or(true),
            is_enhanced,
            run: RunConfiguration::default(),
            configuration,
            logging,
            tags,
            snapshots: Vec::new(),
            past: Vec::new(),
        };
        let detail = application.detail(&context);
        self.applications.insert(name.to_owned(), application);
        self.add_seeded_snapshots(name);
        Ok(json!({ "ApplicationDetail": detail }))
    }

    pub(super) fn describe_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        input.boolean("IncludeAdditionalDetails")?;
        let context = self.context(name, now);
        Ok(json!({ "ApplicationDetail": self.application(name)?.detail(&context) }))
    }

    pub(super) fn list_applications(&mut self, input: &Input, now: Timestamp) -> Answer {
        const NO_OWNER: u64 = 0;
        // The model of this operation has no InvalidArgumentException.
        let as_modelled = |fault: ServiceError| match fault.code.as_str() {
            "InvalidArgumentException" => error("InvalidRequestException", fault.message),
            _ => fault,
        };
        let limit = input.page_limit().map_err(as_modelled)?;
        let token = (input.string("NextToken", APPLICATION_NAME)).map_err(as_modelled)?;

        let mut applications: Vec<_> = self.applications.values().collect();
        applications.sort_by_key(|application| application.number);
        let listed = applications.into_iter();
        let (shown, next) = page(listed, |it| it.number, NO_OWNER, limit, token)
            .ok_or_else(|| as_modelled(input.refusal("NextToken", "is not one of a listing's")))?;
        let summaries: Vec<_> = (shown.into_iter())
            .map(|application| application.summary(&self.context(&application.name, now)))
            .collect();
        let answer = json!({ "ApplicationSummaries": summaries, "NextToken": next });
        Ok(without_nulls(answer))
    }

    pub(super) fn start_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let context = self.context(name, now);
        let number = self.next_number();
        let application = self.application(name)?;
        let mut run = application.updated_run(input.structure("RunConfiguration")?.as_ref())?;
        let status = context.status(application);
        if status != "READY" {
            return Err(wrong_status(name, status, "StartApplication"));
        }
        run.restore.get_or_insert((LATEST, None));
        application.run = run;
        let starting = context.lifecycle.starting;
        application.enter("STARTING", starting, Some("RUNNING"), &context);
        Ok(json!({ "OperationId": operation_id(number) }))
    }

    pub(super) fn stop_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let is_forced = input.boolean("Force")?.unwrap_or(false);
        let context = self.context(name, now);
        let number = self.next_number();
        let application = self.application(name)?;
        let stopping = context.lifecycle.stopping;
        match (is_forced, context.status(application)) {
            (true, "STARTING" | "RUNNING" | "UPDATING" | "AUTOSCALING" | "STOPPING") => {
                application.abort_snapshot(now);
                application.enter("FORCE_STOPPING", stopping, Some("READY"), &context);
            }
            (false, "RUNNING") => {
                application.require_no_snapshot_in_progress("StopApplication")?;
                let snapshot = application.take_service_snapshot(number, "stop", &context);
                let until_ready = snapshot.saturating_add(stopping);
                application.enter("STOPPING", until_ready, Some("READY"), &context);
            }
            (_, other) => return Err(wrong_status(name, other, "StopApplication")),
        }
        Ok(json!({ "OperationId": operation_id(number) }))
    }

    pub(super) fn update_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let version = input.integer("CurrentApplicationVersionId", 1, MAX_VERSION.into())?;
        let token = input.string("ConditionalToken", Rule::String(1, 512))?;
        let role = input.string("ServiceExecutionRoleUpdate", Rule::Arn)?;
        let runtime = input.string("RuntimeEnvironmentUpdate", Rule::OneOf(RUNTIMES))?;
        if version.is_none() && token.is_none() {
            let reason = "or ConditionalToken is required";
            return Err(input.refusal("CurrentApplicationVersionId", reason));
        }
        let context = self.context(name, now);
        let number = self.next_number();
        let application = self.application(name)?;

        // All checks come before the first change, so a refused update changes nothing.
        let update = input.structure("ApplicationConfigurationUpdate")?;
        let update = update.map(Input::with_update_suffix);
        let snapshots = SnapshotSetting::read(update.as_ref())?;
        let configuration = described(&application.configuration, update.as_ref())?;
        let mut run =
            application.updated_run(input.structure("RunConfigurationUpdate")?.as_ref())?;
        let keeps_run = input.structure("RunConfigurationUpdate")?.is_none();
        // The choice to skip the restore is for one start. The next update restores again, unless it says otherwise.
        if keeps_run && matches!(run.restore, Some((SKIP, _))) {
            run.restore = Some((LATEST, None));
        }
        let is_running = match context.status(application) {
            "RUNNING" => true,
            "READY" => false,
            other => return Err(wrong_status(name, other, "UpdateApplication")),
        };
        let is_current = version.is_none_or(|version| version == i64::from(application.version_id))
            && token.is_none_or(|token| token == application.token);
        if !is_current {
            let found = format!("is at version {}", application.version_id);
            let message = format!("Application {name} {found}; the request is for another");
            return Err(error("ConcurrentModificationException", message));
        }
        let runtime = runtime.unwrap_or(&application.runtime).to_owned();
        let is_enhanced = snapshots.is_enhanced.unwrap_or(application.is_enhanced);
        require_runtime_for_enhanced(is_enhanced, &runtime)?;
        if application.is_enhanced && !is_enhanced {
            let message = format!("Application {name} cannot go back to {LEGACY}");
            return Err(error("UnsupportedOperationException", message));
        }
        if is_running {
            application.require_no_snapshot_in_progress("UpdateApplication")?;
            let snapshot = application.take_service_snapshot(number, "update", &context);
            let until_running = snapshot.saturating_add(context.lifecycle.updating);
            application.enter("UPDATING", until_running, Some("RUNNING"), &context);
        }

        application.updated_from = Some(application.version_id);
        application.version_id += 1;
        application.updated_at = context.stamp;
        application.token = format!("{number:032x}");
        application.runtime = runtime;
        application.role = role.unwrap_or(&application.role).to_owned();
        application.configuration = configuration;
        application.run = run;
        application.is_enhanced = is_enhanced;
        let enabled = snapshots.is_enabled;
        application.snapshots_enabled = enabled.unwrap_or(application.snapshots_enabled);
        Ok(json!({
            "ApplicationDetail": application.detail(&context),
            "OperationId": operation_id(number),
        }))
    }

    pub(super) fn delete_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_string("ApplicationName", APPLICATION_NAME)?;
        let created_at = input.required_timestamp("CreateTimestamp")?;
        let context = self.context(name, now);
        let application = self.application(name)?;
        if !is_same_second(application.created_at, created_at) {
            let reason = format!("is not when application {name} was created");
            return Err(input.refusal("CreateTimestamp", &reason));
        }
        match context.status(application) {
            "READY" | "RUNNING" => {}
            other => return Err(wrong_status(name, other, "DeleteApplication")),
        }
        application.enter("DELETING", context.lifecycle.deleting, None, &context);
        Ok(json!({}))
    }
}

fn operation_id(number: u64) -> String {
    format!("{number:026x}")
}
