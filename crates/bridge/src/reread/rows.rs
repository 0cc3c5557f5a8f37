//! Records that are read again, as the rows they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::block::{Block, Blocks};
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Decoder, Tally};

use crate::source::kafka::window::Span;

/// Rows that gather before the largest block is worked on: enough that a question per block costs
/// little, small beside what a process may take.
const MOST_ROWS: u64 = 200_000;
/// The same in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Decodes records by their topic's route and gathers the rows, shelf by shelf.
#[derive(Debug)]
pub struct Rows {
    catalog: Arc<Catalog>,
    /// Topic to route name.
    topics: BTreeMap<String, String>,
    decoder: Option<(Span, Decoder)>,
    blocks: Blocks,
    tally: Tally,
}

impl Rows {
    /// No rows yet. `topics` says which route each topic has.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, topics: BTreeMap<String, String>) -> Self {
        let blocks = Blocks::new(Arc::clone(&catalog));
        Self { catalog, topics, decoder: None, blocks, tally: Tally::default() }
    }

    /// Decodes records of a span, as an instance would now. Returns how many are dead letters.
    pub fn add(&mut self, span: &Span, arena: &Arena) -> u32 {
        let is_same = |known: &Span| known.topic == span.topic && known.partition == span.partition;
        if !self.decoder.as_ref().is_some_and(|(known, _)| is_same(known)) {
            let route = self.topics.get(&span.topic).and_then(|name| self.catalog.route_id(name));
            let origin = format!("kafka:{}:{}", span.topic, span.partition);
            self.decoder = route
                .map(|route| Decoder::new(Arc::clone(&self.catalog), route, origin))
                .map(|decoder| (span.clone(), decoder));
        }
        self.tally.clear();
        if let Some((_, decoder)) = &mut self.decoder {
            let now = jiff::Timestamp::now().as_millisecond();
            decoder.decode(arena, now, &mut self.blocks, &mut self.tally);
        }
        self.tally.dead_letters()
    }

    /// The largest block, once the rows have grown too many; ask until there is none.
    pub fn take_full(&mut self) -> Option<Block> {
        let too_many = self.blocks.rows() > MOST_ROWS || self.blocks.bytes() > MOST_BYTES;
        if too_many { self.take_largest() } else { None }
    }

    /// The largest block; ask until there is none.
    pub fn take_largest(&mut self) -> Option<Block> {
        let largest = self.blocks.open().max_by_key(|block| block.bytes())?.shelf();
        self.blocks.take(largest)
    }

    /// Takes a block back, for the memory of the next one.
    pub fn recycle(&mut self, block: Block) {
        self.blocks.recycle(block);
    }
}
