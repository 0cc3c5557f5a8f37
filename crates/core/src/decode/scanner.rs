//! One pass over a message: which values of interest it has, and where.
//!
//! Publishers write the same keys in the same order, so the bytes between two values are guessed
//! from the message before and compared at once; only where the guess fails is the key read.

use super::cursor::{Cursor, Literal, Number, Text};
use super::fault::{Fault, Reason};
use super::plan::{NONE, Plan, Slot, Target};
use crate::catalog::Path;

/// A value of a message that a route knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    /// The message it belongs to: older ones are absent.
    pub(super) message: u32,
    pub(super) kind: Kind,
    /// Of a `Small`: digits behind the point.
    pub(super) fraction_digits: u8,
    /// Bytes of the payload; of a text without its quotes.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Of a `Small`: the digits as an integer. Of an `Escaped`: bytes of the scratch memory.
    pub(super) small: i64,
}

/// What kind of JSON value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    /// A number of at most 18 digits without exponent, already read.
    Small,
    /// Any other number.
    Long,
    Text,
    /// A text with escapes; what it says lies in the scratch memory.
    Escaped,
    Array,
    Object,
}

/// The values of the message that was scanned last.
#[derive(Debug)]
pub(super) struct Scanner {
    raws: Vec<Raw>,
    message: u32,
    /// Texts with their escapes resolved.
    pub(super) scratch: String,
    /// Per key of the previous message, in order: what stood before its value.
    learned: Vec<Learned>,
    /// Keys of the message that the route does not know.
    pub(super) unknown: u32,
}

/// The bytes from behind one value to the beginning of the next: comma or brace, key, colon.
#[derive(Clone, Copy, Debug)]
struct Learned {
    bytes: [u128; 2],
    mask: [u128; 2],
    /// Zero: too long to be learned.
    length: u8,
    node: u16,
    target: Target,
}

/// Keys of a message that are guessed; those behind are read.
const LEARNED_KEYS: usize = 128;

/// An object that is open, seen from inside.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// The node around it.
    node: u16,
    slot: Slot,
    start: u32,
}

impl Scanner {
    pub(super) fn new(plan: &Plan) -> Self {
        let absent =
            Raw { message: 0, kind: Kind::Null, fraction_digits: 0, start: 0, end: 0, small: 0 };
        Self {
            raws: vec![absent; plan.slots],
            message: 0,
            scratch: String::new(),
            learned: Vec::new(),
            unknown: 0,
        }
    }

    /// The value in a slot, if the message has one and it is not `null`.
    #[inline]
    pub(super) fn value(&self, slot: Slot) -> Option<Raw> {
        let raw = self.raws.get(usize::from(slot))?;
        (raw.message == self.message && raw.kind != Kind::Null).then_some(*raw)
    }

    /// Notes a number with the value in a slot.
    pub(super) fn set_small(&mut self, slot: Slot, small: i64) {
        if let Some(raw) = self.raws.get_mut(usize::from(slot)) {
            raw.small = small;
        }
    }

