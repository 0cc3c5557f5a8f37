//! Messages by number: every message is a function of the plan and its number, so that a run can
//! be resumed, shared among producers, and checked without having been kept.

use crate::chance::{Chance, threshold};
use crate::layout;
use crate::plan::{Kind, Plan, Publishers, Stamp};

mod candle;
mod draft;
mod external;
mod flaw;
mod literal;
mod render;
mod spoil;
mod symbols;
mod tick;

pub(crate) use draft::Draft;
pub use flaw::Flaw;

/// Streams of chance, one per decision, so that one decision never shifts another.
mod purpose {
    pub(super) const ROLE: u64 = 1;
    pub(super) const KIND: u64 = 2;
    pub(super) const WHICH: u64 = 3;
    pub(super) const VALUES: u64 = 4;
    pub(super) const SHAPE: u64 = 5;
    pub(super) const FLAW: u64 = 6;
    pub(super) const GROUP: u64 = 7;
}

/// How far back a copy or a correction reaches, in messages.
const REACH: u32 = 2_000;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An event of its own. Its identity may still be that of an earlier one: candles of one
    /// symbol, timeframe and time correct each other.
    Event,
    /// The event of message `of` once more, written another way.
    Copy {
        /// The number of the first message of the event.
        of: u64,
    },
    /// Other values for the event of message `of`.
    Correction {
        /// The number of the message that is corrected.
        of: u64,
        /// The record is older than the one it would correct, so it must lose.
        stale: bool,
    },
    /// A planted bad message.
    Bad(Flaw),
}

/// One message, and what it says. Made once and filled again and again.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number in the plan.
    pub number: u64,
    /// Its kind, which decides topic and table.
    pub kind: Kind,
    /// What it is for.
    pub role: Role,
    /// The partition it must be produced to: all messages of one identity share one.
    pub partition: i32,
    /// Time of the record, ms since 1970; `None` is the producer's clock.
    pub time_ms: Option<i64>,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's headers.
    pub headers: Vec<(&'static str, String)>,
    /// A value of null.
    tombstone: bool,
    payload: Vec<u8>,
    draft: Draft,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            number: 0,
            kind: Kind::Tick,
            role: Role::Event,
            partition: 0,
            time_ms: None,
            key: Vec::new(),
            headers: Vec::new(),
            tombstone: false,
            payload: Vec::new(),
            draft: Draft::default(),
        }
    }
}

impl Message {
    /// The record's value; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        (!self.tombstone).then_some(self.payload.as_slice())
    }

    /// The header `event-id`.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == "event-id").map(|(_, value)| value.as_str())
    }

    /// The text that was given for a column of the table; `None` is absent or null.
    pub(crate) fn said(&self, column: usize) -> Option<&[u8]> {
        self.draft.said(column)
    }
}

/// Makes the messages of a plan.
#[derive(Clone, Debug)]
pub struct Generator {
    plan: Plan,
    weights: u32,
    bad: u64,
    duplicates: u64,
    corrections: u64,
    event_ids: u64,
    odd_shapes: u64,
}

/// The plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("the plan cannot be carried out: {}", problems.join("; "))]
pub struct BadPlan {
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
}

