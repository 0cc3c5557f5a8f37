//! Tasks that sort, encode and insert blocks, beside the thread that reads.

use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_bridge_core::block::Block;
use data_bridge_core::catalog::Catalog;
use data_bridge_core::units::{BatchId, TableId};
use data_bridge_core::verdict::Failure;
use lz4_flex::frame::FrameEncoder;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::clickhouse::ClickHouse;
use crate::config::Compression;
use crate::telemetry::pulse::freeze_task;

/// Encode buffers kept for reuse; more than this many inserts at once are rare.
const BUFFERS_KEPT: usize = 2;
/// A larger buffer is given back to the system instead of kept.
const LARGEST_KEPT_BYTES: usize = 32 << 20;

/// Rows of a batch on their way to an insert.
#[derive(Debug)]
pub enum Rows {
    /// A block nobody has sent yet: sorted first.
    Fresh(Box<Block>),
    /// A range of a block that was sent before.
    Again(Arc<Block>, Range<u32>),
}

/// How an insert ended.
#[derive(Debug)]
pub struct Done {
    /// The batch that was sent.
    pub batch: BatchId,
    /// Its table.
    pub table: TableId,
    /// The block, for another attempt.
    pub block: Arc<Block>,
    /// The rows that were sent.
    pub rows: Range<u32>,
    /// Size of the request's body, in bytes.
    pub bytes: usize,
    /// From the beginning of encoding to the answer's end.
    pub elapsed: Duration,
    /// What ClickHouse said.
    pub result: Result<(), Failure>,
}

/// The inserts under way. The engine bounds their number: one per table and partition, four per
/// table.
pub struct Writers {
    tasks: JoinSet<()>,
    runtime: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    clickhouse: ClickHouse,
    catalog: Arc<Catalog>,
    buffers: Buffers,
    done: Box<dyn Fn(Done) + Send + Sync>,
}

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").field("under_way", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Writers {
    /// Writers that run on `runtime` and call `done` from there when an insert has ended.
    pub fn new(
        runtime: Handle,
        clickhouse: ClickHouse,
        catalog: Arc<Catalog>,
        done: impl Fn(Done) + Send + Sync + 'static,
    ) -> Self {
        let shared =
            Shared { clickhouse, catalog, buffers: Buffers::default(), done: Box::new(done) };
        Self { tasks: JoinSet::new(), runtime, shared: Arc::new(shared) }
    }

    /// Begins an insert; `done` hears of its end.
    pub fn send(&mut self, batch: BatchId, table: TableId, rows: Rows) {
        while self.tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn_on(async move { shared.insert(batch, table, rows).await }, &self.runtime);
    }
}

impl Shared {
    async fn insert(&self, batch: BatchId, table: TableId, rows: Rows) {
        let began = Instant::now();
        let (block, rows) = match rows {
            Rows::Fresh(mut block) => {
                block.sort();
                let all = 0..block.rows();
                (Arc::from(block), all)
            }
            Rows::Again(block, rows) => (block, rows),
        };
        freeze_task("insert").await;
        freeze_task(&self.catalog.table(table).name).await;
        let body = self.body(&block, rows.clone());
        let bytes = body.len();
        let result = self.clickhouse.insert(self.catalog.table(table), body).await;
        let elapsed = began.elapsed();
        (self.done)(Done { batch, table, block, rows, bytes, elapsed, result });
    }

    fn body(&self, block: &Block, rows: Range<u32>) -> Bytes {
        let mut native = self.buffers.take();
        block.encode(rows, &mut native.bytes);
        match self.clickhouse.compression() {
            Compression::None => Bytes::from_owner(native),
            Compression::Lz4 => {
                let mut packed = self.buffers.take();
                packed.bytes = lz4_frame(&native.bytes, std::mem::take(&mut packed.bytes));
                Bytes::from_owner(packed)
            }
        }
    }
}

/// An LZ4 frame, which ClickHouse takes as `Content-Encoding: lz4`.
pub(super) fn lz4_frame(native: &[u8], into: Vec<u8>) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(into);
    encoder
        .write_all(native)
        .and_then(|()| Ok(encoder.try_finish()?))
        .expect("writing into a vector does not fail");
    std::mem::take(encoder.get_mut())
}

/// Encode buffers that come back when the request that borrowed one is gone.
#[derive(Clone, Default)]
struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    fn take(&self) -> Buffer {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: kept.unwrap_or_default(), home: Self { free: Arc::clone(&self.free) } }
    }
}

struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < BUFFERS_KEPT && bytes.capacity() <= LARGEST_KEPT_BYTES {
            free.push(bytes);
        }
    }
}
