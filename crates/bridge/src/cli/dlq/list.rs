//! `data-bridge dlq list`: how many, why, and which.

use std::io::Write;

use clap::ValueEnum;
use serde_json::json;

use super::super::screen::{columns, counted, grouped, shown};
use super::{FilterArgs, Opened, moment, open, stop};
use crate::cli::{Exit, Settings};
use crate::config::Config;
use crate::letters::{Filter, Group, Letter};

/// Letters shown by default: what a screen holds.
const SHOWN: u64 = 20;

/// Count dead letters by route and reason, and list the youngest
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    #[command(flatten)]
    filter: FilterArgs,

    /// Which of them
    #[arg(long, value_name = "STATE", value_enum, default_value = "open")]
    state: State,

    /// List so many letters below the counts, the youngest first; 0 for none
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    limit: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Not replayed yet
    Open,
    /// Replayed
    Replayed,
    /// All of them
    All,
}

const HELP: &str = "\
Examples:
  data-bridge dlq list
  data-bridge dlq list --route ticks --reason bad_number --limit 100
  data-bridge dlq list --from 2024-01-25T16:00:00Z --json | jq '.groups'
  data-bridge dlq list --state replayed

Exit codes:
  0  listed, also when there is none
  1  ClickHouse refuses, or the table has another shape
  2  usage or configuration
  3  ClickHouse cannot be reached";

/// Lists.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Opened { runtime, catalog, letters } = open(config)?;
    let replayed = match args.state {
        State::Open => Some(false),
        State::Replayed => Some(true),
        State::All => None,
    };
    let filter = Filter { replayed, ..args.filter.filter(&catalog)? };
    let groups = runtime.block_on(letters.groups(&filter)).map_err(stop)?;
    let newest = match args.limit {
        0 => Vec::new(),
        limit => runtime.block_on(letters.newest(&filter, limit)).map_err(stop)?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        let letters: Vec<_> = newest.iter().map(page).collect();
        writeln!(out, "{:#}", json!({"groups": groups, "letters": letters}))?;
        return Ok(Exit::Done);
    }
    let all: u64 = groups.iter().map(|group| group.letters).sum();
    if all == 0 {
        let which = match args.state {
            State::Open => "no open dead letters",
            State::Replayed => "no replayed dead letters",
            State::All => "no dead letters",
        };
        writeln!(out, "{which}")?;
        return Ok(Exit::Done);
    }
    out.write_all(counts(&groups).as_bytes())?;
    if !newest.is_empty() {
        let shown = counted(newest.len() as u64, "letter");
        writeln!(out, "\nthe youngest {shown} of {}:", grouped(all))?;
        out.write_all(table(&newest).as_bytes())?;
        writeln!(out, "\n`data-bridge dlq show LETTER` shows one with its message")?;
    }
    Ok(Exit::Done)
}

fn counts(groups: &[Group]) -> String {
    let head = ["ROUTE", "REASON", "LETTERS", "REPLAYED", "OLDEST", "YOUNGEST"];
    let rows = groups.iter().map(|group| {
        let route = if group.route.is_empty() { "-" } else { &group.route };
        vec![
            shown(route).to_string(),
            shown(&group.reason).to_string(),
            grouped(group.letters),
            grouped(group.replayed),
            moment(group.oldest_ms),
            moment(group.newest_ms),
        ]
    });
    columns(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
}

fn table(letters: &[Letter]) -> String {
    let head = ["LETTER", "ROUTE", "RECEIVED", "BYTES", "REASON", "ERROR"];
    let rows = letters.iter().map(|letter| {
        let state = if letter.replayed_ms.is_some() { " (replayed)" } else { "" };
        vec![
            shown(&letter.id.to_string()).to_string(),
            shown(&letter.route).to_string(),
            moment(letter.id.received_ms),
            grouped(letter.bytes),
            format!("{}{state}", shown(&letter.id.reason)),
            cut(&shown(&letter.error).to_string(), 80),
        ]
    });
    columns(&std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>())
}

/// The beginning of a text, at most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A letter for programs.
pub(super) fn page(letter: &Letter) -> serde_json::Value {
    json!({
        "letter": letter.id.to_string(),
        "origin": letter.id.origin,
        "position": letter.id.position,
        "received_at": moment(letter.id.received_ms),
        "route": letter.route,
        "reason": letter.id.reason,
        "error": letter.error,
        "clickhouse_code": letter.clickhouse_code,
        "bytes": letter.bytes,
        "attempts": letter.attempts,
        "first_failed_at": moment(letter.first_failed_ms),
        "last_failed_at": moment(letter.last_failed_ms),
        "replayed_at": letter.replayed_ms.map(moment),
    })
}
