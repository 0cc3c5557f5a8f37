//! Tables and rows by chance, and what must come back of them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::native_reader::Read;
use crate::block::Cell;
use crate::catalog::{Column, ColumnType, PartitionKey, Table};

/// A value of a row, owned.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bytes(Vec<u8>),
    Int(i64),
    UInt(u64),
    Scaled(i128),
    Float(f64),
    Map(Vec<(Vec<u8>, Vec<u8>)>),
}

pub(super) type Row = Vec<Value>;

/// Texts of one row's map, borrowed.
type Entries<'a> = Vec<(&'a [u8], &'a [u8])>;

impl Value {
    /// What a reader must find.
    pub(super) fn read(&self, column: &Column) -> Read {
        match self {
            Self::Null => Read::Null,
            Self::Bytes(bytes) => Read::Text(bytes.clone()),
            Self::Int(value) => Read::Number((*value).into()),
            Self::UInt(value) => Read::Number((*value).into()),
            Self::Scaled(value) => Read::Number(*value),
            #[expect(clippy::cast_possible_truncation, reason = "what a Float32 column does")]
            Self::Float(value) if column.kind == ColumnType::Float32 => {
                Read::Number((*value as f32).to_bits().into())
            }
            Self::Float(value) => Read::Number(value.to_bits().into()),
            Self::Map(entries) => Read::Map(entries.clone()),
        }
    }

    fn entries(&self) -> Entries<'_> {
        match self {
            Self::Map(entries) => entries.iter().map(|(k, v)| (&k[..], &v[..])).collect(),
            _ => Vec::new(),
        }
    }
}

/// Calls with the cells of a row.
pub(super) fn with_cells<T>(row: &[Value], call: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    let maps: Vec<Entries<'_>> = row.iter().map(Value::entries).collect();
    let to_cell = |(value, map)| match value {
        &Value::Null => Cell::Null,
        // Both kinds of text cell, by what the bytes are.
        Value::Bytes(bytes) => str::from_utf8(bytes).map_or(Cell::Bytes(bytes), Cell::Text),
        Value::Int(value) => Cell::Int(*value),
        Value::UInt(value) => Cell::UInt(*value),
        Value::Scaled(value) => Cell::scaled(*value),
        Value::Float(value) => Cell::Float(*value),
        Value::Map(_) => {
            let map: &Entries<'_> = map;
            Cell::Map(map)
        }
    };
    let cells: Vec<Cell<'_>> = row.iter().zip(&maps).map(to_cell).collect();
    call(&cells)
}

/// A table of any columns, then `at` (its partition) and `row`, which counts; and rows of it.
///
/// Few different values, so that rows tie in the sort key.
pub(super) fn table_with_rows(most: usize) -> impl Strategy<Value = (Table, Vec<Row>)> {
    let columns = vec((column_type(), any::<bool>()), 0..8);
    let sort_key = vec(any::<prop::sample::Index>(), 1..4);
    (columns, sort_key).prop_flat_map(move |(columns, key)| {
        let mut columns: Vec<Column> = columns
            .into_iter()
            .enumerate()
            .map(|(index, (kind, nullable))| Column {
                name: format!("c{index}"),
                kind,
                nullable: nullable && kind != ColumnType::TextMap,
            })
            .collect();
        columns.push(Column::new("at", ColumnType::Time { precision: 3 }));
        let mut sort_key: Vec<String> =
            key.iter().map(|index| index.get(&columns).name.clone()).collect();
        sort_key.dedup();
        let row: Vec<BoxedStrategy<Value>> = columns.iter().map(value).collect();
        columns.push(Column::new("row", ColumnType::UInt64));
        let table = Table {
            name: "any".to_owned(),
            columns,
            sort_key,
            partition: PartitionKey::parse("toYYYYMM(at)"),
        };
        (Just(table), vec(row, 0..most).prop_map(number))
    })
}

/// Gives each row its number, so that no two are alike.
fn number(mut rows: Vec<Row>) -> Vec<Row> {
    for (number, row) in (0..).zip(&mut rows) {
        row.push(Value::UInt(number));
    }
    rows
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    let plain = [
        ColumnType::Keyword,
        ColumnType::Text,
        ColumnType::Int8,
        ColumnType::Int16,
        ColumnType::Int32,
        ColumnType::Int64,
        ColumnType::UInt8,
        ColumnType::UInt16,
        ColumnType::UInt32,
        ColumnType::UInt64,
        ColumnType::Float32,
        ColumnType::Float64,
        ColumnType::Bool,
        ColumnType::TextMap,
    ];
    prop_oneof![
        4 => select(plain.to_vec()),
        1 => Just(ColumnType::Keyword),
        1 => (1..=38_u8, any::<u8>()).prop_map(|(precision, scale)| {
            ColumnType::Decimal { precision, scale: scale % (precision + 1) }
        }),
        1 => (0..=9_u8).prop_map(|precision| ColumnType::Time { precision }),
    ]
}

fn value(column: &Column) -> BoxedStrategy<Value> {
    let value = match column.kind {
        ColumnType::Keyword => prop_oneof![
            4 => select(vec!["", "EUR/USD", "GBP/USD", "EUR/US", "é", "a word of some length"])
                .prop_map(|text| Value::Bytes(text.into())),
            1 => text(40).prop_map(Value::Bytes),
        ]
        .boxed(),
        ColumnType::Text => prop_oneof![
            2 => text(3),
            1 => text(300),
        ]
        .prop_map(Value::Bytes)
        .boxed(),
        ColumnType::TextMap => vec((text(3), text(3)), 0..3).prop_map(Value::Map).boxed(),
        ColumnType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
        ColumnType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
        // Within three months, each side of 1970.
        ColumnType::Time { .. } if column.name == "at" => int(-2_678_400_000, 5_097_599_999),
        ColumnType::Int64 | ColumnType::Time { .. } => int(i64::MIN, i64::MAX),
        ColumnType::UInt8 => uint(u8::MAX.into()),
        ColumnType::UInt16 => uint(u16::MAX.into()),
        ColumnType::UInt32 => uint(u32::MAX.into()),
        ColumnType::UInt64 => uint(u64::MAX),
        ColumnType::Bool => uint(1),
        ColumnType::Float32 => any::<f32>().prop_map(|value| Value::Float(value.into())).boxed(),
        ColumnType::Float64 => any::<f64>().prop_map(Value::Float).boxed(),
        ColumnType::Decimal { precision, .. } => {
            let most = 10_i128.pow(precision.into()) - 1;
            prop_oneof![Just(-most), Just(0), Just(most), -most..=most]
                .prop_map(Value::Scaled)
                .boxed()
        }
    };
    if column.nullable { prop_oneof![1 => Just(Value::Null), 2 => value].boxed() } else { value }
}

fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..most), vec(b'a'..=b'c', 0..most)]
}

fn int(least: i64, most: i64) -> BoxedStrategy<Value> {
    prop_oneof![Just(least), Just(most), -1..2_i64, least..=most].prop_map(Value::Int).boxed()
}

fn uint(most: u64) -> BoxedStrategy<Value> {
    prop_oneof![Just(most), 0..2_u64, 0..=most].prop_map(Value::UInt).boxed()
}
