//! Handles one invocation: validates the input, checks what exists, and requests the snapshot.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::config::retry::RetryConfig;
use aws_sdk_kinesisanalyticsv2::types::{
    ApplicationDetail, ApplicationStatus, SnapshotDetails, SnapshotStatus,
};
use contract::{
    CreateSnapshotInput, CreateSnapshotOutput, ErrorName, Mode, Run, RunInput, RunSnapshot,
    SnapshotCreation, is_snapshot_name, managed_run_id,
};
use flink::{Application, ApplicationState, Lookup, Restore};
use jiff::Timestamp;
use step::{CallError, StepError};

use crate::error;

/// Starts the run's snapshot. If an earlier invocation has started it already, returns that snapshot.
///
/// The run is skipped if the application is stopped, or if the snapshot of another run is still CREATING, with the
/// exceptions of `can_be_skipped_for`. If the application is busy, the function returns `BUSY`, so that the state
/// machine waits and tries again.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    client: &Client,
    input: CreateSnapshotInput,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    let run = build_run(input)?;
    tracing::Span::current().record("run_id", run.run_id);
    if run.input.mode != Mode::Run {
        return Ok(output(run, SnapshotCreation::NotWanted));
    }
    match Box::pin(take_snapshot(client, &run, now)).await {
        Err(error) if error.name == ErrorName::ApplicationBusy => {
            let wait_seconds = run.application_wait_seconds(seconds_since_start(&run, now));
            let Some(wait_seconds) = wait_seconds else {
                return Err(error);
            };
            tracing::info!(reason = error.fact, wait_seconds, "application busy");
            Ok(CreateSnapshotOutput {
                wait_seconds,
                ..output(run, SnapshotCreation::Busy)
            })
        }
        other => other,
    }
}

/// Validates the input and builds the run from it. Every retry and redrive of an execution builds the same run.
fn build_run(input: CreateSnapshotInput) -> Result<Run, StepError> {
    if !input.input.is_object() {
        return Err(error::invalid_input("it is not an object"));
    }
    let invalid = |problem: String| error::invalid_input(&problem);
    let run_input: RunInput = contract::parse(&input.input).map_err(invalid)?;
    run_input.refuse_unknown_fields().map_err(invalid)?;
    run_input.refuse_unused_snapshot_name().map_err(invalid)?;
    retention::time_zone(&run_input.retention.timezone).map_err(invalid)?;
    Ok(Run {
        run_id: input.execution_started_at.as_millisecond(),
        execution_arn: input.execution_arn,
        input: run_input,
        definition: input.definition,
    })
}

async fn take_snapshot(
    client: &Client,
    run: &Run,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    let snapshot_name = match first_action(client, run).await? {
        FirstAction::Return(own) => return Ok(existing(run.clone(), &own, now)),
        FirstAction::Create(snapshot_name) => snapshot_name,
    };
    let application_name = run.input.application_name.as_str();
    let application = flink::describe_application(client, application_name).await?;
    if let Some(skipped) = check_application(client, run, &snapshot_name, &application).await? {
        return Ok(skipped);
    }
    let Err(create_error) = create(client, run, &snapshot_name).await else {
        tracing::info!("snapshot started");
        return Ok(started(run.clone(), snapshot_name, now));
    };
    tracing::warn!(error = %create_error.message, "create request failed, checking whether the snapshot exists");
    after_failed_create(client, run, &snapshot_name, create_error, now).await
}

/// What an invocation does after it has looked for the run's snapshots.
enum FirstAction {
    /// Return this snapshot, which an earlier invocation started.
    Return(SnapshotDetails),
    /// Create the snapshot with this name.
    Create(String),
}

