//! Whether an application has enhanced snapshots, whose operations are others than those that are called here.

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

/// Where the response has the mode.
const SNAPSHOT_MODE: &str = "/ApplicationDetail/ApplicationConfigurationDescription\
     /ApplicationSnapshotConfigurationDescription/SnapshotMode";

/// The error of an application that has enhanced snapshots.
#[must_use]
pub fn enhanced(application_name: &str) -> StepError {
    StepError::new(
        ErrorName::EnhancedSnapshotsUnsupported,
        format!(
            "The SnapshotMode of the application {application_name} is not APPLICATION_SNAPSHOTS_LEGACY."
        ),
    )
}

/// Returns [`enhanced`] if the application has enhanced snapshots. Otherwise `error`, which is that of a refused call: which
/// one the service gives for such an application is not documented. An error that a retry or a wait may remove is no refusal.
pub async fn or_enhanced(client: &Client, application_name: &str, error: StepError) -> StepError {
    if error.name.is_retryable() || error.name == ErrorName::ApplicationBusy {
        return error;
    }
    match crate::describe_application(client, application_name).await {
        Ok(application) => application.reason_of(error),
        Err(_) => error,
    }
}

impl Application {
    /// The reason of a refused call: [`enhanced`] with the fact of `error`, if the application has enhanced snapshots and
    /// no retry may remove the error. Otherwise `error`.
    #[must_use]
    pub fn reason_of(&self, error: StepError) -> StepError {
        if error.name.is_retryable() || !self.has_enhanced_snapshots {
            return error;
        }
        let mut enhanced = enhanced(&self.detail.application_name);
        enhanced.fact = format!("{} {}", enhanced.fact, error.fact);
        enhanced
    }
}

/// Reads `SnapshotMode` from the body of the last response.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotMode(Arc<AtomicBool>);

impl SnapshotMode {
    /// `false` if the service does not say.
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
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let mode = answer.pointer(SNAPSHOT_MODE).and_then(Value::as_str);
        // A mode that this release does not know has other operations too, for all that it can tell.
        let is_other = mode.is_some_and(|mode| mode != "APPLICATION_SNAPSHOTS_LEGACY");
        self.0.store(is_other, Ordering::SeqCst);
        Ok(())
    }
}