impl Generator {
    /// A generator of the plan's messages.
    ///
    /// # Errors
    /// When the plan contradicts itself; all problems at once.
    pub fn try_new(plan: Plan) -> Result<Self, BadPlan> {
        let problems = plan.problems();
        if !problems.is_empty() {
            return Err(BadPlan { problems });
        }
        let mix = &plan.mix;
        Ok(Self {
            weights: mix.kinds.iter().sum(),
            bad: threshold(mix.bad),
            duplicates: threshold(mix.bad + mix.duplicates),
            corrections: threshold(mix.bad + mix.duplicates + mix.corrections),
            event_ids: threshold(mix.event_ids),
            odd_shapes: threshold(mix.odd_shapes),
            plan,
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Fills `message` with message `number` of the plan.
    pub fn message(&self, number: u64, message: &mut Message) {
        self.describe(number, message);
        let mut shape = self.chance(number, purpose::SHAPE);
        message.tombstone = false;
        message.payload.clear();
        match message.role {
            Role::Bad(flaw) => {
                let chance = self.chance(number, purpose::FLAW);
                let spoiled = spoil::Spoiled { flaw, garbage_bytes: self.plan.garbage_bytes };
                message.tombstone =
                    spoiled.write(message.kind, &mut message.draft, chance, &mut message.payload);
            }
            Role::Event | Role::Copy { .. } | Role::Correction { .. } => {
                if self.plan.publishers == Publishers::Tidy {
                    render::tidy(message.kind, &message.draft, &mut message.payload);
                } else if shape.within(self.odd_shapes) {
                    render::odd(message.kind, &mut message.draft, &mut shape, &mut message.payload);
                } else {
                    render::usual(message.kind, &message.draft, &mut shape, &mut message.payload);
                }
            }
        }
    }

    /// Fills `message` with all of message `number` but its payload.
    pub(crate) fn describe(&self, number: u64, message: &mut Message) {
        message.number = number;
        message.headers.clear();
        message.key.clear();
        message.role = self.role(number);
        let (which, values) = match message.role {
            Role::Event | Role::Bad(_) => (number, number),
            Role::Copy { of } => (of, of),
            Role::Correction { of, .. } => (of, number),
        };
        message.kind = self.kind(which);
        message.time_ms = self.time_ms(number, message.role);
        message.draft.clear(layout::layout(message.kind).columns.len());
        self.draft(which, values, message);
        if let Role::Bad(_) = message.role {
            message.draft.drop_shadowed();
        }
    }

    /// The version order of a message among those of its identity.
    pub(crate) fn order(&self, number: u64) -> (i64, u64) {
        match self.plan.stamp {
            Stamp::Numbered { .. } => {
                (self.time_ms(number, self.role(number)).unwrap_or_default(), number)
            }
            Stamp::Clock => (0, number),
        }
    }

    fn chance(&self, number: u64, purpose: u64) -> Chance {
        Chance::new(self.plan.seed, number, purpose)
    }

    fn draft(&self, which: u64, values: u64, message: &mut Message) {
        let source = Source {
            plan: &self.plan,
            event_ms: self.event_ms(which),
            group_event_ms: self.event_ms(which / 8 * 8),
            which: self.chance(which, purpose::WHICH),
            group: self.chance(which / 8, purpose::GROUP),
            values: self.chance(values, purpose::VALUES),
            shape: self.chance(message.number, purpose::SHAPE.rotate_left(8)),
        };
        match message.kind {
            Kind::Tick => {
                let mut ids = self.chance(which, purpose::WHICH.rotate_left(8));
                if ids.within(self.event_ids) {
                    // Every fifth is a text, which the bridge hashes. Its copies are all alike;
                    // only decimal ones are corrected, see `role`.
                    let id = ids.next();
                    let text =
                        if has_text_id(id) { format!("tick-{id:016x}") } else { id.to_string() };
                    message.headers.push(("event-id", text));
                }
                tick::draft(source, message);
            }
            Kind::Candle => candle::draft(source, message),
            Kind::EconomicCalendar
            | Kind::FredEconomic
            | Kind::CryptoSentiment
            | Kind::FearGreedIndex
            | Kind::CommodityPrices
            | Kind::MarketSessions => external::draft(source, message),
        }
    }

    /// What message `number` is for. A copy or correction whose first message is not a plain
    /// event, or cannot be corrected, is an event of its own, so nothing is looked up twice.
    fn role(&self, number: u64) -> Role {
        let mut chance = self.chance(number, purpose::ROLE);
        let lot = chance.next() >> 32;
        if lot < self.bad {
            let mut chance = self.chance(number, purpose::FLAW.rotate_left(8));
            let flaw = *chance.pick(Flaw::of(self.kind(number)));
            let by_nats = self.plan.ways.stream().is_some();
            return Role::Bad(if by_nats { flaw.by_nats() } else { flaw });
        }
        if lot >= self.corrections {
            return Role::Event;
        }
        // Half of them follow at once, where record times tie; the rest come from further back.
        let back = if chance.one_in(2) { 1 + chance.below(6) } else { 1 + chance.below(REACH) };
        let Some(of) = number.checked_sub(u64::from(back)) else {
            return Role::Event;
        };
        let first = self.chance(of, purpose::ROLE).next() >> 32;
        if first < self.corrections {
            return Role::Event;
        }
        if lot < self.duplicates {
            return Role::Copy { of };
        }
        if !self.can_be_corrected(of) {
            return Role::Event;
        }
        let stale = matches!(self.plan.stamp, Stamp::Numbered { .. }) && chance.one_in(4);
        Role::Correction { of, stale }
    }

    /// Candles and externals are replaced by what has their key; a tick only by another of its
    /// decimal `event-id`.
    fn can_be_corrected(&self, of: u64) -> bool {
        if self.kind(of) != Kind::Tick {
            return true;
        }
        let mut ids = self.chance(of, purpose::WHICH.rotate_left(8));
        ids.within(self.event_ids) && !has_text_id(ids.next())
    }

    fn kind(&self, number: u64) -> Kind {
        let mut lot = self.chance(number, purpose::KIND).below(self.weights);
        for kind in Kind::ALL {
            let weight = self.plan.mix.kinds[kind.index()];
            if lot < weight {
                return kind;
            }
            lot -= weight;
        }
        Kind::Tick
    }

    fn time_ms(&self, number: u64, role: Role) -> Option<i64> {
        let Stamp::Numbered { start_ms, per_ms } = self.plan.stamp else {
            return None;
        };
        let at = |number: u64| start_ms + signed(number / u64::from(per_ms.get()));
        Some(match role {
            Role::Correction { of, stale: true } => at(of) - 1 - signed(number % 5_000),
            Role::Event | Role::Copy { .. } | Role::Correction { .. } | Role::Bad(_) => at(number),
        })
    }

    fn event_ms(&self, number: u64) -> i64 {
        let span = i128::from(self.plan.events_to_ms - self.plan.events_from_ms);
        let share = span * i128::from(number) / i128::from(self.plan.messages.max(1));
        self.plan.events_from_ms + i64::try_from(share).expect("a part of the span")
    }
}

/// What a draft is made from.
pub(crate) struct Source<'a> {
    pub(crate) plan: &'a Plan,
    /// The event's place in the span.
    pub(crate) event_ms: i64,
    /// The place of the first of its eight neighbours.
    pub(crate) group_event_ms: i64,
    /// Decides the identity.
    pub(crate) which: Chance,
    /// The same for eight neighbours.
    pub(crate) group: Chance,
    /// Decides the values.
    pub(crate) values: Chance,
    /// Decides how they are written.
    pub(crate) shape: Chance,
}

fn has_text_id(id: u64) -> bool {
    id.is_multiple_of(5)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("message numbers fit 32 bits")
}
