//! Starts an engine that belongs to the command.

use std::time::Duration;

use anyhow::Result;
use engine::differences::DIFFERENCES;
use engine::functions::Profile;
use engine::msf::Lifecycle;
use engine::prepare::prepare;
use engine::{Engine, EngineSettings};
use output::note;

/// Starts an engine for an application, and prints how the local deployment differs from a deployment to AWS.
pub async fn start(port: Option<u16>, application: &str, snapshot_seconds: u64) -> Result<Engine> {
    let settings = prepare(Profile::Dev).await?;
    note!("Deploying infra/template.yaml to MiniStack. It differs from a deployment to AWS in:");
    for (name, difference) in DIFFERENCES {
        note!("  {name}: {}", difference.reason());
    }
    Engine::start(EngineSettings {
        port,
        application: application.to_owned(),
        lifecycle: Lifecycle {
            snapshot: Duration::from_secs(snapshot_seconds),
            ..Lifecycle::default()
        },
        ..settings
    })
    .await
}
