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
            return Err(Unreadable {
                number: message.number,
                column: column.name,
                text,
            });
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
