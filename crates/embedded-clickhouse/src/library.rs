//! Finding and loading libchdb.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ffi::{self, Api, Unsuitable};

/// How to come by the library; part of every error about it.
const HOW: &str = "to get it run `cargo xtask stack up`, or `npm pack \
    @chdb/lib-linux-x64-gnu@26.7.3-stable.1` and point DATA_BRIDGE_LIBCHDB at package/libchdb.so \
    of the archive";

/// Why the engine's library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// None of the places has it.
    #[error("the ClickHouse engine (libchdb.so) is not installed: {}; {HOW}", places(.0))]
    Missing(Vec<PathBuf>),
    /// No place to look at: neither a home nor a cache directory is known.
    #[error("no place to look for libchdb.so: set DATA_BRIDGE_LIBCHDB or HOME; {HOW}")]
    NoPlace,
    /// The file is there, but the dynamic linker refuses it.
    #[error("{file} cannot be loaded: {reason}{}; {HOW}", hint(.reason))]
    Refused {
        /// The library.
        file: String,
        /// The linker's words.
        reason: String,
    },
    /// It is another library, or another version.
    #[error("{file} is not libchdb 26.7: it lacks {}; {HOW}", .missing.join(", "))]
    OtherLibrary {
        /// The library.
        file: String,
        /// The functions it lacks.
        missing: Vec<&'static str>,
    },
    /// A process holds one engine; it was loaded from elsewhere before.
    #[error("this process already holds the engine from {0}")]
    AlreadyLoaded(String),
}

fn places(tried: &[PathBuf]) -> String {
    let tried: Vec<_> = tried.iter().map(|place| format!("no file {}", place.display())).collect();
    tried.join(", ")
}

/// What the linker's words mean for the user, where they are known to puzzle.
fn hint(reason: &str) -> &'static str {
    if reason.contains("ELF") || reason.contains("file too short") {
        " (built for another architecture, or not downloaded whole; the engine is for x86-64 Linux)"
    } else if reason.contains("GLIBC") || reason.contains("ld-linux") || cfg!(target_env = "musl") {
        " (the engine needs glibc; it does not work with musl)"
    } else {
        ""
    }
}

/// Where the library lies: the option, `$DATA_BRIDGE_LIBCHDB`, else the cache.
///
/// # Errors
/// When it lies in none of these places; an explicit place is not replaced by another.
pub fn find_library(option: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let place = option
        .map(Path::to_path_buf)
        .or_else(|| variable("DATA_BRIDGE_LIBCHDB"))
        .or_else(|| Some(cache()?.join("libchdb-26.7.3/libchdb.so")))
        .ok_or(LibraryError::NoPlace)?;
    if place.is_file() { Ok(place) } else { Err(LibraryError::Missing(vec![place])) }
}

/// `$DATA_BRIDGE_CACHE`, else `$XDG_CACHE_HOME/data-bridge`, else `~/.cache/data-bridge`.
fn cache() -> Option<PathBuf> {
    variable("DATA_BRIDGE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("data-bridge")))
        .or_else(|| Some(variable("HOME")?.join(".cache/data-bridge")))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Loads the library, once per process.
pub(crate) fn load(file: &Path) -> Result<&'static Api, LibraryError> {
    static LOADED: Mutex<Option<(PathBuf, &'static Api)>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let name = file.display().to_string();
    if let Some((before, api)) = &*loaded {
        return if before == file {
            Ok(api)
        } else {
            Err(LibraryError::AlreadyLoaded(before.display().to_string()))
        };
    }
    // The linker searches the library path for a name without a slash.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    match ffi::load(&file) {
        Ok(api) => {
            *loaded = Some((file, api));
            Ok(api)
        }
        Err(Unsuitable::Linker(reason)) => Err(LibraryError::Refused { file: name, reason }),
        Err(Unsuitable::Missing(missing)) => {
            Err(LibraryError::OtherLibrary { file: name, missing })
        }
    }
}
