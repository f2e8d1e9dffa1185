//! The folder of an engine, `<target>/local/engine-<port>`. It has the log, the temporary files, and the endpoint, if
//! the engine has published it for other commands.
//!
//! When an engine ends, its folder stays, so that the log can be read. The next engine that starts removes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const PREFIX: &str = "engine-";
/// The file that a running engine keeps locked. The system releases the lock when the process ends, even if it is
/// killed.
const LOCK: &str = "lock";
const ENDPOINT: &str = "endpoint";

#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    _lock: File,
}

impl Home {
    /// Creates the folder for the engine on this port. Removes the folders of engines that have ended.
    pub(crate) fn new(target: &Path, port: u16) -> Result<Self> {
        let all = target.join("local");
        fs::create_dir_all(&all).with_context(|| all.display().to_string())?;
        // Engines that start at the same time take turns. Otherwise, one could remove the folder that another has
        // created and not locked yet.
        let turn = all.join("engines.lock");
        let turn = File::create(&turn).and_then(|file| file.lock().map(|()| file));
        let _turn = turn.with_context(|| all.display().to_string())?;
        for ended in folders(target).iter().filter(|folder| has_ended(folder)) {
            fs::remove_dir_all(ended).with_context(|| ended.display().to_string())?;
        }
        let folder = all.join(format!("{PREFIX}{port}"));
        let context = || folder.display().to_string();
        fs::create_dir_all(&folder).with_context(context)?;
        let lock = File::create(folder.join(LOCK)).with_context(context)?;
        lock.try_lock().with_context(context)?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the endpoint to a file, which [`announced`] reads. The file is removed when this engine ends.
    pub(crate) fn announce(&self, endpoint: &str) -> Result<()> {
        let file = self.folder.join(ENDPOINT);
        fs::write(&file, endpoint).with_context(|| file.display().to_string())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Most engines have no such file.
        let _ = fs::remove_file(self.folder.join(ENDPOINT));
    }
}

/// The endpoints that engines have written with `announce`, each with its file. The list may include an engine that was
/// killed, because its file stays.
pub fn announced(target: &Path) -> Vec<(String, PathBuf)> {
    let files = folders(target)
        .into_iter()
        .map(|folder| folder.join(ENDPOINT));
    files
        .filter_map(|file| Some((fs::read_to_string(&file).ok()?, file)))
        .collect()
}

fn folders(target: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(target.join("local")).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX))
        })
        .collect();
    folders.sort();
    folders
}

/// Whether no process holds the folder's lock. If there is no lock file, the engine ended before it created one.
fn has_ended(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).map_or(true, |lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_until_another_engine_starts_but_the_endpoint_goes_when_its_engine_ends() {
        let target = tempfile::tempdir().unwrap();
        let start = |port| Home::new(target.path(), port).unwrap();
        let endpoints = || -> Vec<String> {
            let announced = announced(target.path()).into_iter();
            announced.map(|(endpoint, _)| endpoint).collect()
        };
        assert_eq!(endpoints(), [""; 0]);
        let (first, second) = (start(1), start(2));
        assert_ne!(first.folder(), second.folder());
        for (home, endpoint) in [(&first, "http://a"), (&second, "http://b")] {
            fs::write(home.folder().join("ministack.log"), "").unwrap();
            home.announce(endpoint).unwrap();
        }
        assert_eq!(endpoints(), ["http://a", "http://b"]);

        let ended = first.folder().to_owned();
        drop(first);
        assert!(ended.join("ministack.log").exists());
        assert_eq!(endpoints(), ["http://b"]);
        let _third = start(3);
        assert!(!ended.exists());
        assert!(second.folder().join("ministack.log").exists());
        let same_port = Home::new(target.path(), 2).unwrap_err();
        assert!(format!("{same_port:#}").contains("engine-2"));
    }
}
