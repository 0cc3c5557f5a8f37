//! Who takes part, and what each does with the topic.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::{Value, json};

use super::engine::Tuning;
use super::figures::Run;
use super::ground::{Database, Expected, Ground, Instance, Reach};
use super::meter::{self, Look};

/// How long the rows may stand still before the run has failed.
const STALL_LIMIT: Duration = Duration::from_mins(1);
/// Time between two looks at the rows: each costs the engine about half a millisecond.
const PACE: Duration = Duration::from_millis(20);
/// How long nothing may merge before merging counts as over.
const SETTLED: Duration = Duration::from_millis(1_500);
/// Merges of ten million rows take some seconds.
const MERGE_LIMIT: Duration = Duration::from_mins(2);

/// Something that moves the topic into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contestant {
    /// Instances of data-bridge.
    Bridge { instances: usize },
    /// ClickHouse's own Kafka engine with a materialized view.
    KafkaEngine { consumers: usize },
    /// One message, one struct, one row.
    PerMessage,
}

impl Contestant {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bridge { instances: 1 } => "data-bridge",
            Self::Bridge { .. } => "data-bridge, 3 instances",
            Self::KafkaEngine { consumers: 1 } => "ClickHouse's Kafka engine, 1 consumer",
            Self::KafkaEngine { .. } => "ClickHouse's Kafka engine, 2",
            Self::PerMessage => "rdkafka, serde_json, RowBinary",
        }
    }

    /// Drains the topic into a new database and verifies what came of it.
    ///
    /// # Errors
    /// When rows do not come, or are not what they must be.
    pub(super) fn drain(
        self,
        ground: &mut Ground,
        expected: &Expected,
        config: &Value,
    ) -> Result<Run> {
        let database = ground.new_database(config)?;
        let servers = [ground.clickhouse.pid(), ground.kafka.pid()];
        for pid in servers {
            meter::reset_peak(pid)?;
        }
        let before = servers.map(meter::look);
        let start = Instant::now();
        let work = self.start(ground, expected, &database)?;
        let (seconds, steady) = watch(ground, &database, expected, start, &work)?;
        let clients = work.look()?;
        let after = servers.map(meter::look);
        let inserts = work.rows_per_insert();
        work.stop(ground, &database)?;
        wait_for_merges(ground, &database)?;
        let merged = meter::look(servers[0])?;
        let stored = ground.stored_bytes(&database)?;
        ground.verify(&database, expected)?;
        ground.drop(&database)?;

        let [engine_before, broker_before] = before;
        let [engine, broker] = after;
        let (engine_before, engine) = (engine_before?, engine?);
        let (broker_before, broker) = (broker_before?, broker?);
        #[expect(clippy::cast_precision_loss, reason = "messages of a benchmark fit 53 bits")]
        Ok(Run {
            messages: expected.messages as f64,
            seconds,
            steady,
            client_cpu: clients.cpu,
            broker_cpu: broker.cpu - broker_before.cpu,
            engine_cpu: engine.cpu - engine_before.cpu,
            merged_cpu: merged.cpu - engine_before.cpu,
            client_mb: clients.peak_mb,
            broker_mb: broker.peak_mb,
            engine_mb: engine.peak_mb,
            insert_rows: inserts.unwrap_or(0.0),
            stored_bytes: stored / expected.messages as f64,
        })
    }

    fn start(self, ground: &Ground, expected: &Expected, database: &Database) -> Result<Work> {
        match self {
            Self::Bridge { instances } => {
                let of = |number| ground.instance(database, number);
                Ok(Work::Instances((1..=instances).map(of).collect::<Result<_>>()?))
            }
            Self::KafkaEngine { consumers } => {
                for statement in kafka_engine(ground, expected, database, consumers) {
                    ground.sql(&statement)?;
                }
                Ok(Work::InsideEngine)
            }
            Self::PerMessage => {
                let group = format!("bench-{}", database.name);
                let arguments = ["per-message", "--topic", &expected.topic, "--group", &group];
                let reach = [Reach::Kafka, Reach::ClickHouse(&database.name)];
                let command = ground.lab_command(&arguments, &reach);
                let log = ground.folder().join(format!("{}/per-message.log", database.name));
                let process =
                    Process::spawn("lab per-message", command, &log, Lifetime::WithStarter)?;
                Ok(Work::Program(process))
            }
        }
    }
}

