//! Blocks against a model of rows and a reader of their own.

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
use super::{Block, Blocks, Cell, Wide};
use crate::catalog::{Catalog, Column, ColumnType, Table};
use crate::units::{Partition, Position, Shelf, TableId};

const SHELF: Shelf = Shelf {
    table: TableId(0),
    partition: Partition(0),
};

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
    table
        .sort_key
        .iter()
        .map(compare)
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
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
        columns: columns
            .iter()
            .map(|(n, t)| Column::parse(n, t).expect("known"))
            .collect(),
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
            assert_eq!(
                bytes[before..before + 8],
                (wanted.len() as u64).to_le_bytes()
            );
        }
    }
}

#[test]
fn a_range_carries_only_the_dictionary_entries_it_uses() {
    let (block, _) = keywords(300, "LowCardinality(String)");
    let ReadColumn {
        dictionary, values, ..
    } = read_block(&encoded(&block, 298..302)).remove(0);
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
            vec![
                Value::Bytes(b"x".to_vec()),
                Value::Scaled(-2),
                Value::Map(map),
            ],
            vec![
                Value::Bytes(b"x".to_vec()),
                Value::Null,
                Value::Map(Vec::new()),
            ],
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
        (
            "Decimal(18, 8)",
            Cell::scaled(-1_000_000_000_000_000_000_i64),
        ),
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
    assert!(
        catch_unwind(AssertUnwindSafe(|| block.push(&[]))).is_err(),
        "a cell is missing"
    );
}

/// A row of `ticks` that differs by symbol and time only.
fn push_tick(blocks: &mut Blocks, symbol: &str, time_ms: i64, position: u64) -> Shelf {
    let pushed = blocks.push(
        TableId(0),
        &[
            Cell::Text(symbol),
            Cell::Int(time_ms),
            Cell::scaled(109_551_000_i64),
            Cell::scaled(109_553_000_i64),
            Cell::Null,
            Cell::Int(48),
            Cell::Text("test"),
            Cell::Text("quote"),
            Cell::UInt(position),
            Cell::Text(if position.is_multiple_of(2) {
                "kafka:tick_archive:0"
            } else {
                "kafka:tick_archive:1"
            }),
            Cell::UInt(position),
            Cell::UInt(position),
        ],
    );
    pushed.shelf
}

fn month((year, month): (u32, u32)) -> Shelf {
    Shelf {
        table: TableId(0),
        partition: Partition(year * 100 + month),
    }
}

#[test]
fn rows_gather_by_the_month_of_their_time() {
    let mut blocks = Blocks::new(Arc::new(Catalog::shipped()));
    for (time_ms, partition) in [
        (1_706_198_400_123, (2024, 1)),
        (1_706_745_599_999, (2024, 1)),
        (1_706_745_600_000, (2024, 2)),
        (1_709_251_199_999, (2024, 2)),
        (1_709_251_200_000, (2024, 3)),
        (1_704_067_199_999, (2023, 12)),
        (0, (1970, 1)),
        (-1, (1969, 12)),
        (-2_208_988_800_000, (1900, 1)),
        (1_706_198_400_123, (2024, 1)),
    ] {
        assert_eq!(
            push_tick(&mut blocks, "EUR/USD", time_ms, 1),
            month(partition),
            "{time_ms}"
        );
    }
    let open: Vec<(Shelf, u32)> = blocks
        .open()
        .map(|block| (block.shelf(), block.rows()))
        .collect();
    let wanted = [
        ((1900, 1), 1),
        ((1969, 12), 1),
        ((1970, 1), 1),
        ((2023, 12), 1),
        ((2024, 1), 3),
        ((2024, 2), 2),
        ((2024, 3), 1),
    ];
    assert_eq!(
        open,
        wanted.map(|(partition, rows)| (month(partition), rows))
    );
    assert_eq!(blocks.rows(), 10);
    assert_eq!(blocks.bytes(), blocks.open().map(Block::bytes).sum::<u64>());

    let taken = blocks.take(month((2024, 1))).expect("is open");
    assert_eq!((taken.rows(), blocks.rows()), (3, 7));
    assert!(blocks.take(month((2024, 1))).is_none());
    assert!(blocks.get(month((2024, 1))).is_none());
    push_tick(&mut blocks, "EUR/USD", 1_706_198_400_123, 1);
    assert_eq!(blocks.get(month((2024, 1))).map(Block::rows), Some(1));
    assert_eq!(taken.rows(), 3);
    assert_eq!(blocks.bytes(), blocks.open().map(Block::bytes).sum::<u64>());
}

