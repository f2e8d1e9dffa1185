//! What a call of AWS that did not succeed means.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::ErrorName;

use crate::StepError;

/// A call that was refused, or whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What the service did with the call.
    pub kind: CallErrorKind,
    /// The operation, and what the service or the broken connection says, code first.
    pub message: String,
}

/// What the service did with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// It answered with this error code and HTTP status.
    Code(String, u16),
    /// It answered with an HTTP status and no code that can be read.
    Status(u16),
    /// Nobody knows: no answer, not in time, or one that cannot be read.
    Lost,
    /// The call never left this process.
    NotSent,
}

/// What the services call having had too many calls; no operation here has `LimitExceeded` among
/// its throttling codes, although the SDK retries it as one.
const THROTTLED: [&str; 11] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "Throttled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ProvisionedThroughputExceededException",
    // Of a key, each in its service's spelling.
    "KMSThrottling",
    "KMSThrottlingException",
    "KmsThrottlingException",
];

/// What the services call a caller without the right, or without valid credentials.
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
    /// Reads an SDK error of the operation. Its whole context, with the request id that AWS's support
    /// asks for, goes to the log: the SDK's own `Display` would say only "service error".
    pub fn of<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        tracing::info!(operation, error = %DisplayErrorContext(error), "refused");
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
                "no answer within 10 seconds".to_owned(),
            ),
            // Credentials that cannot be had are a dispatch failure too, of no kind.
            SdkError::DispatchFailure(failure)
                if failure.is_io() || failure.is_timeout() || failure.as_other().is_some() =>
            {
                (
                    CallErrorKind::Lost,
                    format!("the connection broke ({})", innermost(error)),
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

    /// The name that this has for any service. Codes that mean something to the workflow are the
    /// caller's to look at first.
    #[must_use]
    pub fn name(&self) -> ErrorName {
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

    /// As the end of the step.
    #[must_use]
    pub fn into_step_error(self, name: ErrorName) -> StepError {
        StepError::new(name, format!("{}.", self.message.trim_end_matches('.')))
    }
}

/// An answer with nothing in it that can be read. If it says success, the call may have been
/// carried out.
fn unreadable(status: u16) -> (CallErrorKind, String) {
    let kind = match status {
        400.. => CallErrorKind::Status(status),
        _ => CallErrorKind::Lost,
    };
    (
        kind,
        format!("HTTP status {status} with an unreadable answer"),
    )
}

/// The last error of the chain, which is the one that says something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(error.name(), name, "{error:?}");
        }
    }
}