/// What runs while a contestant works.
pub(super) enum Work {
    Instances(Vec<Instance>),
    Program(Process),
    InsideEngine,
}

impl Work {
    fn processes(&self) -> Vec<&Process> {
        match self {
            Self::Instances(instances) => instances.iter().map(|one| &one.process).collect(),
            Self::Program(process) => vec![process],
            Self::InsideEngine => Vec::new(),
        }
    }

    /// Processor time of all its processes, memory of the largest.
    fn look(&self) -> Result<Look> {
        let mut sum = Look::default();
        for process in self.processes() {
            let look = meter::look(process.pid())?;
            sum.cpu += look.cpu;
            sum.peak_mb = sum.peak_mb.max(look.peak_mb);
        }
        Ok(sum)
    }

    fn fail_if_ended(&self) -> Result<()> {
        for process in self.processes() {
            if let Some(status) = process.exited() {
                bail!("{} ended with {status}\n{}", process.name(), process.log_tail());
            }
        }
        Ok(())
    }

    /// What the instances count themselves.
    fn rows_per_insert(&self) -> Option<f64> {
        let Self::Instances(instances) = self else {
            return None;
        };
        let (mut rows, mut inserts) = (0.0, 0.0);
        for instance in instances {
            let page = instance.metrics().ok()?;
            rows += total(&page, "data_bridge_inserted_rows_total");
            inserts += total(&page, "data_bridge_inserts_total");
        }
        (inserts > 0.0).then(|| rows / inserts)
    }

    pub(super) fn stop(self, ground: &Ground, database: &Database) -> Result<()> {
        match self {
            Self::Instances(instances) => instances.iter().try_for_each(Instance::stop),
            Self::Program(process) => process.kill().map(drop),
            Self::InsideEngine => {
                for table in ["m", "q"] {
                    ground.sql(&format!("DROP TABLE {}.{table} SYNC", database.name))?;
                }
                Ok(())
            }
        }
    }
}