#[test]
fn taking_one_shelf_keeps_the_others_in_their_place() {
    let mut blocks = Blocks::new(Arc::new(Catalog::shipped()));
    let (january, march) = (1_706_198_400_123, 1_709_251_200_000);
    push_tick(&mut blocks, "A", january, 1);
    push_tick(&mut blocks, "B", march, 2);
    blocks.take(month((2024, 1))).expect("is open");
    // The block of the last row has moved to another index.
    push_tick(&mut blocks, "C", march, 3);
    push_tick(&mut blocks, "D", january, 4);
    assert_eq!(blocks.get(month((2024, 3))).map(Block::rows), Some(2));
    assert_eq!(blocks.get(month((2024, 1))).map(Block::rows), Some(1));
}

#[test]
fn memory_of_written_blocks_is_used_again_up_to_a_limit() {
    let mut blocks = Blocks::new(Arc::new(Catalog::shipped()));
    for position in 0..10_000 {
        push_tick(&mut blocks, "EUR/USD", 0, position);
    }
    let block = blocks.take(month((1970, 1))).expect("is open");
    let (held, bytes) = (block.held(), encoded(&block, 0..10_000));
    blocks.recycle(block);
    assert_eq!(blocks.held(), held);
    for position in 0..10_000 {
        push_tick(&mut blocks, "EUR/USD", 0, position);
    }
    assert_eq!(blocks.held(), held, "nothing was allocated anew");
    let block = blocks.take(month((1970, 1))).expect("is open");
    assert!(encoded(&block, 0..10_000) == bytes);

    for position in 0..500_000 {
        push_tick(&mut blocks, "EUR/USD", 0, position);
    }
    let large = blocks.take(month((1970, 1))).expect("is open");
    blocks.recycle(block);
    blocks.recycle(large);
    assert!(
        blocks.held() <= 16 << 20,
        "{} bytes are kept",
        blocks.held()
    );
}

#[test]
fn a_row_knows_its_origin_also_when_sorted() {
    let mut blocks = Blocks::new(Arc::new(Catalog::shipped()));
    for (symbol, position) in [("USD/JPY", 8), ("AUD/USD", 9)] {
        push_tick(&mut blocks, symbol, 0, position);
    }
    let mut block = blocks.take(month((1970, 1))).expect("is open");
    assert_eq!(block.origin(0), Some(("kafka:tick_archive:0", Position(8))));
    block.sort();
    assert_eq!(block.origin(0), Some(("kafka:tick_archive:1", Position(9))));
    assert_eq!(block.origin(1), Some(("kafka:tick_archive:0", Position(8))));
    assert_eq!(block.origin(2), None);
}

#[test]
fn a_table_without_partitions_has_one_shelf() {
    let mut catalog = Catalog::shipped();
    let id = catalog.add_table(table(&[("id", "UInt64")], &["id"]));
    let mut blocks = Blocks::new(Arc::new(catalog));
    let first = blocks.push(id, &[Cell::UInt(7)]);
    assert_eq!(
        first.shelf,
        Shelf {
            table: id,
            partition: Partition(0)
        }
    );
    assert_eq!(first.bytes, 8);
    assert_eq!(blocks.push(id, &[Cell::UInt(u64::MAX)]).shelf, first.shelf);
    assert_eq!(blocks.take(first.shelf).map(|block| block.rows()), Some(2));
}
