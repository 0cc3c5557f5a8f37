//! Blocks against a model of rows and a reader of their own.

mod blocks;
mod model;
mod native_reader;

use std::cmp::Ordering;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use proptest::prelude::*;

use self::model::{Row, Value, table_with_rows, with_cells};
use self::native_reader::{Read, ReadColumn, read_block};
use super::layout::Layout;
use super::{Block, Cell, Wide};
use crate::catalog::{Column, ColumnType, Table};
use crate::units::{Partition, Shelf, TableId};

const SHELF: Shelf = Shelf { table: TableId(0), partition: Partition(0) };

fn block(table: &Table, rows: &[Row]) -> Block {
    let mut block = Block::new(Arc::new(Layout::new(table)), SHELF);
    for row in rows {
        with_cells(row, |cells| block.push(cells));
    }
    block
}

fn encoded(block: &Block, rows: Range<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    block.encode(rows, &mut out);
    out
}

fn row_number(index: usize) -> u32 {
    index.try_into().expect("blocks of tests are small")
}

fn values(block: &Block) -> Vec<Vec<Read>> {
    let columns = read_block(&encoded(block, 0..block.rows()));
    columns.into_iter().map(|column| column.values).collect()
}

fn model(table: &Table, rows: &[Row]) -> Vec<Vec<Read>> {
    let column = |(index, column): (usize, &Column)| {
        rows.iter().map(|row| row[index].read(column)).collect()
    };
    table.columns.iter().enumerate().map(column).collect()
}

