//! The policy against simulated fleets: a backlog, arrivals by the second, and instances that
//! drain it, stand still in rebalances, and are not ready at first.

use super::*;
use std::num::{NonZeroU32, NonZeroU64};

fn policy() -> Autoscale {
    Autoscale {
        enabled: true,
        min: NonZeroU32::new(3).unwrap(),
        max: NonZeroU32::new(5).unwrap(),
        lag: NonZeroU64::new(10_000).unwrap(),
        for_time: Duration::from_secs(30),
        quiet: Duration::from_mins(5),
    }
}

/// A fleet in which each instance drains so many rows a second.
struct Fleet {
    scaler: Autoscaler,
    second: u64,
    instances: u32,
    partitions: u32,
    each: u64,
    lag: u64,
    /// Until then nobody reads: the group rebalances.
    still_until: u64,
    changes: Vec<(u64, u32, u32, u64)>,
}

impl Fleet {
    fn new(partitions: u32, each: u64) -> Self {
        Self {
            scaler: Autoscaler::new(policy()),
            second: 0,
            instances: 3.min(partitions),
            partitions,
            each,
            lag: 0,
            still_until: 0,
            changes: Vec::new(),
        }
    }

    fn step(&mut self, arrivals: u64) -> Decision {
        self.second += 1;
        let still = self.second <= self.still_until;
        let can = if still { 0 } else { u64::from(self.instances) * self.each };
        let before = self.lag + arrivals;
        let done = before.min(can);
        self.lag = before - done;
        let decision = self.scaler.decide(Sight {
            at: Duration::from_secs(self.second),
            instances: self.instances,
            ready: if still { self.instances - 1 } else { self.instances },
            partitions: self.partitions,
            lag: self.lag,
            #[expect(clippy::cast_precision_loss, reason = "a test's rates are small")]
            rows_per_second: done as f64,
        });
        if decision.instances != self.instances {
            self.changes.push((self.second, self.instances, decision.instances, self.lag));
            self.instances = decision.instances;
            self.still_until = self.second + 2;
        }
        decision
    }
}

#[test]
fn a_spike_of_200_000_scales_to_five_within_a_minute_and_back_to_three_without_flapping() {
    let mut fleet = Fleet::new(6, 1_000);
    for _ in 0..60 {
        fleet.step(2_500);
    }
    assert!(fleet.changes.is_empty(), "{:?}", fleet.changes);
    fleet.lag += 200_000;
    for _ in 0..60 {
        fleet.step(2_500);
    }
    assert_eq!(fleet.instances, 5, "{:?}", fleet.changes);
    for _ in 0..3_600 {
        fleet.step(2_500);
    }
    let sizes = fleet.changes.iter().map(|change| (change.1, change.2)).collect::<Vec<_>>();
    assert_eq!(sizes, [(3, 4), (4, 5), (5, 4), (4, 3)], "{:?}", fleet.changes);
}

#[test]
fn nothing_is_added_when_no_row_becomes_durable() {
    let mut fleet = Fleet::new(6, 0);
    for _ in 0..600 {
        let decision = fleet.step(50_000);
        assert_eq!(decision.instances, 3);
    }
    let why = fleet.step(0).why;
    assert!(why.contains("no row becomes durable"), "{why}");
}

#[test]
fn a_backlog_that_is_nearly_drained_is_not_worth_a_rebalance() {
    let mut fleet = Fleet::new(6, 1_000);
    fleet.lag = 100_000;
    // 3,000 a second: at 30 s there are 10,000 left, which takes 4 s.
    for _ in 0..40 {
        fleet.step(0);
    }
    assert!(fleet.changes.is_empty(), "{:?}", fleet.changes);
}

#[test]
fn a_fleet_that_is_not_ready_is_left_alone() {
    let mut scaler = Autoscaler::new(policy());
    for second in 0..600 {
        let sight = Sight {
            at: Duration::from_secs(second),
            instances: 3,
            ready: 2,
            partitions: 6,
            lag: 1_000_000,
            rows_per_second: 1_000.0,
        };
        assert_eq!(scaler.decide(sight).instances, 3);
    }
}

