//! One thread that fetches, decodes and drives the engine; inserts run beside it.

mod answers;
mod batches;
mod gate;
mod lanes;
mod partitions;
mod recall;
mod report;
mod stop;
mod streams;
mod ways;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_bridge_core::arena::Arena;
use data_bridge_core::block::Blocks;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::decode::{MsgId, Tally};
use data_bridge_core::engine::{Engine, Input, Limits};
use data_bridge_core::units::{ChunkId, LaneId, Moment, TableId};
use data_bridge_core::verdict::Verdict;
use tracing::{debug, info};

use self::answers::Burial;
use self::batches::Batches;
use self::gate::Gate;
use self::lanes::Lanes;
use self::recall::Recall;
use self::report::{Report, Sources};
pub use self::stop::StopSign;
use self::streams::Streams;
use self::ways::Ways;
use crate::config::Config;
use crate::sink::clickhouse::ClickHouse;
use crate::sink::writers::{Done, Writers};
use crate::source::Waker;
use crate::source::kafka::{Event, KafkaSource, SourceError};
use crate::source::nats::{self, NatsSource, Replies};
use crate::telemetry::board::Board;
use crate::telemetry::metrics::{Metrics, OfFirst};
use crate::telemetry::pulse::freeze_thread;

/// Most records asked for at once. Large enough that a chunk's bookkeeping costs nothing per record,
/// small enough that decoding one fetch takes a few milliseconds.
const FETCH_RECORDS: usize = 10_000;
/// Longest wait for records, when nothing else is due before: what only time brings is looked at.
const LONGEST_WAIT: Duration = Duration::from_millis(10);
/// Time between two looks at what waits at the brokers, so that 200 partitions cost nothing.
const BACKLOG_EVERY: Duration = Duration::from_millis(10);
/// How long a full buffer is left to empty by itself before lanes are paused: a paused lane throws
/// away what the client has fetched ahead, and the broker has to send it again. An insert takes less.
const PAUSE_AFTER: Duration = Duration::from_millis(200);
/// Longest time for leaving the group; then the broker finds out by the session time-out.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// Longest drain before a pipeline begins again with other columns: rows of the old ones cannot be
/// written, and all other routes wait meanwhile.
const BEGIN_AGAIN_GRACE: Duration = Duration::from_secs(1);
/// Inserts that ended and were not looked at yet; the engine has at most four per table under way.
const DONE_QUEUE: usize = 4_096;

