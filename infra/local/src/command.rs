//! What all commands share: the interrupt, and what the engine needs before it starts.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use engine::engine::EngineSettings;
use engine::functions::{self, Profile};
use engine::msf::Lifecycle;
use engine::python::{self, Packages};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use output::note;
use stack::EVERY_APPLICATION;
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

/// Installs what is missing and builds the functions.
pub async fn prepare(profile: Profile) -> Result<EngineSettings> {
    let target = functions::target_folder()?;
    let python = install(&target, python::MINISTACK).await?;
    let built = functions::build(profile).await?;
    Ok(EngineSettings {
        port: None,
        python,
        target,
        built,
        application: EVERY_APPLICATION.to_owned(),
        lifecycle: Lifecycle::default(),
        wait_scale: 1.0,
        event_retry_seconds: 2.0,
    })
}

/// Installs packages and shows the progress on stderr. Returns the interpreter that has them.
pub async fn install(target: &Path, packages: Packages) -> Result<PathBuf> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::hidden().with_style(style);
    let is_announced = Cell::new(false);
    let python = python::install(target, packages, |progress| {
        if !is_announced.replace(true) {
            let folder = target.join("local");
            note!("Installing {} into {}", packages.name, folder.display());
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.package);
    });
    let python = python.await;
    bar.finish_and_clear();
    python
}
