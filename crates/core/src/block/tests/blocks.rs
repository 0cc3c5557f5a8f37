//! Shelves, their memory, and where rows came from.

use std::sync::Arc;

use super::{encoded, table};
use crate::block::{Block, Blocks, Cell};
use crate::catalog::Catalog;
use crate::units::{Partition, Position, Shelf, TableId};

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
    Shelf { table: TableId(0), partition: Partition(year * 100 + month) }
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
        assert_eq!(push_tick(&mut blocks, "EUR/USD", time_ms, 1), month(partition), "{time_ms}");
    }
    let open: Vec<(Shelf, u32)> =
        blocks.open().map(|block| (block.shelf(), block.rows())).collect();
    let wanted = [
        ((1900, 1), 1),
        ((1969, 12), 1),
        ((1970, 1), 1),
        ((2023, 12), 1),
        ((2024, 1), 3),
        ((2024, 2), 2),
        ((2024, 3), 1),
    ];
    assert_eq!(open, wanted.map(|(partition, rows)| (month(partition), rows)));
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
    assert!(blocks.held() <= 16 << 20, "{} bytes are kept", blocks.held());
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
    assert_eq!(first.shelf, Shelf { table: id, partition: Partition(0) });
    assert_eq!(first.bytes, 8);
    assert_eq!(blocks.push(id, &[Cell::UInt(u64::MAX)]).shelf, first.shelf);
    assert_eq!(blocks.take(first.shelf).map(|block| block.rows()), Some(2));
}
