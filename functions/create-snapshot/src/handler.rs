//! The path from the input through the calls to the output.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::config::retry::RetryConfig;
use aws_sdk_kinesisanalyticsv2::types::{ApplicationDetail, SnapshotDetails, SnapshotStatus};
use contract::{
    CreateSnapshotInput, CreateSnapshotOutput, ErrorName, Mode, Run, RunInput, RunSnapshot,
    SnapshotCreation,
};
use flink::Lookup;
use jiff::Timestamp;
use step::{CallError, StepError};

use crate::application::{Readiness, readiness};
use crate::error;

/// Starts the run's snapshot, or adopts it if an earlier attempt started it. Skips the run if the
/// application does not run.
///
/// # Errors
/// Returns one of [`crate::ERRORS`].
pub async fn handle(
    flink: &Client,
    input: CreateSnapshotInput,
    now: Timestamp,
) -> Result<CreateSnapshotOutput, StepError> {
    let run = identify(input)?;
    let snapshot_name = run.snapshot_name();
    let span = tracing::Span::current();
    span.record("run_id", run.run_id);
    span.record("snapshot_name", &snapshot_name);

    if run.input.mode != Mode::Run {
        return Ok(output(run, SnapshotCreation::NotWanted));
    }
    if let Some(own) = find_own(flink, &run, &snapshot_name).await? {
        refuse_older(&run, &own)?;
        return Ok(adopted(run, &own, now));
    }
    if let Some(skipped) = check_application(flink, &run).await? {
        return Ok(skipped);
    }
    let Err(create_error) = create(flink, &run, &snapshot_name).await else {
        tracing::info!("snapshot started");
        return Ok(started(run, snapshot_name, now));
    };
    tracing::warn!(error = %create_error.message, "snapshot not started, checking again");
    if let Some(own) = find_own(flink, &run, &snapshot_name).await? {
        return Ok(adopted(run, &own, now));
    }
    if let Some(skipped) = check_application(flink, &run).await? {
        return Ok(skipped);
    }
    if let Some(other) = find_creating(flink, &run).await? {
        return Err(error::another_snapshot(&run.input.application_name, &other));
    }
    Err(error::create(create_error))
}

/// Validates the input and makes the run of it. Each retry and redrive of the execution gets the same run.
fn identify(input: CreateSnapshotInput) -> Result<Run, StepError> {
    let started_at: Timestamp = input.execution_started_at.parse().map_err(|_| {
        StepError::unexpected(format!(
            "The execution's start time {:?} is not RFC 3339.",
            input.execution_started_at
        ))
    })?;
    if !input.input.is_object() {
        return Err(error::invalid_input("it is not an object"));
    }
    let invalid = |problem: String| error::invalid_input(&problem);
    let run_input: RunInput = contract::parse(&input.input).map_err(invalid)?;
    run_input.refuse_unknown_fields().map_err(invalid)?;
    run_input.refuse_unused_snapshot_name().map_err(invalid)?;
    retention::time_zone(&run_input.retention.timezone).map_err(invalid)?;
    Ok(Run {
        run_id: started_at.as_millisecond(),
        execution_arn: input.execution_arn,
        input: run_input,
        definition: input.definition,
    })
}

/// This run's snapshot, if an earlier attempt started it.
async fn find_own(
    flink: &Client,
    run: &Run,
    snapshot_name: &str,
) -> Result<Option<SnapshotDetails>, StepError> {
    let application = run.input.application_name.as_str();
    match flink::describe_snapshot(flink, application, snapshot_name).await? {
        Lookup::Found(own) => Ok(Some(own)),
        Lookup::NotFound(_) => Ok(None),
    }
}

/// Refuses a snapshot that was there before the run, which only a name from the input can find. Whole seconds are
/// compared, because the service may round.
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
async fn check_application(
    flink: &Client,
    run: &Run,
) -> Result<Option<CreateSnapshotOutput>, StepError> {
    let name = &run.input.application_name;
    let application = flink::describe_application(flink, name.as_str()).await?;
    if snapshots_enabled(&application) == Some(false) {
        return Err(error::snapshots_disabled(name));
    }
    let status = application.application_status();
    match readiness(status) {
        Readiness::Running => Ok(None),
        Readiness::Busy => Err(error::busy(name, status.as_str())),
        Readiness::Stopped => {
            tracing::info!(status = status.as_str(), "skipped");
            Ok(Some(CreateSnapshotOutput {
                skip_reason: Some(format!(
                    "The application {name} is {status}, not RUNNING: there is nothing to take a \
                     snapshot of."
                )),
                ..output(run.clone(), SnapshotCreation::Skipped)
            }))
        }
    }
}

/// `None` if the service does not say.
fn snapshots_enabled(application: &ApplicationDetail) -> Option<bool> {
    let configuration = application.application_configuration_description.as_ref()?;
    let snapshots = configuration
        .application_snapshot_configuration_description
        .as_ref()?;
    Some(snapshots.snapshots_enabled)
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

/// The name of a snapshot that is CREATING, if there is one.
async fn find_creating(flink: &Client, run: &Run) -> Result<Option<String>, StepError> {
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
        if let Some(snapshot) = creating {
            return Ok(Some(snapshot.snapshot_name));
        }
    }
    Ok(None)
}

fn output(run: Run, snapshot_creation: SnapshotCreation) -> CreateSnapshotOutput {
    CreateSnapshotOutput {
        wait_seconds: run.input.poll_interval_seconds.get(),
        run,
        snapshot_creation,
        skip_reason: None,
        snapshot: None,
    }
}

fn started(run: Run, snapshot_name: String, now: Timestamp) -> CreateSnapshotOutput {
    CreateSnapshotOutput {
        snapshot: Some(RunSnapshot {
            name: snapshot_name,
            accepted_at: step::rfc3339_millis(now),
            created_at: None,
            application_version_id: None,
            seconds: None,
        }),
        ..output(run, SnapshotCreation::Started)
    }
}

/// Adopts the snapshot of an earlier attempt, whatever its status. The next step checks the status.
fn adopted(run: Run, own: &SnapshotDetails, now: Timestamp) -> CreateSnapshotOutput {
    tracing::info!(status = own.snapshot_status.as_str(), "snapshot adopted");
    let created_at = creation_time(own);
    CreateSnapshotOutput {
        snapshot: Some(RunSnapshot {
            name: own.snapshot_name.clone(),
            accepted_at: step::rfc3339_millis(now),
            created_at: created_at.map(step::rfc3339_millis),
            application_version_id: Some(own.application_version_id),
            seconds: None,
        }),
        ..output(run, SnapshotCreation::Started)
    }
}
