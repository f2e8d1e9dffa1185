//! The calls to Managed Service for Apache Flink that several functions make, and what the errors of this service mean.
//!
//! - [`describe_application`] and [`describe_snapshot`] make one call each.
//! - [`check_is_from_service`] checks whether a response without content comes from the service.
//! - [`error_name`], [`is_not_found`] and [`step_error`] interpret a [`CallError`] of this service.
//! - [`enhanced_snapshots_error`] and [`explain_if_enhanced`] build the error for an application that has enhanced
//!   snapshots, which other operations manage.
//! - [`Restore`] is what an application restores from. [`lost_restore_point_warning`] warns if the application cannot
//!   restore from it.
//! - [`ApplicationState`] says whether a snapshot of an application can be taken, depending on the application's
//!   status.
//!
//! Invariant: if a response does not contain the name of the requested application or snapshot, the call fails. The SDK
//! accepts responses with missing fields, so a page from a proxy would otherwise count as a response of the service.

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
pub use restore::{Restore, lost_restore_point_warning};
pub use snapshot_mode::{enhanced_snapshots_error, explain_if_enhanced};

/// An application, as `DescribeApplication` describes it.
#[derive(Clone, Debug)]
pub struct Application {
    /// The part of the response that the SDK can read.
    pub detail: ApplicationDetail,
    /// Whether the response has a `SnapshotMode` other than `APPLICATION_SNAPSHOTS_LEGACY`. The SDK cannot read this
    /// field.
    pub has_enhanced_snapshots: bool,
}

/// The result of `DescribeApplicationSnapshot`.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The snapshot exists.
    Found(SnapshotDetails),
    /// The service says in this error that the snapshot does not exist.
    NotFound(CallError),
}

/// Describes the application.
///
/// # Errors
/// Returns `ApplicationNotFound` if the application does not exist, `Unexpected` if the response is not about this
/// application, or for any other failed call the error that [`error_name`] names.
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
    // Boxed, because the compiler limits how deeply futures can be nested, and the SDK nests them deeply.
    let response = Box::pin(sent).await.map_err(|error| {
        let error = CallError::of("DescribeApplication", &error);
        step_error(error, ErrorName::ApplicationNotFound)
    })?;
    match response.application_detail {
        Some(detail) if detail.application_name == application_name => Ok(Application {
            detail,
            has_enhanced_snapshots: mode.is_enhanced(),
        }),
        _ => Err(StepError::unexpected(format!(
            "DescribeApplication: the response is not about {application_name}."
        ))),
    }
}

/// Describes the snapshot.
///
/// # Errors
/// Returns `Unexpected` if the response is not about this snapshot, or for any other failed call the error that
/// [`error_name`] names. A snapshot that does not exist is not an error.
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

/// Checks that a response without content comes from the service. Every response of the service has a request id. The
/// SDK does not read the body of such a response, so it would accept the page of a proxy too.
///
/// # Errors
/// Returns an error of the kind [`CallErrorKind::Lost`] if the response has no request id. The service may have carried
/// out the call nevertheless.
pub fn check_is_from_service(operation: &str, response: &impl RequestId) -> Result<(), CallError> {
    if response.request_id().is_some() {
        return Ok(());
    }
    Err(CallError {
        kind: CallErrorKind::Lost,
        message: format!("{operation}: the response is not from the service"),
    })
}

/// Names the error of a call to this service. Some of this service's codes mean that the application is busy, and one
/// means that the application cannot take snapshots. Any other error has its [`default_name`](CallError::default_name).
#[must_use]
pub fn error_name(error: &CallError) -> ErrorName {
    match error.code() {
        Some("ResourceInUseException" | "ConcurrentModificationException") => {
            ErrorName::ApplicationBusy
        }
        // AWS documents this error as temporary.
        Some("InvalidApplicationConfigurationException")
            if error.message.contains("experiencing downtime") =>
        {
            ErrorName::ApplicationBusy
        }
        Some("UnsupportedOperationException") => ErrorName::SnapshotsUnsupported,
        _ => error.default_name(),
    }
}

/// Whether the error says that the application or the snapshot does not exist. The service has two error codes for
/// this.
#[must_use]
pub fn is_not_found(error: &CallError) -> bool {
    match error.code() {
        Some("ResourceNotFoundException") => true,
        Some("InvalidArgumentException") => error.message.contains("does not exist"),
        _ => false,
    }
}

/// Converts the error of a call to this service into the error of the step. Its name is `not_found_name` if the
/// application or the snapshot does not exist, and otherwise the [`error_name`].
#[must_use]
pub fn step_error(error: CallError, not_found_name: ErrorName) -> StepError {
    let name = if is_not_found(&error) {
        not_found_name
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
    fn the_codes_that_only_this_service_uses_have_their_names() {
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
    fn two_codes_mean_not_found_and_an_invalid_argument_alone_does_not() {
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
