//! Events that come by Kafka and by NATS: how many, and which way is ahead.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_bridge_core::block::Block;

/// Events remembered, about: at 100,000 events per second the last ten seconds. Takes 16 MiB.
const REMEMBERED: usize = 1 << 20;
/// Events whose numbers lead to the same place; the oldest gives way.
const PLACES: usize = 4;

/// The way of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// Of no event yet.
    #[default]
    None,
    Kafka,
    Nats,
    /// Both copies were seen.
    Both,
}

/// An event that is durable.
#[derive(Clone, Copy, Debug, Default)]
struct Durable {
    fingerprint: u64,
    /// Since the start, in ms.
    at_ms: u32,
    way: Way,
}

/// The first copy of an event that came by both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// `kafka`, `nats`, or `neither` when both copies were in one batch.
    pub(super) first: &'static str,
    /// How much later the other copy was durable.
    pub(super) behind: Duration,
}

/// Remembers what was durable lately.
#[derive(Debug)]
pub(super) struct Ways {
    began: Instant,
    places: Mutex<Box<[[Durable; PLACES]]>>,
}

impl Ways {
    pub(super) fn new() -> Self {
        let places = vec![[Durable::default(); PLACES]; REMEMBERED / PLACES];
        Self { began: Instant::now(), places: Mutex::new(places.into_boxed_slice()) }
    }

    /// Rows of a block are durable now. Tells of each event whose other copy was durable before; a
    /// third copy tells nothing.
    pub(super) fn durable(
        &self,
        block: &Block,
        rows: std::ops::Range<u32>,
        now: Instant,
        mut tell: impl FnMut(Pair),
    ) {
        let now_ms = u32::try_from((now - self.began).as_millis()).unwrap_or(u32::MAX);
        let fingerprints = block.fingerprints();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let count = places.len() as u64;
        for row in rows {
            let (Some(fingerprint), Some((origin, _))) =
                (fingerprints.get(row as usize).copied(), block.origin(row))
            else {
                return;
            };
            let way = if origin.starts_with("kafka:") { Way::Kafka } else { Way::Nats };
            #[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
            let place = &mut places[(fingerprint % count) as usize];
            if let Some(pair) = look(place, fingerprint, way, now_ms) {
                tell(pair);
            }
        }
    }
}

fn look(place: &mut [Durable; PLACES], fingerprint: u64, way: Way, now_ms: u32) -> Option<Pair> {
    let is_known =
        |known: &&mut Durable| known.way != Way::None && known.fingerprint == fingerprint;
    if let Some(known) = place.iter_mut().find(is_known) {
        let first = match (known.way, way) {
            (Way::Kafka, Way::Nats) => "kafka",
            (Way::Nats, Way::Kafka) => "nats",
            // The same way again, or a third copy.
            _ => return None,
        };
        let behind = Duration::from_millis(u64::from(now_ms.saturating_sub(known.at_ms)));
        known.way = Way::Both;
        return Some(Pair { first: if behind.is_zero() { "neither" } else { first }, behind });
    }
    let oldest = place.iter_mut().min_by_key(|known| (known.way != Way::None, known.at_ms))?;
    *oldest = Durable { fingerprint, at_ms: now_ms, way };
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_way_tells_once_and_the_oldest_gives_way() {
        let mut place = [Durable::default(); PLACES];
        assert_eq!(look(&mut place, 7, Way::Nats, 100), None);
        assert_eq!(look(&mut place, 7, Way::Nats, 110), None, "sent twice by one way");
        let pair = Pair { first: "nats", behind: Duration::from_millis(30) };
        assert_eq!(look(&mut place, 7, Way::Kafka, 130), Some(pair));
        assert_eq!(look(&mut place, 7, Way::Nats, 140), None, "a third copy");
        assert_eq!(look(&mut place, 8, Way::Kafka, 150), None);
        let pair = Pair { first: "neither", behind: Duration::ZERO };
        assert_eq!(look(&mut place, 8, Way::Nats, 150), Some(pair));
        for event in 10..13 {
            assert_eq!(look(&mut place, event, Way::Kafka, 200), None);
        }
        assert_eq!(look(&mut place, 7, Way::Kafka, 300), None, "forgotten, so new");
        assert_eq!(look(&mut place, 12, Way::Nats, 301).map(|pair| pair.first), Some("kafka"));
    }
}
