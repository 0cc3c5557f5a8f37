//! What the pipeline says of itself: counters, the status board, readiness, the heartbeat line.

mod kafka;
mod latency;
mod nats;
mod parts;
mod reasons;
mod still;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_bridge_core::arena::Arena;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{Reason, Tally};
use data_bridge_core::engine::{Engine, FloodedTable, Snapshot};
use data_bridge_core::units::{BatchId, LaneId, Moment, Position, Shelf, TableId};
use data_bridge_core::verdict::Failure;
use prometheus_client::metrics::counter::Counter;
use tracing::{error, info, warn};

pub(super) use parts::watch as watch_parts;

use super::lanes::Lane;
use crate::config::Config;
use crate::sink::clickhouse::ClickHouse;
use crate::source::kafka::{KafkaSource, LaneInfo, SourceStatus};
use crate::source::nats::NatsSource;
use crate::telemetry::board::{Board, FloodStatus, PartitionStatus, Status};
use crate::telemetry::log::lines_left_out;
use crate::telemetry::metrics::{Metrics, OfReason, OfSource, OfTable};
use crate::telemetry::pulse::{Pulse, Pulses};

/// Time between two statuses on the board.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// Time between two heartbeat lines.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);
const KAFKA: OfSource = OfSource { source: "kafka" };
const NATS: OfSource = OfSource { source: "nats" };

/// What is read; at least one of them.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s> {
    pub(super) kafka: Option<&'s KafkaSource>,
    pub(super) nats: Option<&'s NatsSource>,
}

pub(super) struct Report {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    catalog: Arc<Catalog>,
    clickhouse: ClickHouse,
    stall: Duration,
    standstill: reasons::Standstill,
    still: still::StillLanes,
    /// How long an insert may take: one that is under way for longer is not coming back.
    insert_timeout: Duration,
    /// Turns for as long as no insert is overdue.
    inserts: Pulse,
    status: Status,
    /// Broker time of the oldest record on each shelf, and in each batch, in ms.
    oldest_on: BTreeMap<Shelf, i64>,
    oldest_in: BTreeMap<BatchId, i64>,
    latency: latency::Latency,
    /// Why the last insert failed, until one succeeds.
    trouble: Option<Failure>,
    published: Instant,
    heartbeat: Instant,
    rows_at_heartbeat: u64,
    kafka: kafka::Seen,
    nats: nats::Seen,
}

impl Report {
    pub(super) fn new(
        config: &Config,
        catalog: Arc<Catalog>,
        clickhouse: ClickHouse,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        metrics.budget_bytes.set(signed(config.backpressure.max_bytes.get()));
        Self {
            status: board.status(),
            inserts: board.pulses().watch("an insert", PUBLISH_EVERY),
            board,
            metrics,
            catalog,
            clickhouse,
            stall: config.readiness.stall,
            standstill: reasons::Standstill::default(),
            still: still::StillLanes::default(),
            insert_timeout: config.clickhouse.insert_timeout,
            oldest_on: BTreeMap::new(),
            oldest_in: BTreeMap::new(),
            latency: latency::Latency::default(),
            trouble: None,
            published: now,
            heartbeat: now,
            rows_at_heartbeat: 0,
            kafka: kafka::Seen::default(),
            nats: nats::Seen::default(),
        }
    }

    /// A chunk of Kafka was decoded.
    pub(super) fn decoded_from_kafka(
        &mut self,
        id: LaneId,
        next: Position,
        lane: &Lane,
        arena: &Arena,
        tally: &Tally,
    ) {
        self.kafka.fetched(id, next, arena);
        self.status.kafka_messages += arena.len() as u64;
        self.decoded(lane, arena, tally, &KAFKA);
    }

    /// A chunk of NATS was decoded.
    pub(super) fn decoded_from_nats(&mut self, lane: &Lane, arena: &Arena, tally: &Tally) {
        self.status.nats_messages += arena.len() as u64;
        self.decoded(lane, arena, tally, &NATS);
    }

    fn decoded(&mut self, lane: &Lane, arena: &Arena, tally: &Tally, of_source: &OfSource) {
        self.metrics.received.get_or_create(of_source).inc_by(arena.len() as u64);
        self.metrics.received_bytes.get_or_create(of_source).inc_by(arena.content_bytes());
        let of = self.of_table(lane.table);
        self.metrics.decoded.get_or_create(&of).inc_by(u64::from(tally.decoded));
        self.metrics.unknown_fields.inc_by(tally.unknown_fields);
        for (reason, count) in &tally.dead {
            self.dead_letters(&lane.route, *reason).inc_by(u64::from(*count));
        }
        // Chunks of several lanes gather on a shelf, and the oldest need not come first.
        if let Some(oldest) = arena.get(0).map(|record| record.time_ms).filter(|time| *time >= 0) {
            for part in &tally.parts {
                let known = self.oldest_on.entry(part.shelf).or_insert(oldest);
                *known = (*known).min(oldest);
            }
        }
    }

