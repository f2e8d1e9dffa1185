//! The path from the input through the calls to the output.

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

/// Starts the run's snapshot, or adopts it if an earlier attempt started it. Skips the run if the application does
/// not run, or if the snapshot of another run is still CREATING. Waits if the application is busy.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    flink: &Client,
    input: CreateSnapshotInput,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    let run = identify(input)?;
    tracing::Span::current().record("run_id", run.run_id);
    if run.input.mode != Mode::Run {
        return Ok(output(run, SnapshotCreation::NotWanted));
    }
    match Box::pin(take_snapshot(flink, &run, now)).await {
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

/// Validates the input and makes the run of it. Each retry and redrive of the execution gets the same run.
fn identify(input: CreateSnapshotInput) -> Result<Run, StepError> {
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
    flink: &Client,
    run: &Run,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    let snapshot_name = match find_attempt(flink, run).await? {
        Attempt::Adopt(own) => return Ok(adopted(run.clone(), &own, now)),
        Attempt::Create(snapshot_name) => snapshot_name,
    };
    let application_name = run.input.application_name.as_str();
    let application = flink::describe_application(flink, application_name).await?;
    if let Some(skipped) = skip_unless_running(flink, run, &snapshot_name, &application).await? {
        return Ok(skipped);
    }
    let Err(create_error) = create(flink, run, &snapshot_name).await else {
        tracing::info!("snapshot started");
        return Ok(started(run.clone(), snapshot_name, now));
    };
    tracing::warn!(error = %create_error.message, "snapshot not started, checking again");
    after_refusal(flink, run, &snapshot_name, create_error, now).await
}

/// What to do first.
enum Attempt {
    /// Adopt the snapshot, which an earlier invocation started.
    Adopt(SnapshotDetails),
    /// Create the snapshot of this name.
    Create(String),
}

/// Goes through the names of the run's attempts, in order. A FAILED snapshot leads to the next one, if the
/// execution's definition knows of several.
async fn find_attempt(flink: &Client, run: &Run) -> Result<Attempt, StepError> {
    for snapshot_name in run.snapshot_names() {
        tracing::Span::current().record("snapshot_name", &snapshot_name);
        match find_own(flink, run, &snapshot_name).await? {
            None => return Ok(Attempt::Create(snapshot_name)),
            Some(own)
                if own.snapshot_status == SnapshotStatus::Failed
                    && run.definition_handles_busy_and_failed()
                    && run.input.snapshot_name.is_none() =>
            {
                tracing::warn!("snapshot failed, trying the next one");
            }
            Some(own) => {
                refuse_older(run, &own)?;
                return Ok(Attempt::Adopt(own));
            }
        }
    }
    Err(error::all_failed(run))
}

/// The run's snapshot of that name, if an earlier invocation started it.
async fn find_own(
    flink: &Client,
    run: &Run,
    snapshot_name: &str,
) -> Result<Option<SnapshotDetails>, StepError> {
    let application_name = run.input.application_name.as_str();
    match flink::describe_snapshot(flink, application_name, snapshot_name).await {
        Ok(Lookup::Found(own)) => Ok(Some(own)),
        Ok(Lookup::NotFound(_)) => Ok(None),
        Err(error) => Err(flink::or_enhanced(flink, application_name, error).await),
    }
}

/// Only a `snapshot_name` can match an older snapshot. It is refused. Whole seconds are compared, because the service
/// may round.
fn refuse_older(run: &Run, found: &SnapshotDetails) -> Result<(), StepError> {
    let created_at = creation_time(found);
    let began = run.run_id.div_euclid(1_000);
    if run.input.snapshot_name.is_none() || created_at.is_some_and(|at| at.as_second() >= began) {
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

/// `None` if the application is RUNNING. The output of a skipped run if it does not run.
async fn skip_unless_running(
    flink: &Client,
    run: &Run,
    snapshot_name: &str,
    application: &Application,
) -> Result<Option<CreateSnapshotOutput>, StepError> {
    let application_name = &run.input.application_name;
    let status = application.detail.application_status();
    match ApplicationState::of(status) {
        ApplicationState::Running => Ok(None),
        ApplicationState::Busy => Err(error::busy(application_name, status.as_str())),
        ApplicationState::Stopped => {
            let reason = format!(
                "The application {application_name} is not running (status {status}). Only a RUNNING application can take a snapshot."
            );
            let mut skipped = skipped(run, snapshot_name, reason)?;
            let warning = restore_point_warning(flink, run, application).await;
            skipped.warnings.extend(warning);
            Ok(Some(skipped))
        }
    }
}

/// A sentence if the application is configured to restore from a snapshot that is lost. No later step of a skipped run looks
/// at the snapshots, and a stopped application needs its restore point next. A failed lookup says nothing about it, and
/// fails no run that is to be skipped.
async fn restore_point_warning(
    flink: &Client,
    run: &Run,
    application: &Application,
) -> Option<String> {
    let restore = Restore::of(&application.detail);
    // The snapshots of an application that is DELETING go with it. This lookup does not find enhanced ones. The service has
    // no snapshot with an invalid name.
    let is_deleting = *application.detail.application_status() == ApplicationStatus::Deleting;
    let is_lookup_valid = !is_deleting && !application.has_enhanced_snapshots;
    let name = restore
        .name()
        .filter(|name| is_lookup_valid && is_snapshot_name(name))?;
    let lookup = flink::describe_snapshot(flink, run.input.application_name.as_str(), name).await;
    let warning = match lookup {
        Ok(Lookup::NotFound(_)) => flink::lost_restore_point(name, None)?,
        Ok(Lookup::Found(found)) => {
            flink::lost_restore_point(name, Some(found.snapshot_status.as_str()))?
        }
        Err(error) => {
            tracing::warn!(error = error.fact, "the restore point is not checked");
            return None;
        }
    };
    tracing::warn!(warning = warning.as_str(), "needs a person");
    Some(warning)
}

/// Requests the snapshot once, without the SDK's retries. The request has no client token, so a retry of
/// a request that was carried out is refused. The SDK would also retry a full quota as throttling.
async fn create(flink: &Client, run: &Run, snapshot_name: &str) -> Result<(), CallError> {
    let once =
        aws_sdk_kinesisanalyticsv2::config::Builder::new().retry_config(RetryConfig::disabled());
    let response = flink
        .create_application_snapshot()
        .application_name(run.input.application_name.as_str())
        .snapshot_name(snapshot_name)
        .customize()
        .config_override(once)
        .send()
        .await
        .map_err(|error| CallError::of("CreateApplicationSnapshot", &error))?;
    flink::check_origin("CreateApplicationSnapshot", &response)
}

/// The service may have carried out the request all the same. If not, what has refused it?
async fn after_refusal(
    flink: &Client,
    run: &Run,
    snapshot_name: &str,
    create_error: CallError,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    if let Some(own) = find_own(flink, run, snapshot_name).await? {
        return Ok(adopted(run.clone(), &own, now));
    }
    let application_name = &run.input.application_name;
    let application = flink::describe_application(flink, application_name.as_str()).await?;
    let refusal = error::create(create_error);
    if application.has_enhanced_snapshots && !refusal.name.is_retryable() {
        return Err(application.reason_of(refusal));
    }
    if let Some(skipped) = skip_unless_running(flink, run, snapshot_name, &application).await? {
        return Ok(skipped);
    }
    match find_creating(flink, run).await? {
        Some(other) if is_taken_by_another_run(run, &other, now) => skipped(
            run,
            snapshot_name,
            format!(
                "The snapshot {} of another run is still CREATING.",
                other.snapshot_name
            ),
        ),
        Some(other) => Err(error::another_snapshot(
            application_name,
            &other.snapshot_name,
        )),
        None => Err(explain(run, &application.detail, refusal)),
    }
}

/// A snapshot that is CREATING, if there is one.
async fn find_creating(flink: &Client, run: &Run) -> Result<Option<SnapshotDetails>, StepError> {
    let mut pages = flink
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

/// Whether this run can be skipped because another run takes this snapshot, which is CREATING. If the snapshot is
/// older than `ready_timeout_seconds`, its run has ended, so nobody would hear of it. Without a creation time, the
/// snapshot is as old as the run of its name. A run whose snapshot somebody named is never skipped for another one.
fn is_taken_by_another_run(run: &Run, other: &SnapshotDetails, now: Timestamp) -> bool {
    let Some(run_id) = managed_run_id(&other.snapshot_name) else {
        return false;
    };
    let timeout = i64::from(run.input.ready_timeout_seconds.get());
    let since = creation_time(other).or_else(|| Timestamp::from_millisecond(run_id).ok());
    let is_old = since.is_some_and(|at| now.duration_since(at).as_secs() > timeout);
    let is_own = run.snapshot_names().any(|own| own == other.snapshot_name);
    !is_own && !is_old && run.input.snapshot_name.is_none()
}

/// Looks in the application's configuration for the reason of a refused create whose code leaves it open.
fn explain(run: &Run, application: &ApplicationDetail, error: StepError) -> StepError {
    let is_open = matches!(
        error.name,
        ErrorName::Unexpected | ErrorName::ApplicationBusy
    );
    if is_open && snapshots_enabled(application) == Some(false) {
        return error::snapshots_disabled(&run.input.application_name);
    }
    error
}

/// `None` if the service does not say.
fn snapshots_enabled(application: &ApplicationDetail) -> Option<bool> {
    let configuration = application.application_configuration_description.as_ref()?;
    let snapshots = configuration
        .application_snapshot_configuration_description
        .as_ref()?;
    Some(snapshots.snapshots_enabled)
}

/// At least 0, whichever clock is behind.
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

/// # Errors
/// Returns `SnapshotFailed` if this would be a later attempt: a run whose snapshot FAILED is not skipped.
fn skipped(
    run: &Run,
    snapshot_name: &str,
    reason: String,
) -> Result<CreateSnapshotOutput, StepError> {
    if snapshot_name != run.snapshot_name() {
        return Err(error::no_later_attempt(run, snapshot_name, &reason));
    }
    tracing::info!(reason, "skipped");
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

/// Adopts the snapshot of an earlier invocation, whatever its status. The next step checks the status.
fn adopted(run: Run, own: &SnapshotDetails, now: Timestamp) -> CreateSnapshotOutput {
    tracing::info!(status = own.snapshot_status.as_str(), "snapshot adopted");
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
