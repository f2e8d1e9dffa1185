//! Whether an application has enhanced snapshots. The service has separate operations for them, which this system does
//! not call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesisanalyticsv2::Client;
use aws_sdk_kinesisanalyticsv2::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_kinesisanalyticsv2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesisanalyticsv2::error::BoxError;
use contract::ErrorName;
use serde_json::Value;
use step::StepError;

use crate::Application;

/// The JSON pointer to the mode in the response.
const SNAPSHOT_MODE_POINTER: &str = "/ApplicationDetail/ApplicationConfigurationDescription\
     /ApplicationSnapshotConfigurationDescription/SnapshotMode";

/// Builds the error for an application that has enhanced snapshots.
#[must_use]
pub fn enhanced_snapshots_error(application_name: &str) -> StepError {
    StepError::new(
        ErrorName::EnhancedSnapshotsUnsupported,
        format!(
            "The SnapshotMode of the application {application_name} is not APPLICATION_SNAPSHOTS_LEGACY."
        ),
    )
}

/// Replaces the error of a failed call by a clearer one if the application has enhanced snapshots. AWS does not
/// document which error the service returns in this case, so this function describes the application.
///
/// Returns [`enhanced_snapshots_error`] if the application has enhanced snapshots. Returns `error` if it has none, if
/// the application cannot be described, or if `error` may go away after a retry or a wait.
pub async fn explain_if_enhanced(
    client: &Client,
    application_name: &str,
    error: StepError,
) -> StepError {
    if error.name.is_retryable() || error.name == ErrorName::ApplicationBusy {
        return error;
    }
    match crate::describe_application(client, application_name).await {
        Ok(application) => application.explain_refusal(error),
        Err(_) => error,
    }
}

impl Application {
    /// Replaces the error of a refused call. Returns [`enhanced_snapshots_error`], followed by the fact of `error`, if
    /// the application has enhanced snapshots and `error` is not retryable. Otherwise returns `error`.
    #[must_use]
    pub fn explain_refusal(&self, error: StepError) -> StepError {
        if error.name.is_retryable() || !self.has_enhanced_snapshots {
            return error;
        }
        let mut explained = enhanced_snapshots_error(&self.detail.application_name);
        explained.fact = format!("{} {}", explained.fact, error.fact);
        explained
    }
}

/// An interceptor that reads `SnapshotMode` from the body of the last response.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotMode(Arc<AtomicBool>);

impl SnapshotMode {
    /// Whether the last response had a mode other than `APPLICATION_SNAPSHOTS_LEGACY`. `false` if it had no mode.
    pub(crate) fn is_enhanced(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Intercept for SnapshotMode {
    fn name(&self) -> &'static str {
        "SnapshotMode"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let response: Value = serde_json::from_slice(body).unwrap_or_default();
        let mode = response
            .pointer(SNAPSHOT_MODE_POINTER)
            .and_then(Value::as_str);
        // A mode that this release does not know may have separate operations too, so it counts as enhanced.
        let is_other = mode.is_some_and(|mode| mode != "APPLICATION_SNAPSHOTS_LEGACY");
        self.0.store(is_other, Ordering::SeqCst);
        Ok(())
    }
}
