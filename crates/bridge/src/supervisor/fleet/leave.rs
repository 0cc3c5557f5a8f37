//! The way out: members that leave the group, and the whole fleet on its way down.

use std::time::Instant;

use rustix::process::Signal;
use tracing::{info, warn};

use super::{Event, Supervisor};
use crate::config::GroupProtocol;
use crate::supervisor::kafka::LeaveError;
use crate::supervisor::member::{Stage, Then};

impl Supervisor {
    pub(super) fn take_out(&mut self, numbers: Vec<u32>) {
        let mut ids = Vec::new();
        for number in &numbers {
            if let Some(member) = self.members.get_mut(number) {
                member.stage = Stage::Leaving;
                ids.push(member.id.clone());
            }
        }
        let (leaver, events) = (self.leaver.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let result = leaver.leave(&ids).await;
            events.send(Event::Left { numbers, result }).await.ok();
        });
    }

    /// Under the consumer protocol a static id is refused for as long as its last process is in the
    /// group, and one that was killed is there until its session is over. The classic protocol gives
    /// the place of the older to the newer.
    pub(super) fn make_way(&mut self, id: String) {
        if self.options.group_protocol == GroupProtocol::Classic {
            return;
        }
        let leaver = self.leaver.clone();
        self.tasks.spawn(async move {
            if let Err(error) = leaver.leave(std::slice::from_ref(&id)).await {
                warn!(instance = id, %error, "its last process keeps its place until its session is over");
            }
        });
    }

    pub(super) fn taken_out(&mut self, numbers: &[u32], result: &Result<(), LeaveError>) {
        match result {
            Ok(()) => info!(?numbers, "taken out of the group: their partitions move now"),
            Err(error) => warn!(
                ?numbers,
                %error,
                session_ms = self.options.kafka.session_ms,
                "not taken out of the group: their partitions move when the session is over"
            ),
        }
        for number in numbers {
            if *number <= self.target && !self.going_down {
                // Asked for again meanwhile.
                if let Some(member) = self.members.get_mut(number) {
                    let why = "starting".to_owned();
                    member.stage = Stage::Waiting { until: Instant::now(), why };
                }
            } else {
                self.members.remove(number);
            }
        }
        self.left = self.going_down && self.members.is_empty();
        self.expect();
    }

    pub(super) fn interrupted(&mut self) {
        if self.going_down {
            warn!("second signal: instances end without waiting; what is open is read again later");
            for member in self.members.values() {
                if let Some(process) = &member.process {
                    process.identity.signal(Signal::TERM);
                }
            }
        } else {
            self.go_down();
        }
    }

    pub(super) fn go_down(&mut self) {
        info!("stopping all instances");
        (self.going_down, self.target, self.roll) = (true, 0, None);
        self.autoscaler = None;
        self.decision.clear();
        for number in self.members.keys().copied().collect::<Vec<_>>() {
            self.stop(number, Then::Leave);
        }
    }

    pub(super) fn leave_together(&mut self) {
        if self.members.is_empty() {
            self.left = true;
        } else if self.members.values().all(|member| member.stage == Stage::Ended) {
            self.take_out(self.members.keys().copied().collect());
        }
    }
}
