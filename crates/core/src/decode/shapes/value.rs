//! Typed reads: a value of a message into the row in work.

use super::super::cursor::{Cursor, Literal, stops};
use super::super::number::POW10;
use super::super::plan::{ColumnPlan, Read, TimePlan};
use super::super::read::{Given, column_value};
use super::super::scanner::{Kind, Raw};
use super::digits::{Window, byte, decimal, eight, integer, integer_length, iso};
use super::literal::halves;
use super::{Act, End, OnNull, Quick, Reading, Scale};
use crate::block::{Cell, LONGEST, span};
use crate::catalog::{ExcessDigits, TextForm, TimeForm};

/// The high bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;
const NULL: u64 = u32::from_le_bytes(*b"null") as u64;

impl Reading<'_> {
    /// Does what is to be done with the value at `at`; answers where it ends.
    #[inline]
    pub(super) fn act(&mut self, act: &Act, at: usize) -> Option<usize> {
        match act.quick {
            Quick::Word => {
                if let Some((word, end)) = self.word(act.column, at) {
                    self.stage.put(act.column, word.into());
                    return Some(end);
                }
                self.new_word(act, at)
            }
            Quick::Decimal { scale, limit, reject } => {
                self.decimal(act, scale, limit, reject, at).or_else(|| self.other(act, at))
            }
            Quick::Int { min, max } => match integer(self.window(at)?) {
                Some((value, length)) if min <= value && value <= max => {
                    self.stage.put(act.column, bits(value));
                    Some(at + length)
                }
                Some(_) | None => self.other(act, at),
            },
            Quick::Time(plan) => self.time(act, plan, at).or_else(|| self.other(act, at)),
            Quick::Skip => self.skip(act, at),
            Quick::Covered => {
                let nulled = self.memo.nulled >> (act.column & 63) & 1 == 1;
                if nulled { None } else { self.skip(act, at) }
            }
            Quick::Text => {
                if byte(self.padded, at) == b'"' {
                    let end = self.text_end(at + 1)?;
                    return self.put_text(act.column, at + 1, end).map(|()| end + 1);
                }
                self.other(act, at)
            }
            Quick::Any => self.other(act, at),
            Quick::Hold(which) => {
                let held = if self.is_null(at) {
                    None
                } else if byte(self.padded, at) == b'"' {
                    Some((at + 1, self.text_end(at + 1)?))
                } else {
                    return None;
                };
                *self.memo.held.get_mut(usize::from(which))? = held;
                Some(held.map_or(at + 4, |(_, end)| end + 1))
            }
        }
    }

    /// What a number at `at` is read from.
    #[inline]
    fn window(&self, at: usize) -> Option<&Window> {
        self.padded.get(at..)?.first_chunk()
    }

    /// The word that a text of at most 15 bytes is, or a longer one that is known.
    #[inline]
    fn word(&mut self, column: u16, at: usize) -> Option<(u32, usize)> {
        if byte(self.padded, at) != b'"' {
            return None;
        }
        let padded = self.padded;
        let words = self.words.get_mut(usize::from(column))?;
        let [low, high] = halves(padded, at + 1)?;
        // No known text has a quote inside, so the first one ends it.
        let quote = quotes(low);
        if quote != 0 {
            let word = words.find_short([low & up_to(quote), 0])?;
            return Some((word, at + 2 + quote.trailing_zeros() as usize / 8));
        }
        let quote = quotes(high);
        if quote != 0 {
            let word = words.find_short([low, high & up_to(quote)])?;
            return Some((word, at + 10 + quote.trailing_zeros() as usize / 8));
        }
        // A long text is mostly the one of the message before.
        let (last, text) = words.last();
        let end = at + 1 + text.len();
        if text.len() >= 16 && byte(padded, end) == b'"' && padded.get(at + 1..end) == Some(text) {
            return Some((last, end + 1));
        }
        let rest = padded.get(at + 1..(at + 2 + LONGEST).min(padded.len()))?;
        let length = rest.iter().position(|byte| *byte == b'"')?;
        let word = words.find_long(rest.get(..length)?)?;
        Some((word, at + 2 + length))
    }

    /// A text that was not seen before, or no text at all.
    #[cold]
    fn new_word(&mut self, act: &Act, at: usize) -> Option<usize> {
        if byte(self.padded, at) != b'"' {
            return self.other(act, at);
        }
        let end = self.text_end(at + 1)?;
        let text = str::from_utf8(self.padded.get(at + 1..end)?).ok()?;
        self.put_word(act.column, text)?;
        Some(end + 1)
    }

    /// Puts a text into a keyword column that may hold it.
    pub(super) fn put_word(&mut self, column: u16, text: &str) -> Option<()> {
        let plan = self.plan.columns.get(usize::from(column))?;
        if !accepts(plan, text) {
            return None;
        }
        let word = self.words.get_mut(usize::from(column))?.add(text.as_bytes())?;
        self.stage.put(column, word.into());
        Some(())
    }

    /// Where a text without escapes ends: at its closing quote.
    #[inline]
    fn text_end(&self, start: usize) -> Option<usize> {
        let mut at = start;
        let mut high = 0;
        loop {
            let word = eight(self.padded, at)?;
            let stops = stops(word);
            if stops != 0 {
                let length = stops.trailing_zeros() / 8;
                high |= word & !(u64::MAX << (length * 8));
                at += length as usize;
                break;
            }
            high |= word;
            at += 8;
        }
        if byte(self.padded, at) != b'"' {
            return None;
        }
        let ascii = high & HIGH == 0;
        let sound = ascii || str::from_utf8(self.padded.get(start..at)?).is_ok();
        sound.then_some(at)
    }

    fn put_text(&mut self, column: u16, start: usize, end: usize) -> Option<()> {
        let plan = self.plan.columns.get(usize::from(column))?;
        if plan.required && start == end {
            return None;
        }
        self.stage.put(column, span(self.place + start, end - start)?);
        Some(())
    }

    #[inline]
    fn decimal(
        &mut self,
        act: &Act,
        scale: Scale,
        limit: u64,
        reject: bool,
        at: usize,
    ) -> Option<usize> {
        let quoted = byte(self.padded, at) == b'"';
        let at = at + usize::from(quoted);
        let (value, length, exact) = decimal(self.window(at)?)?;
        let mut end = at + length;
        if quoted {
            if byte(self.padded, end) != b'"' {
                return None;
            }
            end += 1;
        }
        let value = match scale {
            Scale::Eight => value,
            // What is cut here must be rounded with what was cut before: left to the general one.
            Scale::Fewer(unit) => {
                let unit = i64::try_from(unit).ok()?;
                (exact && value % unit == 0).then_some(value / unit)?
            }
            Scale::More(factor) => {
                let factor = i64::try_from(factor).ok()?;
                value.checked_mul(factor).filter(|_| exact)?
            }
        };
        if value.unsigned_abs() > limit || reject && !exact {
            return None;
        }
        self.stage.put(act.column, bits(value));
        Some(end)
    }

    #[inline]
    fn time(&mut self, act: &Act, plan: TimePlan, at: usize) -> Option<usize> {
        let (units, end) = if byte(self.padded, at) == b'"' {
            let (units, end, exact) = iso(self.padded, at + 1, plan.precision, &mut self.memo.day)?;
            if plan.excess == ExcessDigits::Reject && !exact {
                return None;
            }
            (units, end + 1)
        } else if plan.precision == 3 && plan.form == TimeForm::Milliseconds {
            let (units, length) = integer(self.window(at)?)?;
            (units, at + length)
        } else {
            return None;
        };
        let ms = match plan.precision {
            3 => units,
            0..=2 => units.checked_mul(POW10[usize::from(3 - plan.precision)])?,
            _ => units.div_euclid(POW10[usize::from(plan.precision.min(9) - 3)]),
        };
        if ms < plan.range.earliest_ms || ms > plan.range.latest_ms(self.now_ms) {
            return None;
        }
        self.stage.put(act.column, bits(units));
        Some(end)
    }

    #[inline]
    fn is_null(&self, at: usize) -> bool {
        eight(self.padded, at).is_some_and(|word| word & 0xffff_ffff == NULL)
    }

    /// Passes a value that fills no column.
    #[inline]
    fn skip(&mut self, act: &Act, at: usize) -> Option<usize> {
        match byte(self.padded, at) {
            b'"' => self.text_end(at + 1).map(|end| end + 1),
            b'-' | b'0'..=b'9' => {
                let window = self.window(at)?;
                let length = integer_length(window);
                match length.or_else(|| decimal(window).map(|(_, length, _)| length)) {
                    Some(length) => Some(at + length),
                    None => self.raw(act, at).map(|(_, end)| end),
                }
            }
            _ => self.raw(act, at).map(|(_, end)| end),
        }
    }

    /// A value that is not what it nearly always is.
    #[inline(never)]
    fn other(&mut self, act: &Act, at: usize) -> Option<usize> {
        if self.is_null(at) {
            match act.null {
                OnNull::Refuse => return None,
                OnNull::Nothing { nullable, aliased } => {
                    if aliased {
                        // Columns beyond the 64th have no bit, and no aliases here.
                        self.memo.nulled |= 1 << (act.column & 63);
                    }
                    self.stage.put_nothing(act.column, nullable);
                }
                OnNull::Keep => {}
            }
            return Some(at + 4);
        }
        let (raw, end) = self.raw(act, at)?;
        let plan = self.plan.columns.get(usize::from(act.column))?;
        let (start, stop) = (raw.start as usize, raw.end as usize);
        if raw.kind == Kind::Text && matches!(plan.read, Read::Text(TextForm::Json)) {
            self.put_json(act.column, start - 1, stop + 1)?;
            return Some(end);
        }
        let text = str::from_utf8(self.padded.get(start..stop)?).ok()?;
        let given = Given { kind: raw.kind, raw: Some(raw), text };
        match column_value(plan, given, "", self.now_ms).ok()? {
            Cell::Null | Cell::Bytes(_) | Cell::Map(_) => return None,
            Cell::Text(_) => self.put_json(act.column, start, stop)?,
            Cell::Int(value) => self.stage.put(act.column, bits(value)),
            Cell::UInt(value) => self.stage.put(act.column, value),
            Cell::Scaled(value) => {
                self.stage.put(act.column, bits(i64::try_from(value).ok()?));
            }
            Cell::Float(value) => self.stage.put(act.column, value.to_bits()),
        }
        Some(end)
    }

    /// Puts bytes of the message into a text or keyword column.
    fn put_json(&mut self, column: u16, start: usize, end: usize) -> Option<()> {
        let padded = self.padded;
        let text = str::from_utf8(padded.get(start..end)?).ok()?;
        let words = self.words.get_mut(usize::from(column))?;
        if words.is_used() {
            // Only what no text can be mistaken for: words are recognised by their bytes up to the
            // next quote, without a look for what a text must not have inside.
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
            let word = Some(text).filter(|text| text.bytes().all(plain))?;
            let word = words.add(word.as_bytes())?;
            self.stage.put(column, word.into());
        } else {
            self.stage.put(column, span(self.place + start, end - start)?);
        }
        Some(())
    }

    /// Any value but a text with escapes, as the general scanner sees it; and where it ends.
    fn raw(&mut self, act: &Act, at: usize) -> Option<(Raw, usize)> {
        let mut cursor = Cursor::new(self.padded, self.length);
        cursor.at = at;
        let (mut start, mut small, mut fraction_digits) = (at, 0, 0);
        let kind = match cursor.peek() {
            b'"' => {
                let text = cursor.text().ok().filter(|text| !text.escaped)?;
                start = text.start;
                Kind::Text
            }
            b'-' | b'0'..=b'9' => {
                let number = cursor.number().ok()?;
                fraction_digits = number.fraction_digits;
                small = number.small.unwrap_or(0);
                if number.small.is_some() { Kind::Small } else { Kind::Long }
            }
            opening @ (b'{' | b'[') => {
                cursor.container(act.depth.into(), &mut self.memo.scratch).ok()?;
                if opening == b'{' { Kind::Object } else { Kind::Array }
            }
            _ => match cursor.literal().ok()? {
                Literal::True => Kind::True,
                Literal::False => Kind::False,
                Literal::Null => Kind::Null,
            },
        };
        let end = if kind == Kind::Text { cursor.at - 1 } else { cursor.at };
        // What the scanner takes for granted, since it is given a text.
        str::from_utf8(self.padded.get(start..end)?).ok()?;
        let narrow = |place: usize| u32::try_from(place).ok();
        let raw = Raw {
            message: 0,
            kind,
            fraction_digits,
            start: narrow(start)?,
            end: narrow(end)?,
            small,
        };
        Some((raw, cursor.at))
    }

    /// Fills the columns that need more than one value, or none of the message.
    #[inline]
    pub(super) fn finish(&mut self, end: &End) -> Option<()> {
        if end.dated.is_none() && end.subject.is_empty() {
            return Some(());
        }
        self.finish_by_others(end)
    }

    fn finish_by_others(&mut self, end: &End) -> Option<()> {
        for (column, token) in &end.subject {
            let text = self.arena.get(self.index)?.subject?.split('.').nth(*token)?;
            self.put_word(*column, text)?;
        }
        let Some(column) = end.dated else {
            return Some(());
        };
        let plan = self.plan.columns.get(usize::from(column))?;
        let Read::Time(time) = plan.read else {
            return None;
        };
        let given = |held: (usize, usize)| {
            let text = str::from_utf8(self.padded.get(held.0..held.1)?).ok()?;
            Some(Given { kind: Kind::Text, raw: None, text })
        };
        let [date, clock] = self.memo.held;
        let date = given(date?)?;
        let units = match clock {
            Some(clock) => time.value_of_two(plan, date, given(clock)?, self.now_ms).ok()?,
            None => time.value(plan, date, self.now_ms).ok()?,
        };
        self.stage.put(column, bits(units));
        Some(())
    }
}

/// Whether a text column takes this text.
fn accepts(plan: &ColumnPlan, text: &str) -> bool {
    let given = Given { kind: Kind::Text, raw: None, text };
    match plan.read {
        Read::Text(form) => given.text(plan, form, "").is_ok(),
        _ => false,
    }
}

/// The high bit of every byte that is a quote; above the lowest hit others may be marked too.
#[inline]
fn quotes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zeros = word ^ (ONES * 0x22);
    zeros.wrapping_sub(ONES) & !zeros & (ONES * 0x80)
}

/// All bits of the bytes up to the one with the lowest hit, that one included.
#[inline]
fn up_to(hits: u64) -> u64 {
    let lowest = hits & hits.wrapping_neg();
    (lowest << 1).wrapping_sub(1)
}

#[inline]
#[expect(clippy::cast_sign_loss, reason = "bit for bit")]
fn bits(value: i64) -> u64 {
    value as u64
}
