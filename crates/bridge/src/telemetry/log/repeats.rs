//! Keeps a fault that repeats a thousand times a second from filling a disk: warnings and errors of
//! one place in the code are let through up to a burst, then a few a minute, with the number of those
//! left out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

/// Lines of one place at once: enough for each partition of all shipped topics to say the same.
const BURST: u32 = 60;
/// Then one line in this time.
const ONE_IN: Duration = Duration::from_secs(5);

/// Lines left out by this process so far.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Lines left out by this process so far; the heartbeat says it.
#[must_use]
pub fn lines_left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is written, and so many like it were not since the last one.
    Through(u64),
    LeftOut,
}

/// How much each place has said lately.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    places: Mutex<HashMap<Identifier, Place>>,
}

#[derive(Debug)]
struct Place {
    /// Lines it may write at once, one less with each.
    room: u32,
    /// When room was last given back.
    since: Instant,
    left_out: u64,
}

impl Repeats {
    /// Whether a line of this place is written now. What somebody turned on on purpose always is.
    pub(super) fn pass(&self, metadata: &Metadata<'_>, now: Instant) -> Passage {
        if *metadata.level() > Level::WARN {
            return Passage::Through(0);
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert(Place {
            room: BURST,
            since: now,
            left_out: 0,
        });
        let passage = place.pass(now);
        if passage == Passage::LeftOut {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        passage
    }
}

impl Place {
    fn pass(&mut self, now: Instant) -> Passage {
        let earned = now.saturating_duration_since(self.since).as_nanos() / ONE_IN.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(BURST);
        if earned > 0 {
            self.room = self.room.saturating_add(earned).min(BURST);
            self.since = now;
        }
        if let Some(room) = self.room.checked_sub(1) {
            self.room = room;
            Passage::Through(std::mem::take(&mut self.left_out))
        } else {
            self.left_out += 1;
            Passage::LeftOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_its_burst_then_a_line_now_and_then_with_the_count_of_the_others() {
        let began = Instant::now();
        let mut place = Place { room: BURST, since: began, left_out: 0 };
        let mut lines = Vec::new();
        // Ten times a second for two minutes.
        for tenth in 0..1_200 {
            match place.pass(began + Duration::from_millis(100 * tenth)) {
                Passage::Through(left_out) => lines.push(left_out),
                Passage::LeftOut => {}
            }
        }
        let (burst, later) = lines.split_at(60);
        assert_eq!(burst[..59], [0; 59]);
        assert!(later.len() <= 24, "{}", later.len());
        let told: u64 = lines.iter().sum();
        assert_eq!(told + place.left_out + lines.len() as u64, 1_200, "each is written or counted");
        assert!(later.iter().all(|left_out| *left_out <= 50), "{later:?}");
        // Silence gives the burst back, and no more.
        let rested = began + Duration::from_hours(5);
        let at_once = (0..200).filter(|_| place.pass(rested) != Passage::LeftOut).count();
        assert_eq!(at_once, 60);
    }
}
