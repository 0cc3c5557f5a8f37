//! What this process has seen of the topics: which of them came into being under its eyes.
//!
//! A broker forgets the commits of a topic that is deleted, so that a topic made anew looks like
//! one never seen. Whoever was there knows better: everything in it was produced after the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared between those who ask about topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    ids: BTreeMap<String, String>,
    came_later: BTreeSet<String>,
}

impl Sightings {
    /// The topic does not exist now.
    pub(super) fn missing(&self, topic: &str) {
        self.seen().came_later.insert(topic.to_owned());
    }

    /// The topic exists now, under this id.
    pub(super) fn present(&self, topic: &str, id: Option<&str>) {
        let Some(id) = id else { return };
        let mut seen = self.seen();
        let before = seen.ids.insert(topic.to_owned(), id.to_owned());
        if before.is_some_and(|before| before != id) {
            seen.came_later.insert(topic.to_owned());
        }
    }

    /// Whether the topic that exists now did not when the process started.
    pub(super) fn came_later(&self, topic: &str) -> bool {
        self.seen().came_later.contains(topic)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_comes_later_when_it_was_missing_or_another() {
        let sightings = Sightings::default();
        sightings.present("old", Some("a"));
        sightings.present("old", Some("a"));
        sightings.present("old", None);
        assert!(!sightings.came_later("old"));
        sightings.present("old", Some("b"));
        assert!(sightings.came_later("old"));
        assert!(!sightings.came_later("new"));
        sightings.missing("new");
        sightings.present("new", Some("c"));
        assert!(sightings.came_later("new"));
    }
}
