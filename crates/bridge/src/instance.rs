//! One instance: everything that runs, started in order, stopped in order.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::engine::Limits;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::admin::{self, Pages};
use crate::config::Config;
use crate::hub::{Pace, Reporter};
use crate::pipeline::{self, Ended, Parts, Pipeline, StopSign};
use crate::routes::{self, Stands};
use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables;
use crate::source::Waker;
use crate::source::kafka::{HasRows, KafkaSource};
use crate::source::nats::NatsSource;
use crate::telemetry::board::{Board, Status};
use crate::telemetry::certificates;
use crate::telemetry::metrics::Metrics;

/// Share of the byte budget that librdkafka's own queue may take; what one fetch brings at most is
/// the same again.
const CLIENT_QUEUE_SHARE: u64 = 8;
/// How long a question to ClickHouse may hold an assignment up.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of `nats.ack_wait_ms` passes between two signs of progress: one may be late or lost
/// and the next still comes in time.
const PROGRESS_SHARE: f64 = 0.4;
/// Chunks of JetStream are kept for so many `nats.ack_wait_ms`; each costs a sign per message and
/// interval, and others might be able to write them.
const KEEP: u32 = 6;

/// Runs an instance until it is told to stop, or cannot go on.
///
/// # Errors
/// When it cannot start: an address is taken, a certificate cannot be read.
pub fn run(config: &Config) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("bridge-io")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let status = Status {
        instance_id: config.instance.id.clone(),
        kafka_group: if config.kafka.enabled {
            config.kafka.group_id.clone()
        } else {
            String::new()
        },
        version: env!("CARGO_PKG_VERSION"),
        reasons: vec!["starting".to_owned()],
        ..Status::default()
    };
    let number = config.instance.number.clone();
    let board = Arc::new(Board::new(status, number.clone()));
    let metrics = Arc::new(Metrics::new(&config.instance.id, number));
    let pages = Pages {
        board: Arc::clone(&board),
        metrics: Arc::clone(&metrics),
        token: config.http.token.clone(),
    };
    runtime.spawn(certificates::watch(Arc::new(config.clone()), Arc::clone(&metrics)));
    runtime.spawn(memory::give_back(Arc::clone(&board)));
    let server = Server::start(&runtime, config, pages)?;
    info!(
        address = %config.http.listen,
        kafka = if config.kafka.enabled { &config.kafka.brokers } else { "off" },
        group = config.kafka.group_id,
        nats = if config.nats.enabled { config.nats.cluster_urls.join(",") } else { "off".into() },
        clickhouse = config.clickhouse.urls.join(","),
        database = config.clickhouse.database,
        "instance started"
    );

    let reporter = Reporter::start(runtime.handle(), config, Arc::clone(&board), Pace::default());
    let stop = StopSign::default();
    watch_signals(&runtime, stop.clone()).context("cannot watch for signals")?;
    let clickhouse = ClickHouse::new(&config.clickhouse)?;
    let parts = Whole { config, runtime: &runtime, clickhouse, board, metrics };
    let mut stands = Stands::ForMissing;
    let ended = loop {
        let ended = parts.run_pipeline(&stop, stands)?;
        if matches!(ended, Ended::Failed(_)) || !stop.begins_again() {
            break ended;
        }
        stands = Stands::ForAny;
    };
    if let Some(reporter) = reporter {
        runtime.block_on(reporter.stop());
    }
    server.stop(&runtime);
    // Inserts that were given up must not hold the exit.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(ended)
}

/// What outlives a pipeline.
struct Whole<'a> {
    config: &'a Config,
    runtime: &'a Runtime,
    clickhouse: ClickHouse,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Whole<'_> {
    /// One pipeline, with the tables of own routes as they are now; it is told to begin again when
    /// one of them gets another shape.
    fn run_pipeline(&self, stop: &StopSign, stands: Stands) -> anyhow::Result<Ended> {
        let Self { config, runtime, clickhouse, board, metrics } = self;
        let Some(catalog) = routes::catalog(config, clickhouse, runtime, board, stop, stands)?
        else {
            return Ok(Ended::Drained);
        };
        let catalog = Arc::new(catalog);
        let kafka = config.kafka.enabled.then(|| {
            KafkaSource::connect(
                &config.kafka,
                &config.instance,
                config.backpressure.max_bytes.get() / CLIENT_QUEUE_SHARE,
                rows_known(runtime, clickhouse, config, &catalog),
            )
        });
        let kafka = kafka.transpose()?;
        let waker = kafka.as_ref().map_or_else(Waker::default, KafkaSource::waker);
        let nats = config.nats.enabled.then(|| {
            NatsSource::start(
                &config.nats,
                &config.instance,
                Arc::clone(&catalog),
                waker.clone(),
                pipeline::reserve(config),
                board.pulses(),
            )
        });
        let nats = nats.transpose()?;
        let limits = limits(config, catalog.dead_letters());
        let watch = self.watch_own_tables(&catalog, stop);
        let parts = Parts {
            catalog,
            kafka,
            nats,
            waker,
            clickhouse: clickhouse.clone(),
            runtime: runtime.handle().clone(),
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
        };
        let ended = Pipeline::new(config, limits, parts).run(stop);
        watch.abort();
        Ok(ended)
    }

    fn watch_own_tables(&self, catalog: &Arc<Catalog>, stop: &StopSign) -> JoinHandle<()> {
        let (config, clickhouse) = (self.config.clone(), self.clickhouse.clone());
        let (catalog, board, stop) = (Arc::clone(catalog), Arc::clone(&self.board), stop.clone());
        self.runtime.spawn(async move {
            let table = routes::reshaped(&config, &clickhouse, &catalog, &board).await;
            info!(table, "its columns are others now: the pipeline begins again with them");
            stop.raise_to_begin_again();
        })
    }
}

