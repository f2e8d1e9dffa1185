//! Ctrl-C and the other signals that end a command.

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use output::note;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the work, which returns whether it succeeded: exit code 0 or 1. An interrupt drops the work, and that stops
/// everything that it has started: exit code 130.
pub async fn until_interrupted(work: impl Future<Output = Result<bool>>) -> Result<ExitCode> {
    tokio::select! {
        // Signals are awaited before the work can start anything.
        biased;
        () = interrupted() => {
            note!("\nInterrupted. Everything that was started is stopped.");
            Ok(ExitCode::from(130))
        }
        succeeded = work => Ok(ExitCode::from(u8::from(!succeeded?))),
    }
}

/// Waits for Ctrl-C or another signal that ends a command.
pub async fn interrupted() {
    let next = async |kind| match signal(kind) {
        Ok(mut signal) => signal.recv().await,
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = next(SignalKind::interrupt()) => (),
        _ = next(SignalKind::terminate()) => (),
        _ = next(SignalKind::quit()) => (),
        _ = next(SignalKind::hangup()), if !ignores_hangup() => (),
    }
}

/// Whether the command was started to outlive its terminal, as `nohup` starts it. Only Linux tells.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is for signal 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
