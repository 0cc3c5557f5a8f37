//! Where installed servers live, and how an installation gets there whole or not at all.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The folder of everything that is installed, shared by all checkouts of one user.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$DATA_BRIDGE_CACHE`, else `$XDG_CACHE_HOME/data-bridge`, else `~/.cache/data-bridge`.
    ///
    /// # Errors
    /// When none of the three is set.
    pub fn from_env() -> Result<Self> {
        Self::choose(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let root = variable("DATA_BRIDGE_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("data-bridge")))
            .or_else(|| variable("HOME").map(|path| path.join(".cache/data-bridge")));
        match root {
            // Class paths are compared as text, so the same cache must always have the same name.
            Some(root) => Ok(Self::at(std::path::absolute(root)?)),
            None => bail!("no place for downloads: set DATA_BRIDGE_CACHE or HOME"),
        }
    }

    /// A cache in a folder of the caller's choice; created when something is installed.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder `name` in the cache, built by `build` if it is not there yet.
    ///
    /// `build` fills a temporary folder, which is renamed into place when it is complete: a folder
    /// that exists is whole. A second process waits for the first and then finds the result.
    ///
    /// # Errors
    /// What `build` returns, and anything that goes wrong in the file system.
    pub fn ensure(&self, name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let place = self.root.join(name);
        if place.exists() {
            return Ok(place);
        }
        let started = Instant::now();
        let _lock = self.lock(name)?;
        if place.exists() {
            return Ok(place);
        }

        // Under the lock, a temporary folder that is already there belongs to nobody any more.
        let temporary = self.root.join(format!(".{name}.partial"));
        remove_all(&temporary)?;
        fs::create_dir_all(&temporary)
            .with_context(|| format!("cannot create {}", temporary.display()))?;
        if let Err(error) = build(&temporary) {
            remove_all(&temporary)?;
            return Err(error.context(format!("cannot install {name}")));
        }
        let bytes = size(&temporary);
        fs::rename(&temporary, &place)
            .with_context(|| format!("cannot move {name} to {}", place.display()))?;
        progress(&format!(
            "{name}: ready, {}, {:.1} s",
            readable_size(bytes),
            started.elapsed().as_secs_f64()
        ));
        Ok(place)
    }

    fn lock(&self, name: &str) -> Result<File> {
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot create the cache {}", self.root.display()))?;
        let path = self.root.join(format!(".{name}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress(&format!("{name}: another process installs it, waiting"));
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(file)
    }
}

/// One line on standard error.
pub(crate) fn progress(line: &str) {
    // Nobody reads it any more: that is no reason to stop an installation.
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Bytes of all files below `path`; 0 for what cannot be read. A link counts as itself: what it leads to
/// may be this very folder, or the rest of the machine.
pub(crate) fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

pub(crate) fn readable_size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn remove_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::process::scratch;

    fn chosen(set: &[(&str, &str)]) -> Option<PathBuf> {
        let variable = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        Cache::choose(variable).ok().map(|cache| cache.root)
    }

    #[test]
    fn the_most_specific_variable_decides_the_place() {
        let home = ("HOME", "/home/u");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[home]), Some("/home/u/.cache/data-bridge".into()));
        assert_eq!(chosen(&[home, xdg]), Some("/xdg/data-bridge".into()));
        assert_eq!(chosen(&[home, xdg, ("DATA_BRIDGE_CACHE", "/own")]), Some("/own".into()));
    }

    #[test]
    fn two_installers_at_once_build_once() {
        let scratch = scratch::folder("cache-twice");
        let cache = Cache::at(scratch.path());
        let (building, changed) = (Mutex::new(0), Condvar::new());
        let build = |folder: &Path| {
            let mut builders = building.lock().unwrap();
            *builders += 1;
            changed.notify_all();
            // Time for a second builder to come in, if anything lets it.
            let limit = Duration::from_millis(200);
            let alone = |builders: &mut i32| *builders == 1;
            drop(changed.wait_timeout_while(builders, limit, alone).unwrap());
            Ok(fs::write(folder.join("file"), "whole")?)
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let file = cache.ensure("thing", build).unwrap().join("file");
                    assert_eq!(fs::read_to_string(file).unwrap(), "whole");
                });
            }
        });
        assert_eq!(*building.lock().unwrap(), 1);
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_can_be_tried_again() {
        let scratch = scratch::folder("cache-failed");
        let cache = Cache::at(scratch.path());
        let failed = cache.ensure("thing", |folder| {
            fs::write(folder.join("half"), "x")?;
            bail!("the network went away")
        });
        assert!(format!("{:#}", failed.unwrap_err()).contains("the network went away"));
        assert!(!scratch.path().join("thing").exists());

        let place =
            cache.ensure("thing", |folder| Ok(fs::write(folder.join("file"), "")?)).unwrap();
        assert!(place.join("file").exists());
        assert!(!place.join("half").exists());
    }

    #[test]
    fn a_link_is_not_followed_when_a_folder_is_measured() {
        let scratch = scratch::folder("cache-links");
        let folder = scratch.path().join("measured");
        fs::create_dir_all(folder.join("below")).unwrap();
        fs::write(folder.join("below/file"), [0; 1_000]).unwrap();
        fs::write(scratch.path().join("beside"), [0; 10_000]).unwrap();
        for (target, name) in [(".", "itself"), ("../beside", "file"), ("/proc", "machine")] {
            std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        }
        let links = 1 + "../beside".len() + "/proc".len();
        assert_eq!(size(&folder), 1_000 + links as u64);
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(readable_size(999), "999 bytes");
        assert_eq!(readable_size(1_000), "1 kB");
        assert_eq!(readable_size(177_817_999), "177 MB");
    }
}
