//! A `Map(String, String)` column.

use std::ops::Range;

use super::texts::Texts;

/// Where each row's entries end, and all keys and values.
#[derive(Debug, Default)]
pub(super) struct Maps {
    ends: Vec<usize>,
    keys: Texts,
    values: Texts,
}

impl Maps {
    pub(super) fn push(&mut self, entries: &[(&[u8], &[u8])]) -> usize {
        let bytes = |(key, value): &(&[u8], &[u8])| {
            self.keys.push(key) + self.values.push(value) + 2 * Texts::OVERHEAD
        };
        let bytes = entries.iter().map(bytes).sum();
        self.ends.push(self.keys.len());
        bytes
    }

    fn entries(&self, rows: Range<usize>) -> Range<usize> {
        let at = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        at(rows.start)..at(rows.end)
    }

    pub(super) fn encode(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        let entries = self.entries(rows.clone());
        for end in &self.ends[rows] {
            out.extend_from_slice(&((end - entries.start) as u64).to_le_bytes());
        }
        self.keys.encode(entries.clone(), out);
        self.values.encode(entries, out);
    }

    pub(super) fn reorder(&mut self, order: &[u32]) {
        let mut sorted = Self::default();
        for row in order {
            let row = *row as usize;
            for entry in self.entries(row..row + 1) {
                sorted.keys.push_from(&self.keys, entry);
                sorted.values.push_from(&self.values, entry);
            }
            sorted.ends.push(sorted.keys.len());
        }
        *self = sorted;
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        let entries = self.entries(0..rows.min(self.ends.len())).end;
        self.keys.truncate(entries);
        self.values.truncate(entries);
        self.ends.truncate(rows);
    }

    pub(super) fn held(&self) -> usize {
        self.ends.capacity() * size_of::<usize>() + self.keys.held() + self.values.held()
    }
}