    /// All rows of a chunk are durable, or it is left to others.
    pub(super) fn settled(&self, age: Duration) {
        self.metrics.chunk_age.observe(age.as_secs_f64());
    }

    /// A batch took all rows of a shelf.
    pub(super) fn sealed(&mut self, batch: BatchId, shelf: Shelf) {
        if let Some(oldest) = self.oldest_on.remove(&shelf) {
            self.oldest_in.insert(batch, oldest);
        }
    }

    /// A batch is durable.
    pub(super) fn inserted(
        &mut self,
        batch: BatchId,
        table: TableId,
        rows: usize,
        elapsed: Duration,
        now_ms: i64,
    ) {
        self.trouble = None;
        let of = self.of_table(table);
        let count = u64::try_from(rows).unwrap_or(u64::MAX);
        self.metrics.inserted.get_or_create(&of).inc_by(count);
        self.metrics.inserts.get_or_create(&of).inc();
        self.metrics.insert_seconds.get_or_create(&of).observe(elapsed.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most a million rows")]
        self.metrics.batch_rows.get_or_create(&of).observe(rows as f64);
        if let Some(oldest) = self.oldest_in.remove(&batch) {
            let age = u64::try_from(now_ms - oldest).unwrap_or(0);
            self.latency.note(Instant::now(), age);
            self.metrics.durable_seconds.observe(Duration::from_millis(age).as_secs_f64());
        }
        match of.table.as_str() {
            "ticks" => self.status.ticks_saved += count,
            "aggregates" => self.status.candles_saved_clickhouse += count,
            Catalog::DEAD_LETTERS => self.status.dead_letters += count,
            name if name.starts_with("external_") => self.status.external_data_saved += count,
            _ => self.status.other_rows_saved += count,
        }
    }

    /// An insert failed.
    pub(super) fn insert_failed(
        &mut self,
        batch: BatchId,
        table: TableId,
        rows: usize,
        failure: &Failure,
    ) {
        let of = self.of_table(table);
        warn!(%batch, table = of.table, rows, error = %failure, "insert failed");
        self.metrics.retries.get_or_create(&of).inc();
        self.status.insert_retries += 1;
        self.trouble = Some(failure.clone());
    }

    /// A row that only ClickHouse refuses became a dead letter.
    pub(super) fn refused(&mut self, route: &str) {
        self.dead_letters(route, Reason::ClickhouseRefused).inc();
    }

    /// A table cannot be written until someone mends it.
    pub(super) fn table_paused(&mut self, table: TableId) {
        let of = self.of_table(table);
        self.metrics.table_paused.get_or_create(&of).set(1);
    }

    /// It can be written again.
    pub(super) fn table_resumed(&mut self, table: TableId) {
        let of = self.of_table(table);
        self.metrics.table_paused.get_or_create(&of).set(0);
    }

    /// Too many messages of a table's routes become dead letters.
    pub(super) fn flood_began(&mut self, table: TableId, letters: u64, messages: u64) {
        let of = self.of_table(table);
        let routes = self.routes_to(table).join(", ");
        error!(
            table = of.table,
            routes, letters, messages, "flood of dead letters: held to 10 letters per second"
        );
        self.metrics.flooded.get_or_create(&of).set(1);
    }

    /// Their share fell, or people accepted them.
    pub(super) fn flood_ended(&mut self, table: TableId) {
        let of = self.of_table(table);
        info!(table = of.table, "flood of dead letters is over: read at full speed");
        self.metrics.flooded.get_or_create(&of).set(0);
    }

    /// Our own tasks.
    pub(super) fn pulses(&self) -> &Pulses {
        self.board.pulses()
    }

    /// Routes whose dead letters people let through since the last call.
    pub(super) fn take_accepted(&self) -> BTreeSet<String> {
        self.board.take_accepted()
    }

    fn routes_to(&self, table: TableId) -> Vec<String> {
        let routes = self.catalog.routes().iter().filter(|route| route.table == table);
        routes.map(|route| route.name.clone()).collect()
    }

    /// The broker accepted a commit.
    pub(super) fn committed(&mut self) {
        self.metrics.commits.inc();
    }

    /// The broker refused a commit.
    pub(super) fn commit_failed(&mut self) {
        self.metrics.commit_failures.inc();
    }

    /// One turn of the pipeline: publishes when it is time.
    pub(super) fn turn(
        &mut self,
        now: Moment,
        engine: &Engine,
        sources: Sources<'_>,
        closed: &BTreeMap<TableId, String>,
    ) {
        if self.published.elapsed() < PUBLISH_EVERY {
            return;
        }
        if self.status.backpressure {
            self.metrics.backpressure_seconds.inc_by(self.published.elapsed().as_secs_f64());
        }
        self.published = Instant::now();
        let source = sources.kafka.map(KafkaSource::status);
        if let Some(nats) = sources.nats {
            self.nats.count(&nats.status(), self.status.nats_messages, &self.metrics);
            self.status.nats = Some(self.nats.board());
        }
        let snapshot = engine.snapshot();
        self.status.buffered_rows = snapshot.rows;
        self.status.buffered_bytes = snapshot.bytes;
        self.status.backpressure = snapshot.is_full;
        self.status.latency = self.latency.status(Instant::now());
        let idle = snapshot.last_durable.map(|moment| now.since(moment));
        self.status.last_durable_ms =
            idle.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        if let Some(source) = &source {
            self.status.partitions = partitions(source);
            self.status.topics.clone_from(&source.partitions);
            self.status.rebalances = source.rebalances;
            self.kafka.count(source, &self.metrics);
        }
        self.status.floods = self.floods(now, &snapshot);
        let lag = source.as_ref().map_or(0, reasons::lag);
        let stands_still = self.standstill.time(now, lag, idle);
        self.status.reasons =
            self.reasons(source.as_ref(), closed, &snapshot.tables_paused, stands_still);
        match self.overdue(now, &snapshot) {
            Some(reason) => self.status.reasons.push(reason),
            None => self.inserts.turn(),
        }
        let lanes = source.as_ref().map_or(&[][..], |source| &source.lanes);
        self.still.look(now, lanes, snapshot.is_full);
        // Where something else is wrong, that is why they stand still.
        if self.status.reasons.is_empty() {
            let longest = self.stall + snapshot.longest_wait;
            self.status.reasons.extend(self.still.reason(now, lanes, longest));
        }
        let was_ready = std::mem::replace(&mut self.status.ready, self.status.reasons.is_empty());
        match (was_ready, self.status.ready) {
            (false, true) => info!("ready"),
            (true, false) => warn!(reasons = self.status.reasons.join("; "), "not ready"),
            (true, true) | (false, false) => {}
        }
        self.count(idle);
        self.board.publish(self.status.clone());
        if self.heartbeat.elapsed() >= HEARTBEAT_EVERY {
            self.beat();
        }
    }

    fn dead_letters(&self, route: &str, reason: Reason) -> Counter {
        let of = OfReason { route: route.to_owned(), reason: reason.name() };
        self.metrics.dead_letters.get_or_create_owned(&of)
    }

    fn of_table(&self, table: TableId) -> OfTable {
        OfTable { table: self.catalog.table(table).name.clone() }
    }

    fn floods(&self, now: Moment, snapshot: &Snapshot) -> Vec<FloodStatus> {
        let status = |flood: &FloodedTable| FloodStatus {
            routes: self.routes_to(flood.table),
            letters: flood.letters,
            messages: flood.messages,
            seconds: now.since(flood.since).as_secs(),
        };
        snapshot.floods.iter().map(status).collect()
    }

    fn count(&mut self, idle: Option<Duration>) {
        let metrics = &self.metrics;
        metrics.buffer_rows.set(signed(self.status.buffered_rows));
        metrics.buffer_bytes.set(signed(self.status.buffered_bytes));
        metrics.backpressure.set(i64::from(self.status.backpressure));
        metrics.ready.set(i64::from(self.status.ready));
        metrics.idle_seconds.set(idle.unwrap_or_else(|| self.board.age()).as_secs_f64());
    }

    fn beat(&mut self) {
        let elapsed = self.heartbeat.elapsed();
        self.heartbeat = Instant::now();
        let status = &self.status;
        let rows = status.ticks_saved
            + status.candles_saved_clickhouse
            + status.external_data_saved
            + status.other_rows_saved;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (rows - self.rows_at_heartbeat) as f64 / elapsed.as_secs_f64();
        self.rows_at_heartbeat = rows;
        let lag: u64 = status.partitions.iter().map(|partition| partition.lag).sum();
        info!(
            ready = status.ready,
            rows,
            rows_per_second = rate.round(),
            lag,
            partitions = status.partitions.len(),
            nats_messages = status.nats_messages,
            nats_pending = self.nats.pending(),
            nats_dropped = status.nats.as_ref().map_or(0, |nats| nats.dropped),
            dead_letters = status.dead_letters,
            buffered_rows = status.buffered_rows,
            lines_left_out = lines_left_out(),
            reasons = status.reasons.join("; "),
            "heartbeat"
        );
    }
}

fn partitions(source: &SourceStatus) -> Vec<PartitionStatus> {
    let of = |lane: &LaneInfo| PartitionStatus {
        topic: lane.topic.clone(),
        partition: lane.partition,
        committed: lane.committed.0,
        lag: lane.lag,
        paused: lane.paused,
    };
    source.lanes.iter().map(of).collect()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