#[test]
fn a_size_asked_for_by_hand_below_the_least_stays_for_the_quiet_time() {
    let mut fleet = Fleet::new(6, 1_000);
    fleet.step(100);
    fleet.instances = 2;
    for second in 0..300 {
        let decision = fleet.step(100);
        assert_eq!(decision.instances, 2, "after {second} s: {}", decision.why);
    }
    assert_eq!(fleet.step(100).instances, 3);
    // The least is not a wish of somebody: it holds at once where a fleet begins smaller.
    let mut fleet = Fleet::new(6, 1_000);
    fleet.instances = 1;
    assert_eq!(fleet.step(100).instances, 3);
}

#[test]
fn a_size_asked_for_by_hand_waits_as_long_for_the_next_change_as_any_other() {
    let mut fleet = Fleet::new(6, 1_000);
    for _ in 0..400 {
        fleet.step(100);
    }
    fleet.instances = 5;
    for _ in 0..300 {
        assert_eq!(fleet.step(100).instances, 5);
    }
    assert_eq!(fleet.step(100).instances, 4);
}

/// Thousands of lag curves: saw-teeth, steps, spikes, noise, outages, over partitions and speeds.
/// Always: within the bounds, one instance at a time, at most one change per cool-down, no shrink
/// while there is lag above half the threshold, no growth beyond the partitions; under a steady
/// load that three can carry, it ends at three.
#[test]
fn no_curve_makes_it_flap_or_leave_its_bounds() {
    for seed in 0..2_000_u64 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let (partitions, each) = (chance.u32(1..=12), chance.u64(200..5_000));
        let mut fleet = Fleet::new(partitions, each);
        let (period, height) = (chance.u64(20..900), chance.u64(0..400_000));
        let (base, kind) = (chance.u64(0..each * 6), chance.u32(0..5));
        for second in 0..1_500 {
            let phase = second % period;
            let arrivals = match kind {
                0 => base + height * phase / period / 100,
                1 if phase < period / 2 => base * 2,
                2 if phase == 0 => height,
                3 => chance.u64(0..=base * 2),
                _ => base,
            };
            fleet.step(arrivals);
        }
        let most = 5.min(partitions);
        let least = 3.min(most);
        let (mut last, mut has_grown) = (None, false);
        for (at, from, to, lag) in &fleet.changes {
            assert!((least..=most).contains(to), "seed {seed}: {from} to {to}");
            assert_eq!(from.abs_diff(*to), 1, "seed {seed}");
            let pause = at - last.unwrap_or(0);
            if to > from {
                // After a growth the lag that called for it still does.
                let least_pause = if has_grown { 15 } else { 30 };
                assert!(pause >= least_pause, "seed {seed}: grows after {pause} s");
                assert!(*lag > 10_000, "seed {seed}: grows with a lag of {lag}");
            } else {
                assert!(pause >= 300, "seed {seed}: shrinks {pause} s after the last change");
                assert!(*lag <= 5_000, "seed {seed}: shrinks with a lag of {lag}");
            }
            (last, has_grown) = (Some(*at), to > from);
        }
        // 1,500 s: with quiet times that double, no curve moves it more often than this.
        assert!(fleet.changes.len() <= 10, "seed {seed}: {:?}", fleet.changes);
        // What three can carry alone is carried by three in the end.
        let calm = u64::from(least) * each / 2;
        fleet.lag = fleet.lag.min(20_000);
        for _ in 0..5_500 {
            fleet.step(calm);
        }
        assert_eq!(fleet.instances, least, "seed {seed}: lag {}", fleet.lag);
        let settled = fleet.changes.len();
        for _ in 0..1_000 {
            fleet.step(calm);
        }
        assert_eq!(fleet.changes.len(), settled, "seed {seed}: moves under a steady load");
    }
}
