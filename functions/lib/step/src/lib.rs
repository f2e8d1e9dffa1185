//! The code around the handler that all functions share.
//!
//! - [`run`] serves invocations. [`invoke`] handles one invocation, from its payload to the response.
//! - [`StepError`] is the error of a step. Its message contains the fact, the remedy and the command.
//! - [`CallError`] is the error of a failed call to an AWS service.
//! - [`json_lines`] writes the log, one JSON object per line.
//! - [`sdk_config`] is the configuration of every AWS client.
//!
//! Invariant: text from outside cannot forge a line in the log or in a message, because all text in them passes through
//! [`bounded_line`] or [`json_lines`].

mod call_error;
mod log;
mod step_error;

use std::env;
use std::io;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::{Instrument, Level, info_span};
use tracing_subscriber::util::SubscriberInitExt;

pub use call_error::{CallError, CallErrorKind};
pub use log::json_lines;
pub use step_error::{StepError, bounded_line};

/// Serves invocations of `handler` until the process ends.
///
/// If a payload is not a valid input of the handler, the invocation fails with `Unexpected`. The payloads come from the
/// state machine definition or from EventBridge, so an invalid payload is not an error of a user.
///
/// # Errors
/// Returns an error if the Lambda Runtime API is not available.
pub async fn run<I, O, F>(handler: impl Fn(I) -> F) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    // Lambda sets this variable from the logging configuration of the function.
    let level = env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(Level::INFO);
    log::json_lines(level, io::stdout).init();
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        invoke(handler, &event.payload, &event.context.request_id).await
    }))
    .await
}

/// Runs one invocation of `handler`.
///
/// # Errors
/// Returns the response of a failed invocation: the name of the error, and a message with the remedy.
pub async fn invoke<I, O, F>(
    handler: impl Fn(I) -> F,
    payload: &Value,
    request_id: &str,
) -> Result<O, Diagnostic>
where
    I: DeserializeOwned,
    F: Future<Output = Result<O, StepError>>,
{
    async {
        let result = match contract::parse::<I>(payload) {
            Ok(input) => handler(input).await,
            Err(fact) => Err(StepError::unexpected(fact)),
        };
        result.map_err(|error| {
            let message = error.message(payload);
            tracing::error!(error_name = error.name.as_str(), error_message = %message);
            Diagnostic {
                error_type: error.name.to_string(),
                error_message: message,
            }
        })
    }
    .instrument(span(payload, request_id))
    .await
}

/// The configuration of every AWS client. The credentials, the Region and the endpoints come from environment
/// variables. Lambda sets those of the credentials and the Region. The timeouts are [`timeouts`].
///
/// The SDK's default credential provider chain is not used. Its other providers do not work on Lambda, and their code
/// would make every binary larger.
#[must_use]
pub fn sdk_config() -> SdkConfig {
    sdk_config_from(|name| env::var(name).ok())
}

/// Like [`sdk_config`], but `variable` returns the values of the environment variables. The credentials always come
/// from the environment of the process.
///
/// `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT` are `true` or `false`. Any other value counts as `false`,
/// as it does when the SDK loads the configuration itself.
#[must_use]
pub fn sdk_config_from(variable: impl Fn(&str) -> Option<String>) -> SdkConfig {
    let is_true = |name| variable(name).map(|value| value.eq_ignore_ascii_case("true"));
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(variable("AWS_REGION").map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(
            aws_config::environment::EnvironmentVariableCredentialsProvider::new(),
        ))
        .timeout_config(timeouts());
    config
        .set_endpoint_url(variable("AWS_ENDPOINT_URL"))
        .set_use_fips(is_true("AWS_USE_FIPS_ENDPOINT"))
        .set_use_dual_stack(is_true("AWS_USE_DUALSTACK_ENDPOINT"));
    config.build()
}

/// How long a function waits for an AWS service: 3.1 s for a connection, and 10 s for each attempt of a call.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(3_100))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build()
}

/// Converts a time of the SDK without rounding. `None` if the time is outside the years -9999 to 9999.
#[must_use]
pub fn timestamp(time: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos().cast_signed()).ok()
}

/// Rounds a time to milliseconds. The services send times as floating-point numbers of seconds, which cannot represent
/// milliseconds exactly.
#[must_use]
pub fn rounded_to_millis(time: Timestamp) -> Timestamp {
    time.round(jiff::Unit::Millisecond).unwrap_or(time)
}

/// Creates the span whose fields are on every log line of this invocation. A field that is not in the payload stays
/// empty until the handler records it.
fn span(payload: &Value, request_id: &str) -> tracing::Span {
    let string_at = |pointer: &str| {
        let value = payload.pointer(pointer)?.as_str()?;
        Some(value.chars().take(256).collect::<String>())
    };
    let first_string = |pointers: &[&str]| pointers.iter().find_map(|at| string_at(at));
    // The payload of `CreateSnapshot` has no `run`. That of `RecordAndNotify` has it in `done`.
    let run_ids = ["/run/run_id", "/done/run/run_id"];
    let run_id = run_ids.iter().find_map(|at| payload.pointer(at)?.as_i64());
    let application = first_string(&[
        "/run/input/application_name",
        "/done/run/input/application_name",
        "/input/application_name",
    ]);
    let execution_arn = first_string(&[
        "/run/execution_arn",
        "/done/run/execution_arn",
        "/execution_arn",
    ]);
    let snapshot_name = first_string(&["/snapshot/name", "/done/snapshot/name"]);
    info_span!(
        "step",
        request_id,
        application,
        execution_arn,
        run_id,
        snapshot_name
    )
}
