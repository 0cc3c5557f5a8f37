//! What the engine is told, and what it answers.

use crate::settle::Receipt;
use crate::units::{BatchId, ChunkId, LaneId, Moment, Position, Shelf, TableId};
use crate::verdict::Failure;

/// Rows of one chunk that were put on one shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the rows lie.
    pub shelf: Shelf,
    /// How many rows; at least one.
    pub rows: u32,
    /// Bytes they take in the shelf's open block.
    pub bytes: u64,
}

/// What the engine is told.
#[derive(Debug)]
pub enum Input {
    /// A lane begins; its first record will be at `start`. Its rows go to `table` (and to dead letters).
    Assigned {
        /// The new lane.
        lane: LaneId,
        /// Position of the first record.
        start: Position,
        /// Table of the lane's route.
        table: TableId,
    },
    /// A lane begins whose chunks are acked each on its own; its rows go to `table`.
    StreamAssigned {
        /// The new lane.
        lane: LaneId,
        /// Table of the lane's route.
        table: TableId,
    },
    /// A chunk was decoded; its rows lie on the shelves that `parts` names. To be told before any
    /// other input: the engine seals a block only when it knows all that lies in it.
    Decoded {
        /// The right to settle the chunk, from [`Engine::open`](super::Engine::open) or
        /// [`Engine::open_of_stream`](super::Engine::open_of_stream).
        receipt: Receipt,
        /// Where the rows went; empty when the chunk holds none.
        parts: Vec<Part>,
    },
    /// An insert is durable.
    Durable {
        /// The batch that was sent.
        batch: BatchId,
    },
    /// An insert failed, or nobody knows.
    Failed {
        /// The batch that was sent.
        batch: BatchId,
        /// What happened.
        failure: Failure,
    },
    /// The row of a batch of one was written as a dead letter onto a shelf of `dead_letters`.
    Buried {
        /// The batch named by [`Output::Bury`].
        batch: BatchId,
        /// Where its dead letter lies: one row.
        part: Part,
    },
    /// The group takes these lanes away: finish what is in flight, at most until `deadline`.
    Revoked {
        /// The lanes that end.
        lanes: Vec<LaneId>,
        /// When the next owner must be let in.
        deadline: Moment,
    },
    /// These lanes are gone already (session expired, fenced): nothing of them is committed.
    Lost {
        /// The lanes that ended.
        lanes: Vec<LaneId>,
    },
    /// The commit of [`Output::Commit`] was accepted.
    Committed,
    /// The commit of [`Output::Commit`] was not accepted; tried again with the newest positions.
    CommitFailed,
    /// Send what is open, wait for results, commit; give up at `deadline`.
    Stop {
        /// When to give up.
        deadline: Moment,
    },
    /// People let the dead letters of a flood through: full speed until their share falls.
    Accept {
        /// The table of the route.
        table: TableId,
    },
    /// A table that was refused for its shape was looked at, and is as it must be: what waits for it
    /// is tried at once.
    Mended {
        /// The table.
        table: TableId,
    },
    /// How many of all partitions of its topics this instance reads: its share of the inserts that the
    /// server is to get.
    Share {
        /// Its own.
        mine: u32,
        /// All; 0 when nobody knows.
        all: u32,
    },
    /// So many records wait at the brokers for the lanes, as far as the source knows: with a backlog
    /// batches grow, without one they stay small.
    Backlog {
        /// Records that were not brought yet.
        records: u64,
    },
    /// Time passed.
    Tick,
}

/// When messages that are given back may be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Now, to anybody: this instance stops.
    AtOnce,
    /// After a while, longer each time: nobody can write them now.
    Later,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The open block of `shelf` is full and has to wait: seal it, keep it under this name, begin
    /// another. Its [`Output::Send`] comes later.
    Seal {
        /// The batch.
        batch: BatchId,
        /// Its shelf.
        shelf: Shelf,
    },
    /// Insert a batch. A batch that no [`Output::Seal`], [`Output::Split`] or earlier `Send` named is
    /// all that the open block of `shelf` holds: seal it and keep it under this name. A later
    /// attempt sends the very same rows again. Answered once by [`Input::Durable`] or
    /// [`Input::Failed`].
    Send {
        /// The batch.
        batch: BatchId,
        /// Its shelf.
        shelf: Shelf,
        /// How often these rows were sent, this time included, parts of a split batch counting on.
        attempt: u32,
    },
    /// Cut a batch in two: rows `..at` are `left`, rows `at..` are `right`. `batch` is no more.
    Split {
        /// The batch that was refused.
        batch: BatchId,
        /// Index of the first row of `right`.
        at: u32,
        /// Name of the first part.
        left: BatchId,
        /// Name of the second part.
        right: BatchId,
    },
    /// Write the only row of `batch` as a dead letter and answer with [`Input::Buried`].
    Bury {
        /// The batch of one row.
        batch: BatchId,
        /// Why ClickHouse refused it.
        failure: Failure,
        /// How often the row was sent, in this batch and in those it was split from.
        attempts: u32,
    },
    /// Rows of this batch are durable or buried: drop its block.
    Forget {
        /// The batch.
        batch: BatchId,
    },
    /// No row of this chunk is held any more: drop its arena.
    Free {
        /// The chunk.
        chunk: ChunkId,
    },
    /// The payloads of this chunk cost memory that rows could use: drop them, keep its name. For a row
    /// that is to be buried they are read from the log again.
    LetGo {
        /// The chunk, of a lane with a front.
        chunk: ChunkId,
    },
    /// Commit these positions (next record to read). One commit is under way at a time: answer with
    /// [`Input::Committed`] or [`Input::CommitFailed`].
    Commit {
        /// Per lane, the position after the last durable record.
        positions: Vec<(LaneId, Position)>,
    },
    /// All rows of this chunk of a lane without a front are durable: ack its messages. Comes before
    /// its [`Output::Free`].
    Ack {
        /// The chunk.
        chunk: ChunkId,
    },
    /// Tell the broker that this chunk is being worked on, so that it is not delivered again.
    Working {
        /// The chunk.
        chunk: ChunkId,
    },
    /// Let the broker deliver the messages of this chunk again. It is acked all the same when its
    /// rows become durable.
    GiveBack {
        /// The chunk.
        chunk: ChunkId,
        /// When they may be delivered again.
        when: Return,
    },
    /// Fetch nothing more for these lanes.
    Pause {
        /// The lanes.
        lanes: Vec<LaneId>,
    },
    /// Fetch again for these lanes.
    Resume {
        /// The lanes.
        lanes: Vec<LaneId>,
    },
    /// Nothing more will be committed for these lanes: let the next owner in. Comes once for each
    /// [`Input::Revoked`].
    Closed {
        /// The lanes as the [`Input::Revoked`] named them.
        lanes: Vec<LaneId>,
    },
    /// A table cannot be written for a reason that only people can mend.
    TablePaused {
        /// The table.
        table: TableId,
        /// The reason.
        failure: Failure,
    },
    /// The table can be written again.
    TableResumed {
        /// The table.
        table: TableId,
    },
    /// More messages for this table become dead letters than a few bad ones explain: its routes are
    /// slowed down to a few letters per second.
    FloodBegan {
        /// The table.
        table: TableId,
        /// Letters within the window.
        letters: u64,
        /// Messages within the window.
        messages: u64,
    },
    /// Its routes are read at full speed again.
    FloodEnded {
        /// The table.
        table: TableId,
    },
    /// The stop is complete.
    Stopped {
        /// Chunks that were still open at the deadline; 0 after a clean drain.
        open_chunks: usize,
    },
}
