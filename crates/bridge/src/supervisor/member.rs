//! One instance of a fleet, as its supervisor sees it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::launch::last_words;
use super::process::Identity;
use super::restart::Restarts;
use crate::hub::{Process, ProcessState};

/// An instance, running or not.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: u32,
    pub(super) id: String,
    pub(super) port: u16,
    pub(super) log: PathBuf,
    pub(super) process: Option<Running>,
    pub(super) stage: Stage,
    pub(super) restarts: Restarts,
    /// How often it was started.
    pub(super) starts: u32,
}

/// A process that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) identity: Identity,
    pub(super) since: Instant,
    /// The same, ms since 1970.
    pub(super) since_ms: i64,
}

/// What is done with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It runs.
    Up,
    /// It is started again then.
    Waiting { until: Instant, why: String },
    /// It does not get going; tried again then.
    Held { until: Instant, why: String },
    /// It was told to stop, and is killed then.
    Stopping { kill_at: Instant, then: Then },
    /// It has ended and is being taken out of the group.
    Leaving,
    /// It has ended; all are taken out of the group together.
    Ended,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It leaves for good.
    Leave,
    /// It is started again.
    Start,
}

impl Member {
    pub(super) fn new(number: u32, id: String, port: u16, log: PathBuf) -> Self {
        Self {
            number,
            id,
            port,
            log,
            process: None,
            stage: Stage::Waiting { until: Instant::now(), why: "starting".to_owned() },
            restarts: Restarts::default(),
            starts: 0,
        }
    }

    /// What is shown of it.
    pub(super) fn shown(&self) -> Process {
        let (state, why) = match &self.stage {
            Stage::Up => (ProcessState::Running, String::new()),
            Stage::Waiting { why, .. } => (ProcessState::Waiting, why.clone()),
            Stage::Held { why, until } => {
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                (ProcessState::Held, format!("{why}; tried again in {left} s"))
            }
            Stage::Stopping { then: Then::Leave, .. } | Stage::Leaving | Stage::Ended => {
                (ProcessState::Stopping, "leaves the fleet".to_owned())
            }
            Stage::Stopping { then: Then::Start, .. } => {
                (ProcessState::Stopping, "is started again".to_owned())
            }
        };
        Process {
            number: self.number,
            id: self.id.clone(),
            pid: self.process.as_ref().map_or(0, |process| process.identity.pid),
            state,
            why,
            restarts: self.starts.saturating_sub(1),
            log: self.log.display().to_string(),
        }
    }

    /// How long it ran.
    pub(super) fn uptime(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, |process| process.since.elapsed())
    }
}

/// How a process ended, in words; `None` for one that was not our child.
pub(super) fn describe(status: Option<ExitStatus>, log: &Path) -> String {
    let Some(status) = status else {
        return "ended".to_owned();
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended by itself".to_owned(),
        (Some(code), _) => {
            let words = last_words(log).unwrap_or_default();
            format!("ended with exit code {code}: {words}")
        }
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
