//! What a hub keeps over a restart, in one file.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::Saved;

/// Of the file's form.
const VERSION: u64 = 1;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Another version of the program wrote it, or it is damaged.
    #[error("{}: {what}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Page<T> {
    version: u64,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize, Deserialize)]
struct Members {
    members: Vec<Saved>,
}

/// Reads a JSON file of a version; `None` when there is none.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    path: &Path,
    version: u64,
) -> Result<Option<T>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StoreError::Io { what: "read", path: path.to_owned(), cause }),
    };
    let unfit = |what: String| StoreError::Unfit { path: path.to_owned(), what };
    let page: Value = serde_json::from_slice(&text)
        .map_err(|error| unfit(format!("damaged ({error}); move it away to begin anew")))?;
    let found = page["version"].as_u64();
    if found != Some(version) {
        let found =
            found.map_or_else(|| "no version".to_owned(), |found| format!("version {found}"));
        return Err(unfit(format!(
            "has {found}, this program writes version {version}: use the program that wrote it, \
             or move the file away to begin anew"
        )));
    }
    let page: Page<T> = serde_json::from_value(page)
        .map_err(|error| unfit(format!("damaged ({error}); move it away to begin anew")))?;
    Ok(Some(page.content))
}

/// Writes a JSON file in one step: whoever reads it finds the old one or the new one, whole. Only
/// its owner may read it.
pub(crate) fn write<T: Serialize>(path: &Path, version: u64, content: T) -> Result<(), StoreError> {
    let io = |cause| StoreError::Io { what: "write", path: path.to_owned(), cause };
    let page = serde_json::to_vec_pretty(&Page { version, content })
        .map_err(|error| io(std::io::Error::other(error)))?;
    let aside = path.with_extension("json.new");
    let written = private(&aside).and_then(|mut file| {
        file.write_all(&page)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    });
    written.map_err(io)
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

pub(super) fn load(path: &Path) -> Result<Vec<Saved>, StoreError> {
    let members = read::<Members>(path, VERSION)?;
    Ok(members.map(|members| members.members).unwrap_or_default())
}

pub(super) fn save(path: &Path, members: Vec<Saved>) -> Result<(), StoreError> {
    write(path, VERSION, Members { members })
}
