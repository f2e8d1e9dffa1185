//! Installs the packages and compiles the functions that an engine needs.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use output::note;
use stack::EVERY_APPLICATION;

use crate::EngineSettings;
use crate::functions::{self, Profile};
use crate::msf::Lifecycle;
use crate::python::{self, Packages};

/// Installs the packages that are missing, builds the functions, and returns the default settings of an engine.
pub async fn prepare(profile: Profile) -> Result<EngineSettings> {
    let target = functions::target_folder()?;
    let python = install(&target, python::MINISTACK).await?;
    let binaries = functions::build(profile).await?;
    Ok(EngineSettings {
        port: None,
        python,
        target,
        binaries,
        application: EVERY_APPLICATION.to_owned(),
        lifecycle: Lifecycle::default(),
        wait_scale: 1.0,
        event_retry_seconds: 2.0,
    })
}

/// Installs the packages, if they are not installed already, and shows the progress on stderr. Returns the Python
/// interpreter that has the packages.
pub async fn install(target: &Path, packages: Packages) -> Result<PathBuf> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::hidden().with_style(style);
    let has_noted = Cell::new(false);
    let python = python::install(target, packages, |progress| {
        if !has_noted.replace(true) {
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
