//! Doing a fault, and making it good again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_bridge_lab::proxy::{self, Direction};
use data_bridge_stack::bridge::Bridge;

use crate::fault::{CODES, Fault, INSTANCES, Peer, Trouble};
use crate::ground::{Ground, Weather, locked, pause};

/// An instance drains within its grace limit of 25 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// A rolling restart goes on to the next instance when this one works again, or after so long:
/// other faults may keep it from that.
const READY_LIMIT: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(50);

/// Returns when all is as before, as far as it was this fault that changed it.
pub(crate) fn perform(ground: &Ground, fault: &Fault) -> Result<()> {
    let lasts = fault.lasts();
    match *fault {
        Fault::KillInstance { instance, .. } => {
            let mut bridge = locked(&ground.instances[instance]);
            bridge.process().kill()?;
            pause(lasts);
            bridge.restart()
        }
        Fault::KillKafka { .. } => {
            let mut kafka = locked(&ground.kafka);
            kafka.kill()?;
            pause(lasts);
            kafka.restart()
        }
        Fault::KillClickHouse { .. } => {
            let mut clickhouse = locked(&ground.clickhouse);
            clickhouse.kill()?;
            pause(lasts);
            clickhouse.restart()
        }
        Fault::FreezeInstance { instance, .. } => {
            let bridge = locked(&ground.instances[instance]);
            bridge.process().freeze();
            pause(lasts);
            bridge.process().thaw();
            Ok(())
        }
        Fault::FreezeKafka { .. } => {
            let kafka = locked(&ground.kafka);
            kafka.process().freeze();
            pause(lasts);
            kafka.process().thaw();
            Ok(())
        }
        Fault::FreezeClickHouse { .. } => {
            let clickhouse = locked(&ground.clickhouse);
            clickhouse.process().freeze();
            pause(lasts);
            clickhouse.process().thaw();
            Ok(())
        }
        Fault::KillNats { .. } => {
            let mut nats = locked(&ground.nats);
            nats.kill()?;
            pause(lasts);
            nats.restart()
        }
        Fault::FreezeNats { .. } => {
            let nats = locked(&ground.nats);
            nats.process().freeze();
            pause(lasts);
            nats.process().thaw();
            Ok(())
        }
        Fault::Link { instance, to, how, .. } => {
            let how = match how {
                Trouble::Reset => proxy::Fault::Reset,
                Trouble::Refused => proxy::Fault::Refuse,
                Trouble::Silent => proxy::Fault::BlackHole,
                Trouble::Delayed { each_ms } => proxy::Fault::Delay(Duration::from_millis(each_ms)),
                Trouble::Throttled { bytes_per_second } => {
                    proxy::Fault::Throttle { bytes_per_second }
                }
            };
            disturb(ground, instance, to, how, lasts);
            Ok(())
        }
        Fault::LoseAnswers { instance, nth, .. } => {
            let how = proxy::Fault::CutInsertAnswer { nth };
            disturb(ground, instance, Peer::ClickHouse, how, lasts);
            Ok(())
        }
        Fault::CutRequests { instance, bytes, .. } => {
            let how = proxy::Fault::CutAfter { direction: Direction::ToServer, bytes };
            disturb(ground, instance, Peer::ClickHouse, how, lasts);
            Ok(())
        }
        Fault::Refuse { code, done, .. } => {
            let name = CODES.iter().find(|(known, _)| *known == code).map_or("", |(_, name)| name);
            ground.set_weather(Weather::Refuse { code, name, done });
            pause(lasts);
            ground.set_weather(Weather::Fine);
            Ok(())
        }
        Fault::SlowInserts { each_ms, .. } => {
            ground.set_weather(Weather::Slow(Duration::from_millis(each_ms)));
            pause(lasts);
            ground.set_weather(Weather::Fine);
            Ok(())
        }
        Fault::Guest { .. } => {
            let guest = ground.launch(INSTANCES)?;
            pause(lasts);
            drain(&guest)
        }
        Fault::RollingRestart => roll(ground),
    }
}

fn disturb(ground: &Ground, instance: usize, to: Peer, how: proxy::Fault, lasts: Duration) {
    let link = ground.link(instance, to);
    link.set(how);
    pause(lasts);
    link.set(proxy::Fault::Pass);
}

fn roll(ground: &Ground) -> Result<()> {
    for instance in &ground.instances {
        let mut bridge = locked(instance);
        drain(&bridge)?;
        bridge.restart()?;
        let began = std::time::Instant::now();
        while !bridge.status().ready && began.elapsed() < READY_LIMIT {
            pause(PACE);
        }
    }
    Ok(())
}

/// Ends an instance in order.
pub(crate) fn drain(bridge: &Bridge) -> Result<()> {
    let process = bridge.process();
    // One that another fault has just started knows no signals yet.
    let began = std::time::Instant::now();
    while !bridge.status().answers && began.elapsed() < READY_LIMIT {
        pause(PACE);
    }
    process.terminate();
    match process.wait_exit(DRAIN_LIMIT) {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{} drained with {status}\n{}", bridge.id(), process.log_tail()),
        None => {
            let tail = process.log_tail();
            process.kill().context("after it did not drain")?;
            bail!("{} did not drain within {DRAIN_LIMIT:?}\n{tail}", bridge.id())
        }
    }
}
