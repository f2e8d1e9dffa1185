//! The error of a failed call to an AWS service.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::ErrorName;

use crate::StepError;

/// The error of a call that the service refused, whose response was lost, or that was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// How the call failed.
    pub kind: CallErrorKind,
    /// The name of the operation, followed by the service's error code and message or by what happened to the
    /// connection.
    pub message: String,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The service returned this error code and HTTP status.
    Code(String, u16),
    /// The service returned this HTTP status, without a readable error code.
    Status(u16),
    /// There was no response, or it came too late, or it could not be read. The service may have carried out the call.
    Lost,
    /// The call never left this process.
    NotSent,
}

/// The error codes with which the services throttle a call. `LimitExceededException` is not one of them. The SDK treats
/// it as throttling, but the operations that the functions call use it for a quota.
const THROTTLED: [&str; 11] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "Throttled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ProvisionedThroughputExceededException",
    // A KMS key is throttled. Each service spells this code differently.
    "KMSThrottling",
    "KMSThrottlingException",
    "KmsThrottlingException",
];

/// The services' error codes for a missing permission or invalid credentials.
const DENIED: [&str; 13] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "NotAuthorized",
    "KMSAccessDenied",
    "KMSAccessDeniedException",
    "KmsAccessDeniedException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidSignatureException",
];

impl CallError {
    /// Converts the error that the SDK returned for a call of `operation`.
    ///
    /// Also logs the error with its whole context, which includes the request id that AWS Support asks for. The
    /// `Display` implementation of the SDK's error prints only "service error".
    pub fn of<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        tracing::info!(operation, error = %DisplayErrorContext(error), "call failed");
        let (kind, message) = match error {
            SdkError::ServiceError(refused) => {
                let status = refused.raw().status().as_u16();
                match refused.err().code() {
                    Some(code) => {
                        let text = refused.err().message().unwrap_or("no message");
                        (
                            CallErrorKind::Code(code.to_owned(), status),
                            format!("{code}: {text}"),
                        )
                    }
                    None => unreadable(status),
                }
            }
            SdkError::ResponseError(answered) => unreadable(answered.raw().status().as_u16()),
            SdkError::TimeoutError(_) => (
                CallErrorKind::Lost,
                "no response within 10 seconds".to_owned(),
            ),
            // Missing credentials are also a dispatch failure, but not one of these three kinds.
            SdkError::DispatchFailure(failure)
                if failure.is_io() || failure.is_timeout() || failure.as_other().is_some() =>
            {
                (
                    CallErrorKind::Lost,
                    format!("the connection failed ({})", innermost(error)),
                )
            }
            _ => (CallErrorKind::NotSent, innermost(error)),
        };
        Self {
            kind,
            message: format!("{operation}: {message}"),
        }
    }

    /// The service's error code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            CallErrorKind::Code(code, _) => Some(code),
            _ => None,
        }
    }

    /// The name of the error if its code has no special meaning for the service, which the caller has to check first.
    #[must_use]
    pub fn default_name(&self) -> ErrorName {
        match &self.kind {
            CallErrorKind::Code(code, _) if THROTTLED.contains(&code.as_str()) => {
                ErrorName::Throttled
            }
            CallErrorKind::Code(code, _) if DENIED.contains(&code.as_str()) => {
                ErrorName::AccessDenied
            }
            CallErrorKind::Code(_, 429) | CallErrorKind::Status(429) => ErrorName::Throttled,
            CallErrorKind::Code(_, 403) | CallErrorKind::Status(403) => ErrorName::AccessDenied,
            CallErrorKind::Code(_, 500..) | CallErrorKind::Status(500..) | CallErrorKind::Lost => {
                ErrorName::ServiceUnavailable
            }
            CallErrorKind::Code(..) | CallErrorKind::Status(_) | CallErrorKind::NotSent => {
                ErrorName::Unexpected
            }
        }
    }

    /// Converts this error into the error of the step, with this name. The error's message begins with this message.
    #[must_use]
    pub fn into_step_error(self, name: ErrorName) -> StepError {
        StepError::new(name, format!("{}.", self.message.trim_end_matches('.')))
    }
}

