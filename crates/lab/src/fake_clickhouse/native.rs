//! Reading ClickHouse's `Native` format: the types of the specification's tables, and what a
//! user's own table may add.

use std::fmt;

mod column;
mod reader;
mod value;

pub use value::Value;

use column::read_column;
use reader::Reader;

/// One block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Column names and types, in order.
    pub columns: Vec<(String, String)>,
    /// The values, row by row.
    pub rows: Vec<Vec<Value>>,
}

impl Block {
    /// The value of a row in the column of this name.
    #[must_use]
    pub fn value(&self, row: usize, column: &str) -> Option<&Value> {
        let index = self.columns.iter().position(|(name, _)| name == column)?;
        self.rows.get(row)?.get(index)
    }
}

/// Bytes that are not whole blocks of known types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNative {
    /// Where reading stopped.
    pub at: usize,
    /// Why.
    pub reason: String,
}

impl fmt::Display for BadNative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not readable as Native at byte {}: {}", self.at, self.reason)
    }
}

impl std::error::Error for BadNative {}

/// Reads all blocks of a body.
///
/// # Errors
/// When it ends too early, or has a type that is not known here.
pub fn read(body: &[u8]) -> Result<Vec<Block>, BadNative> {
    let mut reader = Reader::new(body);
    let mut blocks = Vec::new();
    while !reader.is_empty() {
        blocks.push(read_block(&mut reader)?);
    }
    Ok(blocks)
}

fn read_block(reader: &mut Reader<'_>) -> Result<Block, BadNative> {
    let width = reader.size()?;
    let height = reader.size()?;
    let mut columns = Vec::new();
    let mut rows = vec![Vec::new(); height];
    for _ in 0..width {
        let name = reader.text()?;
        let kind = reader.text()?;
        for (row, value) in rows.iter_mut().zip(read_column(reader, &kind, height)?) {
            row.push(value);
        }
        columns.push((name, kind));
    }
    Ok(Block { columns, rows })
}