/// Order by the sort key: bytes of texts, numbers by value, floats by theirs, NULL last.
fn compare(table: &Table, left: &Row, right: &Row) -> Ordering {
    let compare = |name: &String| {
        let index = table.column(name).expect("in the table");
        let column = &table.columns[index];
        match (&left[index], &right[index]) {
            (Value::Float(left), Value::Float(right)) => left.total_cmp(right),
            (Value::Map(_), Value::Map(_)) => Ordering::Equal,
            (left, right) => left.read(column).cmp(&right.read(column)),
        }
    };
    table.sort_key.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

proptest! {
    /// Whatever the types, each range of rows is read back as it was pushed.
    #[test]
    fn what_was_pushed_is_read_back(
        (table, rows) in table_with_rows(60),
        cut in any::<prop::sample::Index>(),
    ) {
        let block = block(&table, &rows);
        prop_assert_eq!(block.rows() as usize, rows.len());
        let cut = cut.index(rows.len() + 1);
        for range in [0..rows.len(), 0..cut, cut..rows.len()] {
            let bytes = encoded(&block, row_number(range.start)..row_number(range.end));
            let columns = read_block(&bytes);
            let wanted = model(&table, &rows[range]);
            prop_assert_eq!(columns.len(), table.columns.len());
            for ((read, column), wanted) in columns.iter().zip(&table.columns).zip(wanted) {
                prop_assert_eq!(&read.name, &column.name);
                prop_assert_eq!(&read.type_text, &column.clickhouse_type());
                prop_assert_eq!(&read.values, &wanted);
            }
        }
    }

    /// Sorting is a stable sort by the sort key, of whole rows.
    #[test]
    fn sort_is_the_stable_sort_of_the_model((table, mut rows) in table_with_rows(200)) {
        let mut block = block(&table, &rows);
        let bytes = block.bytes();
        block.sort();
        rows.sort_by(|left, right| compare(&table, left, right));
        prop_assert_eq!(values(&block), model(&table, &rows));
        prop_assert_eq!(block.bytes(), bytes);
    }

    /// Rows have the same number exactly when they are the same event, in whatever block.
    #[test]
    fn a_fingerprint_is_the_sort_key_and_nothing_else((table, rows) in table_with_rows(40)) {
        let numbers = block(&table, &rows).fingerprints();
        let backwards: Vec<_> = rows.iter().rev().cloned().collect();
        let mut others = block(&table, &backwards).fingerprints();
        others.reverse();
        prop_assert_eq!(&numbers, &others);
        for (left, one) in rows.iter().zip(&numbers) {
            for (right, other) in rows.iter().zip(&others) {
                prop_assert_eq!(compare(&table, left, right).is_eq(), one == other);
            }
        }
    }

    /// The same rows give the same bytes, also from memory that was used before.
    #[test]
    fn encoding_is_deterministic((table, rows) in table_with_rows(60)) {
        let mut first = block(&table, &rows);
        let again = block(&table, &rows);
        let bytes = encoded(&first, 0..first.rows());
        prop_assert_eq!(&bytes, &encoded(&again, 0..again.rows()));
        first.sort();
        first.restart(SHELF);
        prop_assert_eq!((first.rows(), first.bytes()), (0, 0));
        for row in &rows {
            with_cells(row, |cells| first.push(cells));
        }
        prop_assert_eq!(&bytes, &encoded(&first, 0..first.rows()));
        prop_assert_eq!(first.bytes(), again.bytes());
    }

    /// What a block says it takes is the sum over its rows; it is no more than it holds, and what
    /// goes over the wire is no more than that and the frame.
    #[test]
    fn bytes_are_honest((table, rows) in table_with_rows(60)) {
        let mut block = block(&table, &[]);
        let mut sum = 0;
        for row in &rows {
            sum += with_cells(row, |cells| block.push(cells));
        }
        prop_assert_eq!(block.bytes(), sum);
        prop_assert!(sum <= block.held());
        let frame = encoded(&block, 0..0).len() + 40 * table.columns.len();
        let wire = encoded(&block, 0..block.rows()).len();
        prop_assert!(wire as u64 <= sum + frame as u64, "{wire} bytes for {sum} and {frame}");
    }

    /// A row with a cell that does not fit is refused as a whole.
    #[test]
    fn a_refused_row_leaves_no_trace(
        (table, rows) in table_with_rows(20),
        bad in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!rows.is_empty());
        let mut block = block(&table, &rows);
        let before = (block.bytes(), encoded(&block, 0..block.rows()));
        let bad = bad.index(table.columns.len());
        let refused = with_cells(&rows[0], |cells| {
            let mut cells = cells.to_vec();
            cells[bad] = match table.columns[bad].kind {
                ColumnType::Text | ColumnType::Keyword => Cell::Int(1),
                _ => Cell::Text("new text"),
            };
            catch_unwind(AssertUnwindSafe(|| block.push(&cells))).is_err()
        });
        prop_assert!(refused);
        let after = (block.bytes(), encoded(&block, 0..block.rows()));
        prop_assert_eq!(before, after);
        with_cells(&rows[0], |cells| block.push(cells));
        let mut rows = rows;
        rows.push(rows[0].clone());
        prop_assert_eq!(values(&block), model(&table, &rows));
    }

    #[test]
    fn a_wide_integer_is_the_integer_it_was_made_from(value in any::<i128>(), small in any::<i64>()) {
        prop_assert_eq!(i128::from(Wide::from(value)), value);
        prop_assert_eq!(i128::from(Wide::from(small)), i128::from(small));
        prop_assert_eq!(i64::try_from(Wide::from(i128::from(small))), Ok(small));
        prop_assert_eq!(i64::try_from(Wide::from(value)).ok(), i64::try_from(value).ok());
    }
}

fn table(columns: &[(&str, &str)], sort_key: &[&str]) -> Table {
    Table {
        name: "t".to_owned(),
        columns: columns.iter().map(|(n, t)| Column::parse(n, t).expect("known")).collect(),
        sort_key: sort_key.iter().map(|name| (*name).to_owned()).collect(),
        partition: None,
    }
}

/// Texts `k0`, `k1`, … over a keyword column, and again from the beginning.
fn keywords(entries: usize, type_text: &str) -> (Block, Vec<Read>) {
    let table = table(&[("k", type_text)], &["k"]);
    let rows: Vec<Row> = (0..entries + entries / 2)
        .map(|row| vec![Value::Bytes(format!("k{}", row % entries).into_bytes())])
        .collect();
    (block(&table, &rows), model(&table, &rows).remove(0))
}