/// How a pipeline ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything fetched is durable and committed.
    Drained,
    /// The grace time ran out; what is open will be read again by the next owner.
    Abandoned {
        /// Chunks that were not settled.
        open_chunks: usize,
    },
    /// The source cannot go on.
    Failed(SourceError),
}

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Parts {
    /// Tables and routes.
    pub catalog: Arc<Catalog>,
    /// Kafka, when it is enabled.
    pub kafka: Option<KafkaSource>,
    /// NATS, when it is enabled.
    pub nats: Option<NatsSource>,
    /// Ends the wait for either.
    pub waker: Waker,
    /// Where rows go.
    pub clickhouse: ClickHouse,
    /// Where inserts run.
    pub runtime: tokio::runtime::Handle,
    /// What the instance says of itself.
    pub board: Arc<Board>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

/// Payloads of one chunk, and whose they are.
struct Held {
    origin: String,
    route: String,
    arena: Arena,
    fetched: Instant,
    lane: LaneId,
    /// Where the acks of its messages go; empty for what is not acked message by message.
    replies: Arc<Replies>,
}

/// The pipeline of one instance.
pub struct Pipeline {
    began: Instant,
    catalog: Arc<Catalog>,
    kafka: Option<KafkaSource>,
    nats: Option<NatsSource>,
    nats_events: Vec<nats::Event>,
    /// When NATS was told that the instance stops.
    nats_stopped: Option<Instant>,
    waker: Waker,
    /// Rows that NATS may bring before anybody is asked.
    reserved: u64,
    engine: Engine,
    lanes: Lanes,
    streams: Streams,
    blocks: Blocks,
    /// Payloads of chunks whose rows are not all settled; empty where they were let go.
    arenas: BTreeMap<ChunkId, Held>,
    batches: Batches,
    writers: Writers,
    done: Receiver<Done>,
    gate: Gate,
    gate_was: BTreeMap<TableId, String>,
    /// Letters could be written once: from then on only what needs one waits for their table.
    letters_were_well: bool,
    report: Report,
    /// Route of each topic.
    topics: BTreeMap<String, String>,
    tally: Tally,
    /// Rows that are to be buried, once the outputs at hand are done.
    burials: VecDeque<Burial>,
    recall: Recall,
    backlog_looked_at: Option<Instant>,
    /// Partitions read, of how many.
    share: (u32, u32),
    /// Since when nothing is taken although the source was not told to pause.
    held_since: Option<Instant>,
    revoke: Duration,
    grace: Duration,
    stopping: bool,
    ended: Option<Ended>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline that begins with [`Self::run`]; looks at the tables from now on.
    #[must_use]
    pub fn new(config: &Config, limits: Limits, parts: Parts) -> Self {
        let Parts { catalog, kafka, nats, waker, clickhouse, runtime, board, metrics } = parts;
        let (ended, done) = sync_channel(DONE_QUEUE);
        let writers = Writers::new(runtime.clone(), clickhouse.clone(), Arc::clone(&catalog), {
            let waker = waker.clone();
            let ways = (kafka.is_some() && nats.is_some()).then(Ways::new);
            let (metrics, letters) = (Arc::clone(&metrics), catalog.dead_letters());
            move |end: Done| {
                if let Some(ways) =
                    ways.as_ref().filter(|_| end.result.is_ok() && end.table != letters)
                {
                    ways.durable(&end.block, end.rows.clone(), Instant::now(), |pair| {
                        let of = OfFirst { first: pair.first };
                        metrics
                            .nats
                            .both_ways
                            .get_or_create(&of)
                            .observe(pair.behind.as_secs_f64());
                    });
                }
                // The pipeline is gone only when the process ends: nobody misses the answer.
                if ended.send(end).is_ok() {
                    waker.wake();
                }
            }
        });
        let gate = Gate::closed_for(&tables_in_use(config, &catalog));
        let looks = board.pulses().watch("the look at tables", gate::longest_turn(config));
        runtime.spawn(gate.clone().watch(clickhouse.clone(), Arc::clone(&catalog), looks, {
            let waker = waker.clone();
            move || waker.wake()
        }));
        runtime.spawn(report::watch_parts(
            clickhouse.clone(),
            Arc::clone(&catalog),
            Arc::clone(&metrics),
        ));
        let msg_id =
            if config.nats.msg_id_is_event_id { MsgId::IsEventId } else { MsgId::default() };
        Self {
            began: Instant::now(),
            engine: Engine::new(limits, fastrand::u64(..)),
            lanes: Lanes::default(),
            streams: Streams::new(msg_id),
            reserved: nats.as_ref().map_or(0, |_| reserve(config).rows),
            nats_events: Vec::new(),
            nats_stopped: None,
            recall: Recall::new(config, waker.clone()),
            waker,
            blocks: Blocks::new(Arc::clone(&catalog)),
            arenas: BTreeMap::new(),
            batches: Batches::default(),
            writers,
            done,
            gate_was: gate.closed(),
            letters_were_well: false,
            gate,
            report: Report::new(config, Arc::clone(&catalog), clickhouse, board, metrics),
            topics: config.kafka.topics.clone(),
            tally: Tally::default(),
            burials: VecDeque::new(),
            backlog_looked_at: None,
            share: (0, 0),
            held_since: None,
            revoke: config.kafka.revoke,
            grace: config.shutdown.grace,
            stopping: false,
            ended: None,
            catalog,
            kafka,
            nats,
        }
    }

    /// Runs until `stop` is raised and everything is drained, or the source cannot go on.
    #[must_use]
    pub fn run(mut self, stop: &StopSign) -> Ended {
        let mut events = Vec::new();
        let pulse = self.report.pulses().watch("the pipeline", LONGEST_WAIT);
        loop {
            pulse.turn();
            freeze_thread("pipeline");
            if stop.is_raised() && !self.stopping && self.nats_is_quiet() {
                self.begin_stop(stop);
            }
            let (wait, records) = (self.wait(), self.fetch_records());
            match &mut self.kafka {
                Some(kafka) => kafka.fetch(wait, records, &mut events),
                None => self.waker.pause(wait),
            }
            let assigned = |event: &&Event| matches!(event, Event::Assigned { .. });
            let assigned = events.iter().filter(assigned).count();
            if assigned > 0 {
                info!(partitions = assigned, "partitions assigned");
            }
            self.look_at_backlog();
            for event in events.drain(..) {
                self.take_event(event);
            }
            self.take_nats();
            while let Ok(done) = self.done.try_recv() {
                self.take_done(done);
            }
            self.take_recalled();
            self.tell(Input::Tick);
            self.look_at_gate();
            self.accept_floods();
            self.switch_lanes();
            self.answer_nats();
            let now = self.now();
            let sources = Sources { kafka: self.kafka.as_ref(), nats: self.nats.as_ref() };
            self.report.turn(now, &self.engine, sources, &self.gate_was);
            if let Some(ended) = self.ended.take() {
                self.count_abandoned();
                let deadline = Instant::now() + LEAVE_LIMIT;
                if let Some(mut kafka) = self.kafka.take() {
                    kafka.close(deadline);
                }
                if let Some(nats) = self.nats.take() {
                    nats.close(Instant::now() + LEAVE_LIMIT);
                }
                return ended;
            }
        }
    }

    fn now(&self) -> Moment {
        Moment(self.began.elapsed())
    }

    fn wait(&self) -> Duration {
        let now = self.now();
        self.engine.next_wake().map_or(LONGEST_WAIT, |wake| wake.since(now).min(LONGEST_WAIT))
    }

    /// Records asked for at once: none that would not fit into the buffer.
    fn fetch_records(&self) -> usize {
        if self.held_since.is_some() && !self.has_room() {
            return 0;
        }
        let left = self.engine.rows_left().saturating_sub(self.reserved);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        // At least one: the source must be asked for what else happened, and a full buffer has
        // paused all lanes.
        left.clamp(1, FETCH_RECORDS)
    }

    /// Whether lanes that nobody was told to pause may bring more.
    fn has_room(&self) -> bool {
        self.gate_was.is_empty() && self.engine.has_room()
    }

    fn begin_stop(&mut self, stop: &StopSign) {
        let grace = if stop.is_for_good() { self.grace } else { self.grace.min(BEGIN_AGAIN_GRACE) };
        info!(?grace, "stopping: what was fetched is sent, results are awaited");
        self.take_nats();
        self.stopping = true;
        self.tell(Input::Stop { deadline: self.now().after(grace) });
    }

    fn take_done(&mut self, done: Done) {
        let Done { batch, table, block, rows, bytes, elapsed, result } = done;
        let name = &self.catalog.table(table).name;
        match result {
            Ok(()) => {
                debug!(%batch, table = name, rows = rows.len(), bytes, ?elapsed, "batch inserted");
                self.report.inserted(batch, table, rows.len(), elapsed, wall_clock_ms());
                if let Ok(block) = Arc::try_unwrap(block) {
                    self.blocks.recycle(block);
                }
                self.tell(Input::Durable { batch });
            }
            Err(failure) => {
                self.report.insert_failed(batch, table, rows.len(), &failure);
                if failure.verdict() == Verdict::Refresh {
                    self.gate.look_again(table);
                }
                self.batches.put_back(batch, block, rows);
                self.tell(Input::Failed { batch, failure });
            }
        }
    }

    /// Tells the engine what waits: with a backlog it lets batches grow.
    fn look_at_backlog(&mut self) {
        if self.backlog_looked_at.is_none_or(|then| then.elapsed() >= BACKLOG_EVERY) {
            self.backlog_looked_at = Some(Instant::now());
            let kafka = self.kafka.as_ref().map_or(0, KafkaSource::waiting);
            let nats = self.nats.as_ref().map_or(0, NatsSource::waiting);
            let records = kafka.saturating_add(nats);
            self.tell(Input::Backlog { records });
            // Without Kafka nobody knows how many others there are.
            let share = self.kafka.as_ref().map_or((0, 0), KafkaSource::share);
            if share != self.share {
                self.share = share;
                self.tell(Input::Share { mine: share.0, all: share.1 });
            }
        }
    }

    fn look_at_gate(&mut self) {
        for table in self.gate.take_mended() {
            self.tell(Input::Mended { table });
        }
        let closed = self.gate.closed();
        if closed.keys().ne(self.gate_was.keys()) {
            self.gate_was = closed;
            self.hold_closed_tables();
        } else {
            self.gate_was = closed;
        }
    }

    fn hold_closed_tables(&mut self) {
        let closed = &self.gate_was;
        let letters = closed.contains_key(&self.catalog.dead_letters());
        self.letters_were_well |= !letters;
        let letters = letters && !self.letters_were_well;
        let blocked = |table| letters || closed.contains_key(&table);
        self.lanes.hold_for_gate(blocked);
        self.streams.hold_for_gate(blocked);
        self.streams.unseen = closed.values().any(|reason| reason == gate::NOT_LOOKED_AT);
    }

    fn switch_lanes(&mut self) {
        if self.lanes.are_about_to_pause() {
            let now = Instant::now();
            let since = if self.has_room() { now } else { self.held_since.unwrap_or(now) };
            self.held_since = Some(since);
            if now.duration_since(since) < PAUSE_AFTER {
                return;
            }
        }
        self.held_since = None;
        let switches = self.lanes.switches();
        let Some(kafka) = &mut self.kafka else {
            return;
        };
        if !switches.pause.is_empty() {
            kafka.pause(&switches.pause);
        }
        if !switches.resume.is_empty() {
            kafka.resume(&switches.resume);
        }
    }
}

/// What NATS may bring before the engine is asked: set aside from the budget.
#[must_use]
pub fn reserve(config: &Config) -> nats::Reserve {
    let buffer = &config.backpressure;
    nats::Reserve::of(buffer.max_rows.get(), buffer.max_bytes.get())
}

/// The tables of all routes that enabled sources lead to, and `dead_letters`.
#[must_use]
pub fn tables_in_use(config: &Config, catalog: &Catalog) -> Vec<TableId> {
    let mut tables = Vec::new();
    if config.kafka.enabled {
        let routes = config.kafka.topics.values().filter_map(|name| catalog.route_id(name));
        tables.extend(routes.map(|route| catalog.route(route).table));
    }
    if config.nats.enabled {
        tables.extend(nats::tables(&config.nats, catalog));
    }
    tables.push(catalog.dead_letters());
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
