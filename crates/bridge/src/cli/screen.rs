//! What a terminal is shown: nothing that came from outside may steer it.

use std::fmt::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Bytes from outside, for a terminal: printable text as it is, everything else escaped.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for sign in chunk.valid().chars() {
                match sign {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\\' => f.write_str("\\\\")?,
                    sign if is_steering(sign) => write!(f, "\\u{{{:x}}}", u32::from(sign))?,
                    sign => f.write_char(sign)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A text from outside, for a terminal.
pub(super) fn shown(text: &str) -> Shown<'_> {
    Shown(text.as_bytes())
}

/// Control characters, and those that turn the direction of writing or take no room.
fn is_steering(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(sign, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(sign, '\u{e0000}'..='\u{e007f}')
}

/// A number with its thousands apart: 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `1,200 records`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// A progress bar on standard error; nothing where that is no terminal.
pub(super) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::new(length).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Columns of a table on the screen, as wide as their widest cell; two spaces between them.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = (*most).max(width(cell));
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, most) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', most - width(cell) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        let hostile = b"a\x1b]0;owned\x07\x1b[2J\r\nb\xff\xc3\x28\\ \xc2\x9b31m";
        let shown = Shown(hostile).to_string();
        assert_eq!(shown, "a\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\r\\nb\\xff\\xc3(\\\\ \\u{9b}31m");
        let turned = self::shown("pay\u{202e}lap\u{2066}\u{200b}").to_string();
        assert_eq!(turned, "pay\\u{202e}lap\\u{2066}\\u{200b}");
        assert_eq!(self::shown("É😀 ok").to_string(), "É😀 ok");
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(2, "record"), "2 records");
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(columns(&[row(["a", "b"]), row(["ÉÉÉ", ""])]), "a    b\nÉÉÉ\n");
    }
}