#[test]
fn codes_are_as_wide_as_the_dictionary_needs() {
    for (entries, width, nullable_width) in [
        (1, 1, 1),
        (255, 1, 1),
        (256, 1, 2),
        (257, 2, 2),
        (65_535, 2, 2),
        (65_536, 2, 4),
        (65_537, 4, 4),
    ] {
        for (type_text, width) in [
            ("LowCardinality(String)", width),
            ("LowCardinality(Nullable(String))", nullable_width),
        ] {
            let (block, wanted) = keywords(entries, type_text);
            let bytes = encoded(&block, 0..block.rows());
            let column = read_block(&bytes).remove(0);
            assert!(column.values == wanted, "{entries} entries of {type_text}");
            let codes = wanted.len() * width;
            let before = bytes.len() - codes - 8;
            assert_eq!(bytes[before..before + 8], (wanted.len() as u64).to_le_bytes());
        }
    }
}

#[test]
fn a_range_carries_only_the_dictionary_entries_it_uses() {
    let (block, _) = keywords(300, "LowCardinality(String)");
    let ReadColumn { dictionary, values, .. } = read_block(&encoded(&block, 298..302)).remove(0);
    assert_eq!(dictionary, [&b"k298"[..], b"k299", b"k0", b"k1"]);
    assert_eq!(values.len(), 4);
    let one = read_block(&encoded(&block, 7..8)).remove(0);
    assert_eq!(one.dictionary, [b"k7"]);
}

#[test]
fn the_bytes_of_a_block_are_those_of_the_format() {
    let table = table(
        &[
            ("s", "LowCardinality(String)"),
            ("p", "Nullable(Decimal(9, 2))"),
            ("m", "Map(String, String)"),
        ],
        &["s"],
    );
    let map = vec![(b"k".to_vec(), b"v".to_vec())];
    let block = block(
        &table,
        &[
            vec![Value::Bytes(b"x".to_vec()), Value::Scaled(-2), Value::Map(map)],
            vec![Value::Bytes(b"x".to_vec()), Value::Null, Value::Map(Vec::new())],
        ],
    );
    let wanted = [
        b"\x03\x02".as_slice(),
        b"\x01s\x16LowCardinality(String)",
        b"\x01\0\0\0\0\0\0\0\x00\x06\0\0\0\0\0\0",
        b"\x01\0\0\0\0\0\0\0\x01x",
        b"\x02\0\0\0\0\0\0\0\x00\x00",
        b"\x01p\x17Nullable(Decimal(9, 2))",
        b"\x00\x01\xfe\xff\xff\xff\0\0\0\0",
        b"\x01m\x13Map(String, String)",
        b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01k\x01v",
    ];
    assert_eq!(
        encoded(&block, 0..2).escape_ascii().to_string(),
        wanted.concat().escape_ascii().to_string()
    );
}

#[test]
fn a_value_beyond_its_column_is_refused() {
    let beyond = [
        ("Int8", Cell::Int(128)),
        ("Int16", Cell::Int(-32_769)),
        ("Int32", Cell::Int(1 << 31)),
        ("UInt8", Cell::UInt(256)),
        ("UInt16", Cell::UInt(1 << 16)),
        ("UInt32", Cell::UInt(1 << 32)),
        ("Bool", Cell::UInt(2)),
        ("Int64", Cell::UInt(1)),
        ("UInt64", Cell::Int(1)),
        ("Decimal(9, 2)", Cell::scaled(1_000_000_000_i64)),
        ("Decimal(18, 8)", Cell::scaled(-1_000_000_000_000_000_000_i64)),
        ("Decimal(18, 8)", Cell::scaled(1_i128 << 64)),
        ("Decimal(38, 8)", Cell::scaled(10_i128.pow(38))),
        ("String", Cell::Null),
        ("LowCardinality(String)", Cell::Null),
        ("UInt64", Cell::Null),
    ];
    for (type_text, cell) in beyond {
        let mut block = block(&table(&[("c", type_text)], &["c"]), &[]);
        let panic = catch_unwind(AssertUnwindSafe(|| block.push(&[cell]))).expect_err("too much");
        let message = panic.downcast_ref::<String>().expect("a text");
        assert!(
            message.starts_with(&format!("table t, column c of type {type_text}")),
            "{message}"
        );
        assert_eq!((block.rows(), block.bytes()), (0, 0));
    }
    let mut block = block(&table(&[("c", "Int8")], &["c"]), &[]);
    assert!(catch_unwind(AssertUnwindSafe(|| block.push(&[]))).is_err(), "a cell is missing");
}
