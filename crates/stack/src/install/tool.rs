//! The programs that installation and servers need, and what to do when one is missing.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::cache;
use crate::process::{Lifetime, Process};

/// How often a long step says that it is still alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A download that takes longer than this has stalled.
const STEP_LIMIT: Duration = Duration::from_mins(30);

/// A program that must be on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// What is searched in `PATH`.
    pub program: &'static str,
    /// What stands still without it.
    pub purpose: &'static str,
    /// How to get it on Debian.
    pub debian: &'static str,
}

pub(super) const JAVA: Tool = Tool {
    program: "java",
    purpose: "Kafka runs on Java 17 or newer",
    debian: "apt-get install openjdk-17-jre-headless",
};
pub(super) const MAVEN: Tool = Tool {
    program: "mvn",
    purpose: "Kafka is installed by Maven",
    debian: "apt-get install maven",
};
pub(super) const NPM: Tool = Tool {
    program: "npm",
    purpose: "the ClickHouse engine is installed by npm",
    debian: "apt-get install npm",
};
pub(super) const GO: Tool = Tool {
    program: "go",
    purpose: "nats-server is built by Go 1.26 or newer, or by 1.21 that may fetch a newer one",
    debian: "unpack the archive from https://go.dev/dl/ and put its bin/ into PATH",
};
pub(super) const TAR: Tool =
    Tool { program: "tar", purpose: "archives are unpacked by it", debian: "apt-get install tar" };

/// What is not on this machine of all that an installation from nothing needs.
#[must_use]
pub fn missing_tools() -> Vec<Tool> {
    [JAVA, MAVEN, NPM, GO, TAR].into_iter().filter(|tool| tool.find().is_err()).collect()
}

impl Tool {
    /// The one line that tells a newcomer what to do.
    #[must_use]
    pub fn advice(&self) -> String {
        format!("`{}` is missing: {}. On Debian: {}", self.program, self.purpose, self.debian)
    }

    /// Where the program is: `$JAVA_HOME` for Java, else `PATH`.
    pub(super) fn find(&self) -> Result<PathBuf> {
        let home = (self.program == JAVA.program)
            .then(|| env::var_os("JAVA_HOME"))
            .flatten()
            .map(|home| PathBuf::from(home).join("bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        search(self.program, home.into_iter().chain(env::split_paths(&path)))
            .ok_or_else(|| anyhow!(self.advice()))
    }

    pub(super) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command> {
        let mut command = Command::new(self.find()?);
        command.args(arguments);
        Ok(command)
    }
}

fn search(program: &str, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(program)).find(|path| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Runs one step of an installation, with a line on standard error when it begins and every five
/// seconds how much has arrived in `folder`, which also holds the log of the step.
pub(super) fn run(step: &str, mut command: Command, folder: &Path) -> Result<()> {
    cache::progress(&format!("{step} ..."));
    let log = folder.join("install.log");
    command.current_dir(folder);
    let started = Instant::now();
    let process = Process::spawn(step, command, &log, Lifetime::WithStarter)?;
    let status = loop {
        if let Some(status) = process.wait_exit(SIGN_OF_LIFE) {
            break status;
        }
        let elapsed = started.elapsed();
        if elapsed > STEP_LIMIT {
            bail!("{step}: no end after {} s\n{}", elapsed.as_secs(), process.log_tail());
        }
        // A compiler works in folders of its own: nothing arrives before the end.
        let arrived = match cache::size(folder) {
            0 => String::new(),
            bytes => format!(", {}", cache::readable_size(bytes)),
        };
        cache::progress(&format!("{step} ... {} s{arrived}", elapsed.as_secs()));
    };
    if !status.success() {
        bail!("{step}: {status}\n{}", process.log_tail());
    }
    fs::remove_file(&log)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scratch;

    #[test]
    fn only_an_executable_file_is_a_program() {
        let folder = scratch::folder("search");
        let path = folder.path().join("mvn");
        let found = || search("mvn", [folder.path().to_owned()].into_iter());
        assert_eq!(found(), None);
        fs::write(&path, "").unwrap();
        assert_eq!(found(), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found(), Some(path));
    }

    #[test]
    fn a_failed_step_shows_what_the_tool_said() {
        let folder = scratch::folder("step");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 404 not found >&2; exit 1"]);
        let error = run("fetching it", command, folder.path()).unwrap_err().to_string();
        assert!(error.contains("fetching it") && error.contains("404 not found"), "{error}");
    }
}
