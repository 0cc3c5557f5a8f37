//! Strict JSON (RFC 8259), one value at a time, without building anything.

use super::fault::{Fault, Reason};

/// Objects and arrays that may be open at once, the message's own object included. Far beyond what
/// a publisher nests, and the limit of other readers of the same messages (`serde_json`: 127).
pub const MAX_DEPTH: usize = 128;

/// A place in a payload that is followed by zero bytes: nothing in JSON outside of a text is a zero
/// byte, so every loop ends there without asking for the length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'p> {
    /// The payload and its padding.
    bytes: &'p [u8],
    /// Length of the payload.
    length: usize,
    pub(super) at: usize,
}

/// A JSON text: what is between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

/// A JSON number; the value is there when it has at most 18 digits and no exponent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) small: Option<i64>,
    pub(super) fraction_digits: u8,
}

/// `true`, `false`, `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl<'p> Cursor<'p> {
    /// `padded` is a payload of `length` bytes and at least 32 zero bytes.
    pub(super) fn new(padded: &'p [u8], length: usize) -> Self {
        Self { bytes: padded, length, at: 0 }
    }

    /// The next byte; zero at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The next 32 bytes, zeros behind the end.
    #[inline]
    pub(super) fn wide(&self) -> Option<&'p [u8; 32]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &'p [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.length
    }

    /// Passes white space.
    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// The fault of finding something else than `want` here.
    #[cold]
    pub(super) fn unexpected(&self, want: &'static str) -> Fault {
        if self.is_at_end() {
            return Fault::message(
                Reason::Truncated,
                self.length,
                "the JSON text ends in the middle",
            );
        }
        Fault::message(Reason::NotJson, self.at, want)
    }

    /// Passes a text whose opening quote is the next byte.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Text, Fault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            // Eight bytes at a time up to a quote, a backslash or a control character.
            while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
                let stops = stops(u64::from_le_bytes(*chunk));
                if stops != 0 {
                    self.at += stops.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(Text { start, end: self.at - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    if self.is_at_end() {
                        return Err(self.unexpected(""));
                    }
                    // Which escape it is gets looked at when the text is unescaped.
                    self.at += 1;
                }
                _ if self.is_at_end() => return Err(self.unexpected("")),
                _ => {
                    let want =
                        "a raw control character in a text; right would be an escape such as \\n";
                    return Err(Fault::message(Reason::ControlCharacter, self.at, want));
                }
            }
        }
    }

    /// Passes a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, Fault> {
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let start = self.at;
        let mut value = 0_u64;
        self.digits(&mut value);
        let whole = self.at - start;
        if whole == 0 {
            self.at = start;
            return Err(self.no_number());
        }
        if whole > 1 && self.bytes.get(start) == Some(&b'0') {
            self.at = start;
            return Err(self.unexpected("a number with a leading zero"));
        }
        let mut fraction = 0;
        if self.peek() == b'.' {
            self.at += 1;
            let point = self.at;
            self.digits(&mut value);
            fraction = self.at - point;
            if fraction == 0 {
                return Err(self.unexpected("no digit behind the decimal point"));
            }
        }
        let mut small = whole + fraction <= 18;
        if matches!(self.peek(), b'e' | b'E') {
            small = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            let exponent = self.at;
            self.digits(&mut value);
            if self.at == exponent {
                return Err(self.unexpected("no digit in the exponent"));
            }
        }
        // Eighteen digits fit an i64.
        let value = i64::try_from(value).ok().filter(|_| small);
        Ok(Number {
            small: value.map(|value| if negative { -value } else { value }),
            fraction_digits: u8::try_from(fraction).unwrap_or(u8::MAX),
        })
    }

    #[inline]
    fn digits(&mut self, value: &mut u64) {
        loop {
            let digit = self.peek().wrapping_sub(b'0');
            if digit > 9 {
                return;
            }
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
    }

    /// Passes `true`, `false` or `null`.
    pub(super) fn literal(&mut self) -> Result<Literal, Fault> {
        for (name, literal) in
            [("null", Literal::Null), ("true", Literal::True), ("false", Literal::False)]
        {
            if self.follows(name) {
                self.at += name.len();
                return Ok(literal);
            }
        }
        Err(self.no_number())
    }

    fn follows(&self, word: &str) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }

    /// The fault of something that is no value, told apart for what other writers call numbers.
    #[cold]
    fn no_number(&self) -> Fault {
        if ["NaN", "nan", "Infinity", "inf", "Inf"].iter().any(|name| self.follows(name)) {
            let want = "is not a number: JSON has neither NaN nor infinities";
            let word =
                self.bytes.iter().skip(self.at).take_while(|byte| byte.is_ascii_alphabetic());
            let mut fault = Fault::message(Reason::BadNumber, self.at, want);
            fault.span.1 += u32::try_from(word.count()).unwrap_or(0);
            return fault;
        }
        let rest = self.slice(self.at, self.length);
        let begun = ["null", "true", "false"].iter().any(|word| word.as_bytes().starts_with(rest));
        if begun {
            return Fault::message(
                Reason::Truncated,
                self.length,
                "the JSON text ends in the middle",
            );
        }
        self.unexpected("no JSON value here")
    }

    /// Passes an object or an array and all that is inside, `outer` others being open around it.
    /// Does not recurse. `scratch` is left as it was.
    pub(super) fn container(&mut self, outer: usize, scratch: &mut String) -> Result<(), Fault> {
        // One bit per open container, the lowest for the innermost: set for an object.
        let mut kinds = 0_u128;
        let mut depth = 0;
        loop {
            match self.peek() {
                opening @ (b'{' | b'[') => {
                    depth += 1;
                    if outer + depth > MAX_DEPTH {
                        let want = "nested deeper than 128 levels";
                        return Err(Fault::message(Reason::TooDeep, self.at, want));
                    }
                    let object = opening == b'{';
                    kinds = kinds << 1 | u128::from(object);
                    self.at += 1;
                    self.space();
                    match (object, self.peek()) {
                        (true, b'}') | (false, b']') => {}
                        (true, _) => {
                            self.key(scratch)?;
                            continue;
                        }
                        (false, _) => continue,
                    }
                }
                b'"' => {
                    let text = self.text()?;
                    self.check(text, scratch)?;
                    self.space();
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    self.space();
                }
                _ => {
                    self.literal()?;
                    self.space();
                }
            }
            // Behind a value: close what ends here, then the next value or the end.
            loop {
                let object = kinds & 1 == 1;
                match (object, self.peek()) {
                    (true, b'}') | (false, b']') => {
                        self.at += 1;
                        depth -= 1;
                        kinds >>= 1;
                        if depth == 0 {
                            return Ok(());
                        }
                        self.space();
                    }
                    (true, b',') => {
                        self.at += 1;
                        self.space();
                        self.key(scratch)?;
                        break;
                    }
                    (false, b',') => {
                        self.at += 1;
                        self.space();
                        break;
                    }
                    (true, _) => return Err(self.unexpected("`,` or `}` is missing")),
                    (false, _) => return Err(self.unexpected("`,` or `]` is missing")),
                }
            }
        }
    }

    /// Passes a key and its colon, up to the value.
    fn key(&mut self, scratch: &mut String) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a key in double quotes is missing"));
        }
        let text = self.text()?;
        self.check(text, scratch)?;
        self.colon()
    }

    /// Passes the colon behind a key, and white space around it.
    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        self.space();
        if self.peek() != b':' {
            return Err(self.unexpected("`:` is missing behind a key"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Refuses a text with a wrong escape.
    fn check(&self, text: Text, scratch: &mut String) -> Result<(), Fault> {
        if text.escaped {
            let kept = scratch.len();
            self.unescape(text, scratch)?;
            scratch.truncate(kept);
        }
        Ok(())
    }

    /// Appends what a text with escapes says.
    pub(super) fn unescape(&self, text: Text, out: &mut String) -> Result<(), Fault> {
        let mut at = text.start;
        while at < text.end {
            let rest = self.slice(at, text.end);
            let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
            let Ok(piece) = str::from_utf8(rest.get(..plain).unwrap_or_default()) else {
                // Only a message that is not known to be UTF-8 yet has such a text.
                return Err(Fault::message(Reason::InvalidUtf8, at, "the value is not UTF-8"));
            };
            out.push_str(piece);
            at += plain;
            if at < text.end {
                let (character, length) = self.escape(at, text.end)?;
                out.push(character);
                at += length;
            }
        }
        Ok(())
    }

    /// The character that the escape at `at` stands for, and the escape's length.
    fn escape(&self, at: usize, end: usize) -> Result<(char, usize), Fault> {
        let fault = |want| Err(Fault::message(Reason::NotJson, at, want));
        let character = match self.slice(at, end) {
            [_, plain @ (b'"' | b'\\' | b'/'), ..] => char::from(*plain),
            [_, b'b', ..] => '\u{8}',
            [_, b'f', ..] => '\u{c}',
            [_, b'n', ..] => '\n',
            [_, b'r', ..] => '\r',
            [_, b't', ..] => '\t',
            [_, b'u', rest @ ..] => {
                const LONE: &str = "half of a surrogate pair: no character";
                let Some(unit) = hex(rest) else {
                    return fault("`\\u` without four hexadecimal digits");
                };
                return match unit {
                    0xd800..=0xdbff => {
                        let low = rest.get(4..).and_then(|rest| match rest {
                            [b'\\', b'u', digits @ ..] => hex(digits),
                            _ => None,
                        });
                        let Some(low @ 0xdc00..=0xdfff) = low else {
                            return fault(LONE);
                        };
                        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(code).map_or_else(|| fault(LONE), |c| Ok((c, 12)))
                    }
                    _ => char::from_u32(unit).map_or_else(|| fault(LONE), |c| Ok((c, 6))),
                };
            }
            _ => return fault("an escape that JSON does not have"),
        };
        Ok((character, 2))
    }
}

/// Four hexadecimal digits.
fn hex(text: &[u8]) -> Option<u32> {
    let digits = text.first_chunk::<4>()?;
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// The high bit of every byte that is a quote, a backslash or a control character. Bytes above the
/// lowest hit may be marked wrongly (a borrow), so only the lowest counts.
#[inline]
pub(super) fn stops(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zeros = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quotes = zeros(bytes ^ (ONES * 0x22));
    let backslashes = zeros(bytes ^ (ONES * 0x5c));
    let controls = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    (quotes | backslashes | controls) & (ONES * 0x80)
}
