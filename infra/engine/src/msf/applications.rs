//! Applications: their operations, states and tags.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::configuration::{
    ENHANCED, LEGACY, RUNTIMES, SnapshotSetting, default_configuration, described,
    described_logging, refuse_enhanced,
};
use super::input::{Input, Rule};
use super::snapshots::{Past, Snapshot, no_snapshot};
use super::{
    Answer, Conduct, Emulator, Result, ServiceError, SnapshotStatus, epoch_seconds, error, page,
    without_nulls, wrong_status,
};

pub(super) const APPLICATION_NAME: Rule = Rule::Name(128);
pub(super) const SNAPSHOT_NAME: Rule = Rule::Name(256);

/// Applications per Region, from the service's endpoints and quotas page.
const APPLICATION_QUOTA: usize = 100;

/// User-defined tags per application, from the model's `TooManyTagsException`.
const TAG_QUOTA: usize = 50;

const MOST_TAGS_PER_CALL: usize = 200;
const MOST_VERSIONS: u32 = 999_999_999;

const SKIP: &str = "SKIP_RESTORE_FROM_SNAPSHOT";
const LATEST: &str = "RESTORE_FROM_LATEST_SNAPSHOT";
const CUSTOM: &str = "RESTORE_FROM_CUSTOM_SNAPSHOT";

#[derive(Clone, Debug)]
pub(super) struct Application {
    pub(super) number: u64,
    pub(super) name: String,
    arn: String,
    description: Option<String>,
    pub(super) runtime: String,
    role: String,
    mode: String,
    /// By the life cycle; [`Conduct::status`] is what is shown.
    pub(super) status: &'static str,
    /// When the status changes by itself, and into what; into nothing when it is being deleted.
    change: Option<(Timestamp, Option<&'static str>)>,
    pub(super) version_id: u32,
    updated_from: Option<u32>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Changes with every new version.
    token: String,
    pub(super) snapshots_enabled: bool,
    pub(super) is_enhanced: bool,
    run: Run,
    /// The members of `ApplicationConfigurationDescription` that have no field of their own here.
    configuration: Value,
    logging: Vec<Value>,
    tags: BTreeMap<String, String>,
    /// In the order in which they came to be.
    pub(super) snapshots: Vec<Snapshot>,
    /// What they were lately.
    pub(super) past: Vec<Past>,
}

/// How the application was, or is to be, started.
#[derive(Clone, Debug, Default)]
struct Run {
    /// Type and, if it is custom, snapshot.
    restore: Option<(&'static str, Option<String>)>,
    allow_non_restored_state: Option<bool>,
}

impl Application {
    /// Lets time pass; `false` once it is gone.
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

    fn become_for(
        &mut self,
        status: &'static str,
        duration: Duration,
        then: Option<&'static str>,
        conduct: &Conduct,
    ) {
        self.status = status;
        self.change = Some((conduct.after(duration), then));
    }

    /// The snapshot that the service takes by itself before it stops or updates, quota or not.
    /// Returns how long it takes.
    fn take_service_snapshot(
        &mut self,
        number: u64,
        occasion: &str,
        conduct: &Conduct,
    ) -> Duration {
        if !self.snapshots_enabled || self.is_enhanced || !self.runtime.starts_with("FLINK-") {
            return Duration::ZERO;
        }
        self.begin_snapshot(number, format!("service_{occasion}_{number}"), conduct);
        conduct.lifecycle.snapshot
    }

    fn refuse_during_snapshot(&self, operation: &str) -> Result<()> {
        if let Some(Snapshot { name, .. }) = self.snapshot_in_progress() {
            let snapshot = format!("Snapshot {name} of application {}", self.name);
            let message = format!("{snapshot} is CREATING: {operation} is not possible");
            return Err(error("ResourceInUseException", message));
        }
        Ok(())
    }

