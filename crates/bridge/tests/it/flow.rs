//! A steady flow of ticks, and what is watched while a scenario does its harm.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Offsets, Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Mix};

use crate::world::{Instance, PATIENCE, Scenario, kafka, pause, until};

/// First moment of January and of February 2024, in ms since 1970.
pub(crate) const JANUARY_MS: i64 = 1_704_067_200_000;
pub(crate) const FEBRUARY_MS: i64 = 1_706_745_600_000;
/// What an instance may take with the default budget: 256 MiB and 64 MiB.
const MOST_RSS: u64 = (256 + 64) << 20;

/// Ticks of January: one table, one ClickHouse partition. Every message is an event of its own or
/// a planted bad one, so each offset leads to a row of its own.
pub(crate) fn ticks(scenario: &Scenario, seed: u64, messages: u64) -> Generator {
    let mut plan = scenario.plan(seed, messages);
    plan.mix = Mix { bad: 0.002, ..Mix::only(Kind::Tick) };
    (plan.events_from_ms, plan.events_to_ms) = (JANUARY_MS, FEBRUARY_MS);
    Generator::try_new(plan).expect("the plan can be carried out")
}

/// Every value is there once, the dead letters are the planted ones, everything is committed, and
/// every instance drains within its memory and without a panic.
#[expect(clippy::print_stdout, reason = "raw rows are a figure of interest")]
#[track_caller]
pub(crate) fn finish(scenario: &Scenario, bridges: &[Instance], expected: &Expected) {
    let verdict = scenario.assert_exact(expected, PATIENCE);
    scenario.assert_committed();
    let raw = verdict.total().raw_rows + verdict.letters.raw_rows;
    println!("{}; {raw} raw rows", verdict.line());
    for bridge in bridges {
        let rss = bridge.rss();
        assert!(rss <= MOST_RSS, "{} MiB resident", rss >> 20);
        bridge.end();
    }
}

/// Produces the messages at this rate for as long as `work` takes, then what is left of them at
/// once. So there are rows to wait for, however long a loaded machine takes.
pub(crate) fn under_load<T>(generator: &Generator, per_second: u32, work: impl FnOnce() -> T) -> T {
    under_load_of(&kafka().bootstrap(), generator, per_second, work)
}

/// The same at any broker.
pub(crate) fn under_load_of<T>(
    brokers: &str,
    generator: &Generator,
    per_second: u32,
    work: impl FnOnce() -> T,
) -> T {
    let done = AtomicBool::new(false);
    let piece = u64::from(per_second / 5);
    let messages = generator.plan().messages;
    thread::scope(|scope| {
        scope.spawn(|| {
            let producer = Producer::connect(brokers).expect("a producer can be made");
            let mut sent = 0;
            while sent < messages {
                let (end, pace) = if done.load(Ordering::Relaxed) {
                    (messages, Pace::Full)
                } else {
                    let end = messages.min(sent + piece);
                    (end, Pace::PerSecond(f64::from(per_second)))
                };
                let produced = producer.produce(generator, sent..end, pace, |_| {});
                produced.expect("the broker takes the messages");
                sent = end;
            }
        });
        let _done = Done(&done);
        work()
    })
}

/// Says so when what others wait for is over, also when it panicked.
pub(crate) struct Done<'a>(pub(crate) &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` and looks again and again meanwhile, on a thread of its own.
pub(crate) fn beside<T>(mut look: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                look();
                pause(Duration::from_millis(100));
            }
        });
        let _done = Done(&done);
        work()
    })
}

/// Committed offsets of the scenario's ticks, held against what is durable.
pub(crate) struct Commits<'a> {
    scenario: &'a Scenario,
    topic: String,
    offsets: Offsets,
    committed: BTreeMap<i32, i64>,
    moves: &'a AtomicU64,
}

impl<'a> Commits<'a> {
    /// `moves` counts how often a partition's commit was seen to have moved on.
    pub(crate) fn of(scenario: &'a Scenario, moves: &'a AtomicU64) -> Self {
        let offsets = Offsets::of_group(&kafka().bootstrap(), &scenario.group());
        Self {
            scenario,
            topic: format!("{}{}", scenario.prefix(), Kind::Tick.topic()),
            offsets: offsets.expect("a client for offsets can be made"),
            committed: BTreeMap::new(),
            moves,
        }
    }

    /// Where the group stands in each partition; 0 where nothing was committed.
    pub(crate) fn read(&self) -> BTreeMap<i32, i64> {
        let offsets = self.offsets.read(std::slice::from_ref(&self.topic));
        offsets
            .expect("the broker answers")
            .iter()
            .map(|offset| (offset.partition, offset.committed.unwrap_or(0)))
            .collect()
    }

    /// Asserts that no commit went backwards, and that every offset before a commit has its row in
    /// `ticks` or `dead_letters`. For flows in which each message leads to a row of its own.
    pub(crate) fn look(&mut self) {
        // First the commits, then the rows: what is durable only grows.
        let committed = self.read();
        for (partition, now) in &committed {
            let before = self.committed.get(partition).copied().unwrap_or(0);
            assert!(*now >= before, "partition {partition}: committed {before}, then {now}");
            self.moves.fetch_add(u64::from(*now > before), Ordering::Relaxed);
        }
        let durable = self.durable_before(&committed);
        for (partition, committed) in &committed {
            let rows = durable.get(partition).copied().unwrap_or(0);
            assert_eq!(
                rows, *committed,
                "partition {partition}: {committed} is committed, {rows} of these are durable"
            );
        }
        self.committed = committed;
    }

