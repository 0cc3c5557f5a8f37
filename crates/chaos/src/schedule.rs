//! Which fault happens when: a function of the seed.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{CODES, Fault, INSTANCES, Part, Peer, Trouble};

/// A fault and its time, counted from the first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    #[serde(flatten)]
    pub(crate) fault: Fault,
}

/// Longer than the session of 6 s: others take over, and the frozen one comes back as a zombie.
const BEYOND_SESSION: u64 = 8_000;
/// What was killed needs its time before it is hit again.
const RECOVERY_MS: u64 = 4_000;
/// A broker needs more: Kafka 4.3.1 that is frozen while it loads its groups loses their coordinator
/// ("No in-memory snapshot for epoch" in its log), and then what it knew of their members, for good.
const KAFKA_RECOVERY_MS: u64 = 20_000;
/// So many at once leave nothing that flows.
const AT_ONCE: usize = 3;
/// The last moments are left alone, so that the last faults end under load.
const QUIET_END: Duration = Duration::from_secs(5);
/// Kinds of faults in [`draw`].
const KINDS: usize = 25;

/// Faults over `length`, one each `every` on average. Every kind comes once before one comes twice.
pub(crate) fn of(seed: u64, length: Duration, every: Duration) -> Vec<Step> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut bag: Vec<usize> = Vec::new();
    let mut busy: HashMap<Part, u64> = HashMap::new();
    let mut ends: Vec<u64> = Vec::new();
    let mut steps = Vec::new();
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
    let length = u64::try_from(length.saturating_sub(QUIET_END).as_millis()).unwrap_or(u64::MAX);
    let mut at_ms = every / 2;
    while at_ms < length {
        if bag.is_empty() {
            bag = (0..KINDS).collect();
            chance.shuffle(&mut bag);
        }
        ends.retain(|end| *end > at_ms);
        let free = |fault: &Fault| {
            fault.parts().iter().all(|part| busy.get(part).is_none_or(|until| *until <= at_ms))
        };
        // What cannot happen now stays in the bag for the next time.
        let found = (0..bag.len()).rev().find_map(|place| {
            let fault = draw(bag[place], &mut chance);
            free(&fault).then_some((place, fault))
        });
        if let (true, Some((place, fault))) = (ends.len() < AT_ONCE, found) {
            bag.remove(place);
            let end = at_ms + u64::try_from(fault.lasts().as_millis()).unwrap_or(u64::MAX);
            ends.push(end);
            for part in fault.parts() {
                busy.insert(part, end + recovery_ms(&fault));
            }
            steps.push(Step { at_ms, fault });
        }
        at_ms += chance.u64(every / 2..=every * 3 / 2);
    }
    steps
}

fn recovery_ms(fault: &Fault) -> u64 {
    match fault {
        Fault::KillKafka { .. } => KAFKA_RECOVERY_MS,
        _ => RECOVERY_MS,
    }
}

fn draw(kind: usize, chance: &mut fastrand::Rng) -> Fault {
    let instance = chance.usize(..INSTANCES);
    let short = chance.u64(300..4_000);
    let link = |to, how, ms| Fault::Link { instance, to, how, ms };
    match kind {
        0 | 1 => Fault::KillInstance { instance, ms: chance.u64(0..9_000) },
        2 => Fault::KillKafka { ms: chance.u64(0..2_000) },
        3 => Fault::KillClickHouse { ms: short },
        4 => Fault::FreezeInstance { instance, ms: short },
        5 => Fault::FreezeInstance { instance, ms: chance.u64(BEYOND_SESSION..12_000) },
        6 => Fault::FreezeKafka { ms: short },
        7 => Fault::FreezeClickHouse { ms: short },
        8 => link(Peer::Kafka, Trouble::Reset, 100),
        9 => link(Peer::Kafka, Trouble::Silent, chance.u64(1_000..12_000)),
        10 => link(Peer::Kafka, Trouble::Delayed { each_ms: chance.u64(20..400) }, short),
        11 => link(Peer::ClickHouse, Trouble::Reset, 100),
        12 => link(Peer::ClickHouse, Trouble::Silent, chance.u64(1_000..8_000)),
        13 => {
            let bytes_per_second = chance.u64(20_000..200_000);
            link(Peer::ClickHouse, Trouble::Throttled { bytes_per_second }, short)
        }
        14 => {
            let to = if chance.bool() { Peer::Kafka } else { Peer::ClickHouse };
            link(to, Trouble::Refused, short)
        }
        15 => Fault::LoseAnswers { instance, nth: chance.u64(1..4), ms: short },
        16 => Fault::CutRequests { instance, bytes: chance.u64(1..60_000), ms: short },
        17 => {
            let (code, _) = CODES[chance.usize(..CODES.len())];
            Fault::Refuse { code, done: chance.bool(), ms: short }
        }
        18 => Fault::SlowInserts { each_ms: chance.u64(200..5_000), ms: chance.u64(2_000..8_000) },
        19 => Fault::Guest { ms: chance.u64(2_000..8_000) },
        20 => Fault::KillNats { ms: short },
        21 => Fault::FreezeNats { ms: chance.u64(300..8_000) },
        22 => link(Peer::Nats, Trouble::Reset, 100),
        23 => {
            let how = if chance.bool() { Trouble::Silent } else { Trouble::Refused };
            link(Peer::Nats, how, chance.u64(300..8_000))
        }
        _ => Fault::RollingRestart,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_seed_gives_the_same_faults_each_time_and_another_gives_others() {
        let of_seed = |seed| of(seed, MINUTE * 5, Duration::from_secs(4));
        assert_eq!(of_seed(7), of_seed(7));
        assert_ne!(of_seed(7), of_seed(8));
    }

    #[test]
    fn every_kind_of_fault_happens_in_ten_minutes_and_no_part_has_two_at_once() {
        for seed in 0..50 {
            let steps = of(seed, MINUTE * 10, Duration::from_secs(4));
            let mut names: Vec<_> = steps.iter().map(|step| step.fault.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 15, "seed {seed}: {names:?}");
            for (index, step) in steps.iter().enumerate() {
                let lasts = u64::try_from(step.fault.lasts().as_millis()).unwrap();
                let end = step.at_ms + lasts + recovery_ms(&step.fault);
                for other in steps[index + 1..].iter().filter(|other| other.at_ms < end) {
                    let (ours, theirs) = (step.fault.parts(), other.fault.parts());
                    assert!(!ours.iter().any(|part| theirs.contains(part)), "{step:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_step_is_read_as_it_was_written() {
        for step in of(3, MINUTE * 10, Duration::from_secs(4)) {
            let line = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&line).unwrap(), step, "{line}");
        }
    }
}
