//! Calls of Managed Flink that several functions make, and what its errors mean.
//!
//! - [`describe_application`] and [`describe_snapshot`]: one look each.
//! - [`error_name`], [`is_gone`] and [`step_error`]: what this service's errors mean beyond those of any service.
//!
//! Invariant: an answer that is not about what was asked for is an error, since the SDK fills in what an answer lacks.

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::types::{ApplicationDetail, SnapshotDetails};
use contract::ErrorName;
use step::{CallError, StepError};

/// What `DescribeApplicationSnapshot` says of a snapshot.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The snapshot exists.
    Found(SnapshotDetails),
    /// It does not exist, as this error says.
    NotFound(CallError),
}

/// Describes the application.
///
/// # Errors
/// `ApplicationNotFound`, and those of [`error_name`].
pub async fn describe_application(
    client: &Client,
    application_name: &str,
) -> Result<ApplicationDetail, StepError> {
    let sent = client
        .describe_application()
        .application_name(application_name)
        .send();
    // Boxed: the compiler bounds how deep the futures of SDK and functions may be nested.
    let answer = Box::pin(sent).await.map_err(|error| {
        let error = CallError::of("DescribeApplication", &error);
        step_error(error, ErrorName::ApplicationNotFound)
    })?;
    answer
        .application_detail
        .ok_or_else(|| StepError::unexpected("DescribeApplication: no ApplicationDetail."))
}

/// Describes the snapshot.
///
/// # Errors
/// Those of [`error_name`]; `Unexpected` if the answer is not about this snapshot.
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
        Ok(answer) => match answer.snapshot_details {
            Some(details) if details.snapshot_name == snapshot_name => Ok(Lookup::Found(details)),
            _ => Err(StepError::unexpected(format!(
                "DescribeApplicationSnapshot: the answer is not about {snapshot_name}."
            ))),
        },
        Err(error) => {
            let error = CallError::of("DescribeApplicationSnapshot", &error);
            if is_gone(&error) {
                Ok(Lookup::NotFound(error))
            } else {
                let name = error_name(&error);
                Err(error.into_step_error(name))
            }
        }
    }
}

/// The name of this service's error: some of its codes mean "not now".
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
        _ => error.name(),
    }
}

/// Whether the service says that the application or snapshot does not exist. It has two ways to say so.
#[must_use]
pub fn is_gone(error: &CallError) -> bool {
    match error.code() {
        Some("ResourceNotFoundException") => true,
        Some("InvalidArgumentException") => error.message.contains("does not exist"),
        _ => false,
    }
}

/// The error as the end of the step: `gone` if what was asked for does not exist, otherwise [`error_name`].
#[must_use]
pub fn step_error(error: CallError, gone: ErrorName) -> StepError {
    let name = if is_gone(&error) {
        gone
    } else {
        error_name(&error)
    };
    error.into_step_error(name)
}

#[cfg(test)]
mod tests {
    use step::CallErrorKind;

    use super::*;

    #[test]
    fn the_flink_service_says_not_now_in_three_ways() {
        let error = |code: &str, message: &str| CallError {
            kind: CallErrorKind::Code(code.to_owned(), 400),
            message: message.to_owned(),
        };
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
            ("ThrottlingException", "", ErrorName::Throttled),
        ] {
            assert_eq!(error_name(&error(code, message)), name, "{code} {message}");
        }
    }

    #[test]
    fn gone_is_said_in_two_ways_and_a_bad_argument_is_not_one() {
        let error = |code: &str, message: &str| CallError {
            kind: CallErrorKind::Code(code.to_owned(), 400),
            message: message.to_owned(),
        };
        assert!(is_gone(&error("ResourceNotFoundException", "")));
        assert!(is_gone(&error(
            "InvalidArgumentException",
            "Snapshot x does not exist"
        )));
        assert!(!is_gone(&error("InvalidArgumentException", "Limit is 51")));
        assert!(!is_gone(&error(
            "InvalidRequestException",
            "does not exist"
        )));
    }
}
