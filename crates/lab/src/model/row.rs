//! The row a good message must become, as ClickHouse's tab-separated text.

use std::io::Write;

use super::{decimal, millis};
use crate::generate::Message;
use crate::layout::{Column, Form, layout};

/// The lab's model cannot read what the lab's generator meant to be good.
#[derive(Debug, thiserror::Error)]
#[error("message {number}: the model cannot read {column}: {text:?}")]
pub struct Unreadable {
    /// Number of the message.
    pub number: u64,
    /// The column.
    pub column: &'static str,
    /// What the message says there.
    pub text: String,
}

/// Appends the columns of the message's row, tabs between them. Times are milliseconds since 1970.
pub(crate) fn row(message: &Message, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    for (index, column) in layout(message.kind).columns.iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        let said = message.said(index);
        if value(column, said, out).is_none() {
            let text = String::from_utf8_lossy(said.unwrap_or_default()).into_owned();
            return Err(Unreadable { number: message.number, column: column.name, text });
        }
    }
    Ok(())
}

fn value(column: &Column, said: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
    let Some(said) = said else {
        match column.form {
            Form::Text | Form::Json => {}
            Form::Decimal { .. } | Form::Whole { .. } | Form::Time if column.nullable => {
                out.extend_from_slice(b"\\N");
            }
            Form::Decimal { .. } | Form::Whole { .. } | Form::Time => return None,
        }
        return Some(());
    };
    match column.form {
        Form::Text | Form::Json => escaped(said, out),
        Form::Decimal { precision } => {
            write!(out, "{}", decimal(said, precision)?).expect("writing to memory");
        }
        Form::Whole { min, max } => {
            let number: i128 = std::str::from_utf8(said).ok()?.parse().ok()?;
            if number < min || number > max {
                return None;
            }
            write!(out, "{number}").expect("writing to memory");
        }
        Form::Time => write!(out, "{}", millis(said)?).expect("writing to memory"),
    }
    Some(())
}

/// Escapes as the `TabSeparated` format of ClickHouse does.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        let letter = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\\' => b'\\',
            b'\'' => b'\'',
            0 => b'0',
            0x08 => b'b',
            0x0C => b'f',
            other => {
                out.push(*other);
                continue;
            }
        };
        out.push(b'\\');
        out.push(letter);
    }
}

/// What a row shows: names of the compared columns with their values as plain text, `None` for
/// NULL. Times are milliseconds since 1970, decimals have no zeros at their end.
pub type Shown = Vec<(&'static str, Option<String>)>;

/// The row a good message must become.
///
/// # Errors
/// When the model cannot read it: a bug of the lab.
pub fn shown(message: &Message) -> Result<Shown, Unreadable> {
    let mut line = Vec::new();
    row(message, &mut line)?;
    let values = line.split(|byte| *byte == b'\t').map(|value| {
        (value != b"\\N").then(|| String::from_utf8_lossy(&unescaped(value)).into_owned())
    });
    Ok(layout(message.kind).columns.iter().map(|column| column.name).zip(values).collect())
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'0') => 0,
                Some(b'b') => 0x08,
                Some(b'f') => 0x0C,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    plain
}
