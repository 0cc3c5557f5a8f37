//! The life of a member's process: adopted, started, stopped, killed, ended.

use std::process::ExitStatus;
use std::time::Instant;

use rustix::process::Signal;
use tracing::{info, warn};

use super::{Event, KILL_AFTER, Supervisor, now_ms};
use crate::supervisor::member::{Member, Running, Stage, Then, describe};
use crate::supervisor::process::Identity;
use crate::supervisor::restart::Next;
use crate::supervisor::state::Recorded;

impl Supervisor {
    pub(super) fn adopt(&mut self, recorded: Recorded) {
        let Recorded { number, id, port, process } = recorded;
        let Some(identity) = process else {
            return;
        };
        info!(instance = id, pid = identity.pid, "adopted: it runs since before");
        let mut member = Member::new(number, id, port, self.options.launch.log(number));
        self.watch_stranger(number, identity.clone());
        member.process = Some(Running { identity, since: Instant::now(), since_ms: now_ms() });
        (member.stage, member.starts) = (Stage::Up, 1);
        self.members.insert(number, member);
    }

    fn watch_stranger(&mut self, number: u32, identity: Identity) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            identity.ended().await;
            let event = Event::Exited { number, pid: identity.pid, status: None };
            // A supervisor that is gone need not know.
            events.send(event).await.ok();
        });
    }

    pub(super) fn start(&mut self, number: u32) {
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match self.options.launch.start(number, member.port) {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                info!(instance = member.id, pid, port = member.port, "started");
                // A child that is not waited for keeps its pid: it is there.
                let identity = Identity::of(pid).unwrap_or_default();
                member.process =
                    Some(Running { identity, since: Instant::now(), since_ms: now_ms() });
                member.stage = Stage::Up;
                let events = self.events.clone();
                self.tasks.spawn(async move {
                    let status = child.wait().await.ok();
                    events.send(Event::Exited { number, pid, status }).await.ok();
                });
            }
            Err(error) => {
                warn!(instance = member.id, %error, "cannot be started");
                let until = Instant::now() + KILL_AFTER;
                member.stage = Stage::Held { until, why: format!("cannot be started: {error}") };
            }
        }
        member.starts += 1;
        self.is_written = false;
    }

    pub(super) fn stop(&mut self, number: u32, then: Then) {
        let kill_at = Instant::now() + self.options.grace + KILL_AFTER;
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        match (&member.process, &member.stage) {
            (_, Stage::Leaving) => {}
            (Some(_), Stage::Stopping { then: already, kill_at }) => {
                let then = if *already == Then::Leave { Then::Leave } else { then };
                member.stage = Stage::Stopping { kill_at: *kill_at, then };
            }
            (Some(process), _) => {
                process.identity.signal(Signal::TERM);
                member.stage = Stage::Stopping { kill_at, then };
            }
            (None, _) if then == Then::Start => {
                member.stage =
                    Stage::Waiting { until: Instant::now(), why: "is started again".to_owned() };
            }
            (None, _) => {
                member.stage = Stage::Ended;
                if !self.going_down {
                    self.take_out(vec![number]);
                }
            }
        }
    }

    pub(super) fn exited(&mut self, number: u32, pid: u32, status: Option<ExitStatus>) {
        let going_down = self.going_down;
        let Some(member) = self.members.get_mut(&number) else {
            return;
        };
        if member.process.as_ref().is_none_or(|process| process.identity.pid != pid) {
            return;
        }
        self.is_written = false;
        let uptime = member.uptime();
        member.process = None;
        match &member.stage {
            Stage::Stopping { then: Then::Start, .. } if !going_down => {
                member.stage =
                    Stage::Waiting { until: Instant::now(), why: "is started again".to_owned() };
            }
            Stage::Stopping { .. } => {
                info!(instance = member.id, pid, "stopped");
                member.stage = Stage::Ended;
                if !going_down {
                    self.take_out(vec![number]);
                }
            }
            Stage::Up
            | Stage::Waiting { .. }
            | Stage::Held { .. }
            | Stage::Leaving
            | Stage::Ended => {
                let why = describe(status, &member.log);
                let code = status.and_then(|status| status.code());
                let now = Instant::now();
                member.stage = match member.restarts.ended(uptime, code) {
                    Next::Start(pause) => {
                        warn!(instance = member.id, pid, why, ?pause, "ended; starting it again");
                        Stage::Waiting { until: now + pause, why }
                    }
                    Next::Hold(pause) => {
                        let log = member.log.display();
                        warn!(instance = member.id, pid, why, %log, ?pause, "held: it does not get going");
                        Stage::Held { until: now + pause, why }
                    }
                };
                let id = member.id.clone();
                self.make_way(id);
            }
        }
    }
}
