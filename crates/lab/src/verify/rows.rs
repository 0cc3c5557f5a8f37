//! The rows of one table against the winners of the plan.

use std::collections::HashMap;

use super::verdict::{Sample, TableVerdict, Wrong};
use super::{SAMPLES, Server, ServerError};
use crate::generate::Message;
use crate::layout::{Form, layout};
use crate::model::{self, Expected, POSITIONS};
use crate::plan::Kind;

/// Compares a table.
pub(super) async fn compare(
    server: &Server,
    expected: &Expected,
    kind: Kind,
    samples: &mut Vec<Sample>,
) -> Result<TableVerdict, ServerError> {
    let query = select(server, kind);
    let mut comparison = Comparison::new(expected, kind, query.clone());
    server.lines(&query, |line| comparison.take(line)).await?;
    let raw_rows = server.count(kind.table()).await?;
    Ok(comparison.finish(raw_rows, samples))
}

/// The compared columns, then origin, record time and position as the row has them.
fn select(server: &Server, kind: Kind) -> String {
    use std::fmt::Write;
    let (database, clause) = (server.database(), server.clause());
    let mut query = "SELECT ".to_owned();
    for column in layout(kind).columns {
        let name = column.name;
        let written = match column.form {
            Form::Time => write!(query, "toUnixTimestamp64Milli({name}), "),
            Form::Text | Form::Json | Form::Decimal { .. } | Form::Whole { .. } => {
                write!(query, "{name}, ")
            }
        };
        written.expect("writing to memory");
    }
    let table = kind.table();
    let positions = POSITIONS;
    let id = if kind == Kind::Tick { ", event_id" } else { "" };
    write!(
        query,
        "origin, intDiv(version, {positions}), version % {positions}, origin_position{id} \
         FROM {database}.{table} FINAL{clause} \
         SETTINGS output_format_decimal_trailing_zeros = 0 FORMAT TabSeparated"
    )
    .expect("writing to memory");
    query
}

struct Comparison<'a> {
    expected: &'a Expected,
    kind: Kind,
    query: String,
    columns: usize,
    /// One bit per message number.
    seen: Vec<u64>,
    verdict: TableVerdict,
    samples: Vec<Sample>,
    /// Rows of which nothing is known, kept for pairing with what is missing.
    strangers: Vec<String>,
    message: Message,
    line: Vec<u8>,
}

/// Strangers that are kept.
const STRANGERS: usize = 1_000;

