//! `fleet.json`: what the next supervisor, and every command, must know of a fleet.

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process::Identity;
use crate::hub::{StoreError, read_state, write_state};

/// Of the file's form.
const VERSION: u64 = 1;
const FILE: &str = "fleet.json";
const LOCK: &str = "lock";

/// A fleet as it was last written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The supervisor's process.
    pub supervisor: Identity,
    /// Where its hub answers.
    pub hub_url: String,
    /// What commands have to show.
    pub token: String,
    /// How many instances are wanted.
    pub target: u32,
    /// The instances.
    pub members: Vec<Recorded>,
    /// Whom to tell when a member leaves for good.
    pub kafka: Target,
}

/// One instance as it was last written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// `instance.number`.
    pub number: u32,
    /// `instance.id`.
    pub id: String,
    /// Port of its HTTP.
    pub port: u16,
    /// Its process, while it runs.
    pub process: Option<Identity>,
}

/// The consumer group of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Bootstrap servers; empty when the fleet reads no Kafka.
    pub brokers: String,
    /// The group.
    pub group_id: String,
    /// How long partitions of a member idle that nobody took out, ms.
    pub session_ms: u64,
}

impl State {
    /// The fleet of a folder; `None` when there never was one.
    ///
    /// # Errors
    /// When the file cannot be read, or another version of the program wrote it.
    pub fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        read_state(&folder.join(FILE), VERSION)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        write_state(&folder.join(FILE), VERSION, self)
    }

    /// Members whose process still runs.
    #[must_use]
    pub fn running(&self) -> Vec<&Recorded> {
        let runs = |member: &&Recorded| member.process.as_ref().is_some_and(Identity::is_running);
        self.members.iter().filter(runs).collect()
    }
}

/// Takes the folder for this process; `None` when another supervisor has it. It is given back when
/// the file is closed, also by kill -9.
///
/// # Errors
/// When the lock file cannot be made.
pub fn lock(folder: &Path) -> std::io::Result<Option<File>> {
    let file = File::options().create(true).append(true).open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}