/// The kind and the message for a response that cannot be read. If the status is a success, the service may have
/// carried out the call, so the kind is `Lost`.
fn unreadable(status: u16) -> (CallErrorKind, String) {
    let kind = match status {
        400.. => CallErrorKind::Status(status),
        _ => CallErrorKind::Lost,
    };
    (
        kind,
        format!("HTTP status {status} with an unreadable response"),
    )
}

/// The message of the innermost error in the chain of sources, which is the most specific one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use aws_smithy_types::retry::ErrorKind;

    use super::*;

    type Failed = SdkError<ErrorMetadata, HttpResponse>;

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::empty())
    }

    #[test]
    fn a_call_that_may_have_reached_the_service_is_lost_and_the_message_says_what_happened() {
        let refused = |code: Option<&str>, status| {
            let mut metadata = ErrorMetadata::builder();
            if let Some(code) = code {
                metadata = metadata.code(code).message("no");
            }
            Failed::service_error(metadata.build(), response(status))
        };
        let dispatch = |error| Failed::dispatch_failure(error);
        let unreadable = |status| format!("Op: HTTP status {status} with an unreadable response");
        for (error, kind, message) in [
            (
                refused(Some("Gone"), 404),
                CallErrorKind::Code("Gone".to_owned(), 404),
                "Op: Gone: no".to_owned(),
            ),
            (
                refused(None, 502),
                CallErrorKind::Status(502),
                unreadable(502),
            ),
            (
                Failed::response_error("cut", response(503)),
                CallErrorKind::Status(503),
                unreadable(503),
            ),
            (
                Failed::response_error("cut", response(400)),
                CallErrorKind::Status(400),
                unreadable(400),
            ),
            // The service has carried out the call.
            (
                Failed::response_error("cut", response(200)),
                CallErrorKind::Lost,
                unreadable(200),
            ),
            (
                Failed::timeout_error("late"),
                CallErrorKind::Lost,
                "Op: no response within 10 seconds".to_owned(),
            ),
            (
                dispatch(ConnectorError::io("reset".into())),
                CallErrorKind::Lost,
                "Op: the connection failed (reset)".to_owned(),
            ),
            (
                dispatch(ConnectorError::timeout("slow".into())),
                CallErrorKind::Lost,
                "Op: the connection failed (slow)".to_owned(),
            ),
            (
                dispatch(ConnectorError::other(
                    "odd".into(),
                    Some(ErrorKind::TransientError),
                )),
                CallErrorKind::Lost,
                "Op: the connection failed (odd)".to_owned(),
            ),
            // For example, the credentials are missing.
            (
                dispatch(ConnectorError::user("no credentials".into())),
                CallErrorKind::NotSent,
                "Op: no credentials".to_owned(),
            ),
            (
                Failed::construction_failure("no Region"),
                CallErrorKind::NotSent,
                "Op: no Region".to_owned(),
            ),
        ] {
            let expected = CallError { kind, message };
            assert_eq!(CallError::of("Op", &error), expected, "{error:?}");
        }
    }

    #[test]
    fn each_kind_of_call_error_has_a_name() {
        use ErrorName as Name;
        let code = |code: &str, status| CallErrorKind::Code(code.to_owned(), status);
        for (kind, name) in [
            (code("ThrottlingException", 400), Name::Throttled),
            (code("TooManyRequestsException", 429), Name::Throttled),
            (code("SomethingNew", 429), Name::Throttled),
            (code("AccessDeniedException", 400), Name::AccessDenied),
            (code("AuthorizationError", 403), Name::AccessDenied),
            (code("SomethingNew", 403), Name::AccessDenied),
            (code("InternalServerError", 500), Name::ServiceUnavailable),
            (code("SomethingNew", 503), Name::ServiceUnavailable),
            (code("SomethingNew", 400), Name::Unexpected),
            (code("LimitExceededException", 400), Name::Unexpected),
            (CallErrorKind::Status(502), Name::ServiceUnavailable),
            (CallErrorKind::Status(400), Name::Unexpected),
            (CallErrorKind::Lost, Name::ServiceUnavailable),
            (CallErrorKind::NotSent, Name::Unexpected),
        ] {
            let error = CallError {
                kind,
                message: String::new(),
            };
            assert_eq!(error.default_name(), name, "{error:?}");
        }
    }
}
