//! The lanes of Kafka: assigned, read, revoked; their positions committed.

use std::sync::Arc;
use std::time::Instant;

use data_bridge_core::arena::Arena;
use data_bridge_core::decode::Decoder;
use data_bridge_core::engine::Input;
use data_bridge_core::units::{LaneId, Position, origin};
use tracing::{debug, error, warn};

use super::lanes::Lane;
use super::{Ended, Held, Pipeline, wall_clock_ms};
use crate::source::kafka::Event;

impl Pipeline {
    /// Takes what the group or a partition brought.
    pub(super) fn take_event(&mut self, event: Event) {
        match event {
            Event::Assigned { lane, topic, partition, start } => {
                self.begin_lane(lane, &topic, partition, start);
            }
            Event::Fetched { lane, arena, next } => self.take_chunk(lane, arena, next),
            Event::Revoked { lanes } => {
                let deadline = self.now().after(self.revoke);
                self.tell(Input::Revoked { lanes, deadline });
            }
            Event::Lost { lanes } => {
                warn!(
                    lanes = lanes.len(),
                    "assignment lost: what is not durable is left to others"
                );
                self.lanes.remove(&lanes);
                self.tell(Input::Lost { lanes });
            }
            Event::Committed { ok: true, .. } => {
                self.report.committed();
                self.tell(Input::Committed);
            }
            Event::Committed { ok: false, error } => {
                let error = error.unwrap_or_default();
                warn!(%error, "commit refused; tried again with the newest positions");
                self.report.commit_failed();
                self.tell(Input::CommitFailed);
            }
            Event::Fatal(cause) => {
                error!(error = %cause, "the source cannot go on");
                self.ended = Some(Ended::Failed(cause));
            }
        }
    }

    fn begin_lane(&mut self, id: LaneId, topic: &str, partition: i32, start: Position) {
        let origin = origin::of(topic, partition);
        let Some(route) = self.topics.get(topic).and_then(|name| self.catalog.route_id(name))
        else {
            // Only topics with a route are subscribed to.
            error!(topic, "assigned a topic without a route");
            return;
        };
        let table = self.catalog.route(route).table;
        let name = self.catalog.route(route).name.clone();
        let decoder = Some(Decoder::new(Arc::clone(&self.catalog), route, origin.clone()));
        debug!(lane = %id, topic, partition, start = %start, "partition assigned");
        self.lanes.add(id, Lane::new(origin, table, name, decoder));
        self.tell(Input::Assigned { lane: id, start, table });
        self.hold_closed_tables();
    }

    fn take_chunk(&mut self, id: LaneId, arena: Arena, next: Position) {
        if self.stopping {
            return;
        }
        let Some(lane) = self.lanes.get_mut(id) else {
            return;
        };
        let Some(receipt) = self.engine.open(id, next, arena.bytes()) else {
            return;
        };
        self.tally.clear();
        if let Some(decoder) = &mut lane.decoder {
            decoder.decode(&arena, wall_clock_ms(), &mut self.blocks, &mut self.tally);
        }
        self.report.decoded_from_kafka(id, next, lane, &arena, &self.tally);
        let held = Held {
            origin: lane.origin.clone(),
            route: lane.route.clone(),
            arena,
            fetched: Instant::now(),
            lane: id,
            replies: Arc::default(),
        };
        self.arenas.insert(receipt.chunk(), held);
        let parts = self.tally.parts.clone();
        self.tell(Input::Decoded { receipt, parts });
    }
}