/// The sum of a counter over its labels.
pub(super) fn total(page: &str, name: &str) -> f64 {
    let of = page
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until all rows are there; the time it took, and messages per second between 5 % and 95 %.
pub(super) fn watch(
    ground: &Ground,
    database: &Database,
    expected: &Expected,
    start: Instant,
    work: &Work,
) -> Result<(f64, f64)> {
    let mut seen: Vec<(f64, u64)> = vec![(0.0, 0)];
    let mut moved = Instant::now();
    loop {
        let rows = ground.rows(database, &expected.table)?;
        let at = start.elapsed().as_secs_f64();
        if seen.last().is_some_and(|(_, before)| *before != rows) {
            seen.push((at, rows));
            moved = Instant::now();
        }
        if rows >= expected.rows {
            return Ok((at, steady(&seen, expected.rows)));
        }
        work.fail_if_ended()?;
        if moved.elapsed() > STALL_LIMIT {
            bail!("{rows} of {} rows, and none more for {STALL_LIMIT:?}", expected.rows);
        }
        std::thread::park_timeout(PACE);
    }
}

/// Rows per second between the first look at 5 % and the last look at 95 %, by straight lines
/// between looks.
#[expect(clippy::cast_precision_loss, reason = "rows of a benchmark fit 53 bits")]
fn steady(seen: &[(f64, u64)], all: u64) -> f64 {
    let when = |share: f64| {
        let wanted = all as f64 * share;
        let index = seen.iter().position(|(_, rows)| *rows as f64 >= wanted)?;
        let ((t1, r1), (t0, r0)) = (seen[index], seen[index.checked_sub(1)?]);
        Some(t0 + (t1 - t0) * (wanted - r0 as f64) / (r1 - r0) as f64)
    };
    match (when(0.05), when(0.95)) {
        (Some(from), Some(to)) if to > from => all as f64 * 0.9 / (to - from),
        _ => 0.0,
    }
}

/// Waits until nothing merges any more.
pub(super) fn wait_for_merges(ground: &Ground, database: &Database) -> Result<()> {
    let query = format!(
        "SELECT (SELECT count() FROM system.merges WHERE database = '{0}'), \
         (SELECT count() FROM system.parts WHERE active AND database = '{0}')",
        database.name
    );
    let start = Instant::now();
    let mut quiet = (Instant::now(), String::new());
    loop {
        let state = ground.sql(&query)?;
        if state != quiet.1 || !state.starts_with("0\t") {
            quiet = (Instant::now(), state);
        } else if quiet.0.elapsed() >= SETTLED {
            return Ok(());
        }
        if start.elapsed() > MERGE_LIMIT {
            bail!("merges go on after {MERGE_LIMIT:?}");
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// The statements that have ClickHouse read the topic itself. Values as texts, converted once.
fn kafka_engine(
    ground: &Ground,
    expected: &Expected,
    database: &Database,
    consumers: usize,
) -> [String; 2] {
    let (name, topic) = (&database.name, &expected.topic);
    let brokers = ground.kafka.bootstrap();
    let queue = format!(
        "CREATE TABLE {name}.q (symbol String, pair String, \
         bid Nullable(Decimal(18, 8)), b Nullable(Decimal(18, 8)), \
         ask Nullable(Decimal(18, 8)), a Nullable(Decimal(18, 8)), \
         volume Nullable(Decimal(18, 8)), s Nullable(Decimal(18, 8)), \
         exchange Nullable(Int32), x Nullable(Int32), source String, event_type String, ev String, \
         timestamp_ms Nullable(Int64), t Nullable(Int64), timestamp String) \
         ENGINE = Kafka SETTINGS kafka_broker_list = '{brokers}', kafka_topic_list = '{topic}', \
         kafka_group_name = 'bench-{name}', kafka_format = 'JSONEachRow', \
         kafka_num_consumers = {consumers}, kafka_thread_per_consumer = 1, \
         kafka_flush_interval_ms = 1000, kafka_max_block_size = 65536, \
         input_format_skip_unknown_fields = 1"
    );
    let view = format!(
        "CREATE MATERIALIZED VIEW {name}.m TO {name}.ticks AS SELECT \
         if(q.symbol != '', q.symbol, pair) AS symbol, \
         if(coalesce(timestamp_ms, t) IS NULL, \
            parseDateTime64BestEffort(q.timestamp, 3, 'UTC'), \
            fromUnixTimestamp64Milli(assumeNotNull(coalesce(timestamp_ms, t)), 'UTC')) AS timestamp, \
         assumeNotNull(coalesce(q.bid, b)) AS bid, assumeNotNull(coalesce(q.ask, a)) AS ask, \
         coalesce(q.volume, s) AS volume, coalesce(q.exchange, x) AS exchange, q.source AS source, \
         if(q.event_type != '', q.event_type, ev) AS event_type, \
         xxh3(concat(toString(bid), ' ', toString(ask), ' ', ifNull(toString(volume), ''), \
            ' ', ifNull(toString(exchange), ''), ' ', source, ' ', event_type)) AS event_id, \
         concat('kafka:', _topic, ':', toString(_partition)) AS origin, _offset AS origin_position, \
         bitShiftLeft(toUInt64(assumeNotNull(toUnixTimestamp64Milli(_timestamp_ms))), 22) \
            + bitAnd(_offset, 4194303) AS version FROM {name}.q"
    );
    [queue, view]
}

/// Limits: what no contestant can undercut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// librdkafka reads and nothing is done with it.
    Consuming,
    /// The engine is fed blocks that are ready.
    Feeding { rows: u64 },
}

impl Limit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Consuming => "limit: librdkafka, doing nothing",
            Self::Feeding { rows: 1_000_000 } => "limit: ready-made blocks, 1 M rows",
            Self::Feeding { .. } => "limit: ready-made blocks",
        }
    }

    /// Measures it once.
    ///
    /// # Errors
    /// When a program fails or rows are missing.
    pub(super) fn measure(
        self,
        ground: &mut Ground,
        expected: &Expected,
        tuning: &Tuning,
    ) -> Result<Run> {
        let broker = ground.kafka.pid();
        let engine = ground.clickhouse.pid();
        #[expect(clippy::cast_precision_loss, reason = "messages of a benchmark fit 53 bits")]
        let messages = expected.messages as f64;
        let figure = |page: &Value, key: &str| {
            page[key].as_f64().with_context(|| format!("no {key} in {page}"))
        };
        match self {
            Self::Consuming => {
                let before = meter::look(broker)?;
                let page = ground.consume(expected)?;
                Ok(Run {
                    messages,
                    seconds: figure(&page, "seconds")?,
                    client_cpu: figure(&page, "cpu_seconds")?,
                    broker_cpu: meter::look(broker)?.cpu - before.cpu,
                    ..Run::default()
                })
            }
            Self::Feeding { rows } => {
                let blocks = ground.folder().join(format!("blocks/{rows}"));
                let blocks = blocks.to_str().context("a path that is no text")?.to_owned();
                if !std::path::Path::new(&blocks).exists() {
                    make_blocks(ground, expected, &blocks, rows)?;
                }
                let database = ground.new_database(&Value::Null)?;
                for change in &tuning.table {
                    ground.sql(&format!("ALTER TABLE {}.ticks {change}", database.name))?;
                }
                meter::reset_peak(engine)?;
                let before = meter::look(engine)?;
                // What the bridge sends as well: duplicates collapse in merges.
                let mut arguments =
                    vec!["feed", "--folder", &blocks, "--setting", "optimize_on_insert=0"];
                for setting in &tuning.settings {
                    arguments.extend(["--setting", setting]);
                }
                let page = ground.lab(&arguments, &[Reach::ClickHouse(&database.name)])?;
                let after = meter::look(engine)?;
                wait_for_merges(ground, &database)?;
                let merged = meter::look(engine)?;
                let stored = ground.stored_bytes(&database)?;
                ground.verify(&database, expected)?;
                ground.drop(&database)?;
                Ok(Run {
                    messages,
                    seconds: figure(&page, "seconds")?,
                    client_cpu: figure(&page, "cpu_seconds")?,
                    engine_cpu: after.cpu - before.cpu,
                    merged_cpu: merged.cpu - before.cpu,
                    engine_mb: after.peak_mb,
                    insert_rows: messages / figure(&page, "inserts")?,
                    stored_bytes: stored / messages,
                    ..Run::default()
                })
            }
        }
    }
}

/// Blocks of the very rows that the bridge makes of the topic.
fn make_blocks(ground: &mut Ground, expected: &Expected, folder: &str, rows: u64) -> Result<()> {
    let database = ground.new_database(&json!({}))?;
    let instance = ground.instance(&database, 1)?;
    let work = Work::Instances(vec![instance]);
    watch(ground, &database, expected, Instant::now(), &work)?;
    work.stop(ground, &database)?;
    let rows = rows.to_string();
    ground.lab(
        &["blocks", "--folder", folder, "--rows", &rows],
        &[Reach::ClickHouse(&database.name)],
    )?;
    ground.drop(&database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_rate_leaves_both_ends_out() {
        // Nothing for a second, then 1,000 rows a second, then a slow end.
        let seen = [(0.0, 0), (1.0, 0), (1.5, 500), (2.0, 1_000), (9.0, 1_040)];
        let rate = steady(&seen, 1_040);
        assert!((rate - 1_000.0).abs() < 1.0, "{rate}");
        assert!(steady(&[(0.0, 0)], 10) < 1e-9);
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let page = "a_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_more 9\n# a_total 5\n";
        assert!((total(page, "a_total") - 7.0).abs() < 1e-9);
    }
}
