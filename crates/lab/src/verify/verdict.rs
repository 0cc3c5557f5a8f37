//! The verdict, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::generate::Flaw;

/// What was found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Messages of the plan.
    pub produced: u64,
    /// One entry per table.
    pub tables: Vec<TableVerdict>,
    /// Dead letters.
    pub letters: LetterVerdict,
    /// Some of what is wrong, by table.
    pub samples: Vec<Sample>,
    /// How long the comparison took.
    pub elapsed: Duration,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableVerdict {
    /// Its name.
    pub table: String,
    /// Rows that must be visible.
    pub expected: u64,
    /// Rows visible with `FINAL`.
    pub visible: u64,
    /// Expected and not visible.
    pub missing: u64,
    /// Visible although the same event is visible already.
    pub duplicates: u64,
    /// The event is there, with another value, origin, version or id.
    pub differing: u64,
    /// Rows of no event of the plan.
    pub unexpected: u64,
    /// Rows without `FINAL`: how much was written more than once.
    pub raw_rows: u64,
}

/// Dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterVerdict {
    /// Bad messages that were planted.
    pub expected: u64,
    /// Rows visible with `FINAL`.
    pub found: u64,
    /// Planted and not found.
    pub missing: u64,
    /// Found more often than planted.
    pub duplicates: u64,
    /// Letters of messages that were not planted as bad.
    pub unexpected: u64,
    /// Letters whose `reason` is of another class than the flaw that was planted.
    pub misnamed: u64,
    /// Rows without `FINAL`.
    pub raw_rows: u64,
    /// Flaw that was planted, reason the bridge gave, how often.
    pub reasons: Vec<(String, String, u64)>,
}

/// How a row is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Not there.
    Missing,
    /// There twice.
    Duplicate,
    /// There with something else in it.
    Differing,
    /// Not of this plan.
    Unexpected,
}

/// One wrong row.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its table.
    pub table: String,
    /// How it is wrong.
    pub wrong: Wrong,
    /// Number of the message it should come from.
    pub message: Option<u64>,
    /// `kafka:<topic>:<partition>`.
    pub origin: Option<String>,
    /// Offset, when the row says one.
    pub position: Option<u64>,
    /// The row that should be there, or what in it.
    pub expected: String,
    /// The row that is there.
    pub found: String,
}

impl Verdict {
    /// Nothing missing, nothing doubled, nothing altered, nothing else.
    #[must_use]
    pub fn holds(&self) -> bool {
        let letters = &self.letters;
        letters.missing + letters.duplicates + letters.unexpected + letters.misnamed == 0
            && self.tables.iter().all(|table| {
                table.missing + table.duplicates + table.differing + table.unexpected == 0
            })
    }

    /// Sum over all tables, without dead letters.
    #[must_use]
    pub fn total(&self) -> TableVerdict {
        let mut total = TableVerdict { table: "total".to_owned(), ..TableVerdict::default() };
        for table in &self.tables {
            total.expected += table.expected;
            total.visible += table.visible;
            total.missing += table.missing;
            total.duplicates += table.duplicates;
            total.differing += table.differing;
            total.unexpected += table.unexpected;
            total.raw_rows += table.raw_rows;
        }
        total
    }

    /// The verdict in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let (total, letters) = (self.total(), &self.letters);
        format!(
            "{}: produced {}, visible {} of {}, missing {}, duplicates {}, differing {}, \
             unexpected {}, dead letters {} of {} ({} missing, {} too many, \
             {} misnamed)",
            if self.holds() { "EXACT" } else { "WRONG" },
            self.produced,
            total.visible,
            total.expected,
            total.missing,
            total.duplicates,
            total.differing,
            total.unexpected,
            letters.found,
            letters.expected,
            letters.missing,
            letters.duplicates + letters.unexpected,
            letters.misnamed,
        )
    }

    /// The verdict for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let letters = &self.letters;
        json!({
            "holds": self.holds(),
            "produced": self.produced,
            "total": table_json(&self.total()),
            "tables": self.tables.iter().map(table_json).collect::<Vec<_>>(),
            "dead_letters": {
                "expected": letters.expected,
                "found": letters.found,
                "missing": letters.missing,
                "duplicates": letters.duplicates,
                "unexpected": letters.unexpected,
                "misnamed": letters.misnamed,
                "raw_rows": letters.raw_rows,
                "reasons": letters.reasons.iter().map(|(flaw, reason, count)| {
                    json!({ "flaw": flaw, "reason": reason, "count": count })
                }).collect::<Vec<_>>(),
            },
            "samples": self.samples.iter().map(sample_json).collect::<Vec<_>>(),
            "elapsed_seconds": self.elapsed.as_secs_f64(),
        })
    }
}

fn table_json(table: &TableVerdict) -> Value {
    json!({
        "table": table.table,
        "expected": table.expected,
        "visible": table.visible,
        "missing": table.missing,
        "duplicates": table.duplicates,
        "differing": table.differing,
        "unexpected": table.unexpected,
        "raw_rows": table.raw_rows,
    })
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "table": sample.table,
        "wrong": format!("{:?}", sample.wrong).to_lowercase(),
        "message": sample.message,
        "origin": sample.origin,
        "position": sample.position,
        "expected": sample.expected,
        "found": sample.found,
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28} {:>10} {:>10} {:>9} {:>10} {:>9} {:>10} {:>10}",
            "table",
            "expected",
            "visible",
            "missing",
            "duplicates",
            "differing",
            "unexpected",
            "raw rows"
        )?;
        let total = self.total();
        for table in self.tables.iter().chain([&total]) {
            let TableVerdict {
                table,
                expected,
                visible,
                missing,
                duplicates,
                differing,
                unexpected,
                raw_rows,
            } = table;
            writeln!(
                f,
                "{table:<28} {expected:>10} {visible:>10} {missing:>9} {duplicates:>10} {differing:>9} {unexpected:>10} {raw_rows:>10}"
            )?;
        }
        let letters = &self.letters;
        writeln!(
            f,
            "{:<28} {:>10} {:>10} {:>9} {:>10} {:>9} {:>10} {:>10}",
            "dead_letters",
            letters.expected,
            letters.found,
            letters.missing,
            letters.duplicates,
            "",
            letters.unexpected,
            letters.raw_rows
        )?;
        for (flaw, reason, count) in &letters.reasons {
            let known = Flaw::ALL.into_iter().find(|known| known.to_string() == *flaw);
            if known.is_some_and(|flaw| !flaw.reasons().contains(&reason.as_str())) {
                writeln!(f, "  dead_letters Misnamed: {flaw} was called {reason} {count} times")?;
            }
        }
        for sample in &self.samples {
            writeln!(f, "{sample}")?;
        }
        write!(f, "{}", self.line())
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} {:?}", self.table, self.wrong)?;
        if let Some(message) = self.message {
            write!(f, ", message {message}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, ", {origin}")?;
        }
        if let Some(position) = self.position {
            write!(f, " at {position}")?;
        }
        if !self.expected.is_empty() {
            write!(f, "\n    expected {}", self.expected)?;
        }
        if !self.found.is_empty() {
            write!(f, "\n    found    {}", self.found)?;
        }
        Ok(())
    }
}