/// Looks for the snapshots of the run's attempts, in order. Skips a FAILED snapshot if the definition handles `FAILED`
/// and the run has no `snapshot_name`. Otherwise returns it like any other.
///
/// # Errors
/// Returns `SnapshotFailed` if all attempts are used up, and `SnapshotNameTaken` if an older snapshot has the name in
/// the input.
async fn first_action(client: &Client, run: &Run) -> Result<FirstAction, StepError> {
    for snapshot_name in run.snapshot_names() {
        tracing::Span::current().record("snapshot_name", &snapshot_name);
        match find_by_name(client, run, &snapshot_name).await? {
            None => return Ok(FirstAction::Create(snapshot_name)),
            Some(own)
                if own.snapshot_status == SnapshotStatus::Failed
                    && run.definition_handles_busy_and_failed()
                    && run.input.snapshot_name.is_none() =>
            {
                tracing::warn!("snapshot is FAILED, continuing with the next attempt");
            }
            Some(own) => {
                refuse_older_snapshot(run, &own)?;
                return Ok(FirstAction::Return(own));
            }
        }
    }
    Err(error::all_attempts_failed(run))
}

/// Looks up the run's snapshot with this name. Returns `None` if it does not exist.
async fn find_by_name(
    client: &Client,
    run: &Run,
    snapshot_name: &str,
) -> Result<Option<SnapshotDetails>, StepError> {
    let application_name = run.input.application_name.as_str();
    match flink::describe_snapshot(client, application_name, snapshot_name).await {
        Ok(Lookup::Found(own)) => Ok(Some(own)),
        Ok(Lookup::NotFound(_)) => Ok(None),
        Err(error) => Err(flink::explain_if_enhanced(client, application_name, error).await),
    }
}

/// Refuses a snapshot that is older than the run. This can happen only with a `snapshot_name`, because any other name
/// contains the run id. The times are compared in whole seconds, because the service may round the creation time.
///
/// # Errors
/// Returns `SnapshotNameTaken` if the snapshot is older than the run or has no creation time.
fn refuse_older_snapshot(run: &Run, found: &SnapshotDetails) -> Result<(), StepError> {
    let created_at = creation_time(found);
    let started_at = run.run_id.div_euclid(1_000);
    if run.input.snapshot_name.is_none()
        || created_at.is_some_and(|at| at.as_second() >= started_at)
    {
        return Ok(());
    }
    Err(error::name_taken(&found.snapshot_name, created_at))
}

fn creation_time(snapshot: &SnapshotDetails) -> Option<Timestamp> {
    snapshot
        .snapshot_creation_timestamp
        .as_ref()
        .and_then(step::timestamp)
}

/// Returns the output of a skipped run if the application is stopped, and `None` if it is RUNNING.
///
/// # Errors
/// Returns `ApplicationBusy` if the application has any other status. Returns the error of [`skipped`] if the
/// application is stopped and the run must not be skipped.
async fn check_application(
    client: &Client,
    run: &Run,
    snapshot_name: &str,
    application: &Application,
) -> Result<Option<CreateSnapshotOutput>, StepError> {
    let application_name = &run.input.application_name;
    let status = application.detail.application_status();
    match ApplicationState::of(status) {
        ApplicationState::Running => Ok(None),
        ApplicationState::Busy => Err(error::application_busy(application_name, status.as_str())),
        ApplicationState::Stopped => {
            let reason = format!(
                "The application {application_name} is not running (status {status}). Only a RUNNING application can take a snapshot."
            );
            let mut skipped = skipped(run, snapshot_name, reason)?;
            let warning = restore_point_warning(client, run, application).await;
            skipped.warnings.extend(warning);
            Ok(Some(skipped))
        }
    }
}

/// Returns a warning if the application is configured to restore from a snapshot that is missing, DELETING or FAILED.
///
/// A skipped run never reaches `PruneSnapshots`, which checks the restore point otherwise, and a stopped application
/// needs its restore point as soon as it starts. If the lookup fails, there is no warning, and the run is still
/// skipped.
async fn restore_point_warning(
    client: &Client,
    run: &Run,
    application: &Application,
) -> Option<String> {
    let restore = Restore::of(&application.detail);
    // The lookup would not help in three cases. An application that is DELETING loses its snapshots anyway. Enhanced
    // snapshots may not be found by this operation. And no snapshot can have an invalid name.
    let is_deleting = *application.detail.application_status() == ApplicationStatus::Deleting;
    let is_lookup_useful = !is_deleting && !application.has_enhanced_snapshots;
    let name = restore
        .name()
        .filter(|name| is_lookup_useful && is_snapshot_name(name))?;
    let lookup = flink::describe_snapshot(client, run.input.application_name.as_str(), name).await;
    let warning = match lookup {
        Ok(Lookup::NotFound(_)) => flink::lost_restore_point_warning(name, None)?,
        Ok(Lookup::Found(found)) => {
            flink::lost_restore_point_warning(name, Some(found.snapshot_status.as_str()))?
        }
        Err(error) => {
            tracing::warn!(error = error.fact, "restore point could not be checked");
            return None;
        }
    };
    tracing::warn!(warning = warning.as_str(), "restore point needs attention");
    Some(warning)
}

