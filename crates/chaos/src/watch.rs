//! What is looked at all the while: memory, descriptors, commits, and who died on his own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use data_bridge_lab::kafka::Offsets;
use data_bridge_lab::process::Process;
use serde_json::{Value, json};

use crate::ground::{BUDGET_MIB, GROUP, Ground, locked};
use crate::journal::Journal;

const MIB: u64 = 1 << 20;
/// What an instance may take at any lag: its budget and 64 MiB.
const MOST_RSS: u64 = (BUDGET_MIB + 64) * MIB;
/// Sockets to one broker and one ClickHouse, an event loop or two, a log: some thirty.
const MOST_DESCRIPTORS: u64 = 200;
/// A slope of memory is told from noise only over so long.
const LEAST_FOR_SLOPE: Duration = Duration::from_mins(5);
/// Where a slope of memory is a fault: at more than 1 % per hour, over at least an hour.
const LEAST_FOR_VERDICT: Duration = Duration::from_hours(1);
const MOST_SLOPE: f64 = 1.0;

/// What was seen of the instances.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    most_rss: u64,
    most_descriptors: u64,
    deaths: u64,
    /// By process: seconds and bytes.
    lives: BTreeMap<u32, Vec<(f64, u64)>>,
    too_large: Vec<u32>,
}

impl Sight {
    /// Looks at every instance that no fault holds.
    pub(crate) fn look(&self, ground: &Ground, journal: &Journal) {
        for instance in &ground.instances {
            let Ok(mut bridge) = instance.try_lock() else {
                continue;
            };
            if let Some(status) = bridge.process().exited() {
                let (id, tail) = (bridge.id().to_owned(), bridge.process().log_tail());
                journal.wrong(&format!("{id} ended by itself with {status}\n{tail}"));
                locked(&self.seen).deaths += 1;
                if let Err(error) = bridge.restart() {
                    journal.wrong(&format!("{id} cannot be started again: {error:#}"));
                }
                continue;
            }
            self.measure(bridge.process().pid(), bridge.id(), journal);
        }
    }

    fn measure(&self, pid: u32, id: &str, journal: &Journal) {
        let Some(now) = Process::look(pid) else {
            return;
        };
        let mut seen = locked(&self.seen);
        seen.most_rss = seen.most_rss.max(now.rss_bytes);
        seen.most_descriptors = seen.most_descriptors.max(now.descriptors);
        seen.lives.entry(pid).or_default().push((journal.elapsed().as_secs_f64(), now.rss_bytes));
        let large = now.rss_bytes > MOST_RSS || now.descriptors > MOST_DESCRIPTORS;
        if large && !seen.too_large.contains(&pid) {
            seen.too_large.push(pid);
            journal.wrong(&format!(
                "{id} takes {} MiB of {} and {} descriptors of {MOST_DESCRIPTORS}",
                now.rss_bytes / MIB,
                MOST_RSS / MIB,
                now.descriptors
            ));
        }
    }

    /// The figures, and what is wrong about them.
    pub(crate) fn report(&self, journal: &Journal) -> Value {
        let seen = locked(&self.seen);
        let longest = seen.lives.values().max_by(|a, b| lasts(a).total_cmp(&lasts(b)));
        let slope = longest.and_then(|life| slope_per_hour(life));
        if let (Some(slope), Some(life)) = (slope, longest)
            && slope > MOST_SLOPE
            && lasts(life) >= LEAST_FOR_VERDICT.as_secs_f64()
        {
            journal.wrong(&format!("memory grows by {slope:.1} % per hour"));
        }
        json!({
            "most_rss_mib": seen.most_rss / MIB,
            "limit_rss_mib": MOST_RSS / MIB,
            "most_descriptors": seen.most_descriptors,
            "died_by_themselves": seen.deaths,
            "longest_life_s": longest.map(|life| lasts(life).round()),
            "rss_slope_percent_per_hour": slope,
        })
    }
}

fn lasts(life: &[(f64, u64)]) -> f64 {
    match (life.first(), life.last()) {
        (Some((first, _)), Some((last, _))) => last - first,
        _ => 0.0,
    }
}

/// Least squares over the last three quarters of a life, in percent of their mean.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory fit 53 bits")]
fn slope_per_hour(life: &[(f64, u64)]) -> Option<f64> {
    if lasts(life) < LEAST_FOR_SLOPE.as_secs_f64() {
        return None;
    }
    let warm = &life[life.len() / 4..];
    let count = warm.len() as f64;
    let mean_at = warm.iter().map(|(at, _)| at).sum::<f64>() / count;
    let mean = warm.iter().map(|(_, rss)| *rss as f64).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (at, rss) in warm {
        above += (at - mean_at) * (*rss as f64 - mean);
        below += (at - mean_at) * (at - mean_at);
    }
    Some(above / below * 3_600.0 / mean * 100.0)
}

/// Committed offsets, which never go back.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    last: BTreeMap<(String, i32), i64>,
    moves: u64,
}

impl Commits {
    /// Asks the broker; one that does not answer is asked again later.
    pub(crate) fn look(&mut self, offsets: &Offsets, journal: &Journal) {
        let Ok(now) = offsets.read(&Ground::topics()) else {
            return;
        };
        for offset in now {
            let Some(committed) = offset.committed else {
                continue;
            };
            let place = (offset.topic.clone(), offset.partition);
            let before = self.last.insert(place, committed).unwrap_or(committed);
            self.moves += u64::from(committed > before);
            if committed < before {
                journal.wrong(&format!("{offset}: a commit went back from {before}"));
            }
        }
    }

    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }
}

/// Asks the broker of the run about its group.
pub(crate) fn offsets(ground: &Ground) -> anyhow::Result<Offsets> {
    Ok(Offsets::of_group(&ground.bootstrap, GROUP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_told_in_percent_per_hour() {
        let flat: Vec<_> = (0..3_600).map(|at| (f64::from(at), 1_000_000)).collect();
        assert!(slope_per_hour(&flat).unwrap().abs() < 1e-9);
        let growing: Vec<_> =
            (0..3_600_u32).map(|at| (f64::from(at), 36_000_000 + u64::from(at) * 100)).collect();
        let slope = slope_per_hour(&growing).unwrap();
        assert!((0.9..1.1).contains(&slope), "{slope}");
        assert_eq!(slope_per_hour(&flat[..200]), None);
    }
}
