//! What is to be produced: how much, of what, with which faults planted.

use std::num::NonZeroU32;

mod kind;
mod ways;

pub use kind::Kind;
pub use ways::Ways;

/// Everything that decides the messages of a run. Two equal plans give equal messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every message is a function of the seed and its number.
    pub seed: u64,
    /// Messages are numbered from 0; at most `u32::MAX`.
    pub messages: u64,
    /// Shares of kinds and of planted faults.
    pub mix: Mix,
    /// How many instruments ticks and candles are about.
    pub symbols: NonZeroU32,
    /// Span of the events' own times, in ms since 1970, end not included. Message 0 lies at its
    /// start, the last at its end.
    pub events_from_ms: i64,
    /// End of the span.
    pub events_to_ms: i64,
    /// Partitions of every topic; messages name theirs, so it must be what the topics have.
    pub partitions: NonZeroU32,
    /// Which time stands on a record.
    pub stamp: Stamp,
    /// Put before every topic's name, so that tests can share a broker.
    pub topic_prefix: String,
    /// By which ways the messages go.
    pub ways: Ways,
    /// Size of the messages of [`Flaw::Garbage`](crate::generate::Flaw::Garbage).
    pub garbage_bytes: u32,
    /// How publishers write.
    pub publishers: Publishers,
}

/// How publishers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishers {
    /// Each field under any of its names, in any order, now and then; numbers as floats, rounding
    /// and other writers make them: what tests need.
    Wild,
    /// Three dialects of ticks and one of candles, each always alike, prices without artefacts:
    /// what real publishers send nearly always, and what every peer of a benchmark reads alike.
    Tidy,
}

/// Shares of kinds and of planted faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Weight of each kind, in the order of [`Kind::ALL`].
    pub kinds: [u32; 8],
    /// Share of bad messages, 0 to 1.
    pub bad: f64,
    /// Share of messages that bring an earlier event once more.
    pub duplicates: f64,
    /// Share of messages that bring other values for an earlier event.
    pub corrections: f64,
    /// Share of ticks with an `event-id` header.
    pub event_ids: f64,
    /// Share of good messages in a shape that is legal and rare: odd white space, escapes in
    /// keys, repeated keys, a shadowed second name.
    pub odd_shapes: f64,
}

/// Which time stands on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Message n has `start_ms` + n / `per_ms`, corrections may be older than what they correct:
    /// the order of versions is known and `version` is verified.
    Numbered {
        /// Time of message 0. Brokers refuse times more than an hour ahead and delete what is
        /// older than the retention.
        start_ms: i64,
        /// Messages that share a millisecond.
        per_ms: NonZeroU32,
    },
    /// The producer's clock when it sends: right for measuring latency. Versions must then follow
    /// the numbers, so one producer sends all messages of a partition in order.
    Clock,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            kinds: [700, 240, 10, 10, 10, 10, 10, 10],
            bad: 0.002,
            duplicates: 0.02,
            corrections: 0.01,
            event_ids: 0.02,
            odd_shapes: 0.02,
        }
    }
}

impl Mix {
    /// Only this kind, nothing planted.
    #[must_use]
    pub fn only(kind: Kind) -> Self {
        let mut kinds = [0; 8];
        kinds[kind.index()] = 1;
        Self { kinds, bad: 0.0, duplicates: 0.0, corrections: 0.0, event_ids: 0.0, odd_shapes: 0.0 }
    }
}

impl Plan {
    /// `messages` messages of the default mix: 36 symbols, three months of event time around
    /// January 2024, six partitions, record times from `start_ms` on, four to a millisecond.
    #[must_use]
    pub fn new(seed: u64, messages: u64, start_ms: i64) -> Self {
        const SYMBOLS: NonZeroU32 = NonZeroU32::new(36).expect("36 is not 0");
        const PARTITIONS: NonZeroU32 = NonZeroU32::new(6).expect("6 is not 0");
        const PER_MS: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
        Self {
            seed,
            messages,
            mix: Mix::default(),
            symbols: SYMBOLS,
            events_from_ms: 1_701_388_800_000, // 2023-12-01
            events_to_ms: 1_709_251_200_000,   // 2024-03-01
            partitions: PARTITIONS,
            stamp: Stamp::Numbered { start_ms, per_ms: PER_MS },
            topic_prefix: String::new(),
            ways: Ways::Kafka,
            garbage_bytes: 2_000,
            publishers: Publishers::Wild,
        }
    }

    /// Name of the topic that carries `kind`.
    #[must_use]
    pub fn topic(&self, kind: Kind) -> String {
        format!("{}{}", self.topic_prefix, kind.topic())
    }

    /// All problems of the plan, none when it can be carried out.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mix = &self.mix;
        let mut problems = Vec::new();
        if self.messages > u64::from(u32::MAX) {
            problems.push(format!("messages: {} is more than {}", self.messages, u32::MAX));
        }
        if mix.kinds.iter().all(|weight| *weight == 0) {
            problems.push("mix.kinds: at least one kind needs a weight".to_owned());
        }
        if self.ways.stream().is_some() && self.stamp != Stamp::Clock {
            problems
                .push("stamp: a stream gives its own times, so it must be the clock".to_owned());
        }
        if self.events_from_ms < 0 || self.events_from_ms >= self.events_to_ms {
            problems.push("events: the span must begin after 1970 and before its end".to_owned());
        }
        let shares = [
            ("bad", mix.bad),
            ("duplicates", mix.duplicates),
            ("corrections", mix.corrections),
            ("event_ids", mix.event_ids),
            ("odd_shapes", mix.odd_shapes),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                problems.push(format!("mix.{name}: {share} is not between 0 and 1"));
            }
        }
        if mix.bad + mix.duplicates + mix.corrections > 1.0 {
            problems.push("mix: bad, duplicates and corrections are more than all".to_owned());
        }
        problems
    }
}
