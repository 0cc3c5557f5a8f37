//! `data-bridge replay`: reads a part of the log again and sends its rows again.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use data_bridge_core::block::Block;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::TableId;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::runtime::Runtime;

use super::audit::origins;
use super::screen::{bar, counted, grouped, shown};
use super::window::{Opened, WindowArgs, stop};
use super::{Exit, Settings, Stop};
use crate::config::Config;
use crate::reread::{Log, Part, Reach, Rows, Step};
use crate::sink::clickhouse::ClickHouse;
use crate::sink::deliver::deliver;

/// Records taken at once, at full speed.
const BATCH: usize = 10_000;
/// Beats per second of a bounded rate.
const BEATS: u32 = 10;
/// With a bounded rate, rows wait at most this long for others.
const LINGER: Duration = Duration::from_secs(1);

/// Read a part of the log again and send its rows again, while instances go on
///
/// Without a group, so nobody's partitions move. Rows keep their origin, position and version: what
/// is there stays as it is, what is missing comes back, and newer data is never beaten. Useful after
/// a change of routes, or for history from before the bridge began.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    #[command(flatten)]
    pub(super) window: WindowArgs,

    /// At most so many records per second [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<NonZeroU32>,

    /// Read and decode, say what would be sent, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge replay --topic tick_archive --from 2024-01-25T16:00:00Z --to 2024-01-25T17:00:00Z
  data-bridge replay --topic tick_archive --partition 3 --from offset:0 --to offset:104200
  data-bridge replay --transport nats --from seq:104200 --to seq:105000
  data-bridge replay --rate 20000
  data-bridge replay --dry-run --json

Exit codes:
  0  sent, and all of it is durable
  1  ClickHouse refused rows, or failed
  2  usage or configuration
  3  Kafka, NATS or ClickHouse cannot be reached";

fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_no_rate| "write a number of records per second, at least 1".to_owned())
}

/// Reads and sends.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Opened { runtime, clickhouse, catalog, mut log, plan } =
        args.window.open(config, Reach::Retained)?;
    let mut replay = Replay {
        args,
        clickhouse: &clickhouse,
        catalog: &catalog,
        runtime: &runtime,
        bar: bar(if args.dry_run { "reading" } else { "replaying" }, plan.length()),
        began: Instant::now(),
        sent_at: Instant::now(),
        records: 0,
        not_retained: plan.expired(),
        rows: BTreeMap::new(),
        refused: 0,
    };
    let mut rows = Rows::new(std::sync::Arc::clone(&catalog), config);
    for part in plan.parts() {
        replay.part(&mut log, part, &mut rows)?;
    }
    replay.send_all(&mut rows)?;
    replay.bar.finish_and_clear();
    let partitions = plan.spans.len() as u64;
    let sequences = plan.sequences.end - plan.sequences.start;
    replay.conclude(partitions, sequences, &origins(partitions, sequences, config))
}

struct Replay<'a> {
    args: &'a Args,
    clickhouse: &'a ClickHouse,
    catalog: &'a Catalog,
    runtime: &'a Runtime,
    bar: ProgressBar,
    began: Instant,
    sent_at: Instant,
    records: u64,
    not_retained: u64,
    rows: BTreeMap<TableId, u64>,
    refused: u64,
}

impl Replay<'_> {
    fn part(&mut self, log: &mut Log, part: Part, rows: &mut Rows) -> anyhow::Result<()> {
        let beat = self.args.rate.map_or(BATCH, |rate| rate.get().div_ceil(BEATS) as usize);
        let (mut at, end) = (part.range().start, part.range().end);
        log.open(part).map_err(stop)?;
        loop {
            match log.read(beat.min(BATCH), rows).map_err(stop)? {
                Step::Read { records, next, .. } => {
                    self.records += records;
                    self.bar.inc(next - at);
                    at = next;
                    self.keep_pace();
                }
                Step::Gone { offsets, next } => {
                    self.not_retained += offsets;
                    self.bar.inc(next - at);
                    at = next;
                }
                Step::End => break,
            }
            while let Some(block) = rows.take_full() {
                self.send(&block)?;
                rows.recycle(block);
            }
            if self.args.rate.is_some() && self.sent_at.elapsed() >= LINGER {
                self.send_all(rows)?;
            }
        }
        self.bar.inc(end.saturating_sub(at));
        Ok(())
    }

    /// Waits until what was read is due by the rate.
    fn keep_pace(&self) {
        let Some(rate) = self.args.rate else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a pace has no use for 53 bits")]
        let due = Duration::from_secs_f64(self.records as f64 / f64::from(rate.get()));
        if let Some(early) = due.checked_sub(self.began.elapsed()) {
            self.runtime.block_on(async { tokio::time::sleep(early).await });
        }
    }

    fn send_all(&mut self, rows: &mut Rows) -> anyhow::Result<()> {
        while let Some(block) = rows.take_largest() {
            self.send(&block)?;
            rows.recycle(block);
        }
        self.sent_at = Instant::now();
        Ok(())
    }

    fn send(&mut self, block: &Block) -> anyhow::Result<()> {
        let table = block.shelf().table;
        let mut sent = u64::from(block.rows());
        if !self.args.dry_run {
            let all = 0..block.rows();
            let delivered = deliver(self.clickhouse, self.catalog.table(table), block, all);
            let refused = self.runtime.block_on(delivered).map_err(Stop::from)?;
            for refused in &refused {
                let from = block.origin(refused.row);
                let (origin, at) = from.map_or(("", 0), |(origin, position)| (origin, position.0));
                let text = format!("refused {origin}@{at}: {}", refused.failure);
                self.bar.suspend(|| writeln!(std::io::stderr(), "{}", shown(&text)))?;
            }
            sent -= refused.len() as u64;
            self.refused += refused.len() as u64;
        }
        *self.rows.entry(table).or_default() += sent;
        Ok(())
    }

    fn conclude(&self, partitions: u64, sequences: u64, of: &str) -> anyhow::Result<Exit> {
        let seconds = self.began.elapsed().as_secs_f64();
        let tables = self.rows.iter().map(|(id, rows)| (&self.catalog.table(*id).name, *rows));
        let mut out = std::io::stdout().lock();
        if self.args.json {
            let tables = tables.map(|(name, rows)| (name.clone(), json!(rows)));
            let page = json!({
                "records": self.records,
                "partitions": partitions,
                "sequences": sequences,
                "rows": tables.collect::<serde_json::Map<_, _>>(),
                "refused": self.refused,
                "offsets_not_retained": self.not_retained,
                "dry_run": self.args.dry_run,
                "seconds": seconds,
            });
            writeln!(out, "{page:#}")?;
        } else {
            let verb = if self.args.dry_run { "read" } else { "replayed" };
            let records = counted(self.records, "record");
            writeln!(out, "{verb} {records} of {of} in {seconds:.1} s")?;
            for (name, rows) in tables {
                let verb = if self.args.dry_run { "would go" } else { "went" };
                writeln!(out, "  {} {verb} to {name}", counted(rows, "row"))?;
            }
            if self.not_retained > 0 {
                let gone = counted(self.not_retained, "position");
                writeln!(out, "not replayed: {gone} that retention has deleted")?;
            }
            if self.refused > 0 {
                writeln!(out, "REFUSED by ClickHouse: {}", grouped(self.refused))?;
            }
        }
        Ok(if self.refused == 0 { Exit::Done } else { Exit::Failed })
    }
}
