//! The lanes this instance reads: their decoders, and who holds them still.

use std::collections::BTreeMap;

use data_bridge_core::decode::Decoder;
use data_bridge_core::units::{LaneId, TableId};

/// One lane of the pipeline.
pub(super) struct Lane {
    pub(super) origin: String,
    pub(super) table: TableId,
    pub(super) route: String,
    /// None: messages that no route takes.
    pub(super) decoder: Option<Decoder>,
    /// The engine wants no more of it: back-pressure, or its table is paused.
    pub(super) held_by_engine: bool,
    /// Its table has not been found as it should be.
    pub(super) held_by_gate: bool,
    /// What the source was told last.
    paused: bool,
}

impl Lane {
    pub(super) fn new(
        origin: String,
        table: TableId,
        route: String,
        decoder: Option<Decoder>,
    ) -> Self {
        Self {
            origin,
            table,
            route,
            decoder,
            held_by_engine: false,
            held_by_gate: false,
            paused: false,
        }
    }
}

/// All lanes, in the order of their ids.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<LaneId, Lane>,
}

/// What the source must be told after a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    pub(super) pause: Vec<LaneId>,
    pub(super) resume: Vec<LaneId>,
}

impl Lanes {
    pub(super) fn add(&mut self, id: LaneId, lane: Lane) {
        self.lanes.insert(id, lane);
    }

    pub(super) fn remove(&mut self, ids: &[LaneId]) {
        for id in ids {
            self.lanes.remove(id);
        }
    }

    pub(super) fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(&id)
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

    /// Whether all lanes are wanted still and none was told.
    pub(super) fn are_about_to_pause(&self) -> bool {
        let held = |lane: &Lane| (lane.held_by_engine || lane.held_by_gate) && !lane.paused;
        !self.lanes.is_empty() && self.lanes.values().all(held)
    }

    /// Lanes whose state differs from what the source was told; from now on they are told.
    pub(super) fn switches(&mut self) -> Switches {
        let mut switches = Switches::default();
        for (id, lane) in &mut self.lanes {
            let wanted = lane.held_by_engine || lane.held_by_gate;
            if wanted == lane.paused {
                continue;
            }
            lane.paused = wanted;
            if wanted {
                switches.pause.push(*id);
            } else {
                switches.resume.push(*id);
            }
        }
        switches
    }
}
