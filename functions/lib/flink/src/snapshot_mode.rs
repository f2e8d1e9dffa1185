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

const SNAPSHOT_MODE: &str = "/ApplicationDetail/ApplicationConfigurationDescription\
     /ApplicationSnapshotConfigurationDescription/SnapshotMode";

/// Returns `EnhancedSnapshotsUnsupported` if the application has enhanced snapshots. Otherwise `error`, which is that
/// of a refused call and does not say so.
pub async fn or_enhanced(client: &Client, application_name: &str, error: StepError) -> StepError {
    if !has_enhanced_snapshots(client, application_name).await {
        return error;
    }
    StepError::new(
        ErrorName::EnhancedSnapshotsUnsupported,
        format!(
            "The application {application_name} has enhanced snapshots. {}",
            error.fact
        ),
    )
}

/// `false` if the service does not say.
async fn has_enhanced_snapshots(client: &Client, application_name: &str) -> bool {
    let is_enhanced = IsEnhanced::default();
    let sent = client
        .describe_application()
        .application_name(application_name)
        .customize()
        .interceptor(is_enhanced.clone())
        .send();
    // The SDK has no field for `SnapshotMode`, so what it returns is of no use here.
    drop(Box::pin(sent).await);
    is_enhanced.0.load(Ordering::SeqCst)
}

/// Whether the last response has `SnapshotMode` `ENHANCED_SNAPSHOTS`.
#[derive(Clone, Debug, Default)]
struct IsEnhanced(Arc<AtomicBool>);

impl Intercept for IsEnhanced {
    fn name(&self) -> &'static str {
        "IsEnhanced"
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
        self.0
            .store(mode == Some("ENHANCED_SNAPSHOTS"), Ordering::SeqCst);
        Ok(())
    }
}