    /// Distinct offsets below these that have a row, by partition.
    fn durable_before(&self, ends: &BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
        let (database, topic) = (self.scenario.database(), &self.topic);
        let below: Vec<_> = ends
            .iter()
            .map(|(partition, end)| {
                format!("(origin = 'kafka:{topic}:{partition}' AND origin_position < {end})")
            })
            .collect();
        let query = format!(
            "SELECT splitByChar(':', toString(origin))[3], uniqExact(origin_position) FROM (\
             SELECT origin, origin_position FROM {database}.ticks UNION ALL \
             SELECT origin, origin_position FROM {database}.dead_letters) \
             WHERE {} GROUP BY origin FORMAT TabSeparated",
            below.join(" OR ")
        );
        let answer = self.scenario.query(&query).expect("ClickHouse answers");
        numbers(&answer)
    }
}

/// The longest time without a new row, over the partitions of the scenario's ticks.
pub(crate) struct Gaps<'a> {
    scenario: &'a Scenario,
    state: std::sync::Mutex<Seen>,
}

struct Seen {
    /// Position of the newest row of each partition, and when it was first seen.
    newest: BTreeMap<i32, (i64, Instant)>,
    longest: Duration,
}

impl<'a> Gaps<'a> {
    pub(crate) fn of(scenario: &'a Scenario) -> Self {
        let state = Seen { newest: BTreeMap::new(), longest: Duration::ZERO };
        Self { scenario, state: std::sync::Mutex::new(state) }
    }

    /// Looks for new rows.
    pub(crate) fn look(&self) {
        let newest = self.newest();
        let now = Instant::now();
        let mut guard = self.state.lock().expect("nobody panicked");
        let Seen { newest: seen, longest } = &mut *guard;
        for (partition, position) in newest {
            let (before, at) = seen.entry(partition).or_insert((position, now));
            *longest = (*longest).max(now - *at);
            if position > *before {
                (*before, *at) = (position, now);
            }
        }
    }

    /// Measures from now on.
    pub(crate) fn begin(&self) {
        self.look();
        let mut guard = self.state.lock().expect("nobody panicked");
        let now = Instant::now();
        for (_, at) in guard.newest.values_mut() {
            *at = now;
        }
        guard.longest = Duration::ZERO;
    }

    /// Waits until every partition has rows that it has not now; the longest gap since
    /// [`Self::begin`].
    pub(crate) fn longest_until_all_flow(&self) -> Duration {
        let before = self.newest();
        assert_eq!(before.len(), 6, "not all partitions flow yet: {before:?}");
        until(PATIENCE, "rows of every partition", || {
            self.look();
            let now = self.newest();
            if before.iter().all(|(key, position)| now[key] > *position) {
                Ok(())
            } else {
                Err(format!("{before:?}, then {now:?}"))
            }
        });
        self.look();
        self.state.lock().expect("nobody panicked").longest
    }

    fn newest(&self) -> BTreeMap<i32, i64> {
        let query = format!(
            "SELECT splitByChar(':', toString(origin))[3], max(origin_position) FROM {}.ticks \
             GROUP BY origin FORMAT TabSeparated",
            self.scenario.database()
        );
        let answer = self.scenario.query(&query).expect("ClickHouse answers");
        numbers(&answer)
    }
}

/// Waits until the instances share all partitions, this many each.
#[track_caller]
pub(crate) fn wait_shares(bridges: &[&Instance], shares: &[usize]) {
    until(PATIENCE, &format!("{shares:?} partitions"), || {
        let found: Vec<_> = bridges.iter().map(|bridge| share(bridge)).collect();
        if found == shares { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

/// How many partitions an instance reads.
pub(crate) fn share(bridge: &Instance) -> usize {
    bridge.status()["partitions"].as_array().map_or(0, Vec::len)
}

/// Lines of two numbers.
fn numbers(answer: &str) -> BTreeMap<i32, i64> {
    answer
        .lines()
        .map(|line| {
            let (key, value) = line.split_once('\t').expect("two columns");
            let key = key.parse().expect("a partition's number");
            (key, value.parse().expect("an offset"))
        })
        .collect()
}

/// The one that reads more partitions of ticks, then the other: by the consumer protocol the broker
/// may give all partitions of one topic to one member.
pub(crate) fn busier_first(a: Instance, b: Instance) -> (Instance, Instance) {
    let ticks_of = |bridge: &Instance| {
        let status = bridge.status();
        let partitions = status["partitions"].as_array().map_or(&[][..], Vec::as_slice);
        let is_tick = |topic: &str| topic.ends_with(Kind::Tick.topic());
        partitions.iter().filter(|one| one["topic"].as_str().is_some_and(is_tick)).count()
    };
    let (of_a, of_b) = (ticks_of(&a), ticks_of(&b));
    assert!(of_a + of_b > 0, "nobody reads ticks");
    if of_a >= of_b { (a, b) } else { (b, a) }
}
