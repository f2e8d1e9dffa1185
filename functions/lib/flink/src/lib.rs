//! Calls of Managed Flink that several functions make, and what its errors mean.
//!
//! - [`describe_application`] and [`describe_snapshot`]: one call each.
//! - [`check_origin`]: whether a response without content is from the service.
//! - [`error_name`], [`is_not_found`] and [`step_error`]: what the errors of this service mean.
//! - [`Application::has_enhanced_snapshots`], [`enhanced`] and [`or_enhanced`]: an application whose snapshots are of the
//!   other kind, and whether a call was refused because of that.
//! - [`Restore`] and [`lost_restore_point`]: what an application restores from, and the warning if that is lost.
//! - [`ApplicationState`]: whether an application runs, by its status.
//!
//! Invariant: a response about something else is an error. The SDK fills in missing fields, so a page from a proxy
//! would otherwise pass for a response of the service.

mod application_state;
mod restore;
mod snapshot_mode;

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::operation::RequestId;
use aws_sdk_kinesisanalyticsv2::types::{ApplicationDetail, SnapshotDetails};
use contract::ErrorName;
use step::{CallError, CallErrorKind, StepError};

use snapshot_mode::SnapshotMode;

pub use application_state::ApplicationState;
pub use restore::{Restore, lost_restore_point};
pub use snapshot_mode::{enhanced, or_enhanced};

/// What `DescribeApplication` says about an application.
#[derive(Clone, Debug)]
pub struct Application {
    /// What the SDK reads of it.
    pub detail: ApplicationDetail,
    /// Whether it has a `SnapshotMode`, which the SDK does not read, other than `APPLICATION_SNAPSHOTS_LEGACY`.
    pub has_enhanced_snapshots: bool,
}

/// What `DescribeApplicationSnapshot` says about a snapshot.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The snapshot exists.
    Found(SnapshotDetails),
    /// The snapshot does not exist. The error says so.
    NotFound(CallError),
}

/// Describes the application.
///
/// # Errors
/// Returns `ApplicationNotFound`, or an error named by [`error_name`].
pub async fn describe_application(
    client: &Client,
    application_name: &str,
) -> Result<Application, StepError> {
    let mode = SnapshotMode::default();
    let sent = client
        .describe_application()
        .application_name(application_name)
        .customize()
        .interceptor(mode.clone())
        .send();
    // Boxed, because the compiler limits how deep futures can be nested, and those of the SDK are deep.
    let response = Box::pin(sent).await.map_err(|error| {
        let error = CallError::of("DescribeApplication", &error);
        step_error(error, ErrorName::ApplicationNotFound)
    })?;
    let detail = response
        .application_detail
        .ok_or_else(|| StepError::unexpected("DescribeApplication: no ApplicationDetail."))?;
    Ok(Application {
        detail,
        has_enhanced_snapshots: mode.is_enhanced(),
    })
}

/// Describes the snapshot.
///
/// # Errors
/// Returns an error named by [`error_name`], or `Unexpected` if the response is not about this snapshot.
pub async fn describe_snapshot(
    client: &Client,
    application_name: &str,
    snapshot_name: &str,
) -> Result<Lookup, StepError> {
    let sent = client
        .describe_application_snapshot()
        .application_name(application_name)
        .snapshot_name(snapshot_name)
        .send();
    match Box::pin(sent).await {
        Ok(response) => match response.snapshot_details {
            Some(details) if details.snapshot_name == snapshot_name => Ok(Lookup::Found(details)),
            _ => Err(StepError::unexpected(format!(
                "DescribeApplicationSnapshot: the response is not about {snapshot_name}."
            ))),
        },
        Err(error) => {
            let error = CallError::of("DescribeApplicationSnapshot", &error);
            if is_not_found(&error) {
                Ok(Lookup::NotFound(error))
            } else {
                let name = error_name(&error);
                Err(error.into_step_error(name))
            }
        }
    }
}

/// Checks that a response without content is from the service, which gives each response a request id. The SDK
/// reads nothing of such a response, so it accepts any page.
///
/// # Errors
/// Returns an error of the kind [`CallErrorKind::Lost`], since the service may have carried out the call.
pub fn check_origin(operation: &str, response: &impl RequestId) -> Result<(), CallError> {
    if response.request_id().is_some() {
        return Ok(());
    }
    Err(CallError {
        kind: CallErrorKind::Lost,
        message: format!("{operation}: the response is not from the service"),
    })
}

/// The name of an error of this service. Some codes mean that the application is busy. One means that it cannot take
/// snapshots.
#[must_use]
pub fn error_name(error: &CallError) -> ErrorName {
    match error.code() {
        Some("ResourceInUseException" | "ConcurrentModificationException") => {
            ErrorName::ApplicationBusy
        }
        // Documented as transient: "The application is currently experiencing downtime".
        Some("InvalidApplicationConfigurationException")
            if error.message.contains("experiencing downtime") =>
        {
            ErrorName::ApplicationBusy
        }
        Some("UnsupportedOperationException") => ErrorName::SnapshotsUnsupported,
        _ => error.name(),
    }
}

/// Whether the service says that the application or the snapshot does not exist. It has two codes for that.
#[must_use]
pub fn is_not_found(error: &CallError) -> bool {
    match error.code() {
        Some("ResourceNotFoundException") => true,
        Some("InvalidArgumentException") => error.message.contains("does not exist"),
        _ => false,
    }
}

/// Converts an error into the error of the step: `not_found` if [`is_not_found`], otherwise [`error_name`].
#[must_use]
pub fn step_error(error: CallError, not_found: ErrorName) -> StepError {
    let name = if is_not_found(&error) {
        not_found
    } else {
        error_name(&error)
    };
    error.into_step_error(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> CallError {
        CallError {
            kind: CallErrorKind::Code(code.to_owned(), 400),
            message: message.to_owned(),
        }
    }

    #[test]
    fn some_codes_of_the_flink_service_have_names_of_their_own() {
        for (code, message, name) in [
            ("ResourceInUseException", "", ErrorName::ApplicationBusy),
            (
                "ConcurrentModificationException",
                "",
                ErrorName::ApplicationBusy,
            ),
            (
                "InvalidApplicationConfigurationException",
                "The application is currently experiencing downtime",
                ErrorName::ApplicationBusy,
            ),
            (
                "InvalidApplicationConfigurationException",
                "The sink is not reachable",
                ErrorName::Unexpected,
            ),
            (
                "UnsupportedOperationException",
                "",
                ErrorName::SnapshotsUnsupported,
            ),
            ("ThrottlingException", "", ErrorName::Throttled),
        ] {
            assert_eq!(error_name(&error(code, message)), name, "{code} {message}");
        }
    }

    #[test]
    fn not_found_is_said_in_two_ways_and_a_bad_argument_is_not_one() {
        for (code, message, expected) in [
            ("ResourceNotFoundException", "", true),
            (
                "InvalidArgumentException",
                "Snapshot x does not exist",
                true,
            ),
            ("InvalidArgumentException", "Limit is 51", false),
            ("InvalidRequestException", "does not exist", false),
        ] {
            let found = is_not_found(&error(code, message));
            assert_eq!(found, expected, "{code} {message}");
        }
    }
}
