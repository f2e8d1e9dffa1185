//! Ctrl-C and the other signals that end a command.

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use output::note;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command's work. The work returns whether it succeeded, and the exit code is 0 or 1. An interrupt drops the
/// work, which stops every process that the work has started; the exit code is then 130.
pub async fn until_interrupted(work: impl Future<Output = Result<bool>>) -> Result<ExitCode> {
    tokio::select! {
        // The signal handlers are in place before the work can start a process.
        biased;
        () = interrupted() => {
            note!("\nInterrupted. Everything that was started is stopped.");
            Ok(ExitCode::from(130))
        }
        succeeded = work => Ok(ExitCode::from(u8::from(!succeeded?))),
    }
}

/// Waits for Ctrl-C, or for another signal that ends a command.
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

/// Whether the command was started with SIGHUP ignored, as `nohup` does, so that it outlives its terminal. This is
/// known only on Linux.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 stands for signal 1, SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
