//! What the tables hold, asked over ClickHouse's HTTP interface.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use data_bridge_stack::health;

/// Tables that hold something.
const TABLES: &str = "SELECT table, sum(rows) FROM system.parts \
                      WHERE active AND database = 'market' GROUP BY table ORDER BY table";
const LETTERS: &str =
    "SELECT reason, count() FROM market.dead_letters FINAL GROUP BY reason ORDER BY reason";

/// Rows by table and dead letters by reason.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) tables: Vec<(String, u64)>,
    pub(super) letters: Vec<(String, u64)>,
}

impl Rows {
    pub(super) fn total(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }

    /// Rows that are no dead letters.
    pub(super) fn events(&self) -> u64 {
        self.tables.iter().filter(|(table, _)| table != "dead_letters").map(|(_, rows)| rows).sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub(super) fn share_of(&self, messages: u64) -> f64 {
        self.total() as f64 / messages.max(1) as f64
    }
}

/// What a query with `FINAL` sees: each event came at least twice.
pub(super) fn rows(port: u16) -> Result<Rows> {
    let tables = ask(port, TABLES)?;
    let counts = tables
        .iter()
        .map(|(table, _)| format!("SELECT '{table}', count() FROM market.{table} FINAL"))
        .collect::<Vec<_>>();
    if counts.is_empty() {
        return Ok(Rows::default());
    }
    let mut tables = ask(port, &counts.join(" UNION ALL "))?;
    tables.sort();
    Ok(Rows { tables, letters: ask(port, LETTERS)? })
}

fn ask(port: u16, query: &str) -> Result<Vec<(String, u64)>> {
    parse(&health::http_get(port, &format!("/?query={}", encode(query)))?)
}

fn parse(answer: &str) -> Result<Vec<(String, u64)>> {
    let pair = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    answer
        .lines()
        .map(|line| pair(line).with_context(|| format!("not a name and a number: {line:?}")))
        .collect()
}

/// Percent-encoding of everything that could mean something in a URL.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_queries_are_encoded() {
        let tables = parse("aggregates\t3\nticks\t40\n").unwrap();
        assert_eq!(tables, [("aggregates".to_owned(), 3), ("ticks".to_owned(), 40)]);
        let rows = Rows { tables, letters: Vec::new() };
        assert_eq!((rows.total(), rows.events()), (43, 43));
        assert!((rows.share_of(86) - 0.5).abs() < 1e-9);
        assert!(parse("Code: 60. DB::Exception").is_err());
        assert_eq!(encode("a = 'b'"), "a%20%3D%20%27b%27");
    }
}
