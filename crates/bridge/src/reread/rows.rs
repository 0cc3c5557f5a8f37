//! Records that are read again, as the rows they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_bridge_core::arena::Arena;
use data_bridge_core::block::{Block, Blocks};
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Decoder, MsgId, Tally, bury_unrouted};
use data_bridge_core::units::{RouteId, origin};

use crate::config::Config;
use crate::source::kafka::window::Span;

/// Rows that gather before the largest block is worked on: enough that a question per block costs
/// little, small beside what a process may take.
const MOST_ROWS: u64 = 200_000;
/// The same in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Decodes records by the route of their topic or subject and gathers the rows, shelf by shelf.
#[derive(Debug)]
pub struct Rows {
    catalog: Arc<Catalog>,
    /// Topic to route name.
    topics: BTreeMap<String, String>,
    decoder: Option<(Span, Decoder)>,
    /// What rows of the stream call it.
    stream: String,
    of_stream: BTreeMap<RouteId, Decoder>,
    msg_id: MsgId,
    blocks: Blocks,
    tally: Tally,
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, config: &Config) -> Self {
        let msg_id =
            if config.nats.msg_id_is_event_id { MsgId::IsEventId } else { MsgId::default() };
        Self {
            blocks: Blocks::new(Arc::clone(&catalog)),
            catalog,
            topics: config.kafka.topics.clone(),
            decoder: None,
            stream: format!("nats:{}", config.nats.stream),
            of_stream: BTreeMap::new(),
            msg_id,
            tally: Tally::default(),
        }
    }

    /// Decodes records of a span, as an instance would now. Returns how many are dead letters.
    pub(super) fn add(&mut self, span: &Span, arena: &Arena) -> u32 {
        let is_same = |known: &Span| known.topic == span.topic && known.partition == span.partition;
        if !self.decoder.as_ref().is_some_and(|(known, _)| is_same(known)) {
            let route = self.topics.get(&span.topic).and_then(|name| self.catalog.route_id(name));
            let origin = origin::of(&span.topic, span.partition);
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

    /// The same for messages of the stream; those of subjects that no route takes have none.
    pub(super) fn add_messages(&mut self, route: Option<RouteId>, arena: &Arena) -> u32 {
        self.tally.clear();
        let now = jiff::Timestamp::now().as_millisecond();
        let (blocks, tally) = (&mut self.blocks, &mut self.tally);
        match route {
            Some(route) => {
                let decoder = self.of_stream.entry(route).or_insert_with(|| {
                    let (catalog, origin) = (Arc::clone(&self.catalog), self.stream.clone());
                    Decoder::new(catalog, route, origin).with_msg_id(self.msg_id)
                });
                decoder.decode(arena, now, blocks, tally);
            }
            None => bury_unrouted(arena, &self.stream, now, &self.catalog, blocks, tally),
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