/// Requests the snapshot once, without the retries of the SDK. The request has no client token, so if the response is
/// lost after the snapshot has started, a retry would be refused. The SDK would also retry when the quota of snapshots
/// is reached, because it takes that error for throttling.
async fn create(client: &Client, run: &Run, snapshot_name: &str) -> Result<(), CallError> {
    let once =
        aws_sdk_kinesisanalyticsv2::config::Builder::new().retry_config(RetryConfig::disabled());
    let response = client
        .create_application_snapshot()
        .application_name(run.input.application_name.as_str())
        .snapshot_name(snapshot_name)
        .customize()
        .config_override(once)
        .send()
        .await
        .map_err(|error| CallError::of("CreateApplicationSnapshot", &error))?;
    flink::check_is_from_service("CreateApplicationSnapshot", &response)
}

/// Finds out what became of a create request that failed. If the snapshot exists nevertheless, returns it. Otherwise
/// returns the output of a skipped run, or the most specific error that explains the failure.
async fn after_failed_create(
    client: &Client,
    run: &Run,
    snapshot_name: &str,
    create_error: CallError,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    if let Some(own) = find_by_name(client, run, snapshot_name).await? {
        return Ok(existing(run.clone(), &own, now));
    }
    let application_name = &run.input.application_name;
    let application = flink::describe_application(client, application_name.as_str()).await?;
    let create_error = error::create_call_failed(create_error);
    if application.has_enhanced_snapshots && !create_error.name.is_retryable() {
        return Err(application.explain_refusal(create_error));
    }
    if let Some(skipped) = check_application(client, run, snapshot_name, &application).await? {
        return Ok(skipped);
    }
    match find_creating_snapshot(client, run).await? {
        Some(other) if can_be_skipped_for(run, &other, now) => skipped(
            run,
            snapshot_name,
            format!(
                "The snapshot {} of another run is still CREATING.",
                other.snapshot_name
            ),
        ),
        Some(other) => Err(error::another_snapshot_in_progress(
            application_name,
            &other.snapshot_name,
        )),
        None => Err(explain(run, &application.detail, create_error)),
    }
}

/// Lists the snapshots and returns the first that is CREATING, if there is one.
async fn find_creating_snapshot(
    client: &Client,
    run: &Run,
) -> Result<Option<SnapshotDetails>, StepError> {
    let mut pages = client
        .list_application_snapshots()
        .application_name(run.input.application_name.as_str())
        .into_paginator()
        .page_size(50)
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            let error = CallError::of("ListApplicationSnapshots", &error);
            flink::step_error(error, ErrorName::ApplicationNotFound)
        })?;
        let creating = page
            .snapshot_summaries
            .unwrap_or_default()
            .into_iter()
            .find(|snapshot| snapshot.snapshot_status == SnapshotStatus::Creating);
        if creating.is_some() {
            return Ok(creating);
        }
    }
    Ok(None)
}

