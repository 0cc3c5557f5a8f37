//! Decoding as a whole: messages in, cells out.

mod chunks;
mod differential;
mod differential_shapes;
mod identity;
mod messages;
mod own_routes;
mod publishers;
mod refusals;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Decoder, Reason};
use crate::arena::Arena;
use crate::block::Cell;
use crate::catalog::{Catalog, Column, ColumnType};
use crate::units::Position;

/// 2024-02-01T00:00:00Z, a few days after the messages of these tests.
const NOW_MS: i64 = 1_706_745_600_000;

/// One message, decoded alone or after others.
struct Bench {
    catalog: Arc<Catalog>,
    decoder: Decoder,
    subject: Option<&'static str>,
    headers: Vec<(&'static [u8], Option<&'static [u8]>)>,
}

/// A row as texts, by column; or the reason and the sentence.
type Outcome = Result<BTreeMap<String, String>, (Reason, String)>;

impl Bench {
    fn new(route: &str) -> Self {
        Self::with(Arc::new(Catalog::shipped()), route)
    }

    fn with(catalog: Arc<Catalog>, route: &str) -> Self {
        let id = catalog.route_id(route).expect("a known route");
        let decoder = Decoder::new(Arc::clone(&catalog), id, "kafka:t:3".to_owned());
        Self { catalog, decoder, subject: None, headers: Vec::new() }
    }

    fn subject(self, subject: &'static str) -> Self {
        Self { subject: Some(subject), ..self }
    }

    fn decode(&mut self, payload: &[u8]) -> Outcome {
        let mut arena = Arena::new();
        let headers = self.headers.iter().copied();
        arena.push(Position(7), 5, None, Some(payload), self.subject, headers);
        let record = arena.get(0).expect("one record");
        let route = self.catalog.route(self.decoder.route);
        let columns = &self.catalog.table(route.table).columns;
        let row = |cells: &[Cell<'_>]| {
            assert_eq!(cells.len(), columns.len());
            let named = columns.iter().zip(cells);
            named.map(|(column, cell)| (column.name.clone(), show(column, *cell))).collect()
        };
        self.decoder.row(record, NOW_MS, row).map_err(|fault| {
            let column = fault.column.map(|column| &self.decoder.plan.columns[usize::from(column)]);
            let (name, keys) = column.map_or(("", ""), |column| (&column.name, &column.keys));
            let mut error = String::new();
            fault.write(payload, name, keys, &mut error);
            (fault.reason, error)
        })
    }

    #[track_caller]
    fn row(&mut self, payload: &str) -> BTreeMap<String, String> {
        self.decode(payload.as_bytes()).unwrap_or_else(|refusal| panic!("{payload}: {refusal:?}"))
    }

    #[track_caller]
    fn reason(&mut self, payload: impl AsRef<[u8]>) -> Reason {
        let payload = payload.as_ref();
        match self.decode(payload) {
            Ok(row) => panic!("{}: accepted as {row:?}", String::from_utf8_lossy(payload)),
            Err((reason, error)) => {
                assert!(!error.is_empty());
                reason
            }
        }
    }
}

/// A cell as a text: decimals with their point, times in units of their precision.
fn show(column: &Column, cell: Cell<'_>) -> String {
    match (column.kind, cell) {
        (_, Cell::Null) => {
            assert!(column.nullable, "NULL in {}", column.name);
            "NULL".to_owned()
        }
        (ColumnType::Keyword | ColumnType::Text, Cell::Text(text)) => text.to_owned(),
        (ColumnType::Decimal { scale, .. }, Cell::Scaled(value)) => {
            let value = i128::from(value);
            let digits = format!("{:0>1$}", value.unsigned_abs(), usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
        }
        (ColumnType::Float32 | ColumnType::Float64, Cell::Float(value)) => value.to_string(),
        (ColumnType::TextMap, Cell::Map(pairs)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pairs = pairs.iter().map(|(key, value)| format!("{}={}", text(key), text(value)));
            pairs.collect::<Vec<_>>().join(";")
        }
        (_, Cell::Int(value)) => value.to_string(),
        (_, Cell::UInt(value)) => value.to_string(),
        (kind, cell) => panic!("{cell:?} for {} of type {kind:?}", column.name),
    }
}
