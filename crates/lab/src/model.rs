//! What must come out of a plan, worked out from the texts of the messages alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
use std::num::NonZeroU32;

use xxhash_rust::xxh3::xxh3_64;

use crate::generate::{Flaw, Generator, Message, Role};
use crate::layout::{Form, layout};
use crate::plan::{Kind, Plan};

mod decimal;
mod instant;
mod row;

pub use decimal::{Decimal, decimal};
pub use instant::millis;
pub(crate) use row::row;
pub use row::{Shown, Unreadable, shown};

/// A map whose keys are hashes already.
pub(crate) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Already>>;

/// Passes a hash on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The rows and dead letters that a plan must lead to.
///
/// Holds 16 to 33 bytes per event (its identity's hash and the number of the message that wins);
/// rows are made again from the numbers when they are compared.
#[derive(Debug)]
pub struct Expected {
    generator: Generator,
    tables: Vec<ByHash<u32>>,
    letters: ByHash<Letter>,
    letter_count: u64,
}

/// Dead letters that look alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) expected: u32,
    pub(crate) number: u32,
    pub(crate) flaw: Flaw,
}

/// A row that must be visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedRow {
    /// The compared columns, tabs between them, escaped as ClickHouse does.
    pub row: String,
    /// The column `origin`.
    pub origin: String,
    /// The record time in `version`; `None` when the producer's clock decides.
    pub time_ms: Option<i64>,
    /// The column `event_id`, when the publisher gave a decimal one.
    pub event_id: Option<u64>,
}

impl Expected {
    /// Works out what must come of all messages of the plan.
    ///
    /// # Errors
    /// When the model cannot read a message that was meant to be good: a bug of the lab.
    pub fn of(generator: &Generator) -> Result<Self, Unreadable> {
        let mut expected = Self {
            generator: generator.clone(),
            tables: Kind::ALL.iter().map(|_| ByHash::default()).collect(),
            letters: ByHash::default(),
            letter_count: 0,
        };
        let mut message = Message::default();
        let mut line = Vec::new();
        for number in 0..generator.plan().messages {
            generator.describe(number, &mut message);
            match message.role {
                Role::Bad(flaw) => {
                    generator.message(number, &mut message);
                    expected.add_letter(&message, flaw);
                }
                Role::Event | Role::Copy { .. } | Role::Correction { .. } => {
                    line.clear();
                    row(&message, &mut line)?;
                    expected.add_row(&message, &line);
                }
            }
        }
        Ok(expected)
    }

    /// The generator of the plan.
    #[must_use]
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.generator.plan()
    }

    /// How many rows a table must show.
    #[must_use]
    pub fn visible(&self, kind: Kind) -> u64 {
        self.tables[kind.index()].len() as u64
    }

    /// How many rows all tables together must show, dead letters aside.
    #[must_use]
    pub fn visible_in_all(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.visible(*kind)).sum()
    }

    /// How many dead letters there must be.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.letter_count
    }

    /// The rows a table must show, each as tab-separated text of the columns that are compared, in
    /// any order. For small plans and for people.
    ///
    /// # Errors
    /// As [`Expected::of`].
    pub fn rows(&self, kind: Kind) -> Result<Vec<String>, Unreadable> {
        let mut message = Message::default();
        self.tables[kind.index()]
            .values()
            .map(|number| {
                let mut line = Vec::new();
                self.generator.describe(u64::from(*number), &mut message);
                row(&message, &mut line)?;
                Ok(String::from_utf8_lossy(&line).into_owned())
            })
            .collect()
    }

    /// The same rows, each with what is known of its origin, version and id.
    ///
    /// # Errors
    /// As [`Expected::of`].
    pub fn placed_rows(&self, kind: Kind) -> Result<Vec<PlacedRow>, Unreadable> {
        let mut message = Message::default();
        let mut numbers: Vec<_> = self.tables[kind.index()].values().copied().collect();
        numbers.sort_unstable();
        numbers
            .into_iter()
            .map(|number| {
                let mut line = Vec::new();
                self.generator.describe(u64::from(number), &mut message);
                row(&message, &mut line)?;
                Ok(PlacedRow {
                    row: String::from_utf8_lossy(&line).into_owned(),
                    origin: origin(self.plan(), kind, message.partition),
                    time_ms: message.time_ms,
                    event_id: decimal_id(&message),
                })
            })
            .collect()
    }

    /// The checksum of the rows a table must show: the sum of XXH3-64 over their lines, as
    /// [`checksum_query`] has ClickHouse work it out.
    ///
    /// # Errors
    /// As [`Expected::of`].
    pub fn checksum(&self, kind: Kind) -> Result<u64, Unreadable> {
        let mut message = Message::default();
        let mut line = Vec::new();
        let mut sum = 0_u64;
        for number in self.tables[kind.index()].values() {
            self.generator.describe(u64::from(*number), &mut message);
            line.clear();
            row(&message, &mut line)?;
            line.push(b'\n');
            sum = sum.wrapping_add(xxh3_64(&line));
        }
        Ok(sum)
    }

    /// The winner of each identity of a table.
    pub(crate) fn winners(&self, kind: Kind) -> &ByHash<u32> {
        &self.tables[kind.index()]
    }

    pub(crate) fn letters(&self) -> &ByHash<Letter> {
        &self.letters
    }

    fn add_row(&mut self, message: &Message, line: &[u8]) {
        let number = narrow(message.number);
        let identity = match decimal_id(message) {
            Some(id) => named_tick(line, id),
            None => hash(message.kind, identity_part(message.kind, line)),
        };
        match self.tables[message.kind.index()].entry(identity) {
            Entry::Vacant(entry) => {
                entry.insert(number);
            }
            Entry::Occupied(mut entry) => {
                let standing = u64::from(*entry.get());
                if self.generator.order(message.number) > self.generator.order(standing) {
                    entry.insert(number);
                }
            }
        }
    }

    fn add_letter(&mut self, message: &Message, flaw: Flaw) {
        let plan = self.generator.plan();
        let payload = message.payload().unwrap_or_default();
        let mut hashes = Vec::new();
        if plan.ways.has_kafka() {
            let origin = kafka_origin(plan, message.kind, message.partition);
            hashes.push(letter(origin.as_bytes(), message.time_ms, &message.key, payload));
        }
        if let Some(origin) = plan.ways.stream() {
            hashes.push(letter(origin.as_bytes(), message.time_ms, &[], payload));
        }
        let number = narrow(message.number);
        for hash in hashes {
            self.letter_count += 1;
            let first = Letter { expected: 1, number, flaw };
            self.letters.entry(hash).and_modify(|letter| letter.expected += 1).or_insert(first);
        }
    }
}