/// Whether this run can be skipped because another run is taking `other`, a snapshot that is CREATING.
///
/// The answer is no in these cases:
///
/// - `other` is not managed, so its name does not show that a run is taking it.
/// - `other` is a snapshot of this run.
/// - `other` is older than `ready_timeout_seconds`. Its run has probably timed out. If this run were skipped, nobody
///   would be notified that the application gets no snapshots. If the service gives no creation time, the age counts
///   from the run id in the name.
/// - This run has a `snapshot_name`, so a person wants a snapshot with exactly this name.
fn can_be_skipped_for(run: &Run, other: &SnapshotDetails, now: Timestamp) -> bool {
    let Some(run_id) = managed_run_id(&other.snapshot_name) else {
        return false;
    };
    let timeout = i64::from(run.input.ready_timeout_seconds.get());
    let since = creation_time(other).or_else(|| Timestamp::from_millisecond(run_id).ok());
    let is_old = since.is_some_and(|at| now.duration_since(at).as_secs() > timeout);
    let is_own = run.snapshot_names().any(|own| own == other.snapshot_name);
    !is_own && !is_old && run.input.snapshot_name.is_none()
}

/// Returns `SnapshotsDisabled` if the error code of a refused create request does not say what is wrong, and snapshots
/// are turned off in the application's configuration. Otherwise returns `error`.
fn explain(run: &Run, application: &ApplicationDetail, error: StepError) -> StepError {
    // The service may also answer that the application is in use while snapshots are turned off.
    let is_cause_unclear = matches!(
        error.name,
        ErrorName::Unexpected | ErrorName::ApplicationBusy
    );
    if is_cause_unclear && snapshots_enabled(application) == Some(false) {
        return error::snapshots_disabled(&run.input.application_name);
    }
    error
}

/// Whether snapshots are turned on for the application. `None` if the response does not contain the setting.
fn snapshots_enabled(application: &ApplicationDetail) -> Option<bool> {
    let configuration = application.application_configuration_description.as_ref()?;
    let snapshots = configuration
        .application_snapshot_configuration_description
        .as_ref()?;
    Some(snapshots.snapshots_enabled)
}

/// Returns 0 if the difference between the two clocks puts the start in the future.
fn seconds_since_start(run: &Run, now: Timestamp) -> u64 {
    let started_at = Timestamp::from_millisecond(run.run_id).unwrap_or(now);
    u64::try_from(now.duration_since(started_at).as_secs()).unwrap_or(0)
}

fn output(run: Run, snapshot_creation: SnapshotCreation) -> CreateSnapshotOutput {
    CreateSnapshotOutput {
        wait_seconds: run.input.poll_interval_seconds.get(),
        run,
        snapshot_creation,
        skip_reason: None,
        warnings: Vec::new(),
        snapshot: None,
    }
}

/// Skips the run, unless an earlier attempt has FAILED.
///
/// # Errors
/// Returns `SnapshotFailed` if this is not the first attempt, because the outcome SKIPPED would hide the failed one.
fn skipped(
    run: &Run,
    snapshot_name: &str,
    reason: String,
) -> Result<CreateSnapshotOutput, StepError> {
    if snapshot_name != run.snapshot_name() {
        return Err(error::next_attempt_impossible(run, snapshot_name, &reason));
    }
    tracing::info!(reason, "run skipped");
    Ok(CreateSnapshotOutput {
        skip_reason: Some(reason),
        ..output(run.clone(), SnapshotCreation::Skipped)
    })
}

fn started(run: Run, snapshot_name: String, now: Timestamp) -> CreateSnapshotOutput {
    CreateSnapshotOutput {
        snapshot: Some(RunSnapshot {
            name: snapshot_name,
            accepted_at: step::rounded_to_millis(now),
            created_at: None,
            application_version_id: None,
            seconds: None,
        }),
        ..output(run, SnapshotCreation::Started)
    }
}

/// The output for a snapshot of this run that exists already, whatever its status. The next step checks the status.
fn existing(run: Run, own: &SnapshotDetails, now: Timestamp) -> CreateSnapshotOutput {
    tracing::info!(
        status = own.snapshot_status.as_str(),
        "the snapshot exists already"
    );
    let created_at = creation_time(own);
    CreateSnapshotOutput {
        snapshot: Some(RunSnapshot {
            name: own.snapshot_name.clone(),
            accepted_at: step::rounded_to_millis(now),
            created_at: created_at.map(step::rounded_to_millis),
            application_version_id: Some(own.application_version_id),
            seconds: None,
        }),
        ..output(run, SnapshotCreation::Started)
    }
}