    fn detail(&self, conduct: &Conduct) -> Value {
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
            "ApplicationStatus": conduct.status(self),
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

    fn summary(&self, conduct: &Conduct) -> Value {
        json!({
            "ApplicationName": self.name,
            "ApplicationARN": self.arn,
            "ApplicationStatus": conduct.status(self),
            "ApplicationVersionId": self.version_id,
            "RuntimeEnvironment": self.runtime,
            "ApplicationMode": self.mode,
        })
    }

    /// The run configuration in effect after `given`, a `RunConfiguration` or
    /// `RunConfigurationUpdate`, which have the same members.
    fn run_after(&self, given: Option<&Input>) -> Result<Run> {
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
            let kind = restore.required_text("ApplicationRestoreType", rule)?;
            let snapshot = restore.text("SnapshotName", SNAPSHOT_NAME)?;
            if restore.text("SnapshotArn", Rule::Text(1, 2048))?.is_some() {
                let message = "SnapshotArn is for enhanced snapshots, which are not emulated";
                return Err(error("UnsupportedOperationException", message));
            }
            run.restore = Some(match kind {
                CUSTOM => {
                    let name = restore.required("SnapshotName", snapshot)?;
                    self.refuse_as_restore_point(name)?;
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

    fn refuse_as_restore_point(&self, name: &str) -> Result<()> {
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

impl Emulator {
    pub(super) fn create_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        let description = input.text("ApplicationDescription", Rule::Text(0, 1024))?;
        let runtime = input.required_text("RuntimeEnvironment", Rule::OneOf(RUNTIMES))?;
        let role = input.required_text("ServiceExecutionRole", Rule::Arn)?;
        let modes = Rule::OneOf(&["STREAMING", "INTERACTIVE"]);
        let mode = input.text("ApplicationMode", modes)?.unwrap_or("STREAMING");
        let configuration = input.structure("ApplicationConfiguration")?;
        let snapshots = SnapshotSetting::read(configuration.as_ref())?;
        let is_enhanced = snapshots.is_enhanced.unwrap_or(false);
        refuse_enhanced(is_enhanced, runtime)?;
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

        let conduct = self.conduct(name, now);
        let number = self.next_number();
        let application = Application {
            number,
            name: name.to_owned(),
            arn: self.arn(name),
            description: description.map(str::to_owned),
            runtime: runtime.to_owned(),
            role: role.to_owned(),
            mode: mode.to_owned(),
            status: "READY",
            change: None,
            version_id: 1,
            updated_from: None,
            created_at: conduct.stamp,
            updated_at: conduct.stamp,
            token: format!("{number:032x}"),
            snapshots_enabled: snapshots.is_enabled.unwrap_or(true),
            is_enhanced,
            run: Run::default(),
            configuration,
            logging,
            tags,
            snapshots: Vec::new(),
            past: Vec::new(),
        };
        let detail = application.detail(&conduct);
        self.applications.insert(name.to_owned(), application);
        self.plant_seeds(name);
        Ok(json!({ "ApplicationDetail": detail }))
    }

    pub(super) fn describe_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        input.boolean("IncludeAdditionalDetails")?;
        let conduct = self.conduct(name, now);
        Ok(json!({ "ApplicationDetail": self.application(name)?.detail(&conduct) }))
    }

    pub(super) fn list_applications(&mut self, input: &Input, now: Timestamp) -> Answer {
        const NO_OWNER: u64 = 0;
        let as_modelled = |fault: ServiceError| match fault.code.as_str() {
            "InvalidArgumentException" => error("InvalidRequestException", fault.message),
            _ => fault,
        };
        let limit = input.page_limit().map_err(as_modelled)?;
        let token = input.text("NextToken", APPLICATION_NAME);
        let token = token.map_err(as_modelled)?;

        let mut applications: Vec<_> = self.applications.values().collect();
        applications.sort_by_key(|application| application.number);
        let newest_last = applications.into_iter();
        let (shown, next) = page(newest_last, |a| a.number, NO_OWNER, limit, token)
            .ok_or_else(|| as_modelled(input.refusal("NextToken", "is not one of a listing's")))?;
        let summaries: Vec<_> = (shown.into_iter())
            .map(|application| application.summary(&self.conduct(&application.name, now)))
            .collect();
        let answer = json!({ "ApplicationSummaries": summaries, "NextToken": next });
        Ok(without_nulls(answer))
    }

    pub(super) fn start_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        let conduct = self.conduct(name, now);
        let number = self.next_number();
        let application = self.application(name)?;
        let mut run = application.run_after(input.structure("RunConfiguration")?.as_ref())?;
        let status = conduct.status(application);
        if status != "READY" {
            return Err(wrong_status(name, status, "StartApplication"));
        }
        run.restore.get_or_insert((LATEST, None));
        application.run = run;
        let starting = conduct.lifecycle.starting;
        application.become_for("STARTING", starting, Some("RUNNING"), &conduct);
        Ok(json!({ "OperationId": operation_id(number) }))
    }

    pub(super) fn stop_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        let is_forced = input.boolean("Force")?.unwrap_or(false);
        let conduct = self.conduct(name, now);
        let number = self.next_number();
        let application = self.application(name)?;
        let stopping = conduct.lifecycle.stopping;
        match (is_forced, conduct.status(application)) {
            (true, "STARTING" | "RUNNING" | "UPDATING" | "AUTOSCALING" | "STOPPING") => {
                application.abort_snapshot(now);
                application.become_for("FORCE_STOPPING", stopping, Some("READY"), &conduct);
            }
            (false, "RUNNING") => {
                application.refuse_during_snapshot("StopApplication")?;
                let snapshot = application.take_service_snapshot(number, "stop", &conduct);
                let until_ready = snapshot.saturating_add(stopping);
                application.become_for("STOPPING", until_ready, Some("READY"), &conduct);
            }
            (_, other) => return Err(wrong_status(name, other, "StopApplication")),
        }
        Ok(json!({ "OperationId": operation_id(number) }))
    }

    pub(super) fn update_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        let version = input.integer("CurrentApplicationVersionId", 1, MOST_VERSIONS.into())?;
        let token = input.text("ConditionalToken", Rule::Text(1, 512))?;
        let role = input.text("ServiceExecutionRoleUpdate", Rule::Arn)?;
        let runtime = input.text("RuntimeEnvironmentUpdate", Rule::OneOf(RUNTIMES))?;
        if version.is_none() && token.is_none() {
            let reason = "or ConditionalToken is required";
            return Err(input.refusal("CurrentApplicationVersionId", reason));
        }
        let conduct = self.conduct(name, now);
        let number = self.next_number();
        let application = self.application(name)?;

        // Everything that can be refused comes before the first change.
        let update = input.structure("ApplicationConfigurationUpdate")?;
        let update = update.map(Input::with_update_suffix);
        let snapshots = SnapshotSetting::read(update.as_ref())?;
        let configuration = described(&application.configuration, update.as_ref())?;
        let mut run = application.run_after(input.structure("RunConfigurationUpdate")?.as_ref())?;
        let keeps_run = input.structure("RunConfigurationUpdate")?.is_none();
        if keeps_run && matches!(run.restore, Some((SKIP, _))) {
            run.restore = Some((LATEST, None));
        }
        let is_running = match conduct.status(application) {
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
        refuse_enhanced(is_enhanced, &runtime)?;
        if application.is_enhanced && !is_enhanced {
            let message = format!("Application {name} cannot go back to {LEGACY}");
            return Err(error("UnsupportedOperationException", message));
        }
        if is_running {
            application.refuse_during_snapshot("UpdateApplication")?;
            let snapshot = application.take_service_snapshot(number, "update", &conduct);
            let until_running = snapshot.saturating_add(conduct.lifecycle.updating);
            application.become_for("UPDATING", until_running, Some("RUNNING"), &conduct);
        }

        application.updated_from = Some(application.version_id);
        application.version_id += 1;
        application.updated_at = conduct.stamp;
        application.token = format!("{number:032x}");
        application.runtime = runtime;
        application.role = role.unwrap_or(&application.role).to_owned();
        application.configuration = configuration;
        application.run = run;
        application.is_enhanced = is_enhanced;
        let enabled = snapshots.is_enabled;
        application.snapshots_enabled = enabled.unwrap_or(application.snapshots_enabled);
        Ok(json!({
            "ApplicationDetail": application.detail(&conduct),
            "OperationId": operation_id(number),
        }))
    }

    pub(super) fn delete_application(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = input.required_text("ApplicationName", APPLICATION_NAME)?;
        let created_at = input.required_timestamp("CreateTimestamp")?;
        let conduct = self.conduct(name, now);
        let application = self.application(name)?;
        if !Conduct::is_same_second(application.created_at, created_at) {
            let reason = format!("is not when application {name} was created");
            return Err(input.refusal("CreateTimestamp", &reason));
        }
        match conduct.status(application) {
            "READY" | "RUNNING" => {}
            other => return Err(wrong_status(name, other, "DeleteApplication")),
        }
        application.become_for("DELETING", conduct.lifecycle.deleting, None, &conduct);
        Ok(json!({}))
    }

    pub(super) fn tag_resource(&mut self, input: &Input, now: Timestamp) -> Answer {
        let name = self.tagged(input)?;
        let given = input.required("Tags", given_tags(input)?)?;
        let conduct = self.conduct(&name, now);
        let application = self.application(&name)?;
        let tags = tags_with(application.tags.clone(), &given)?;
        if conduct.status(application) == "DELETING" {
            return Err(wrong_status(&name, "DELETING", "TagResource"));
        }
        application.tags = tags;
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(&mut self, input: &Input, _: Timestamp) -> Answer {
        let name = self.tagged(input)?;
        let tags: Vec<_> = (self.application(&name)?.tags.iter())
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        let tags = Some(tags).filter(|tags| !tags.is_empty());
        Ok(without_nulls(json!({ "Tags": tags })))
    }

    pub(super) fn application(&mut self, name: &str) -> Result<&mut Application> {
        self.applications.get_mut(name).ok_or_else(|| {
            let message = format!("Application {name} does not exist");
            error("ResourceNotFoundException", message)
        })
    }

    /// The name of the application that `ResourceARN` names.
    fn tagged(&self, input: &Input) -> Result<String> {
        let arn = input.required_text("ResourceARN", Rule::Arn)?;
        match arn.strip_prefix(&self.arn("")) {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(input.refusal("ResourceARN", "is not an application's in this account")),
        }
    }

    fn arn(&self, application: &str) -> String {
        let owner = format!("{}:{}", self.region, self.account);
        format!("arn:aws:kinesisanalytics:{owner}:application/{application}")
    }
}

impl Input<'_> {
    /// `Limit`, 50 if it is left out.
    pub(super) fn page_limit(&self) -> Result<usize> {
        let limit = self.integer("Limit", 1, 50)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(limit.unwrap_or(50))
    }
}

fn operation_id(number: u64) -> String {
    format!("{number:026x}")
}

fn given_tags<'a>(input: &Input<'a>) -> Result<Option<Vec<Input<'a>>>> {
    input.list("Tags", 1..=MOST_TAGS_PER_CALL)
}

fn tags_with(
    mut tags: BTreeMap<String, String>,
    given: &[Input],
) -> Result<BTreeMap<String, String>> {
    for tag in given {
        let key = tag.required_text("Key", Rule::Text(1, 128))?;
        let value = tag.text("Value", Rule::Text(0, 256))?.unwrap_or_default();
        if key.starts_with("aws:") {
            return Err(tag.refusal("Key", "begins with aws:, which is reserved"));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > TAG_QUOTA {
        let message = format!("An application has at most {TAG_QUOTA} tags");
        return Err(error("TooManyTagsException", message));
    }
    Ok(tags)
}
