//! Letters once more: decoded by today's routes, sent with origin, position and version as before.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::block::Blocks;
use data_bridge_core::catalog::{Catalog, Severity};
use data_bridge_core::decode::{Decoder, SUBJECT_HEADER, Tally};
use data_bridge_core::units::{Position, RouteId, Shelf, TableId, origin};

use super::{Letters, LettersError, Whole};
use crate::sink::deliver::{deliver, patiently};
use crate::sink::tables::{Found, look_at};

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a row of its table now, and marked; or would be.
    Replayed,
    /// It stays, for this reason.
    Stays(String),
}

/// Replays letters.
#[derive(Debug)]
pub struct Replayer<'a> {
    letters: &'a Letters,
    catalog: Arc<Catalog>,
    /// Topic to route name, as of today.
    topics: &'a BTreeMap<String, String>,
    /// What keeps a table from being written; asked once.
    tables: BTreeMap<TableId, Option<String>>,
    dry_run: bool,
}

impl<'a> Replayer<'a> {
    /// A replayer by these routes; with `dry_run` it sends nothing.
    #[must_use]
    pub fn new(
        letters: &'a Letters,
        catalog: Arc<Catalog>,
        topics: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { letters, catalog, topics, tables: BTreeMap::new(), dry_run: false }
    }

    /// Sends nothing and marks nothing, only says what would become of the letters.
    #[must_use]
    pub fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Replays these letters; an outcome for each. What is sent and not marked, since the process
    /// ended in between, is replayed again without harm.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn replay(
        &mut self,
        wholes: &[Whole],
        now_ms: i64,
    ) -> Result<Vec<Outcome>, LettersError> {
        let mut outcomes = vec![Outcome::Replayed; wholes.len()];
        let mut blocks = Blocks::new(Arc::clone(&self.catalog));
        // Per shelf, the letter of each row.
        let mut shelves: BTreeMap<Shelf, Vec<usize>> = BTreeMap::new();
        for (index, whole) in wholes.iter().enumerate() {
            match self.decode(whole, now_ms, &mut blocks).await? {
                Ok(shelf) => shelves.entry(shelf).or_default().push(index),
                Err(stays) => outcomes[index] = Outcome::Stays(stays),
            }
        }
        if self.dry_run {
            return Ok(outcomes);
        }
        for (shelf, letters) in &shelves {
            let Some(block) = blocks.take(*shelf) else { continue };
            let table = self.catalog.table(shelf.table);
            let all = 0..block.rows();
            for refused in deliver(&self.letters.clickhouse, table, &block, all).await? {
                let index = letters[refused.row as usize];
                outcomes[index] = Outcome::Stays(refused.failure.to_string());
            }
        }
        let replayed = wholes.iter().zip(&outcomes);
        let replayed = replayed.filter(|(_, outcome)| **outcome == Outcome::Replayed);
        let ids: Vec<_> = replayed.map(|(whole, _)| whole.letter.id.clone()).collect();
        self.letters.mark_replayed(&ids, now_ms).await?;
        Ok(outcomes)
    }

    /// Puts a letter's row onto its shelf, or says why it is still a dead letter.
    async fn decode(
        &mut self,
        whole: &Whole,
        now_ms: i64,
        blocks: &mut Blocks,
    ) -> Result<Result<Shelf, String>, LettersError> {
        let Some(route) = self.route(whole) else {
            return Ok(Err(format!("there is no route {:?} for it", whole.letter.route)));
        };
        let table = self.catalog.route(route).table;
        if let Some(unfit) = self.unfit(table).await? {
            return Ok(Err(unfit));
        }
        let origin = whole.letter.id.origin.clone();
        let mut decoder = Decoder::new(Arc::clone(&self.catalog), route, origin);
        let mut trial = Blocks::new(Arc::clone(&self.catalog));
        let mut tally = Tally::default();
        let arena = arena(whole);
        decoder.decode(&arena, now_ms, &mut trial, &mut tally);
        if let Some((reason, _)) = tally.dead.first() {
            return Ok(Err(format!("it is still refused: {}", reason.name())));
        }
        tally.clear();
        decoder.decode(&arena, now_ms, blocks, &mut tally);
        let shelf = tally.parts.first().map(|part| part.shelf);
        Ok(shelf.ok_or_else(|| "it became no row".to_owned()))
    }

    /// The route that such a message takes today: its topic's, else the one it had.
    fn route(&self, whole: &Whole) -> Option<RouteId> {
        let topic = origin::parse(&whole.letter.id.origin).map(|(topic, _)| topic);
        let name = topic.and_then(|topic| self.topics.get(topic));
        self.catalog.route_id(name.unwrap_or(&whole.letter.route))
    }

    async fn unfit(&mut self, id: TableId) -> Result<Option<String>, LettersError> {
        if let Some(known) = self.tables.get(&id) {
            return Ok(known.clone());
        }
        let table = self.catalog.table(id);
        let found = patiently(|| look_at(&self.letters.clickhouse, table)).await?;
        let unfit = match found {
            Found::Missing => Some(format!("table {} does not exist", table.name)),
            Found::Table { mismatches } => {
                let error = mismatches.iter().find(|found| found.severity == Severity::Error);
                error.map(ToString::to_string)
            }
        };
        self.tables.insert(id, unfit.clone());
        Ok(unfit)
    }
}

/// The message as it was received.
fn arena(whole: &Whole) -> Arena {
    let Whole { letter, key, payload, headers } = whole;
    // An absent value is kept as an empty one; only its reason tells.
    let payload = (letter.id.reason != "tombstone").then_some(payload.as_slice());
    let is_stream = letter.id.origin.starts_with("nats");
    let subject = headers.iter().rev().find(|(name, _)| name == SUBJECT_HEADER.as_bytes());
    let subject = subject.filter(|_| is_stream).and_then(|(_, value)| str::from_utf8(value).ok());
    let headers = headers.iter().map(|(name, value)| (name.as_slice(), Some(value.as_slice())));
    let mut arena = Arena::new();
    let (position, time) = (Position(letter.id.position), letter.id.received_ms);
    arena.push(position, time, Some(key), payload, subject, headers);
    arena
}
