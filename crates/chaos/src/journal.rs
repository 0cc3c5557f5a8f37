//! The event log: JSON lines that say what was done and seen, and that can be run again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::schedule::Step;

/// Everything that decides a run. Two equal ones do the same at the same times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Decides the messages and, unless they are given, the faults.
    pub(crate) seed: u64,
    /// How long messages are produced.
    pub(crate) seconds: u64,
    /// Messages per second.
    pub(crate) rate: u32,
    /// How the group is formed.
    pub(crate) membership: Membership,
    /// What is done when.
    pub(crate) steps: Vec<Step>,
}

/// How instances are members of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Membership {
    /// Eager, partition n of every topic on one instance.
    Range,
    /// Incremental.
    Cooperative,
    /// Range, with ids that outlive a restart.
    Static,
    /// The broker assigns (KIP-848).
    Consumer,
}

impl Membership {
    pub(crate) const ALL: [Self; 4] =
        [Self::Range, Self::Cooperative, Self::Static, Self::Consumer];
}

impl Run {
    /// Messages of the whole run.
    pub(crate) fn messages(&self) -> u64 {
        self.seconds * u64::from(self.rate)
    }

    /// The run of an event log.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the event log {}", path.display()))?;
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)
                .with_context(|| format!("{} is no event log: {line}", path.display()))?;
            if line["event"] == "run" {
                return serde_json::from_value(line).context("the run cannot be read");
            }
        }
        bail!("{} has no line of the event `run`", path.display())
    }
}

/// Where events go: each to a line of the file, the important ones to the screen.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    began: Mutex<Instant>,
    wrong: Mutex<Vec<String>>,
}

impl Journal {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            began: Mutex::new(Instant::now()),
            wrong: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Times count from now on.
    pub(crate) fn begin(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Writes an event with its time.
    pub(crate) fn note(&self, event: &str, mut what: Value) {
        what["event"] = json!(event);
        what["ms"] = json!(u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk ends the servers, and with them the run; nobody else need be told.
        writeln!(file, "{what}").ok();
    }

    /// The same, for people, too.
    pub(crate) fn tell(&self, event: &str, text: &str) {
        self.note(event, json!({ "text": text }));
        self.show(text);
    }

    /// Only for people.
    pub(crate) fn show(&self, text: &str) {
        let at = self.elapsed().as_secs_f64();
        // A reader that has gone away (`| head`) is no reason to stop.
        writeln!(std::io::stdout().lock(), "chaos {at:>6.1} s  {text}").ok();
    }

    /// Something that must not be.
    pub(crate) fn wrong(&self, text: &str) {
        self.tell("wrong", &format!("WRONG: {text}"));
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    /// All that must not be and was.
    pub(crate) fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule;

    #[test]
    fn a_run_is_read_back_from_its_event_log() {
        let folder = std::env::temp_dir().join(format!("chaos-journal-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("events.jsonl");
        let length = Duration::from_mins(1);
        let run = Run {
            seed: 7,
            seconds: 60,
            rate: 100,
            membership: Membership::Static,
            steps: schedule::of(7, length, Duration::from_secs(4)),
        };
        let journal = Journal::create(&path).unwrap();
        journal.note("other", json!({}));
        journal.note("run", serde_json::to_value(&run).unwrap());
        assert_eq!(Run::read(&path).unwrap(), run);
        fs::write(&path, "{\"event\":\"other\"}\n").unwrap();
        assert!(Run::read(&path).unwrap_err().to_string().contains("`run`"));
        fs::remove_dir_all(folder).unwrap();
    }
}
