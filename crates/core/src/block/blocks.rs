//! The open blocks, one per shelf.

use std::ops::Range;
use std::sync::Arc;

use super::layout::Layout;
use super::{Block, Cell, Stage, Words};
use crate::catalog::{Catalog, ColumnType, PartitionUnit, Table};
use crate::units::{Partition, Shelf, TableId};

/// Memory of written blocks that is kept for the next ones: the blocks of a busy table at the
/// usual linger, small against the 64 MiB that the process may hold beyond its budget.
const SPARE_BYTES: u64 = 16 << 20;

/// Open blocks, one per shelf.
#[derive(Debug)]
pub struct Blocks {
    /// By table id.
    tables: Vec<Shelves>,
    spare: Vec<Block>,
    rows: u64,
    bytes: u64,
}

/// Where [`Blocks::push`] put a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The shelf.
    pub shelf: Shelf,
    /// Bytes the row takes there.
    pub bytes: u64,
}

/// The open blocks of one table.
#[derive(Debug)]
struct Shelves {
    layout: Arc<Layout>,
    calendar: Option<Calendar>,
    /// In the order of their partitions.
    open: Vec<Block>,
    /// Index into `open` of the block that took the last row.
    last: usize,
    /// The partition values that belong there; empty when it is gone.
    covers: Range<i64>,
    /// Memory of rows on their way here: shared by all who decode for this table, one at a time.
    /// `None` while it is lent.
    stage: Option<Stage>,
}

/// How a time becomes a partition.
#[derive(Clone, Copy, Debug)]
struct Calendar {
    column: usize,
    unit: PartitionUnit,
    /// Units of the time column in a day.
    day: i64,
}

impl Blocks {
    /// No open block.
    ///
    /// # Panics
    /// When a table's partition key is not one of its time columns.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "stands beside others that keep the catalog")]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let tables = catalog.tables().iter().map(Shelves::new).collect();
        Self { tables, spare: Vec::new(), rows: 0, bytes: 0 }
    }

    /// Puts a row on the shelf that its partition column names.
    ///
    /// # Panics
    /// As [`Block::push`]; and for a table that the catalog did not have.
    #[inline]
    pub fn push(&mut self, table: TableId, cells: &[Cell<'_>]) -> Pushed {
        let shelves = &mut self.tables[usize::from(table.0)];
        let value = shelves.partition_value(cells);
        if !shelves.covers.contains(&value) {
            shelves.seek(table, value, &mut self.spare);
        }
        let block = &mut shelves.open[shelves.last];
        let bytes = block.push(cells);
        self.rows += 1;
        self.bytes += bytes;
        Pushed { shelf: block.shelf, bytes }
    }

    /// Puts all staged rows on their shelves and empties the stage. `words` has one for each column,
    /// spans point into `bytes`, `put` is told of each run of rows: how many, and where they are.
    pub(crate) fn append(
        &mut self,
        table: TableId,
        stage: &mut Stage,
        words: &mut [Words],
        bytes: &[u8],
        mut put: impl FnMut(u32, Pushed),
    ) {
        let shelves = &mut self.tables[usize::from(table.0)];
        let mut start = 0;
        while start < stage.rows() {
            let end = match shelves.calendar.and_then(|calendar| stage.column(calendar.column)) {
                None => stage.rows(),
                Some(staged) => {
                    let times = &staged.values[start..stage.rows()];
                    let time = |value: &u64| i64::from_le_bytes(value.to_le_bytes());
                    let first = time(&times[0]);
                    if !shelves.covers.contains(&first) {
                        shelves.seek(table, first, &mut self.spare);
                    }
                    let run =
                        times.iter().take_while(|value| shelves.covers.contains(&time(value)));
                    start + run.count()
                }
            };
            if shelves.calendar.is_none() && !shelves.covers.contains(&0) {
                shelves.seek(table, 0, &mut self.spare);
            }
            let block = &mut shelves.open[shelves.last];
            let taken = block.append(stage, start..end, words, bytes);
            let count = u32::try_from(end - start).expect("a stage has few rows");
            self.rows += u64::from(count);
            self.bytes += taken;
            put(count, Pushed { shelf: block.shelf, bytes: taken });
            start = end;
        }
        stage.clear();
    }

    /// Drops what an interrupted [`append`](Self::append) left behind.
    pub(crate) fn mend(&mut self, table: TableId) {
        if let Some(shelves) = self.tables.get_mut(usize::from(table.0)) {
            shelves.open.iter_mut().for_each(Block::mend);
        }
    }

    /// The table's stage, to be given back; empty.
    pub(crate) fn lend_stage(&mut self, table: TableId) -> Stage {
        let shelves = &mut self.tables[usize::from(table.0)];
        shelves.stage.take().unwrap_or_else(|| Stage::with_columns(shelves.layout.columns.len()))
    }

    /// Takes a stage back.
    pub(crate) fn return_stage(&mut self, table: TableId, mut stage: Stage) {
        stage.clear();
        self.tables[usize::from(table.0)].stage = Some(stage);
    }

    /// Takes the block of a shelf away; the next row of that shelf begins a new one.
    pub fn take(&mut self, at: Shelf) -> Option<Block> {
        let shelves = self.tables.get_mut(usize::from(at.table.0))?;
        let index = shelves.find(at.partition).ok()?;
        let block = shelves.open.remove(index);
        shelves.covers = 0..0;
        self.rows -= u64::from(block.rows);
        self.bytes -= block.bytes;
        Some(block)
    }

    /// Gives the memory of a block back, to be used for rows of the same table. What is more than
    /// 16 MiB in all is freed.
    pub fn recycle(&mut self, block: Block) {
        self.spare.push(block);
        let mut held: u64 = self.spare.iter().map(Block::held).sum();
        while held > SPARE_BYTES {
            held -= self.spare.remove(0).held();
        }
    }

    /// The open block of a shelf.
    #[must_use]
    pub fn get(&self, at: Shelf) -> Option<&Block> {
        let shelves = self.tables.get(usize::from(at.table.0))?;
        shelves.find(at.partition).ok().map(|index| &shelves.open[index])
    }

    /// The open blocks, by table and partition.
    pub fn open(&self) -> impl Iterator<Item = &Block> {
        self.tables.iter().flat_map(|shelves| &shelves.open)
    }

    /// Rows in all open blocks.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that the rows of all open blocks take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory of open and spare blocks, in bytes, used or not.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.open().chain(&self.spare).map(Block::held).sum()
    }
}

