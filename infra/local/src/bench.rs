//! x
use crate::engine::EngineSettings;
/// x
/// # Errors
/// x
pub async fn run(_settings: EngineSettings) -> Result<bool, String> {
    Ok(true)
}