impl<'a> Comparison<'a> {
    fn new(expected: &'a Expected, kind: Kind, query: String) -> Self {
        let words = usize::try_from(expected.plan().messages / 64 + 1).expect("32 bits");
        Self {
            expected,
            kind,
            query,
            columns: layout(kind).columns.len(),
            seen: vec![0; words],
            verdict: TableVerdict {
                table: kind.table().to_owned(),
                expected: expected.visible(kind),
                ..TableVerdict::default()
            },
            samples: Vec::new(),
            strangers: Vec::new(),
            message: Message::default(),
            line: Vec::new(),
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), ServerError> {
        let row = model::columns(line, self.columns);
        let rest = std::str::from_utf8(line.get(row.len() + 1..).unwrap_or_default());
        let Some(place) = rest.ok().and_then(Place::read) else {
            let line = String::from_utf8_lossy(line).into_owned();
            return Err(ServerError::Unreadable { line, query: self.query.clone() });
        };
        self.verdict.visible += 1;
        let winners = self.expected.winners(self.kind);
        let mut winner = winners.get(&model::hash(self.kind, model::identity_part(self.kind, row)));
        if winner.is_none()
            && let Some(id) = place.event_id
        {
            winner = winners.get(&model::named_tick(row, id));
        }
        let Some(winner) = winner else {
            self.verdict.unexpected += 1;
            if self.strangers.len() < STRANGERS {
                self.strangers.push(String::from_utf8_lossy(line).into_owned());
            }
            return Ok(());
        };
        let number = u64::from(*winner);
        let (word, bit) = ((*winner / 64) as usize, 1_u64 << (*winner % 64));
        if self.seen[word] & bit != 0 {
            self.verdict.duplicates += 1;
            self.sample(Wrong::Duplicate, number, &place, String::new(), line);
            return Ok(());
        }
        self.seen[word] |= bit;
        self.check(number, row, &place, line)
    }

    /// Compares a row with what message `number` must have become.
    fn check(
        &mut self,
        number: u64,
        row: &[u8],
        place: &Place<'_>,
        line: &[u8],
    ) -> Result<(), ServerError> {
        let generator = self.expected.generator();
        generator.describe(number, &mut self.message);
        self.line.clear();
        model::row(&self.message, &mut self.line).map_err(|error| ServerError::Unreadable {
            line: error.to_string(),
            query: self.query.clone(),
        })?;
        let message = &self.message;
        let plan = self.expected.plan();
        let wrong = if self.line != row {
            Some(first_difference(self.kind, &self.line, row))
        } else if !model::may_come_from(plan, self.kind, message.partition, place.origin) {
            Some(format!("origin {}", model::origin(plan, self.kind, message.partition)))
        } else if place.position % u64::from(POSITIONS.get()) != place.version_position {
            Some("version holds the position".to_owned())
        } else if let Some(time) = message.time_ms
            && u64::try_from(time) != Ok(place.record_time)
        {
            Some(format!("record time {time} in version"))
        } else if let Some(id) = model::decimal_id(message)
            && place.event_id != Some(id)
        {
            Some(format!("event_id {id}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.verdict.differing += 1;
            self.sample(Wrong::Differing, number, place, wrong, line);
        }
        Ok(())
    }

    fn sample(
        &mut self,
        wrong: Wrong,
        number: u64,
        place: &Place<'_>,
        expected: String,
        found: &[u8],
    ) {
        if self.samples.iter().filter(|sample| sample.wrong == wrong).count() < SAMPLES {
            self.samples.push(Sample {
                table: self.kind.table().to_owned(),
                wrong,
                message: Some(number),
                origin: Some(place.origin.to_owned()),
                position: Some(place.position),
                expected,
                found: String::from_utf8_lossy(found).into_owned(),
            });
        }
    }

    fn finish(mut self, raw_rows: u64, samples: &mut Vec<Sample>) -> TableVerdict {
        self.verdict.raw_rows = raw_rows;
        let mut missing = Vec::new();
        for number in self.expected.winners(self.kind).values() {
            if self.seen[(*number / 64) as usize] & (1 << (*number % 64)) == 0 {
                self.verdict.missing += 1;
                missing.push(u64::from(*number));
            }
        }
        missing.sort_unstable();
        self.pair(&mut missing);
        for number in missing.into_iter().take(SAMPLES) {
            let line = self.expected_line(number);
            let origin = model::origin(self.expected.plan(), self.kind, self.message.partition);
            self.samples.push(Sample {
                table: self.kind.table().to_owned(),
                wrong: Wrong::Missing,
                message: Some(number),
                origin: Some(origin),
                position: None,
                expected: line,
                found: String::new(),
            });
        }
        for found in self.strangers.iter().take(SAMPLES) {
            self.samples.push(Sample {
                table: self.kind.table().to_owned(),
                wrong: Wrong::Unexpected,
                message: None,
                origin: None,
                position: None,
                expected: String::new(),
                found: found.clone(),
            });
        }
        samples.append(&mut self.samples);
        self.verdict
    }

    /// A tick with one wrong value is a stranger and a gap: says that it is one and the same, when
    /// symbol, time and origin agree.
    fn pair(&mut self, missing: &mut Vec<u64>) {
        if self.kind != Kind::Tick || self.strangers.is_empty() {
            return;
        }
        let mut by_place: HashMap<String, Vec<u64>> = HashMap::new();
        for number in missing.iter().take(STRANGERS * 100) {
            let line = self.expected_line(*number);
            let place = String::from_utf8_lossy(model::columns(line.as_bytes(), 2)).into_owned();
            by_place.entry(place).or_default().push(*number);
        }
        let strangers = std::mem::take(&mut self.strangers);
        for found in strangers {
            let place = String::from_utf8_lossy(model::columns(found.as_bytes(), 2)).into_owned();
            let Some(number) = by_place.get_mut(&place).and_then(Vec::pop) else {
                self.strangers.push(found);
                continue;
            };
            missing.retain(|other| *other != number);
            self.verdict.missing -= 1;
            self.verdict.unexpected -= 1;
            self.verdict.differing += 1;
            let row = model::columns(found.as_bytes(), self.columns).to_vec();
            let line = self.expected_line(number);
            let expected = first_difference(self.kind, line.as_bytes(), &row);
            let rest = found.get(row.len() + 1..).unwrap_or_default().to_owned();
            if let Some(place) = Place::read(&rest) {
                self.sample(Wrong::Differing, number, &place, expected, found.as_bytes());
            }
        }
    }

    fn expected_line(&mut self, number: u64) -> String {
        self.expected.generator().describe(number, &mut self.message);
        self.line.clear();
        match model::row(&self.message, &mut self.line) {
            Ok(()) => String::from_utf8_lossy(&self.line).into_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// Where a row says it comes from.
struct Place<'a> {
    origin: &'a str,
    record_time: u64,
    version_position: u64,
    position: u64,
    event_id: Option<u64>,
}

impl<'a> Place<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split('\t');
        Some(Self {
            origin: parts.next()?,
            record_time: parts.next()?.parse().ok()?,
            version_position: parts.next()?.parse().ok()?,
            position: parts.next()?.parse().ok()?,
            event_id: match parts.next() {
                Some(id) => Some(id.parse().ok()?),
                None => None,
            },
        })
    }
}

/// The first column that differs, with the value it should have.
fn first_difference(kind: Kind, expected: &[u8], found: &[u8]) -> String {
    let pairs = expected.split(|byte| *byte == b'\t').zip(found.split(|byte| *byte == b'\t'));
    for (column, (expected, found)) in layout(kind).columns.iter().zip(pairs) {
        if expected != found {
            let (expected, found) =
                (String::from_utf8_lossy(expected), String::from_utf8_lossy(found));
            return format!("{} {expected:?}, not {found:?}", column.name);
        }
    }
    String::from_utf8_lossy(expected).into_owned()
}