    /// Reads a payload of `length` bytes, which is UTF-8 and has zero bytes behind it.
    pub(super) fn scan(&mut self, padded: &[u8], length: usize, plan: &Plan) -> Result<(), Fault> {
        self.begin();
        let mut cursor = Cursor::new(padded, length);
        cursor.space();
        if cursor.peek() != b'{' {
            return Err(no_object(&cursor));
        }
        let mut outer = [Open::default(); Path::MAX_LEVELS];
        let mut depth = 0;
        let mut node = 0;
        let mut step = 0;
        // The cursor is at the brace that opens an object, or at a comma in it.
        'keys: loop {
            let known = self.learned.get(step).filter(|known| known.fits(node, &cursor));
            let target = if let Some(known) = known {
                cursor.at += usize::from(known.length);
                // A learned key ends at its value, but this message may have more spaces there.
                cursor.space();
                Some(known.target)
            } else {
                self.key(&mut cursor, node, step, plan)?
            };
            if let Some(target) = target {
                step += 1;
                if target.child != NONE && cursor.peek() == b'{' {
                    self.forget(target);
                    outer[depth] = Open { node, slot: target.slot, start: narrow(cursor.at) };
                    depth += 1;
                    node = target.child;
                    continue;
                }
                self.read(&mut cursor, target, depth + 1)
                    .map_err(|fault| named(fault, target, plan))?;
                cursor.space();
            }
            // Behind a value: the next key, or the end of this object and perhaps of those around.
            loop {
                match cursor.peek() {
                    b',' => continue 'keys,
                    b'}' => cursor.at += 1,
                    _ => return Err(cursor.unexpected("`,` or `}` is missing")),
                }
                cursor.space();
                if depth == 0 {
                    break 'keys;
                }
                depth -= 1;
                let closed = outer[depth];
                node = closed.node;
                // White space behind the brace is not part of the value, but no column reads an
                // object that it also looks into by its end.
                self.keep(closed.slot, Kind::Object, closed.start as usize, cursor.at);
            }
        }
        if cursor.is_at_end() {
            return Ok(());
        }
        Err(Fault::message(Reason::TrailingBytes, cursor.at, "something follows the JSON object"))
    }

    fn begin(&mut self) {
        self.scratch.clear();
        self.unknown = 0;
        self.message = self.message.wrapping_add(1);
        if self.message == 0 {
            // After 2^32 messages the numbers begin anew: no old one may pass for a new one.
            for raw in &mut self.raws {
                raw.message = 0;
            }
            self.message = 1;
        }
    }

    /// Forgets what an earlier copy of a key had inside: of duplicates the last wins.
    fn forget(&mut self, target: Target) {
        let inside = usize::from(target.slot) + 1..usize::from(target.end);
        if let Some(inside) = self.raws.get_mut(inside) {
            for raw in inside {
                raw.message = 0;
            }
        }
    }

    /// Reads the key at the cursor, learns it, and says what it leads to; `None` at the end of an
    /// empty object. The cursor is then at the value, or at the closing brace.
    fn key(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: u16,
        step: usize,
        plan: &Plan,
    ) -> Result<Option<Target>, Fault> {
        let start = cursor.at;
        let opening = cursor.peek() == b'{';
        cursor.at += 1;
        cursor.space();
        if opening && cursor.peek() == b'}' {
            return Ok(None);
        }
        if cursor.peek() != b'"' {
            return Err(cursor.unexpected("a key in double quotes is missing"));
        }
        let text = cursor.text()?;
        let target = if text.escaped {
            let kept = self.scratch.len();
            cursor.unescape(text, &mut self.scratch)?;
            let target = plan.target(node, &self.scratch.as_bytes()[kept..]);
            self.scratch.truncate(kept);
            target
        } else {
            plan.target(node, cursor.slice(text.start, text.end))
        };
        cursor.colon()?;
        let learned = Learned::new(cursor.slice(start, cursor.at), node, target);
        match self.learned.get_mut(step) {
            Some(known) => *known = learned,
            None if step < LEARNED_KEYS => self.learned.push(learned),
            None => {}
        }
        Ok(Some(target))
    }

    /// Reads the value at the cursor, `open` containers being open around it.
    #[inline]
    fn read(&mut self, cursor: &mut Cursor<'_>, target: Target, open: usize) -> Result<(), Fault> {
        let start = cursor.at;
        if target.slot == NONE {
            self.unknown += 1;
        }
        match cursor.peek() {
            b'"' => {
                let text = cursor.text()?;
                self.read_text(cursor, text, target)?;
            }
            b'-' | b'0'..=b'9' => {
                let Number { small, fraction_digits } = cursor.number()?;
                let kind = if small.is_some() { Kind::Small } else { Kind::Long };
                let raw = self.keep(target.slot, kind, start, cursor.at);
                if let Some(raw) = raw {
                    raw.small = small.unwrap_or(0);
                    raw.fraction_digits = fraction_digits;
                }
            }
            opening @ (b'{' | b'[') => {
                cursor.container(open, &mut self.scratch)?;
                let kind = if opening == b'{' { Kind::Object } else { Kind::Array };
                self.keep(target.slot, kind, start, cursor.at);
            }
            _ => {
                let kind = match cursor.literal()? {
                    Literal::True => Kind::True,
                    Literal::False => Kind::False,
                    Literal::Null => Kind::Null,
                };
                self.keep(target.slot, kind, start, cursor.at);
            }
        }
        if target.child != NONE {
            self.forget(target);
        }
        Ok(())
    }

    #[inline]
    fn read_text(&mut self, cursor: &Cursor<'_>, text: Text, target: Target) -> Result<(), Fault> {
        if !text.escaped {
            self.keep(target.slot, Kind::Text, text.start, text.end);
            return Ok(());
        }
        let kept = self.scratch.len();
        cursor.unescape(text, &mut self.scratch)?;
        let place = i64::from(narrow(kept)) << 32 | i64::from(narrow(self.scratch.len()));
        match self.keep(target.slot, Kind::Escaped, text.start, text.end) {
            Some(raw) => raw.small = place,
            None => self.scratch.truncate(kept),
        }
        Ok(())
    }

    /// Puts a value into its slot, over an earlier one of the same message.
    #[inline]
    fn keep(&mut self, slot: Slot, kind: Kind, start: usize, end: usize) -> Option<&mut Raw> {
        let raw = self.raws.get_mut(usize::from(slot))?;
        raw.message = self.message;
        raw.kind = kind;
        raw.start = narrow(start);
        raw.end = narrow(end);
        Some(raw)
    }
}

