//! `data-bridge audit`: is everything there that the log says must be?

use std::io::Write;
use std::time::Instant;

use data_bridge_core::block::Block;
use data_bridge_core::catalog::Catalog;
use indicatif::ProgressBar;
use serde_json::json;

use super::screen::{bar, counted, grouped, shown};
use super::window::{Opened, WindowArgs, stop as no_window, tables};
use super::{Exit, Settings, Stop};
use crate::audit::{AuditError, Auditor, Finding, Identity};
use crate::config::Config;
use crate::reread::{Plan, Reach, Rows, Step};
use crate::source::kafka::LostRange;
use crate::source::nats::LostSequences;

/// Records taken at once.
const BATCH: usize = 10_000;

/// Read a part of the log again and find what is missing in ClickHouse
///
/// Each record is decoded as `run` would and looked up by its identity: among the rows of its
/// table, with every value compared, and among the dead letters. A row of a newer version stands in
/// for all older ones; rows past a TTL are expired; records that transactions aborted or compaction
/// removed are not missing. The group is not disturbed: nothing is joined and nothing committed.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    #[command(flatten)]
    pub(super) window: WindowArgs,

    /// Send what is missing or differs, with its original origin, position and version
    #[arg(long)]
    pub(super) repair: bool,

    /// Print one JSON object per finding and line, and a last one with the summary
    #[arg(long)]
    pub(super) json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge audit
  data-bridge audit --topic tick_archive --from 2024-01-25T16:00:00Z --to 2024-01-25T17:00:00Z
  data-bridge audit --topic tick_archive --partition 3 --from offset:104200 --repair
  data-bridge audit --transport nats --from seq:104200
  data-bridge audit --json | jq 'select(.finding == \"missing\")'

Exit codes:
  0  everything is there
  1  something is missing, differs, or was lost; also when it was repaired just now
  2  usage or configuration
  3  Kafka, NATS or ClickHouse cannot be reached";

/// Reads, compares, prints what it finds.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let Opened { runtime, clickhouse, catalog, mut log, plan } =
        args.window.open(config, Reach::Moved)?;
    let tables = tables(config, &catalog);
    let auditor = Auditor::new(clickhouse, std::sync::Arc::clone(&catalog), tables);
    let auditor = runtime.block_on(auditor).map_err(stop)?;
    let mut audit = Audit {
        args,
        runtime: &runtime,
        auditor: &auditor,
        bar: bar("auditing", plan.length()),
        sums: Sums {
            partitions: plan.spans.len() as u64,
            sequences: plan.sequences.end - plan.sequences.start,
            gone: plan.expired(),
            ..Sums::default()
        },
    };
    audit.lost(&plan, config)?;
    let mut rows = Rows::new(catalog, config);
    for part in plan.parts() {
        let mut at = part.range().start;
        let end = part.range().end;
        log.open(part).map_err(no_window)?;
        loop {
            match log.read(BATCH, &mut rows).map_err(no_window)? {
                Step::Read { records, letters, next } => {
                    audit.sums.records += records;
                    audit.sums.letters += letters;
                    audit.bar.inc(next - at);
                    at = next;
                }
                // It was committed: what overtook us is no loss, it can only not be looked at.
                Step::Gone { offsets, next } => {
                    audit.sums.gone += offsets;
                    audit.bar.inc(next - at);
                    at = next;
                }
                Step::End => break,
            }
            while let Some(block) = rows.take_full() {
                audit.check(&block)?;
                rows.recycle(block);
            }
        }
        audit.bar.inc(end.saturating_sub(at));
    }
    while let Some(block) = rows.take_largest() {
        audit.check(&block)?;
    }
    audit.bar.finish_and_clear();
    audit.sums.untouched = plan.untouched as u64;
    audit.sums.missing_topics = plan.missing;
    audit.conclude(began, config)
}

fn stop(error: AuditError) -> Stop {
    match error {
        AuditError::Server(failure) => failure.into(),
        AuditError::Table(_) => Stop::new(
            Exit::Failed,
            error.to_string(),
            "`data-bridge check` says what would be right",
        ),
        AuditError::Answer(_) => Stop::new(Exit::Failed, error.to_string(), ""),
    }
}