/// The engine's limits: the budget less what librdkafka's queue and one fetch may hold, and less what
/// the pulls of NATS may bring.
fn limits(config: &Config, dead_letters: data_bridge_core::units::TableId) -> Limits {
    let bytes = config.backpressure.max_bytes.get();
    let kafka = if config.kafka.enabled { 2 * (bytes / CLIENT_QUEUE_SHARE) } else { 0 };
    let nats = if config.nats.enabled { pipeline::reserve(config).bytes } else { 0 };
    Limits {
        dead_letters,
        batch_rows: config.batch.max_rows.get(),
        batch_bytes: config.batch.max_bytes.get(),
        batch_age: config.batch.max_age,
        inserts_per_second: config.batch.inserts_per_second.get(),
        longest_stretch: config.batch.longest_stretch,
        buffer_rows: config.backpressure.max_rows.get(),
        buffer_bytes: bytes - kafka - nats,
        stream_rows: config.nats.max_ack_pending.get().into(),
        pause_at: config.backpressure.pause_at,
        resume_at: config.backpressure.resume_at,
        retry_initial: config.retry.initial,
        retry_max: config.retry.max,
        flood_rows: config.dead_letters.flood_rows.get(),
        flood_share: config.dead_letters.flood_share,
        flood_window: config.dead_letters.flood_window,
        progress_interval: config.nats.ack_wait.mul_f64(PROGRESS_SHARE),
        keep: config.nats.ack_wait * KEEP,
        ..Limits::default()
    }
}

/// Answers whether ClickHouse holds rows of a topic; `None` when nobody knows.
fn rows_known(
    runtime: &Runtime,
    clickhouse: &ClickHouse,
    config: &Config,
    catalog: &Arc<Catalog>,
) -> HasRows {
    let runtime = runtime.handle().clone();
    let clickhouse = clickhouse.clone();
    let catalog = Arc::clone(catalog);
    let topics = config.kafka.topics.clone();
    Arc::new(move |topic| {
        let route = catalog.route_id(topics.get(topic)?)?;
        let table = catalog.table(catalog.route(route).table);
        let question = tables::holds_rows_of(&clickhouse, table, topic);
        let in_time = async { tokio::time::timeout(QUESTION_TIMEOUT, question).await };
        match runtime.block_on(in_time) {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(failure)) => {
                warn!(topic, error = %failure, "cannot ask ClickHouse for rows of a topic");
                None
            }
            Err(_) => None,
        }
    })
}

/// The HTTP server of the instance.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(runtime: &Runtime, config: &Config, pages: Pages) -> anyhow::Result<Self> {
        let listener = runtime.block_on(admin::listen(config.http.listen))?;
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(admin::serve(listener, pages, async {
            // A sender that is gone means the same.
            stopped.await.ok();
        }));
        Ok(Self { stop, task })
    }

    fn stop(self, runtime: &Runtime) {
        // The server may have ended by itself.
        self.stop.send(()).ok();
        let in_time = async { tokio::time::timeout(Duration::from_secs(1), self.task).await };
        let ended = runtime.block_on(in_time);
        if let Ok(Ok(Err(error))) = ended {
            warn!(%error, "the HTTP server ended badly");
        }
    }
}

/// The first SIGTERM or SIGINT asks for a drained stop, the second ends the process at once.
fn watch_signals(runtime: &Runtime, stop: StopSign) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    runtime.spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                warn!("second signal: ending without waiting; what is open is read again later");
                #[expect(clippy::exit, reason = "a second signal means now")]
                std::process::exit(1);
            }
            asked = true;
            stop.raise();
        }
    });
    Ok(())
}
