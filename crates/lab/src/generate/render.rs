//! Drafts as JSON: as publishers usually write it, and in legal shapes that few expect.

use std::io::Write;

use super::draft::{Draft, Field, Place, Written};
use crate::chance::Chance;
use crate::plan::Kind;

/// White space and escapes of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    after_comma: &'static str,
    after_colon: &'static str,
    before: &'static str,
    /// `\u00e9` for what is not ASCII, as `json.dumps` does.
    ascii: bool,
    /// `\/`, and letters as `\u0041`.
    needless: bool,
}

pub(super) const DUMPS: Style =
    Style { after_comma: " ", after_colon: " ", before: "", ascii: true, needless: false };
const COMPACT: Style =
    Style { after_comma: "", after_colon: "", before: "", ascii: false, needless: false };

/// As publishers write it: compact, or with the spaces of `json.dumps`.
pub(super) fn usual(kind: Kind, draft: &Draft, shape: &mut Chance, out: &mut Vec<u8>) {
    let style = if shape.one_in(2) { DUMPS } else { COMPACT };
    write_message(kind, draft, style, shape.one_in(8), out);
}

/// Each publisher always alike: the provider's own dialect compact, programs in Python with the
/// spaces of `json.dumps`.
pub(super) fn tidy(kind: Kind, draft: &Draft, out: &mut Vec<u8>) {
    let compact = draft.fields.first().is_some_and(|field| field.key == "ev");
    write_message(kind, draft, if compact { COMPACT } else { DUMPS }, false, out);
}

/// Legal and rare.
pub(super) fn odd(kind: Kind, draft: &mut Draft, shape: &mut Chance, out: &mut Vec<u8>) {
    let mut style = if shape.one_in(2) { DUMPS } else { COMPACT };
    match shape.below(4) {
        0 => {
            style.before = shape.pick::<&str>(&[" ", "\n  ", "\t", "\r\n"]);
            style.after_colon = shape.pick::<&str>(&["\n", "  ", "\t\t"]);
            style.after_comma = "\r\n\t ";
        }
        1 => style.needless = true,
        2 => {
            // A number twice: the last one counts.
            let numbers = |field: &&Field| {
                field.written == Written::Bare
                    && field.column.is_some()
                    && field.place == Place::Top
            };
            let bare = draft.fields.iter().filter(numbers).count();
            if let Ok(bare) = u32::try_from(bare)
                && bare > 0
            {
                let nth = shape.below(bare) as usize;
                let key = draft.fields.iter().filter(numbers).nth(nth).map(|field| field.key);
                let is_number =
                    key.is_some_and(|key| key != "indicators" && key != "active_sessions");
                if let Some(index) = draft.fields.iter().position(|field| Some(field.key) == key)
                    && is_number
                {
                    draft.repeat_before(index, 1);
                }
            }
        }
        _ => {
            style.ascii = !style.ascii;
            style.needless = shape.one_in(2);
        }
    }
    if shape.one_in(3) {
        out.extend_from_slice(shape.pick::<&str>(&[" ", "\n", "\t\r\n "]).as_bytes());
    }
    write_message(kind, draft, style, shape.one_in(2), out);
    if shape.one_in(3) {
        out.extend_from_slice(shape.pick::<&str>(&[" ", "\n", "\r\n\t "]).as_bytes());
    }
}

/// Writes a draft. `swapped` puts `metadata` before `data`.
pub(super) fn write_message(
    kind: Kind,
    draft: &Draft,
    style: Style,
    swapped: bool,
    out: &mut Vec<u8>,
) {
    if kind.external_type().is_none() {
        write_object(draft, None, style, out);
        return;
    }
    let mut parts = [("data", Place::Top), ("metadata", Place::Metadata)];
    if swapped {
        parts.reverse();
    }
    out.push(b'{');
    for (index, (name, place)) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
            out.extend_from_slice(style.after_comma.as_bytes());
        }
        write_text(name.as_bytes(), style, out);
        out.extend_from_slice(style.before.as_bytes());
        out.push(b':');
        out.extend_from_slice(style.after_colon.as_bytes());
        write_object(draft, Some(place), style, out);
    }
    out.push(b'}');
}

fn write_object(draft: &Draft, place: Option<Place>, style: Style, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for field in &draft.fields {
        if field.written == Written::Nowhere || place.is_some_and(|place| field.place != place) {
            continue;
        }
        if !first {
            out.extend_from_slice(style.before.as_bytes());
            out.push(b',');
            out.extend_from_slice(style.after_comma.as_bytes());
        }
        first = false;
        write_text(field.key.as_bytes(), style, out);
        out.extend_from_slice(style.before.as_bytes());
        out.push(b':');
        out.extend_from_slice(style.after_colon.as_bytes());
        let value = draft.bytes(field);
        match field.written {
            Written::Bare | Written::Nowhere => out.extend_from_slice(value),
            Written::Text => write_text(value, style, out),
            Written::Quoted => {
                out.push(b'"');
                out.extend_from_slice(value);
                out.push(b'"');
            }
        }
    }
    out.extend_from_slice(style.before.as_bytes());
    out.push(b'}');
}

fn write_text(value: &[u8], style: Style, out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = |byte: &u8| (b' '..0x7F).contains(byte) && *byte != b'"' && *byte != b'\\';
    if !style.needless && value.iter().all(plain) {
        out.extend_from_slice(value);
    } else {
        let text = std::str::from_utf8(value).expect("the generator's own texts are UTF-8");
        for (index, letter) in text.chars().enumerate() {
            write_letter(letter, style, index, out);
        }
    }
    out.push(b'"');
}

fn write_letter(letter: char, style: Style, index: usize, out: &mut Vec<u8>) {
    match letter {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '/' if style.needless => out.extend_from_slice(b"\\/"),
        letter if style.needless && index % 3 == 1 => escape(letter, out),
        letter if letter < ' ' || (style.ascii && !letter.is_ascii()) => escape(letter, out),
        letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn escape(letter: char, out: &mut Vec<u8>) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").expect("writing to memory");
    }
}