struct Audit<'a> {
    args: &'a Args,
    runtime: &'a tokio::runtime::Runtime,
    auditor: &'a Auditor,
    bar: ProgressBar,
    sums: Sums,
}

/// What was counted.
#[derive(Debug, Default)]
struct Sums {
    partitions: u64,
    /// Of the stream, holes included.
    sequences: u64,
    records: u64,
    /// Records that are dead letters by today's routes.
    letters: u64,
    /// Records that are rows today and lie among the dead letters.
    buried: u64,
    expired: u64,
    missing: u64,
    differing: u64,
    /// Of both, those that are dead letters.
    letters_wrong: u64,
    ranges_lost: u64,
    offsets_lost: u64,
    messages_lost: u64,
    /// Offsets and sequences that retention deleted after they were read.
    gone: u64,
    repaired: u64,
    untouched: u64,
    missing_topics: Vec<String>,
}

impl Audit<'_> {
    fn check(&mut self, block: &Block) -> anyhow::Result<()> {
        let checked = self.runtime.block_on(self.auditor.check(block)).map_err(stop)?;
        self.sums.expired += checked.expired;
        self.sums.buried += checked.buried;
        for finding in &checked.findings {
            self.tell(finding)?;
        }
        if self.args.repair && !checked.missing.is_empty() {
            self.repair(block, &checked.missing)?;
        }
        Ok(())
    }

    /// Sends what is missing, and looks whether it is there now.
    fn repair(&mut self, block: &Block, missing: &[u32]) -> anyhow::Result<()> {
        let refused = self.runtime.block_on(self.auditor.repair(block, missing)).map_err(stop)?;
        for refused in &refused {
            let from = block.origin(refused.row);
            let (origin, position) =
                from.map_or(("", 0), |(origin, position)| (origin, position.0));
            let text = format!("not repaired {origin}@{position}: {}", refused.failure);
            self.bar.suspend(|| writeln!(std::io::stderr(), "{}", shown(&text)))?;
        }
        let left = self.runtime.block_on(self.auditor.check(block)).map_err(stop)?;
        self.sums.repaired += (missing.len() - left.missing.len().min(missing.len())) as u64;
        Ok(())
    }

    fn lost(&mut self, plan: &Plan, config: &Config) -> anyhow::Result<()> {
        for LostRange { topic, partition, offsets } in &plan.lost {
            let (topic, partition) = (topic.clone(), *partition);
            let (from, to) = (offsets.start, offsets.end);
            self.tell(&Finding::RangeLost { topic, partition, from, to })?;
        }
        for LostSequences { sequences, messages } in &plan.lost_sequences {
            let (stream, messages) = (config.nats.stream.clone(), *messages);
            let (from, to) = (sequences.start, sequences.end);
            self.tell(&Finding::SequencesLost { stream, from, to, messages })?;
        }
        Ok(())
    }

    fn tell(&mut self, finding: &Finding) -> anyhow::Result<()> {
        match finding {
            Finding::Missing { of } => {
                self.sums.missing += 1;
                self.sums.letters_wrong += u64::from(of.table == Catalog::DEAD_LETTERS);
            }
            Finding::Differs { of, .. } => {
                self.sums.differing += 1;
                self.sums.letters_wrong += u64::from(of.table == Catalog::DEAD_LETTERS);
            }
            Finding::RangeLost { from, to, .. } => {
                self.sums.ranges_lost += 1;
                self.sums.offsets_lost += to - from;
            }
            Finding::SequencesLost { messages, .. } => {
                self.sums.ranges_lost += 1;
                self.sums.messages_lost += messages;
            }
        }
        let line = if self.args.json { serde_json::to_string(finding)? } else { line(finding) };
        self.bar.suspend(|| writeln!(std::io::stdout(), "{line}"))?;
        Ok(())
    }

    fn conclude(&self, began: Instant, config: &Config) -> anyhow::Result<Exit> {
        let sums = &self.sums;
        let seconds = began.elapsed().as_secs_f64();
        let found = sums.missing + sums.differing + sums.ranges_lost;
        let mut out = std::io::stdout().lock();
        if self.args.json {
            let page = json!({"summary": {
                "records": sums.records, "partitions": sums.partitions,
                "sequences": sums.sequences,
                "dead_letters": sums.letters - sums.letters_wrong + sums.buried, "expired": sums.expired,
                "missing": sums.missing, "differs": sums.differing, "repaired": sums.repaired,
                "ranges_lost": sums.ranges_lost, "offsets_lost": sums.offsets_lost,
                "messages_lost": sums.messages_lost,
                "offsets_not_retained": sums.gone, "partitions_never_read": sums.untouched,
                "topics_missing": sums.missing_topics,
                "seconds": seconds,
            }});
            writeln!(out, "{page}")?;
        } else {
            self.summary(&mut out, seconds, config)?;
        }
        Ok(if found == 0 { Exit::Done } else { Exit::Failed })
    }

    fn summary(&self, out: &mut impl Write, seconds: f64, config: &Config) -> std::io::Result<()> {
        let sums = &self.sums;
        let letters = sums.letters - sums.letters_wrong + sums.buried;
        let present = sums.records - sums.missing - sums.differing - sums.expired - letters;
        writeln!(
            out,
            "audited {} of {} in {seconds:.1} s: {} as rows, {} as dead letters, {} expired",
            counted(sums.records, "record"),
            origins(sums.partitions, sums.sequences, config),
            grouped(present),
            grouped(letters),
            grouped(sums.expired),
        )?;
        if sums.gone > 0 {
            let gone = counted(sums.gone, "position");
            writeln!(out, "not looked at: {gone} that retention has deleted since they were read")?;
        }
        if sums.untouched > 0 {
            let partitions = counted(sums.untouched, "partition");
            let group = &config.kafka.group_id;
            writeln!(
                out,
                "not looked at: {partitions} of which the group {group} has read nothing"
            )?;
        }
        for topic in &sums.missing_topics {
            writeln!(out, "not looked at: topic {topic}, which does not exist")?;
        }
        if sums.missing + sums.differing + sums.ranges_lost == 0 {
            return writeln!(out, "nothing is missing, nothing differs, nothing was lost");
        }
        writeln!(
            out,
            "FOUND: {} missing, {} differing, {} lost ({})",
            grouped(sums.missing),
            grouped(sums.differing),
            counted(sums.ranges_lost, "range"),
            counted(sums.offsets_lost + sums.messages_lost, "message"),
        )?;
        if self.args.repair {
            let of = sums.missing + sums.differing;
            writeln!(out, "repaired: {} of {}", grouped(sums.repaired), grouped(of))?;
        } else if sums.missing + sums.differing > 0 {
            writeln!(out, "the same command with --repair sends them again")?;
        }
        Ok(())
    }
}

