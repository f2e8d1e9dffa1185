//! What the commands share: the end on Ctrl-C, the exit code, and what has to be there before the engine starts.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engine::engine::EngineSettings;
use engine::functions::{self, Profile};
use engine::msf::Lifecycle;
use engine::python::{self, Packages};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stack::EVERY_APPLICATION;

/// Does some work whose outcome is whether all went well. Dropping it ends what it has started.
pub async fn until_interrupted(
    work: impl Future<Output = Result<bool, String>>,
) -> Result<ExitCode, String> {
    tokio::select! {
        outcome = work => outcome.map(|well| ExitCode::from(u8::from(!well))),
        () = interrupted() => {
            eprintln!("\nInterrupted; everything that was started is stopped.");
            Ok(ExitCode::from(130))
        }
    }
}

/// The command's exit code. An error is printed, and its exit code is 2.
#[must_use]
pub fn exit_code(done: Result<ExitCode, String>) -> ExitCode {
    done.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::from(2)
    })
}

/// Ctrl-C, or a request to end.
pub async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminated => (),
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// Installs what is missing and builds the functions.
pub async fn prepare(profile: Profile) -> Result<EngineSettings, String> {
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

/// Installs the packages and shows the progress on stderr.
pub async fn install(target: &Path, packages: Packages) -> Result<PathBuf, String> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::hidden().with_style(style);
    let said = Cell::new(false);
    let python = python::install(target, packages, |progress| {
        if !said.replace(true) {
            eprintln!(
                "Installing {} into {}",
                packages.name,
                target.join("local").display()
            );
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.package);
    })
    .await;
    bar.finish_and_clear();
    python
}
