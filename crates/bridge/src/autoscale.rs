//! How many instances a fleet should have. A pure function of what was seen so far: no clock, no
//! I/O, so that thousands of lag curves can be tried.
//!
//! It grows when lag stays high, work is being done, and one instance more would catch up sooner
//! than waiting, the pause of a rebalance included. It shrinks after a quiet time. A growth soon
//! after a shrink was a mistake: the next shrink waits twice as long.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Autoscale;

/// What a rebalance costs: members stand still until all have joined anew, a heartbeat of 1 s and
/// the first fetch; measured 1 to 2 s.
const REBALANCE: Duration = Duration::from_secs(2);
/// The trend of the lag is over this time.
const TREND: Duration = Duration::from_secs(10);
/// Lag below this share of the threshold is quiet.
const QUIET_SHARE: u64 = 2;
/// After a change so large a part of the time that a lag must last is waited before the next growth:
/// by default 15 s, a rebalance and a new trend. The lag that called for the first one still does.
const COOL_DOWN_PART: u32 = 2;
/// A shrink that was a mistake doubles the quiet time, this often at most.
const MOST_DOUBLINGS: u32 = 3;

/// A fleet at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Time since the supervisor began; never goes back.
    pub at: Duration,
    /// Instances that are wanted.
    pub instances: u32,
    /// Instances that are ready.
    pub ready: u32,
    /// Partitions of the topic that has the most; 0 while nobody knows.
    pub partitions: u32,
    /// Messages between commits and ends, over the whole fleet.
    pub lag: u64,
    /// Durable rows a second, over the whole fleet.
    pub rows_per_second: f64,
}

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Instances from now on; the number there was to keep it.
    pub instances: u32,
    /// The figures behind it.
    pub why: String,
}

/// Remembers what the policy needs of the past.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    policy: Autoscale,
    above_since: Option<Duration>,
    quiet_since: Option<Duration>,
    /// What was decided last; another number of instances is somebody's wish.
    decided: Option<u32>,
    wished_at: Option<Duration>,
    changed_at: Option<Duration>,
    shrunk_at: Option<Duration>,
    doublings: u32,
    trend: VecDeque<(Duration, u64)>,
}

impl Autoscaler {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(policy: Autoscale) -> Self {
        Self {
            policy,
            above_since: None,
            quiet_since: None,
            decided: None,
            wished_at: None,
            changed_at: None,
            shrunk_at: None,
            doublings: 0,
            trend: VecDeque::new(),
        }
    }

    /// Takes a look at the fleet, at most each second or so.
    pub fn decide(&mut self, sight: Sight) -> Decision {
        self.remember(&sight);
        let decision = self.judge(sight);
        self.decided = Some(decision.instances);
        decision
    }

    /// What was decided could not be done: there are still so many, and nobody wished for them.
    pub fn refused(&mut self, instances: u32) {
        self.decided = Some(instances);
    }

    fn judge(&mut self, sight: Sight) -> Decision {
        let keep = |why: String| Decision { instances: sight.instances, why };
        let (least, most) = self.bounds(&sight);
        if sight.instances < least {
            let quiet = self.policy.quiet;
            let wished = self.wished_at.map(|at| sight.at.saturating_sub(at));
            if let Some(ago) = wished.filter(|ago| *ago < quiet) {
                return keep(format!(
                    "{} were asked for {} s ago; {least} again {} s after that",
                    sight.instances,
                    ago.as_secs(),
                    quiet.as_secs()
                ));
            }
            return self.change(&sight, least, format!("never fewer than {least}"));
        }
        if sight.instances > most {
            // Somebody asked for more by hand, or partitions are fewer than the least.
            return keep(format!("{} instances were asked for", sight.instances));
        }
        if sight.ready < sight.instances {
            return keep(format!("{} of {} are ready", sight.ready, sight.instances));
        }
        if let Some(since) = self.above_since {
            self.grow(&sight, sight.at.saturating_sub(since), most)
        } else if let Some(since) = self.quiet_since {
            self.shrink(&sight, sight.at.saturating_sub(since), least)
        } else {
            keep(format!("lag {} is neither high nor low", sight.lag))
        }
    }

    fn bounds(&self, sight: &Sight) -> (u32, u32) {
        let partitions = if sight.partitions == 0 { u32::MAX } else { sight.partitions };
        let most = self.policy.max.get().min(partitions);
        (self.policy.min.get().min(most), most)
    }