/// A finding for people.
fn line(finding: &Finding) -> String {
    match finding {
        Finding::Missing { of } => format!("missing  {}", identity(of)),
        Finding::Differs { of, columns } => {
            let columns = columns.iter().map(|difference| {
                let (column, expected) = (shown(&difference.column), shown(&difference.expected));
                format!("{column} must be {expected}, is {}", shown(&difference.found))
            });
            let columns = columns.collect::<Vec<_>>().join("; ");
            format!("differs  {}: {columns}", identity(of))
        }
        Finding::RangeLost { topic, partition, from, to } => format!(
            "lost     kafka:{topic}:{partition} offsets {from} to {}: deleted before they were read",
            to - 1
        ),
        Finding::SequencesLost { stream, from, to, messages } => format!(
            "lost     nats:{stream} sequences {from} to {}: {} deleted before {} delivered",
            to - 1,
            counted(*messages, "message"),
            if *messages == 1 { "it was" } else { "they were" },
        ),
    }
}

/// `6 partitions and stream MARKET`.
pub(super) fn origins(partitions: u64, sequences: u64, config: &Config) -> String {
    let stream = format!("stream {}", config.nats.stream);
    match (partitions, sequences) {
        (0, 1..) => stream,
        (_, 0) => counted(partitions, "partition"),
        (_, 1..) => format!("{} and {stream}", counted(partitions, "partition")),
    }
}

fn identity(of: &Identity) -> String {
    let Identity { table, origin, position, identity } = of;
    let from = position.map(|position| format!("{}@{position}  ", shown(origin)));
    let values: Vec<_> =
        identity.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    format!("{}{table}  {}", from.unwrap_or_default(), values.join(" "))
}
