//! Rows that were read by a known shape: what is computed for them, and their way into blocks.

use xxhash_rust::xxh3::xxh3_64;

use super::event_id::{self, MsgId};
use super::plan::{Input, Plan};
use super::read::version;
use crate::arena::Arena;
use crate::block::{Cell, FORM, FORM_HEAD, STAGED, Stage, Staged, Words, spanned};
use crate::catalog::{ColumnType, Table};

/// The columns of a table that no key fills.
#[derive(Debug, Default)]
pub(super) struct Computed {
    origin: Option<usize>,
    position: Vec<usize>,
    version: Vec<usize>,
    event_id: Option<(usize, Vec<Ingredient>)>,
}

/// A value of an event's identity.
#[derive(Clone, Copy, Debug)]
struct Ingredient {
    column: usize,
    form: Form,
}

/// How a value is written in the canonical form of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Word,
    /// Eight bytes behind this tag.
    Eight(u8),
    Text,
}

/// Staged rows and the records they came from.
pub(super) struct Rows<'a> {
    pub(super) arena: &'a Arena,
    /// The record of the first row; those of the others follow it.
    pub(super) first: usize,
    pub(super) stage: &'a mut Stage,
    pub(super) words: &'a mut [Words],
    pub(super) origin: &'a str,
    pub(super) msg_id: MsgId,
}

impl Computed {
    pub(super) fn new(plan: &Plan, table: &Table) -> Self {
        let mut computed = Self::default();
        for (index, column) in plan.columns.iter().enumerate() {
            match &column.input {
                Input::Origin => computed.origin = Some(index),
                Input::OriginPosition => computed.position.push(index),
                Input::Version => computed.version.push(index),
                Input::EventId(identity) => {
                    let ingredients = identity.iter().filter_map(|column| {
                        let form = Form::of(table.columns.get(*column)?.kind)?;
                        Some(Ingredient { column: *column, form })
                    });
                    computed.event_id = Some((index, ingredients.collect()));
                }
                Input::Slots { .. } | Input::DateAndTime { .. } => {}
            }
        }
        computed
    }

    /// Writes the computed columns of all staged rows. `None` when there is no room for another
    /// origin.
    pub(super) fn fill(&self, rows: &mut Rows<'_>) -> Option<()> {
        let Rows { arena, first, ref mut stage, .. } = *rows;
        let last = first + stage.rows();
        if let Some(column) = self.origin {
            let word = rows.words.get_mut(column)?.add(rows.origin.as_bytes())?;
            stage.column_mut(column).fill(word.into());
        }
        let stamps = arena.stamps(first..last);
        for column in &self.position {
            for (value, (position, _)) in stage.column_mut(*column).iter_mut().zip(stamps.clone()) {
                *value = position.0;
            }
        }
        for column in &self.version {
            for (value, (position, time_ms)) in
                stage.column_mut(*column).iter_mut().zip(stamps.clone())
            {
                *value = version(time_ms, position.0);
            }
        }
        if let Some((column, ingredients)) = &self.event_id {
            let mut ids = [0; STAGED];
            identify(ingredients, rows, &mut ids);
            for (row, id) in ids.iter_mut().enumerate().take(last - first) {
                if arena.has_headers(first + row) {
                    let record = arena.get(first + row);
                    let given = record.and_then(|r| event_id::from_headers(&r, rows.msg_id));
                    *id = given.unwrap_or(*id);
                }
            }
            let own = rows.stage.column_mut(*column);
            own.copy_from_slice(&ids[..last - first]);
        }
        Some(())
    }
}