    fn remember(&mut self, sight: &Sight) {
        if self.decided.is_some_and(|decided| decided != sight.instances) {
            self.wished_at = Some(sight.at);
            self.changed_at = Some(sight.at);
            self.trend.clear();
        }
        let is_above = sight.lag > self.policy.lag.get();
        let is_quiet = sight.lag <= self.policy.lag.get() / QUIET_SHARE;
        self.above_since = is_above.then(|| self.above_since.unwrap_or(sight.at));
        self.quiet_since = is_quiet.then(|| self.quiet_since.unwrap_or(sight.at));
        self.trend.push_back((sight.at, sight.lag));
        while self.trend.len() > 2 && sight.at.saturating_sub(self.trend[1].0) >= TREND {
            self.trend.pop_front();
        }
    }

    fn grow(&mut self, sight: &Sight, above: Duration, most: u32) -> Decision {
        let keep = |why: String| Decision { instances: sight.instances, why };
        let lag = sight.lag;
        let (since_change, wanted) = (self.since_change(sight), self.policy.for_time);
        if above < wanted {
            let (waited, wanted) = (above.as_secs(), wanted.as_secs());
            return keep(format!("lag {lag} is high since {waited} s, waiting for {wanted} s"));
        }
        let cool_down = wanted / COOL_DOWN_PART;
        if since_change < cool_down {
            let (waited, wanted) = (since_change.as_secs(), cool_down.as_secs());
            return keep(format!(
                "lag {lag} is high, changed {waited} s ago, waiting for {wanted} s"
            ));
        }
        if sight.instances >= most {
            return keep(format!("lag {lag} is high, and {most} instances are the most"));
        }
        if sight.rows_per_second < 1.0 {
            return keep(format!(
                "lag {lag} is high and no row becomes durable: more would not help"
            ));
        }
        let drained = self.drained_by(sight, 0.0);
        let gain = sight.rows_per_second / f64::from(sight.instances);
        let sooner = self.drained_by(sight, gain).map(|time| time + REBALANCE.as_secs_f64());
        let figures = format!(
            "lag {lag} for {} s, {:.0} rows/s; drained in {} with {}, in {} with {}",
            above.as_secs(),
            sight.rows_per_second,
            show(drained),
            sight.instances,
            show(sooner),
            sight.instances + 1,
        );
        match (drained, sooner) {
            // It is not worth a rebalance.
            (Some(drained), Some(sooner)) if drained <= sooner => keep(figures),
            (Some(_), None) => keep(figures),
            (Some(_) | None, _) => {
                if self.shrunk_at.is_some_and(|at| sight.at.saturating_sub(at) < self.quiet_time())
                {
                    self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
                }
                self.change(sight, sight.instances + 1, figures)
            }
        }
    }

    fn shrink(&mut self, sight: &Sight, quiet: Duration, least: u32) -> Decision {
        let keep = |why: String| Decision { instances: sight.instances, why };
        let wanted = self.quiet_time();
        let waited = quiet.min(self.since_change(sight));
        let figures = format!("lag {}, quiet for {} s", sight.lag, quiet.as_secs());
        if sight.instances <= least {
            self.doublings = if waited > wanted { 0 } else { self.doublings };
            return keep(format!("{figures}; never fewer than {least}"));
        }
        if waited < wanted {
            return keep(format!("{figures}, waiting for {} s", wanted.as_secs()));
        }
        self.shrunk_at = Some(sight.at);
        self.change(sight, sight.instances - 1, figures)
    }

    fn change(&mut self, sight: &Sight, instances: u32, why: String) -> Decision {
        self.changed_at = Some(sight.at);
        self.trend.clear();
        Decision { instances, why }
    }

    fn since_change(&self, sight: &Sight) -> Duration {
        self.changed_at.map_or(Duration::MAX, |at| sight.at.saturating_sub(at))
    }

    fn quiet_time(&self) -> Duration {
        self.policy.quiet * 2_u32.pow(self.doublings)
    }

    /// Seconds until the lag is gone, with so many rows a second more than now; `None` when it
    /// grows.
    #[expect(clippy::cast_precision_loss, reason = "a forecast")]
    fn drained_by(&self, sight: &Sight, more: f64) -> Option<f64> {
        let (then, before) = *self.trend.front()?;
        let time = sight.at.saturating_sub(then).as_secs_f64();
        let falls = if time > 0.0 { (before as f64 - sight.lag as f64) / time } else { 0.0 };
        let falls = falls + more;
        (falls > 0.0).then(|| sight.lag as f64 / falls)
    }
}

fn show(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "no time".to_owned(), |seconds| format!("{seconds:.0} s"))
}

#[cfg(test)]
mod tests;
