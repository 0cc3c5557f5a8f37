//! `data-bridge dlq show`: one letter, with its message byte for byte.

use std::io::Write;
use std::str::FromStr;

use serde_json::json;

use super::super::screen::{Shown, grouped, shown};
use super::{Opened, list, moment, open, stop};
use crate::cli::{Exit, Settings, Stop};
use crate::config::Config;
use crate::letters::{Filter, Whole};

/// Bytes of a message that a screen is given.
const SHOWN: usize = 4_096;

/// Show a dead letter with its message
///
/// What is no printable text is shown escaped: no message steers the terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// The letter, as `dlq list` names it
    #[arg(value_name = "LETTER")]
    letter: Name,

    /// Write the message's value to standard output as it is, and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Print JSON, with bytes as hexadecimal digits
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge dlq show kafka:tick_archive:3@104200
  data-bridge dlq show kafka:tick_archive:3@104200 --raw > message.json
  data-bridge dlq show kafka:tick_archive:3@104200 --json | jq -r '.[0].error'

Exit codes:
  0  shown
  1  there is no such letter
  2  usage or configuration
  3  ClickHouse cannot be reached";

/// `kafka:tick_archive:3@104200`.
#[derive(Clone, Debug)]
pub(super) struct Name {
    origin: String,
    position: u64,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('@').filter(|(origin, _)| !origin.is_empty());
        let parts = parts.and_then(|(origin, at)| Some((origin, at.parse().ok()?)));
        let (origin, position) =
            parts.ok_or("write ORIGIN@POSITION, such as kafka:tick_archive:3@104200")?;
        Ok(Self { origin: origin.to_owned(), position })
    }
}

/// Shows.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let Opened { runtime, catalog: _, letters } = open(config)?;
    let Name { origin, position } = &args.letter;
    let filter =
        Filter { origin: Some(origin.clone()), position: Some(*position), ..Filter::default() };
    // One message may lie there for several reasons, of several versions of its route.
    let found = runtime.block_on(letters.page(&filter, None, 100)).map_err(stop)?;
    let ids: Vec<_> = found.into_iter().map(|letter| letter.id).collect();
    let wholes = runtime.block_on(letters.whole(&ids)).map_err(stop)?;
    let Some(first) = wholes.first() else {
        let what = format!("there is no dead letter {origin}@{position}");
        return Err(Stop::new(Exit::Failed, what, "`data-bridge dlq list` names them").into());
    };
    let mut out = std::io::stdout().lock();
    if args.raw {
        out.write_all(&first.payload)?;
        out.flush()?;
    } else if args.json {
        let pages: Vec<_> = wholes.iter().map(page).collect();
        writeln!(out, "{:#}", json!(pages))?;
    } else {
        for (index, whole) in wholes.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            print(&mut out, whole)?;
        }
    }
    Ok(Exit::Done)
}

fn print(out: &mut impl Write, whole: &Whole) -> std::io::Result<()> {
    let Whole { letter, key, payload, headers } = whole;
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<10} {text}");
    line("letter", &shown(&letter.id.to_string()).to_string())?;
    line("route", &shown(&letter.route).to_string())?;
    line("reason", &shown(&letter.id.reason).to_string())?;
    line("error", &shown(&letter.error).to_string())?;
    if letter.clickhouse_code != 0 {
        line("code", &format!("{} of ClickHouse", letter.clickhouse_code))?;
    }
    line("received", &moment(letter.id.received_ms))?;
    let tries = letter.attempts;
    let (first, last) = (moment(letter.first_failed_ms), moment(letter.last_failed_ms));
    line("failed", &format!("{last}, first {first}, attempts {tries}"))?;
    line("replayed", &letter.replayed_ms.map_or_else(|| "no".to_owned(), moment))?;
    line("key", &beginning(key))?;
    for (name, value) in headers {
        line("header", &format!("{} = {}", Shown(name), beginning(value)))?;
    }
    line("value", &beginning(payload))
}

/// Bytes for a screen: those it has room for, and how many there are.
fn beginning(bytes: &[u8]) -> String {
    let all = grouped(bytes.len() as u64);
    if bytes.is_empty() {
        return "(empty)".to_owned();
    }
    if bytes.len() <= SHOWN {
        return format!("{} ({all} bytes)", Shown(bytes));
    }
    // Not in the middle of a character.
    let end = (SHOWN - 3..=SHOWN).rev().find(|end| bytes[*end] & 0xC0 != 0x80).unwrap_or(SHOWN);
    format!("{}… ({all} bytes, the first {} shown)", Shown(&bytes[..end]), grouped(end as u64))
}

/// A letter for programs: nothing is lost, whatever its bytes are.
fn page(whole: &Whole) -> serde_json::Value {
    let text = |bytes: &[u8]| str::from_utf8(bytes).ok().map(str::to_owned);
    let mut page = list::page(&whole.letter);
    page["key"] = json!(text(&whole.key));
    page["key_hex"] = json!(hex(&whole.key));
    page["payload"] = json!(text(&whole.payload));
    page["payload_hex"] = json!(hex(&whole.payload));
    let headers = whole.headers.iter().map(|(name, value)| {
        json!({"name": text(name), "name_hex": hex(name), "value": text(value), "value_hex": hex(value)})
    });
    page["headers"] = headers.collect();
    page
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_origin_and_position() {
        let name: Name = "kafka:a@b:3@104200".parse().expect("sound");
        assert_eq!((name.origin.as_str(), name.position), ("kafka:a@b:3", 104_200));
        for bad in ["", "kafka:t:3", "kafka:t:3@", "@5", "kafka:t:3@-1", "kafka:t:3@x"] {
            assert!(bad.parse::<Name>().expect_err(bad).contains("ORIGIN@POSITION"));
        }
    }

    #[test]
    fn a_screen_gets_the_beginning_and_no_half_character() {
        let text = "é".repeat(3_000);
        let shown = beginning(text.as_bytes());
        assert!(
            shown.starts_with('é') && shown.contains("é… (6,000 bytes, the first 4,096 shown)")
        );
        assert!(!beginning(format!("a{text}").as_bytes()).contains("\\x"), "cut between two");
        assert_eq!(beginning(b"\xff\n"), "\\xff\\n (2 bytes)");
        assert_eq!(hex(b"\x00\xffA"), "00ff41");
    }
}
