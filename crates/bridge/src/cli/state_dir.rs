//! The folder in which a fleet or a hub keeps what it must know after a restart.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Exit, Stop};
use crate::config::Environment;
use crate::hub::StoreError;

/// The folder that was named, else `$XDG_STATE_HOME/data-bridge/<group_id>`.
pub(super) fn find(
    named: Option<&Path>,
    environment: &Environment,
    group_id: &str,
) -> Result<PathBuf, Stop> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let base = match (environment.get("XDG_STATE_HOME"), environment.get("HOME")) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(home)) => Path::new(home).join(".local/state"),
        (None, None) => {
            return Err(Stop::new(
                Exit::Usage,
                "there is no place for the state: neither XDG_STATE_HOME nor HOME is set",
                "name a folder with --state-dir",
            ));
        }
    };
    // A group may be called anything, a folder may not.
    let name = group_id.replace(['/', '\0'], "_");
    let name = if matches!(name.as_str(), "." | "..") { "_".to_owned() } else { name };
    Ok(base.join("data-bridge").join(name))
}

/// Makes the folder, readable by its owner alone.
pub(super) fn create(folder: &Path) -> Result<(), Stop> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let writable = made.and_then(|()| {
        let probe = folder.join(".writable");
        std::fs::write(&probe, [])?;
        std::fs::remove_file(&probe)
    });
    writable.map_err(|error| {
        Stop::new(
            Exit::Failed,
            format!("cannot write in the state folder {}: {error}", folder.display()),
            "name another one with --state-dir",
        )
    })
}

/// The exit code for a file that cannot be used.
pub(super) fn unfit(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Unfit { .. } => Stop::new(Exit::Usage, error.to_string(), "").into(),
        StoreError::Io { .. } => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_where_state_belongs() {
        let mut environment = Environment::default();
        assert!(find(None, &environment, "g").is_err());
        environment.variables.insert("HOME".to_owned(), "/home/me".to_owned());
        let folder = find(None, &environment, "g").unwrap();
        assert_eq!(folder, Path::new("/home/me/.local/state/data-bridge/g"));
        environment.variables.insert("XDG_STATE_HOME".to_owned(), "/s".to_owned());
        assert_eq!(find(None, &environment, "a/b").unwrap(), Path::new("/s/data-bridge/a_b"));
        assert_eq!(find(None, &environment, "..").unwrap(), Path::new("/s/data-bridge/_"));
        assert_eq!(find(Some(Path::new("x")), &environment, "g").unwrap(), Path::new("x"));
    }
}
