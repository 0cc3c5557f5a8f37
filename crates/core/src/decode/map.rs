//! Columns of type `Map(String, String)`: a JSON object as pairs of texts.

use std::borrow::Cow;
use std::ops::Range;

use super::cursor::Cursor;
use super::fault::Fault;
use super::plan::{Input, Plan, Read, Slot};
use super::scanner::{Kind, Scanner};

/// Pairs of the map columns of one message. Empty, and free of cost, for tables without any.
#[derive(Debug)]
pub(super) struct Maps {
    /// Per map column, where its value may stand.
    columns: Vec<Vec<Slot>>,
    pairs: Vec<(Piece, Piece)>,
}

/// Part of the payload or of the scratch memory.
#[derive(Clone, Debug)]
enum Piece {
    Payload(Range<usize>),
    Scratch(Range<usize>),
}

impl Maps {
    pub(super) fn new(plan: &Plan) -> Self {
        let columns =
            plan.columns.iter().filter_map(|column| match (&column.read, &column.input) {
                (Read::Map, Input::Slots { slots, .. }) => Some(slots.clone()),
                _ => None,
            });
        Self { columns: columns.collect(), pairs: Vec::new() }
    }

    /// Finds the pairs of the message that was scanned; the value of each map column is told how
    /// many are its own.
    #[inline]
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner,
        padded: &[u8],
        length: usize,
    ) -> Result<(), Fault> {
        self.pairs.clear();
        for slots in &self.columns {
            let Some(slot) = slots.iter().find(|slot| scanner.value(**slot).is_some()) else {
                continue;
            };
            let Some(raw) = scanner.value(*slot).filter(|raw| raw.kind == Kind::Object) else {
                continue;
            };
            let first = self.pairs.len();
            let mut cursor = Cursor::new(padded, length);
            cursor.at = raw.start as usize;
            read_object(&mut cursor, &mut scanner.scratch, &mut self.pairs)?;
            let text = |piece: &Piece| match piece {
                Piece::Payload(range) => Cow::Borrowed(&padded[range.clone()]),
                Piece::Scratch(range) => Cow::Borrowed(&scanner.scratch.as_bytes()[range.clone()]),
            };
            // Of duplicate keys the last wins: sorted by key, later ones first, then the first of
            // each. ClickHouse keeps the order of a map but gives it no meaning.
            let mut own: Vec<_> = self.pairs.drain(first..).enumerate().collect();
            own.sort_by(|(i, (a, _)), (j, (b, _))| text(a).cmp(&text(b)).then(j.cmp(i)));
            own.dedup_by(|(_, (b, _)), (_, (a, _))| text(a) == text(b));
            self.pairs.extend(own.into_iter().map(|(_, pair)| pair));
            let count = self.pairs.len() - first;
            scanner.set_small(*slot, i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// The pairs as bytes, in the order of the map columns.
    #[inline]
    pub(super) fn pairs<'m>(&self, text: &'m str, scratch: &'m str) -> Vec<(&'m [u8], &'m [u8])> {
        let bytes = |piece: &Piece| match piece {
            Piece::Payload(range) => text.as_bytes().get(range.clone()).unwrap_or_default(),
            Piece::Scratch(range) => scratch.as_bytes().get(range.clone()).unwrap_or_default(),
        };
        self.pairs.iter().map(|(key, value)| (bytes(key), bytes(value))).collect()
    }
}

/// Reads an object that was found sound before.
fn read_object(
    cursor: &mut Cursor<'_>,
    scratch: &mut String,
    pairs: &mut Vec<(Piece, Piece)>,
) -> Result<(), Fault> {
    loop {
        // At the opening brace or at a comma.
        cursor.at += 1;
        cursor.space();
        if cursor.peek() == b'}' {
            return Ok(());
        }
        let key = read_text(cursor, scratch)?;
        cursor.colon()?;
        let start = cursor.at;
        let value = match cursor.peek() {
            b'"' => Some(read_text(cursor, scratch)?),
            b'{' | b'[' => {
                cursor.container(1, scratch)?;
                Some(Piece::Payload(start..cursor.at))
            }
            b'-' | b'0'..=b'9' => {
                cursor.number()?;
                Some(Piece::Payload(start..cursor.at))
            }
            first => {
                cursor.literal()?;
                // `null` is as good as absent.
                (first != b'n').then_some(Piece::Payload(start..cursor.at))
            }
        };
        pairs.extend(value.map(|value| (key, value)));
        cursor.space();
        if cursor.peek() == b'}' {
            return Ok(());
        }
    }
}

fn read_text(cursor: &mut Cursor<'_>, scratch: &mut String) -> Result<Piece, Fault> {
    let text = cursor.text()?;
    if !text.escaped {
        return Ok(Piece::Payload(text.start..text.end));
    }
    let start = scratch.len();
    cursor.unescape(text, scratch)?;
    Ok(Piece::Scratch(start..scratch.len()))
}
