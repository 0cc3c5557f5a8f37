//! The lanes of NATS: each chunk acked on its own, given back when it cannot be written now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_bridge_core::arena::Arena;
use data_bridge_core::decode::{Decoder, MsgId, bury_unrouted};
use data_bridge_core::engine::{Input, Return};
use data_bridge_core::units::{ChunkId, LaneId, RouteId, TableId};
use tracing::{debug, warn};

use super::lanes::Lane;
use super::{Held, Pipeline, wall_clock_ms};
use crate::source::nats::{Event, Replies};

/// How long a stop waits for NATS: a pull expires after a second.
const QUIET_LIMIT: Duration = Duration::from_millis(1_500);

/// The lanes of one life of the stream.
#[derive(Default)]
pub(super) struct Streams {
    lanes: BTreeMap<LaneId, Lane>,
    /// Tables that cannot be written until somebody mends them.
    paused: BTreeSet<TableId>,
    msg_id: MsgId,
    /// A table was not looked at yet: in a moment it may be written, and nothing need go back.
    pub(super) unseen: bool,
}

impl Streams {
    pub(super) fn new(msg_id: MsgId) -> Self {
        Self { msg_id, ..Self::default() }
    }

    /// The engine holds these lanes, or lets them go.
    pub(super) fn hold_for_engine(&mut self, ids: &[LaneId], hold: bool) {
        for id in ids {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.held_by_engine = hold;
            }
        }
    }

    /// Holds the lanes whose table `blocked` names, lets the others go.
    pub(super) fn hold_for_gate(&mut self, blocked: impl Fn(TableId) -> bool) {
        for lane in self.lanes.values_mut() {
            lane.held_by_gate = blocked(lane.table);
        }
    }

    pub(super) fn table_paused(&mut self, table: TableId, paused: bool) {
        if paused {
            self.paused.insert(table);
        } else {
            self.paused.remove(&table);
        }
    }

    /// Whether no messages are wanted now: the buffer is full, or no route can be written. While one
    /// route can be, the messages of the others are pulled too, and given back.
    fn want_nothing(&self) -> bool {
        let mut routed = self.lanes.values().filter(|lane| lane.decoder.is_some());
        self.unseen
            || self.lanes.values().any(|lane| lane.held_by_engine)
            || routed.all(|lane| lane.held_by_gate || self.paused.contains(&lane.table))
    }
}

impl Pipeline {
    /// Takes what NATS brought.
    pub(super) fn take_nats(&mut self) {
        let Some(nats) = &mut self.nats else {
            return;
        };
        let mut events = std::mem::take(&mut self.nats_events);
        nats.take(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Begun { lane, route, origin } => self.begin_stream(lane, route, origin),
                Event::Ended { lanes } => {
                    for lane in &lanes {
                        self.streams.lanes.remove(lane);
                    }
                    self.tell(Input::Lost { lanes });
                }
                Event::Fetched { lane, arena, replies } => {
                    self.take_messages(lane, arena, &replies);
                }
            }
        }
        self.nats_events = events;
    }

    /// Whether a stop may begin: NATS brings nothing more, or is not waited for any longer.
    pub(super) fn nats_is_quiet(&mut self) -> bool {
        let Some(nats) = &self.nats else {
            return true;
        };
        nats.stop();
        let since = *self.nats_stopped.get_or_insert_with(Instant::now);
        nats.is_quiet() || since.elapsed() > QUIET_LIMIT
    }

    /// Sends acks, and says whether more is wanted. At the end of a turn.
    pub(super) fn answer_nats(&mut self) {
        let hold = self.streams.want_nothing();
        if let Some(nats) = &mut self.nats {
            nats.hold(hold);
            nats.flush();
        }
    }

    fn begin_stream(&mut self, id: LaneId, route: Option<RouteId>, origin: String) {
        let catalog = &self.catalog;
        let lane = match route {
            Some(route) => {
                let decoder = Decoder::new(Arc::clone(catalog), route, origin.clone());
                let decoder = Some(decoder.with_msg_id(self.streams.msg_id));
                let route = catalog.route(route);
                Lane::new(origin, route.table, route.name.clone(), decoder)
            }
            None => Lane::new(origin, catalog.dead_letters(), String::new(), None),
        };
        let table = lane.table;
        debug!(lane = %id, route = lane.route, origin = lane.origin, "stream lane begins");
        self.streams.lanes.insert(id, lane);
        self.tell(Input::StreamAssigned { lane: id, table });
        self.hold_closed_tables();
    }

    fn take_messages(&mut self, id: LaneId, arena: Arena, replies: &Arc<Replies>) {
        let Some(lane) = self.streams.lanes.get_mut(&id) else {
            return;
        };
        let receipt = if lane.held_by_gate {
            None
        } else {
            self.engine.open_of_stream(id, arena.bytes() + replies.bytes())
        };
        let Some(receipt) = receipt else {
            self.refuse(id, &arena, replies);
            return;
        };
        self.tally.clear();
        let now_ms = wall_clock_ms();
        match &mut lane.decoder {
            Some(decoder) => decoder.decode(&arena, now_ms, &mut self.blocks, &mut self.tally),
            None => bury_unrouted(
                &arena,
                &lane.origin,
                now_ms,
                &self.catalog,
                &mut self.blocks,
                &mut self.tally,
            ),
        }
        self.report.decoded_from_nats(lane, &arena, &self.tally);
        let held = Held {
            origin: lane.origin.clone(),
            route: lane.route.clone(),
            arena,
            fetched: Instant::now(),
            replies: Arc::clone(replies),
            lane: id,
        };
        self.arenas.insert(receipt.chunk(), held);
        let parts = self.tally.parts.clone();
        self.tell(Input::Decoded { receipt, parts });
    }

    /// Messages that cannot be taken now: others may have them, or they come again later.
    fn refuse(&mut self, id: LaneId, arena: &Arena, replies: &Arc<Replies>) {
        let Some(nats) = &mut self.nats else {
            return;
        };
        if replies.is_empty() {
            nats.dropped(id, arena.len() as u64);
        } else if self.stopping {
            nats.give_back(replies);
        } else {
            nats.give_back_later(replies);
        }
    }

    pub(super) fn ack(&mut self, chunk: ChunkId) {
        if let (Some(nats), Some(held)) = (&mut self.nats, self.arenas.get(&chunk)) {
            nats.ack(&held.replies);
        }
    }

    pub(super) fn working(&mut self, chunk: ChunkId) {
        if let (Some(nats), Some(held)) = (&mut self.nats, self.arenas.get(&chunk)) {
            nats.working(&held.replies);
        }
    }

    pub(super) fn give_back(&mut self, chunk: ChunkId, when: Return) {
        let (Some(nats), Some(held)) = (&mut self.nats, self.arenas.get(&chunk)) else {
            return;
        };
        match when {
            Return::AtOnce => nats.give_back(&held.replies),
            Return::Later => nats.give_back_later(&held.replies),
        }
    }

    /// What core NATS brought and nobody could write before the end is lost, and counted.
    pub(super) fn count_abandoned(&mut self) {
        let Some(nats) = &self.nats else {
            return;
        };
        let core = |held: &&Held| held.origin.starts_with("nats-core:");
        let mut lost = 0;
        for held in self.arenas.values().filter(core) {
            let count = held.arena.len() as u64;
            nats.dropped(held.lane, count);
            lost += count;
        }
        if lost > 0 {
            warn!(messages = lost, "messages of core NATS could not be written before the end");
        }
    }
}
