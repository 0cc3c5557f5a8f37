//! The broker's side: logs of records, who owns them, what was committed.

use std::collections::BTreeMap;

use data_bridge_core::units::{LaneId, Partition, Position, Shelf, TableId};

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A row of its table.
    Good,
    /// A row that only the server refuses.
    Bad,
    /// Does not decode: a dead letter from the start.
    Unreadable,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) position: u64,
    pub(super) shelf: Shelf,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    /// A row of its table is durable.
    pub(super) is_row: bool,
    /// A dead letter of it is durable.
    pub(super) is_letter: bool,
}

/// What producers make.
#[derive(Debug)]
pub(super) struct Make {
    /// Share of rows that only the server refuses, and of records that do not decode.
    pub(super) bad: f64,
    /// Bytes of most records, at most.
    pub(super) payload: u64,
    /// Bytes of a few; larger than the buffer in some worlds.
    pub(super) giant: u64,
}

/// What a broker knows of a stream whose messages are acked each on its own.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Index of the first message that was never delivered.
    pub(super) next: usize,
    /// Messages that were delivered and not acked, and from when on they are delivered again.
    pub(super) pending: BTreeMap<usize, u64>,
}

/// One partition of a topic, or one stream.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) table: TableId,
    pub(super) records: Vec<Record>,
    /// Position after the last record, control records included.
    pub(super) end: u64,
    pub(super) committed: u64,
    pub(super) owner: Option<(usize, LaneId)>,
    /// Of a stream: what was delivered and not acked.
    pub(super) stream: Option<Deliveries>,
    /// Records before this index were found durable by the oracle.
    verified: usize,
}

impl Log {
    pub(super) fn new(table: TableId) -> Self {
        Self {
            table,
            records: Vec::new(),
            end: 0,
            committed: 0,
            owner: None,
            stream: None,
            verified: 0,
        }
    }

    pub(super) fn stream(table: TableId) -> Self {
        Self { stream: Some(Deliveries::default()), ..Self::new(table) }
    }

    /// Whether everything was committed, or acked.
    pub(super) fn is_consumed(&self) -> bool {
        self.stream.as_ref().map_or(self.committed == self.end, |stream| {
            stream.next == self.records.len() && stream.pending.is_empty()
        })
    }

    /// Records that are not consumed.
    pub(super) fn backlog(&self) -> usize {
        self.stream.as_ref().map_or_else(
            || self.records.len() - self.index_of(self.committed),
            |stream| self.records.len() - stream.next + stream.pending.len(),
        )
    }

    pub(super) fn produce(&mut self, rng: &mut fastrand::Rng, make: &Make) {
        // Offsets have holes: transactions, compaction.
        let hole = if rng.u8(..) < 20 { rng.u64(1..5) } else { 0 };
        let position = self.end + hole;
        let partition = Partition(202_601 + u32::from(rng.u8(..) < 40) * rng.u32(0..4));
        let kind = match rng.f64() {
            chance if chance < make.bad => Kind::Bad,
            chance if chance < make.bad * 2.0 => Kind::Unreadable,
            _ => Kind::Good,
        };
        self.records.push(Record {
            position,
            shelf: Shelf { table: self.table, partition },
            kind,
            bytes: if rng.u32(..4_000) == 0 {
                make.giant
            } else {
                rng.u64(make.payload / 2..make.payload)
            },
            is_row: false,
            is_letter: false,
        });
        self.end = position + 1 + u64::from(rng.u8(..) < 10);
    }

    /// Index of the first record at or after `position`.
    pub(super) fn index_of(&self, position: u64) -> usize {
        self.records.partition_point(|record| record.position < position)
    }

    /// Everything before `next` is a durable row, or a durable letter when it could not be a row.
    pub(super) fn assert_durable_before(&mut self, next: Position) {
        while let Some(record) = self.records.get(self.verified) {
            if record.position >= next.0 {
                break;
            }
            assert!(
                record.is_row || record.is_letter,
                "commit of {next} passes {record:?}, which is not durable"
            );
            self.verified += 1;
        }
    }

    /// Everything is consumed, and became what it had to become.
    pub(super) fn assert_complete(&self) {
        assert!(self.is_consumed(), "not all is committed or acked");
        for record in &self.records {
            let expected = match record.kind {
                Kind::Good => (true, false),
                Kind::Bad | Kind::Unreadable => (false, true),
            };
            assert_eq!((record.is_row, record.is_letter), expected, "{record:?}");
        }
    }
}
