//! Inserts outside of an instance: patient with the server, and one row at a time where it must be.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_bridge_core::block::Block;
use data_bridge_core::catalog::Table;
use data_bridge_core::verdict::{Failure, Verdict};

use super::clickhouse::ClickHouse;
use super::writers::lz4_frame;
use crate::config::Compression;

/// How long it is tried again when the server or the way to it is in trouble: a person waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before the second try; doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A row that ClickHouse refuses for what it holds.
#[derive(Debug)]
pub struct Refused {
    /// Its index in the block.
    pub row: u32,
    /// What ClickHouse says.
    pub failure: Failure,
}

/// Inserts these rows of a block; all that are not refused are durable afterwards. What was sent
/// before is sent again without harm: the sort key makes it one row.
///
/// # Errors
/// When the server stays away, or refuses for a reason that is not in the rows.
pub async fn deliver(
    clickhouse: &ClickHouse,
    table: &Table,
    block: &Block,
    rows: Range<u32>,
) -> Result<Vec<Refused>, Failure> {
    let mut refused = Vec::new();
    // Halves still to be sent, the next one last.
    let mut open = vec![rows];
    while let Some(rows) = open.pop() {
        if rows.is_empty() {
            continue;
        }
        let Err(failure) =
            patiently(|| clickhouse.insert(table, body(clickhouse, block, &rows))).await
        else {
            continue;
        };
        let is_one = rows.len() == 1;
        match failure.verdict() {
            Verdict::Isolate if is_one => refused.push(Refused { row: rows.start, failure }),
            Verdict::Isolate | Verdict::Split if !is_one => {
                let middle = rows.start + (rows.end - rows.start) / 2;
                open.push(middle..rows.end);
                open.push(rows.start..middle);
            }
            Verdict::Retry
            | Verdict::Refresh
            | Verdict::Pause
            | Verdict::Unknown
            | Verdict::Isolate
            | Verdict::Split => return Err(failure),
        }
    }
    Ok(refused)
}

/// Tries until it works, or patience ends, or the answer is one that trying again does not change.
///
/// # Errors
/// The last failure.
pub async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Err(failure)
                if failure.verdict() == Verdict::Retry && Instant::now() + pause < until =>
            {
                tracing::warn!(error = %failure, "ClickHouse is asked again");
            }
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

fn body(clickhouse: &ClickHouse, block: &Block, rows: &Range<u32>) -> Bytes {
    let mut native = Vec::new();
    block.encode(rows.clone(), &mut native);
    match clickhouse.compression() {
        Compression::None => Bytes::from(native),
        Compression::Lz4 => Bytes::from(lz4_frame(&native, Vec::new())),
    }
}