/// The query that answers with the number of rows a table shows and their checksum, which depends
/// on every compared value of every row and not on their order.
#[must_use]
pub fn checksum_query(database: &str, kind: Kind) -> String {
    let columns: Vec<String> = layout(kind)
        .columns
        .iter()
        .map(|column| match column.form {
            Form::Time => format!("toUnixTimestamp64Milli({})", column.name),
            Form::Text | Form::Json | Form::Decimal { .. } | Form::Whole { .. } => {
                column.name.to_owned()
            }
        })
        .collect();
    format!(
        "SELECT count(), sum(xxh3(formatRow('TabSeparated', {}))) FROM {database}.{} FINAL \
         SETTINGS output_format_decimal_trailing_zeros = 0",
        columns.join(", "),
        kind.table(),
    )
}

/// An `origin` that rows of a message may have: the one of its partition, else of its stream.
pub(crate) fn origin(plan: &Plan, kind: Kind, partition: i32) -> String {
    match plan.ways.stream() {
        Some(origin) if !plan.ways.has_kafka() => origin.to_owned(),
        Some(_) | None => kafka_origin(plan, kind, partition),
    }
}

/// Whether rows of a message may have this origin.
pub(crate) fn may_come_from(plan: &Plan, kind: Kind, partition: i32, origin: &str) -> bool {
    plan.ways.stream() == Some(origin)
        || (plan.ways.has_kafka() && kafka_origin(plan, kind, partition) == origin)
}

fn kafka_origin(plan: &Plan, kind: Kind, partition: i32) -> String {
    format!("kafka:{}:{partition}", plan.topic(kind))
}

/// The hash of a row's identity, from the columns that make it up.
pub(crate) fn hash(kind: Kind, identity: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_usize(kind.index());
    hasher.write(identity);
    hasher.finish()
}

/// The hash of a tick's identity when its publisher gave it an id: symbol, time and id.
pub(crate) fn named_tick(line: &[u8], id: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(b"event-id");
    hasher.write(columns(line, 2));
    hasher.write_u64(id);
    hasher.finish()
}

/// The hash of all that is known beforehand of a dead letter.
pub(crate) fn letter(origin: &[u8], time_ms: Option<i64>, key: &[u8], payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in [origin, key, payload] {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    // The producer's clock is nobody's knowledge.
    hasher.write_i64(time_ms.unwrap_or_default());
    hasher.finish()
}

/// The decimal `event-id` that a message carries.
pub(crate) fn decimal_id(message: &Message) -> Option<u64> {
    message.event_id()?.parse().ok()
}

/// The part of a row that says which event it is.
pub(crate) fn identity_part(kind: Kind, line: &[u8]) -> &[u8] {
    let layout = layout(kind);
    if layout.identity == layout.columns.len() { line } else { columns(line, layout.identity) }
}

/// The first `count` columns of a line.
pub(crate) fn columns(line: &[u8], count: usize) -> &[u8] {
    let mut tabs = line.iter().enumerate().filter(|(_, byte)| **byte == b'\t');
    match tabs.nth(count - 1) {
        Some((end, _)) => &line[..end],
        None => line,
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("the plan was checked to have no more")
}

/// Versions hold record time × 2²² + position mod 2²².
pub(crate) const POSITIONS: NonZeroU32 = NonZeroU32::new(1 << 22).expect("not 0");