impl Raw {
    /// Bytes of the scratch memory that an `Escaped` says.
    pub(super) fn scratch(self) -> std::ops::Range<usize> {
        let half = |bits: i64| usize::try_from(bits & 0xffff_ffff).unwrap_or(0);
        half(self.small >> 32)..half(self.small)
    }
}

impl Learned {
    fn new(bytes: &[u8], node: u16, target: Target) -> Self {
        let mut learned = Self { bytes: [0; 2], mask: [0; 2], length: 0, node, target };
        let (mut wide, mut mask) = ([0; 32], [0; 32]);
        if let (Some(place), Some(ones)) =
            (wide.get_mut(..bytes.len()), mask.get_mut(..bytes.len()))
        {
            place.copy_from_slice(bytes);
            ones.fill(0xff);
            learned.bytes = halves(&wide);
            learned.mask = halves(&mask);
            learned.length = u8::try_from(bytes.len()).unwrap_or(0);
        }
        learned
    }

    #[inline]
    fn fits(&self, node: u16, cursor: &Cursor<'_>) -> bool {
        let Some(found) = cursor.wide().map(halves) else {
            return false;
        };
        let differs = ((found[0] ^ self.bytes[0]) & self.mask[0])
            | ((found[1] ^ self.bytes[1]) & self.mask[1]);
        differs == 0 && self.node == node && self.length != 0
    }
}

#[inline]
fn halves(bytes: &[u8; 32]) -> [u128; 2] {
    let (low, high) = bytes.split_at(16);
    [low, high].map(|half| half.try_into().map_or(0, u128::from_le_bytes))
}

/// An offset into a payload, which the arena keeps below 4 GiB.
#[inline]
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cold]
fn no_object(cursor: &Cursor<'_>) -> Fault {
    let other = matches!(cursor.peek(), b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
    if other && !cursor.is_at_end() {
        return Fault::message(Reason::NotAnObject, cursor.at, "the message is not a JSON object");
    }
    cursor.unexpected("no JSON object here")
}

/// A number that is none belongs to a field.
#[cold]
fn named(fault: Fault, target: Target, plan: &Plan) -> Fault {
    let column = plan.column_of(target.slot);
    if fault.reason != Reason::BadNumber || column.is_none() {
        return fault;
    }
    Fault { column, ..fault }
}
