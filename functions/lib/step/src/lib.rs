//! What every function does around its handler.
//!
//! - [`run`] and [`invoke`]: an invocation, from its payload to the response that the state machine matches.
//! - [`StepError`]: why a step failed. Its message has the fact, the remedy and the command.
//! - [`CallError`]: what a failed call of AWS means.
//! - [`json_lines`]: the log, one JSON object per line.
//! - [`sdk_config`]: the configuration of every AWS client.
//!
//! Invariant: text from outside cannot forge a line of the log or of a message. All of it passes through
//! [`single_line`] or [`json_lines`].

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
pub use step_error::{StepError, single_line};

/// Serves invocations of `handler` until the process ends.
///
/// A payload that is not the handler's input fails with `Unexpected`, since only the state machine's
/// definition can have produced it.
///
/// # Errors
/// Returns an error if the Runtime API is not available.
pub async fn run<I, O, F>(handler: impl Fn(I) -> F) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    // Lambda sets it from the function's logging configuration.
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
/// Returns what Lambda reports: the error's name, and its message with the remedy.
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

/// The configuration of every AWS client: credentials, Region and endpoints from Lambda's environment,
/// 10 s per attempt.
///
/// The default credential chain has more providers. None of them works on Lambda, and their code would
/// be in every binary.
#[must_use]
pub fn sdk_config() -> SdkConfig {
    sdk_config_from(|name| env::var(name).ok())
}

/// The same with the variables of another environment; only the credentials are of the process's own.
///
/// `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT` are `true` or `false`. Another value counts as
/// `false`, as in AWS's own loader.
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

/// How long a function waits for AWS: 3.1 s for a connection, 10 s per attempt.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(3_100))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build()
}

/// Converts a time of the SDK with every digit. `None` outside the years -9999 to 9999.
#[must_use]
pub fn timestamp(time: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos().cast_signed()).ok()
}

/// Rounds a time to milliseconds. The services send milliseconds as a binary fraction, which is not exact.
#[must_use]
pub fn rounded_to_millis(time: Timestamp) -> Timestamp {
    time.round(jiff::Unit::Millisecond).unwrap_or(time)
}

/// The span whose fields are on every log line of this invocation. A handler records what it learns
/// later.
fn span(payload: &Value, request_id: &str) -> tracing::Span {
    let string_at = |pointer: &str| {
        let value = payload.pointer(pointer)?.as_str()?;
        Some(value.chars().take(256).collect::<String>())
    };
    let first_string = |pointers: &[&str]| pointers.iter().find_map(|at| string_at(at));
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