impl Form {
    /// `None` for maps, which no identity has.
    fn of(kind: ColumnType) -> Option<Self> {
        Some(match kind {
            ColumnType::Keyword => Self::Word,
            ColumnType::Text => Self::Text,
            ColumnType::Int8
            | ColumnType::Int16
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Time { .. } => Self::Eight(2),
            ColumnType::UInt8
            | ColumnType::UInt16
            | ColumnType::UInt32
            | ColumnType::UInt64
            | ColumnType::Bool => Self::Eight(3),
            ColumnType::Decimal { .. } => Self::Eight(4),
            ColumnType::Float32 | ColumnType::Float64 => Self::Eight(5),
            ColumnType::TextMap => return None,
        })
    }
}

/// Values of an identity whose canonical form is written into memory at hand.
const MOST_INGREDIENTS: usize = 16;

/// Staged values of an ingredient.
#[derive(Clone, Copy)]
struct Source<'r> {
    staged: &'r Staged,
    form: Form,
    words: &'r [[u8; FORM]],
}

/// The hashes over the canonical forms of all rows' identities.
fn identify(ingredients: &[Ingredient], rows: &Rows<'_>, ids: &mut [u64; STAGED]) {
    let count = rows.stage.rows();
    let sources = ingredients.iter().map(|Ingredient { column, form }| {
        let words = rows.words.get(*column).map_or(&[][..], Words::forms);
        Some(Source { staged: rows.stage.column(*column)?, form: *form, words })
    });
    let mut few = [None; MOST_INGREDIENTS];
    let fitting = few.iter_mut().zip(sources).map(|(place, source)| *place = source).count();
    let few = few.get(..fitting).filter(|_| fitting == ingredients.len());
    let mut form = [0; MOST_INGREDIENTS * FORM];
    for (row, id) in ids.iter_mut().enumerate().take(count) {
        let length = few.and_then(|sources| canonical(sources, row, &mut form));
        *id = match length {
            Some(length) => xxh3_64(form.get(..length).unwrap_or_default()),
            None => identify_any(ingredients, row, rows),
        };
    }
}

/// Writes the canonical form of a row; `None` when a text is too long for it.
#[inline]
fn canonical(
    sources: &[Option<Source<'_>>],
    row: usize,
    form: &mut [u8; MOST_INGREDIENTS * FORM],
) -> Option<usize> {
    let mut at = 0;
    for source in sources {
        let source = source.as_ref()?;
        let place: &mut [u8; FORM] = form.get_mut(at..)?.first_chunk_mut()?;
        let value = source.staged.values[row % STAGED];
        if source.staged.nulls[row % STAGED] == 1 {
            place[0] = 0;
            at += 1;
            continue;
        }
        match source.form {
            Form::Word => {
                let text = source.words.get(usize::try_from(value).ok()?)?;
                *place = *text;
                let length = FORM_HEAD + usize::from(text[1]);
                // A text of 256 bytes and more has its length in more than one byte.
                if length > FORM || text[2] != 0 {
                    return None;
                }
                at += length;
            }
            Form::Eight(tag) => {
                place[0] = tag;
                place[1..9].copy_from_slice(&value.to_le_bytes());
                at += 9;
            }
            Form::Text => return None,
        }
    }
    Some(at)
}

/// The same for any values.
#[cold]
fn identify_any(ingredients: &[Ingredient], row: usize, rows: &Rows<'_>) -> u64 {
    let values = ingredients.iter().filter_map(|Ingredient { column, form }| {
        let staged = rows.stage.column(*column)?;
        let value = staged.values[row % STAGED];
        if staged.nulls[row % STAGED] == 1 {
            return Some(Cell::Null);
        }
        let signed = i64::from_le_bytes(value.to_le_bytes());
        Some(match form {
            Form::Word => Cell::Bytes(rows.words.get(*column)?.text(value)),
            Form::Text => Cell::Bytes(spanned(rows.arena.as_bytes(), value)),
            Form::Eight(2) => Cell::Int(signed),
            Form::Eight(4) => Cell::scaled(signed),
            Form::Eight(5) => Cell::Float(f64::from_bits(value)),
            Form::Eight(_) => Cell::UInt(value),
        })
    });
    event_id::from_values(values, &mut Vec::new())
}
