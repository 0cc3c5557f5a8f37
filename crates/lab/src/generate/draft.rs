//! What a message says, before it is written as JSON: fields in order, each with its text and the
//! column it feeds.

use std::io::Write;
use std::ops::Range;

/// How a field's text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As it is: a number, `null`, an object.
    Bare,
    /// As a JSON text, escaped.
    Text,
    /// Between quotes and not escaped: for planted faults.
    Quoted,
    /// Not at all: a value made of several fields.
    Nowhere,
}

/// Which object a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Top,
    Metadata,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) written: Written,
    pub(crate) place: Place,
    pub(crate) column: Option<usize>,
    text: Range<usize>,
}

/// Most columns a table has.
const COLUMNS: usize = 24;

/// The fields of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    text: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    /// Per column, the text that was given for it.
    said: [Option<(usize, usize)>; COLUMNS],
    columns: usize,
    /// Where fields go at the moment.
    place: Option<Place>,
}

impl Draft {
    pub(crate) fn clear(&mut self, columns: usize) {
        self.text.clear();
        self.fields.clear();
        self.said = [None; COLUMNS];
        self.columns = columns;
        self.place = None;
    }

    /// Puts the following fields there.
    pub(crate) fn go_to(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Adds a field whose text `write` appends.
    pub(crate) fn put(
        &mut self,
        key: &'static str,
        column: Option<usize>,
        written: Written,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.text.len();
        write(&mut self.text);
        let text = start..self.text.len();
        if let Some(column) = column {
            self.said[column] = Some((text.start, text.end));
        }
        let place = self.place.unwrap_or(Place::Top);
        self.fields.push(Field { key, written, place, column, text });
    }

    pub(crate) fn text(&mut self, key: &'static str, column: usize, value: &str) {
        self.put(key, Some(column), Written::Text, |out| {
            out.extend_from_slice(value.as_bytes());
        });
    }

    pub(crate) fn null(&mut self, key: &'static str) {
        self.put(key, None, Written::Bare, |out| {
            out.extend_from_slice(b"null");
        });
    }

    /// Adds a field of no column.
    pub(crate) fn extra(&mut self, key: &'static str, written: Written, value: &str) {
        self.put(key, None, written, |out| {
            out.extend_from_slice(value.as_bytes());
        });
    }

    pub(crate) fn said(&self, column: usize) -> Option<&[u8]> {
        let (start, end) = self.said[column]?;
        Some(&self.text[start..end])
    }

    pub(crate) fn bytes(&self, field: &Field) -> &[u8] {
        &self.text[field.text.clone()]
    }

    /// Gives the field of `column` another text, or adds it as `key`.
    pub(crate) fn replace(
        &mut self,
        key: &'static str,
        column: usize,
        written: Written,
        value: &[u8],
    ) {
        let start = self.text.len();
        self.text.extend_from_slice(value);
        let text = start..self.text.len();
        if let Some(index) = self.field_of(column) {
            let field = &mut self.fields[index];
            field.written = written;
            field.text = text;
        } else {
            let place = Place::Top;
            self.fields.push(Field { key, written, place, column: Some(column), text });
        }
    }

    pub(crate) fn remove(&mut self, column: usize) {
        self.fields
            .retain(|field| field.column != Some(column) || field.written == Written::Nowhere);
    }

    /// The field that is written for `column`.
    pub(crate) fn field_of(&self, column: usize) -> Option<usize> {
        self.fields
            .iter()
            .position(|field| field.column == Some(column) && field.written != Written::Nowhere)
    }

    /// Drops names that stand in the shadow of a better one, so that a fault planted in the better
    /// one cannot be covered by them.
    pub(crate) fn drop_shadowed(&mut self) {
        self.fields.retain(|field| {
            field.column.is_some()
                || !matches!(
                    field.key,
                    "timestamp" | "timestamp_ms" | "t" | "pair" | "s" | "b" | "a" | "x"
                )
        });
    }

    /// Repeats a field with another number before it: the last one wins.
    pub(crate) fn repeat_before(&mut self, index: usize, number: u32) {
        let start = self.text.len();
        write!(self.text, "{number}").expect("writing to memory");
        let mut field = self.fields[index].clone();
        field.column = None;
        field.text = start..self.text.len();
        self.fields.insert(0, field);
    }
}