impl Shelves {
    fn new(table: &Table) -> Self {
        let calendar = table.partition.as_ref().map(|key| {
            let column = table.column(&key.column).filter(|index| !table.columns[*index].nullable);
            let time = column.and_then(|column| match table.columns[column].kind {
                ColumnType::Time { precision } => Some((column, precision)),
                _ => None,
            });
            let (column, precision) =
                time.expect("the partition column is a DateTime64 of the table, without NULL");
            Calendar { column, unit: key.unit, day: 86_400 * 10_i64.pow(precision.into()) }
        });
        let layout = Arc::new(Layout::new(table));
        Self { layout, calendar, open: Vec::new(), last: 0, covers: 0..0, stage: None }
    }

    /// What decides on the partition; a cell of another kind is refused by the block.
    #[inline]
    fn partition_value(&self, cells: &[Cell<'_>]) -> i64 {
        match self.calendar.and_then(|calendar| cells.get(calendar.column)) {
            Some(Cell::Int(value)) => *value,
            _ => 0,
        }
    }

    /// Makes `last` the block for this partition value.
    #[cold]
    fn seek(&mut self, table: TableId, value: i64, spare: &mut Vec<Block>) {
        let (partition, covers) = match self.calendar {
            None => (Partition(0), i64::MIN..i64::MAX),
            Some(Calendar { unit, day, .. }) => {
                let (partition, from, until) = unit.around(value.div_euclid(day));
                (partition, from.saturating_mul(day)..until.saturating_mul(day))
            }
        };
        self.last = self.find(partition).unwrap_or_else(|index| {
            let known = spare.iter().rposition(|block| Arc::ptr_eq(&block.layout, &self.layout));
            let block = match known {
                Some(spare_index) => {
                    let mut block = spare.remove(spare_index);
                    block.restart(Shelf { table, partition });
                    block
                }
                None => Block::new(Arc::clone(&self.layout), Shelf { table, partition }),
            };
            self.open.insert(index, block);
            index
        });
        self.covers = covers;
    }

    fn find(&self, partition: Partition) -> Result<usize, usize> {
        self.open.binary_search_by_key(&partition, |block| block.shelf.partition)
    }
}
