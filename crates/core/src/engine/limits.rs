//! What bounds the engine.

use std::time::Duration;

use crate::units::TableId;

/// Rows that ClickHouse writes as one block, and so all or nothing (`max_insert_block_size`).
pub const MAX_BATCH_ROWS: u32 = 1_048_449;

/// What bounds batches, buffers, retries and commits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The table that takes what no other table takes. Its own rows are never buried again.
    pub dead_letters: TableId,
    /// Rows at which a batch closes; at most [`MAX_BATCH_ROWS`].
    pub batch_rows: u32,
    /// Bytes of its block at which a batch closes; at most the part of `buffer_bytes` above
    /// `pause_at`, so that its encode buffer fits when the lanes are paused.
    pub batch_bytes: u64,
    /// How long a row waits for others.
    pub batch_age: Duration,
    /// The same for partitions older than the newest two of their table.
    pub old_partition_age: Duration,
    /// Inserts under way per table; one per shelf in any case. From 3 on, the newest two partitions
    /// cannot keep older ones from being written.
    pub inserts_per_table: usize,
    /// Inserts per second that the server is to get from all instances together; see
    /// [`Input::Share`](super::Input::Share).
    pub inserts_per_second: u32,
    /// How long a block of the newest two partitions, due and not full, waits for its turn at most. The
    /// budget of inserts is exceeded rather than this.
    pub longest_stretch: Duration,
    /// Rows that may be held and not durable.
    pub buffer_rows: u64,
    /// Bytes that may be held: payloads, blocks, encode buffers.
    pub buffer_bytes: u64,
    /// Messages of streams that their server delivers before it waits for acks, to all readers.
    pub stream_rows: u64,
    /// Share of the buffer at which lanes are paused.
    pub pause_at: f64,
    /// Share of the buffer at which they are resumed.
    pub resume_at: f64,
    /// Longest wait before the first retry.
    pub retry_initial: Duration,
    /// Longest wait before any retry.
    pub retry_max: Duration,
    /// Dead letters of a table's routes within the window …
    pub flood_rows: u64,
    /// … and their share of the messages, above which they are a flood.
    pub flood_share: f64,
    /// The window.
    pub flood_window: Duration,
    /// Least time between two commits. What is durable and not committed counts as lag: at 50,000 msg/s
    /// over six partitions 170 messages of each within 20 ms. In steady state there is hardly one more
    /// for it, since one follows a durable insert.
    pub commit_interval: Duration,
    /// How often the broker of a lane without a front hears that a chunk is being worked on: well
    /// below the time after which it would deliver it again.
    pub progress_interval: Duration,
    /// How long such a chunk is kept before it is given back.
    pub keep: Duration,
}

impl Default for Limits {
    /// The values of the configuration file's defaults; `dead_letters` names no table yet.
    fn default() -> Self {
        Self {
            dead_letters: TableId(u16::MAX),
            batch_rows: 1_000_000,
            batch_bytes: 64 << 20,
            batch_age: Duration::from_millis(30),
            old_partition_age: Duration::from_secs(1),
            inserts_per_table: 4,
            inserts_per_second: 60,
            longest_stretch: Duration::from_millis(30),
            buffer_rows: 1_000_000,
            buffer_bytes: 256 << 20,
            stream_rows: 200_000,
            pause_at: 0.8,
            resume_at: 0.4,
            retry_initial: Duration::from_secs(1),
            retry_max: Duration::from_secs(32),
            flood_rows: 1_000,
            flood_share: 0.5,
            flood_window: Duration::from_mins(1),
            commit_interval: Duration::from_millis(20),
            progress_interval: Duration::from_secs(4),
            keep: Duration::from_mins(1),
        }
    }
}

impl Limits {
    pub(super) fn full_rows(&self) -> u32 {
        self.batch_rows.clamp(1, MAX_BATCH_ROWS)
    }

    pub(super) fn full_bytes(&self) -> u64 {
        let headroom = self.buffer_bytes.saturating_sub(share(self.buffer_bytes, self.pause_at));
        self.batch_bytes.min(headroom).max(1)
    }
}

/// `part` of `whole`, rounded down.
pub(super) fn share(whole: u64, part: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a threshold: buffers are far below 2^52 bytes, and the cast saturates"
    )]
    let share = (whole as f64 * part.clamp(0.0, 1.0)) as u64;
    share
}
