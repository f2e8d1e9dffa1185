//! What a call that did not succeed means.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use contract::ErrorName;

use crate::StepError;

/// A call that was refused, or whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the service did with the call.
    pub kind: RefusalKind,
    /// The service's words, code first, or the broken connection's.
    pub words: String,
}

/// What the service did with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalKind {
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

impl Refusal {
    /// Reads an SDK error of the operation. Its whole context, with the request id that AWS's support
    /// asks for, goes to the log: the SDK's own `Display` would say only "service error".
    pub fn of<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        tracing::info!(operation, error = %DisplayErrorContext(error), "refused");
        let (kind, words) = match error {
            SdkError::ServiceError(refused) => {
                let status = refused.raw().status().as_u16();
                match refused.err().code() {
                    Some(code) => {
                        let message = refused.err().message().unwrap_or("no message");
                        (
                            RefusalKind::Code(code.to_owned(), status),
                            format!("{code}: {message}"),
                        )
                    }
                    None => unreadable(status),
                }
            }
            SdkError::ResponseError(answered) => unreadable(answered.raw().status().as_u16()),
            SdkError::TimeoutError(_) => {
                (RefusalKind::Lost, "no answer within 10 seconds".to_owned())
            }
            // Credentials that cannot be had are a dispatch failure too, of no kind.
            SdkError::DispatchFailure(failure)
                if failure.is_io() || failure.is_timeout() || failure.as_other().is_some() =>
            {
                (
                    RefusalKind::Lost,
                    format!("the connection broke ({})", innermost(error)),
                )
            }
            _ => (RefusalKind::NotSent, innermost(error)),
        };
        Self {
            kind,
            words: format!("{operation}: {words}"),
        }
    }

    /// The service's error code.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            RefusalKind::Code(code, _) => Some(code),
            _ => None,
        }
    }

    /// The name that this has for any service. Codes that mean something to the workflow are the
    /// caller's to look at first.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        match &self.kind {
            RefusalKind::Code(code, _) if THROTTLED.contains(&code.as_str()) => {
                ErrorName::Throttled
            }
            RefusalKind::Code(code, _) if DENIED.contains(&code.as_str()) => {
                ErrorName::AccessDenied
            }
            RefusalKind::Code(_, 429) | RefusalKind::Status(429) => ErrorName::Throttled,
            RefusalKind::Code(_, 403) | RefusalKind::Status(403) => ErrorName::AccessDenied,
            RefusalKind::Code(_, 500..) | RefusalKind::Status(500..) | RefusalKind::Lost => {
                ErrorName::ServiceUnavailable
            }
            RefusalKind::Code(..) | RefusalKind::Status(_) | RefusalKind::NotSent => {
                ErrorName::Unexpected
            }
        }
    }

    /// The name that this has for the Flink service: some of its codes mean "not now".
    #[must_use]
    pub fn flink_name(&self) -> ErrorName {
        match self.code() {
            Some("ResourceInUseException" | "ConcurrentModificationException") => {
                ErrorName::ApplicationBusy
            }
            // Documented as transient: "The application is currently experiencing downtime".
            Some("InvalidApplicationConfigurationException")
                if self.words.contains("experiencing downtime") =>
            {
                ErrorName::ApplicationBusy
            }
            _ => self.name(),
        }
    }

    /// Whether the Flink service says that the application or snapshot does not exist. It has two
    /// ways to say it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self.code() {
            Some("ResourceNotFoundException") => true,
            Some("InvalidArgumentException") => self.words.contains("does not exist"),
            _ => false,
        }
    }

    /// As the end of the step, for a call of the Flink service where what does not exist has the
    /// name `gone`.
    #[must_use]
    pub fn into_flink_error(self, gone: ErrorName) -> StepError {
        let name = if self.is_gone() {
            gone
        } else {
            self.flink_name()
        };
        self.into_error(name)
    }

    /// As the end of the step.
    #[must_use]
    pub fn into_error(self, name: ErrorName) -> StepError {
        StepError::new(name, format!("{}.", self.words.trim_end_matches('.')))
    }
}

/// An answer with nothing in it that can be read. If it says success, the call may have been
/// carried out.
fn unreadable(status: u16) -> (RefusalKind, String) {
    let kind = match status {
        400.. => RefusalKind::Status(status),
        _ => RefusalKind::Lost,
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
    fn each_kind_of_refusal_has_a_name() {
        use ErrorName as Name;
        let code = |code: &str, status| RefusalKind::Code(code.to_owned(), status);
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
            (RefusalKind::Status(502), Name::ServiceUnavailable),
            (RefusalKind::Status(400), Name::Unexpected),
            (RefusalKind::Lost, Name::ServiceUnavailable),
            (RefusalKind::NotSent, Name::Unexpected),
        ] {
            let refusal = Refusal {
                kind,
                words: String::new(),
            };
            assert_eq!(refusal.name(), name, "{refusal:?}");
        }
    }

    #[test]
    fn the_flink_service_says_not_now_in_three_ways() {
        let refusal = |code: &str, words: &str| Refusal {
            kind: RefusalKind::Code(code.to_owned(), 400),
            words: words.to_owned(),
        };
        for (code, words, name) in [
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
            assert_eq!(refusal(code, words).flink_name(), name, "{code} {words}");
        }
    }

    #[test]
    fn gone_is_said_in_two_ways_and_a_bad_argument_is_not_one() {
        let refusal = |code: &str, words: &str| Refusal {
            kind: RefusalKind::Code(code.to_owned(), 400),
            words: words.to_owned(),
        };
        assert!(refusal("ResourceNotFoundException", "").is_gone());
        assert!(refusal("InvalidArgumentException", "Snapshot x does not exist").is_gone());
        assert!(!refusal("InvalidArgumentException", "Limit is 51").is_gone());
        assert!(!refusal("InvalidRequestException", "does not exist").is_gone());
    }
}
