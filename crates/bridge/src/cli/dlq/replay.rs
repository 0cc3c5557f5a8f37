//! `data-bridge dlq replay`: letters once more, by today's routes.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;

use super::super::screen::{bar, counted, grouped, shown};
use super::{FilterArgs, Opened, open, stop};
use crate::cli::{Exit, Settings};
use crate::config::Config;
use crate::letters::{Filter, LetterId, Outcome, Replayer};

/// Letters asked for at once.
const PAGE: u64 = 1_000;
/// Letters sent at once: few enough that a failure costs little, many enough that an insert pays.
const BATCH: usize = 500;
/// Bytes of messages held at once.
const BATCH_BYTES: u64 = 16 << 20;

/// Decode dead letters again by today's routes and send those that have become sound
///
/// Rows keep their origin, position and version, so a replay never beats newer data, and replaying
/// twice leaves one copy. A letter that is still refused stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    #[command(flatten)]
    filter: FilterArgs,

    /// Also letters that were replayed before
    #[arg(long)]
    again: bool,

    /// Say what would become of them, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge dlq replay --dry-run
  data-bridge dlq replay --route orders --reason missing_field
  data-bridge dlq replay --table ticks --from 2024-01-25T16:00:00Z --to 2024-01-25T17:00:00Z

Exit codes:
  0  all of them are rows now, also when there was none
  1  a letter is still refused and stays
  2  usage or configuration
  3  ClickHouse cannot be reached";

/// What became of the letters.
#[derive(Default)]
struct Sums {
    replayed: u64,
    stay: u64,
    /// Why, and how many, with one of them.
    reasons: BTreeMap<String, (u64, String)>,
}

/// Replays.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Opened { runtime, catalog, letters } = open(config)?;
    let replayed = if args.again { None } else { Some(false) };
    let filter = Filter { replayed, ..args.filter.filter(&catalog)? };
    let all = runtime.block_on(letters.groups(&filter)).map_err(stop)?;
    let all = all.iter().map(|group| group.letters).sum();
    let bar = bar(if args.dry_run { "decoding" } else { "replaying" }, all);
    let replayer = Replayer::new(&letters, catalog, &config.kafka.topics);
    let mut replayer = if args.dry_run { replayer.dry() } else { replayer };
    let mut sums = Sums::default();
    let mut after: Option<LetterId> = None;
    loop {
        let page = runtime.block_on(letters.page(&filter, after.as_ref(), PAGE)).map_err(stop)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let sizes = page.iter().map(|letter| letter.bytes);
        for batch in batches(sizes) {
            let ids: Vec<_> = page[batch].iter().map(|letter| letter.id.clone()).collect();
            let wholes = runtime.block_on(letters.whole(&ids)).map_err(stop)?;
            let now = jiff::Timestamp::now().as_millisecond();
            let outcomes = runtime.block_on(replayer.replay(&wholes, now)).map_err(stop)?;
            for (whole, outcome) in wholes.iter().zip(outcomes) {
                sums.add(&whole.letter.id, outcome);
            }
            bar.inc(ids.len() as u64);
        }
    }
    bar.finish_and_clear();
    sums.print(args)?;
    Ok(if sums.stay == 0 { Exit::Done } else { Exit::Failed })
}

/// Cuts a page so that no batch is larger than memory should be.
fn batches(sizes: impl Iterator<Item = u64>) -> Vec<std::ops::Range<usize>> {
    let mut batches: Vec<std::ops::Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in sizes.enumerate() {
        bytes += size;
        match batches.last_mut() {
            Some(last) if last.len() < BATCH && bytes <= BATCH_BYTES => last.end += 1,
            Some(_) | None => {
                bytes = size;
                batches.push(index..index + 1);
            }
        }
    }
    batches
}

impl Sums {
    fn add(&mut self, id: &LetterId, outcome: Outcome) {
        match outcome {
            Outcome::Replayed => self.replayed += 1,
            Outcome::Stays(why) => {
                self.stay += 1;
                let (count, _) = self.reasons.entry(why).or_insert_with(|| (0, id.to_string()));
                *count += 1;
            }
        }
    }

    fn print(&self, args: &Args) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if args.json {
            let reasons = self.reasons.iter().map(
                |(why, (count, example))| json!({"why": why, "letters": count, "such_as": example}),
            );
            let page = json!({
                "replayed": self.replayed,
                "stay": self.stay,
                "reasons": reasons.collect::<Vec<_>>(),
                "dry_run": args.dry_run,
            });
            return writeln!(out, "{page:#}");
        }
        if self.replayed + self.stay == 0 {
            return writeln!(out, "no dead letters to replay");
        }
        let verb = if args.dry_run { "would be replayed" } else { "replayed" };
        writeln!(out, "{} {verb}", counted(self.replayed, "letter"))?;
        for (why, (count, example)) in &self.reasons {
            let (why, example) = (shown(why), shown(example));
            let verb = if *count == 1 { "stays" } else { "stay" };
            writeln!(out, "{} {verb}: {why} (such as {example})", grouped(*count))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_letters_and_by_bytes() {
        assert!(batches(std::iter::empty()).is_empty());
        assert_eq!(batches([1; 1_200].into_iter()), [0..500, 500..1_000, 1_000..1_200]);
        let large = BATCH_BYTES;
        let mixed = batches([1, large, 2, 3, large - 5, 1].into_iter());
        assert_eq!(mixed, [0..1, 1..2, 2..5, 5..6]);
        assert_eq!(batches([3 * large, 3 * large].into_iter()), [0..1, 1..2], "alone, but sent");
    }
}
