//! From a message that the general decoder took to a path of the tree.

use std::ops::Range;

use super::super::cursor::Cursor;
use super::super::plan::{
    ColumnPlan, DecimalPlan, Input, NONE as NO_SLOT, Plan, Read, Slot, Target,
};
use super::{Act, End, Literal, NONE, Node, OnNull, Quick, Scale, Shapes, Step, Traffic};
use crate::catalog::{ColumnType, Path, Table, TextForm};

/// Keys of a message that is learned.
const MOST_KEYS: usize = 128;
/// Nodes that are kept: some thirty dialects of a candle. Beyond, all are forgotten.
const MOST_NODES: usize = 1_024;

/// When the next message is learned.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Messages without a known shape that are let pass before the next one is learned.
    pass: u32,
    /// How many that were at the last time.
    patience: u32,
    /// Messages that had a known shape since.
    known: u32,
}

/// What lies before a value, and which key it has.
pub(super) struct Part {
    pub(super) literal: Range<usize>,
    target: Target,
    depth: usize,
}

impl Shapes {
    /// Whether rows of this table can be staged at all: what the bridge computes goes to columns
    /// of the types it always has.
    pub(in crate::decode) fn can_serve(plan: &Plan, table: &Table) -> bool {
        plan.columns.iter().zip(&table.columns).all(|(planned, column)| match planned.input {
            Input::Slots { .. } | Input::DateAndTime { .. } => true,
            Input::Origin => column.kind == ColumnType::Keyword && !column.nullable,
            Input::OriginPosition | Input::Version | Input::EventId(_) => {
                column.kind == ColumnType::UInt64 && !column.nullable
            }
        })
    }

    /// So many messages had a known shape.
    #[inline]
    pub(in crate::decode) fn count_known(&mut self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        self.pace.known = self.pace.known.saturating_add(messages);
    }

    /// Learns the shape of a sound message that has none. Where shapes come and go faster than
    /// they serve, few messages are looked at.
    #[cold]
    pub(in crate::decode) fn learn(
        &mut self,
        padded: &[u8],
        length: usize,
        plan: &Plan,
        table: &Table,
    ) {
        const LONGEST_PATIENCE: u32 = 4_096;
        const WORTH_IT: u32 = 8;
        if self.pace.pass > 0 {
            self.pace.pass -= 1;
            return;
        }
        if self.nodes.is_empty() || self.nodes.len() > MOST_NODES {
            *self = Self { first: NONE, pace: std::mem::take(&mut self.pace), ..Self::default() };
        }
        let before = self.nodes.len();
        if let Some((parts, tail)) = outline(padded, length, plan) {
            self.insert(padded, &parts, tail, plan, table);
        }
        let served = self.pace.known >= WORTH_IT * (self.pace.patience + 1);
        let longer = (self.pace.patience * 2 + 1).min(LONGEST_PATIENCE);
        self.pace.patience = if served && self.nodes.len() > before { 0 } else { longer };
        self.pace.pass = self.pace.patience;
        self.pace.known = 0;
    }

    /// Adds a path; `None` when the message has something that no path can have.
    fn insert(
        &mut self,
        padded: &[u8],
        parts: &[Part],
        tail: Range<usize>,
        plan: &Plan,
        table: &Table,
    ) -> Option<()> {
        let mut slots = Vec::new();
        let mut acts = Vec::new();
        for part in parts {
            acts.push(acts_of(part, &slots, plan, table)?);
            slots.push(part.target.slot);
        }
        let end = end_of(parts, &slots, plan, table)?;
        let mut parent = NONE;
        for (part, acts) in parts.iter().zip(acts) {
            let literal = &padded[part.literal.clone()];
            parent = match self.alternative(parent, literal, false) {
                Some(known) => known,
                None => self.add(parent, literal, &acts, None)?,
            };
        }
        let literal = &padded[tail];
        if self.alternative(parent, literal, true).is_none() {
            self.add(parent, literal, &[], Some(end))?;
        }
        Some(())
    }

    /// The node with this literal among those that may follow `parent`.
    fn alternative(&self, parent: u16, literal: &[u8], end: bool) -> Option<u16> {
        let mut index = self.first_below(parent);
        while let Some(node) = self.nodes.get(usize::from(index)) {
            let own = node.step.literal.bytes(&self.literals);
            if own == Some(literal) && (node.end != NONE) == end {
                return Some(index);
            }
            index = node.sibling;
        }
        None
    }

    fn first_below(&self, parent: u16) -> u16 {
        self.nodes.get(usize::from(parent)).map_or(self.first, |node| node.child)
    }

    fn add(&mut self, parent: u16, literal: &[u8], acts: &[Act], end: Option<End>) -> Option<u16> {
        let index = u16::try_from(self.nodes.len()).ok().filter(|index| *index != NONE)?;
        let literal = Literal::new(literal, &mut self.literals)?;
        let acts = if acts.is_empty() { &[Act::skip(0)] } else { acts };
        let step = Step::new(literal, acts, &mut self.more)?;
        let mut node = Node { step, parent, sibling: NONE, child: NONE, end: NONE };
        if let Some(end) = end {
            node.end = u16::try_from(self.ends.len()).ok()?;
            self.ends.push(End { parent, literal, ..end });
            self.traffic.push(Traffic::default());
        }
        self.nodes.push(node);
        // Behind its siblings.
        let mut last = self.first_below(parent);
        if last == NONE {
            match self.nodes.get_mut(usize::from(parent)) {
                Some(node) => node.child = index,
                None => self.first = index,
            }
        }
        while let Some(node) = self.nodes.get_mut(usize::from(last)) {
            last = node.sibling;
            if last == NONE {
                node.sibling = index;
            }
        }
        Some(index)
    }
}

/// Cuts a message, which was found sound, at its values.
pub(super) fn outline(
    padded: &[u8],
    length: usize,
    plan: &Plan,
) -> Option<(Vec<Part>, Range<usize>)> {
    let mut cursor = Cursor::new(padded, length);
    let mut scratch = String::new();
    let mut parts: Vec<Part> = Vec::new();
    let (mut around, mut objects) = (Vec::new(), Vec::new());
    let (mut node, mut start) = (0, 0);
    cursor.space();
    // At the brace that opens an object, or at a comma in it.
    'keys: loop {
        let opening = cursor.peek() == b'{';
        cursor.at += 1;
        cursor.space();
        if !(opening && cursor.peek() == b'}') {
            let text = cursor.text().ok()?;
            let target = if text.escaped {
                scratch.clear();
                cursor.unescape(text, &mut scratch).ok()?;
                plan.target(node, scratch.as_bytes())
            } else {
                plan.target(node, cursor.slice(text.start, text.end))
            };
            cursor.colon().ok()?;
            if target.slot != NO_SLOT && parts.iter().any(|part| part.target.slot == target.slot) {
                // Of duplicate keys the last wins: the general decoder's business.
                return None;
            }
            if target.child != NO_SLOT {
                let inside = cursor.peek() == b'{' && plan.column_of(target.slot).is_none();
                let again = objects.contains(&target.slot);
                if !inside || again || around.len() + 1 >= Path::MAX_LEVELS {
                    return None;
                }
                objects.push(target.slot);
                around.push(node);
                node = target.child;
                continue;
            }
            let depth = around.len() + 1;
            parts.push(Part { literal: start..cursor.at, target, depth });
            if parts.len() > MOST_KEYS {
                return None;
            }
            value(&mut cursor, depth, &mut scratch)?;
            start = cursor.at;
            cursor.space();
        }
        loop {
            match cursor.peek() {
                b',' => continue 'keys,
                b'}' => cursor.at += 1,
                _ => return None,
            }
            cursor.space();
            match around.pop() {
                Some(outer) => node = outer,
                None => break 'keys,
            }
        }
    }
    cursor.is_at_end().then_some((parts, start..length))
}

/// Passes a value.
fn value(cursor: &mut Cursor<'_>, depth: usize, scratch: &mut String) -> Option<()> {
    match cursor.peek() {
        b'"' => cursor.text().ok().map(|_| ()),
        b'-' | b'0'..=b'9' => cursor.number().ok().map(|_| ()),
        b'{' | b'[' => cursor.container(depth, scratch).ok(),
        _ => cursor.literal().ok().map(|_| ()),
    }
}

/// What is done with a value, `before` being the slots of those before it.
fn acts_of(part: &Part, before: &[Slot], plan: &Plan, table: &Table) -> Option<Vec<Act>> {
    let slot = part.target.slot;
    let depth = u8::try_from(part.depth).ok()?;
    let mut acts = Vec::new();
    for (index, (column, kind)) in plan.columns.iter().zip(&table.columns).enumerate() {
        let act = |null, quick| {
            let column = u16::try_from(index).ok()?;
            Some(Act { column, depth: depth.into(), null, quick })
        };
        match &column.input {
            Input::Slots { slots, subject_token } => {
                let Some(place) = slots.iter().position(|known| *known == slot) else {
                    continue;
                };
                if slots.len() > 1 && index >= 64 {
                    return None;
                }
                let better = slots.iter().take(place).any(|other| before.contains(other));
                let worse = slots.iter().skip(place + 1).any(|other| before.contains(other));
                if better {
                    acts.push(act(OnNull::Refuse, Quick::Covered)?);
                    continue;
                }
                let honest = column.nullable || matches!(column.read, Read::Text(_));
                let null = if worse {
                    OnNull::Keep
                } else if column.required || subject_token.is_some() || !honest {
                    OnNull::Refuse
                } else {
                    OnNull::Nothing { nullable: column.nullable, aliased: slots.len() > 1 }
                };
                acts.push(act(null, quick(column, kind.kind)?)?);
            }
            Input::DateAndTime { date, .. } if *date == slot => {
                acts.push(act(OnNull::Refuse, Quick::Hold(0))?);
            }
            Input::DateAndTime { time, .. } if *time == slot => {
                acts.push(act(OnNull::Refuse, Quick::Hold(1))?);
            }
            Input::DateAndTime { .. }
            | Input::Origin
            | Input::OriginPosition
            | Input::Version
            | Input::EventId(_) => {}
        }
    }
    if acts.is_empty() {
        acts.push(Act::skip(depth.into()));
    }
    Some(acts)
}

/// How the values of a column are read; `None` for maps.
fn quick(column: &ColumnPlan, kind: ColumnType) -> Option<Quick> {
    Some(match column.read {
        Read::Text(form) if kind == ColumnType::Keyword && form != TextForm::Json => Quick::Word,
        Read::Text(TextForm::Text | TextForm::TextOrJson) => Quick::Text,
        Read::Decimal(plan) => decimal(plan),
        Read::Int { min, max } => Quick::Int { min, max },
        Read::UInt { max } => Quick::Int { min: 0, max: i64::try_from(max).unwrap_or(i64::MAX) },
        Read::Time(plan) => Quick::Time(plan),
        Read::Text(TextForm::Json | TextForm::OneOf(_))
        | Read::Float32
        | Read::Float64
        | Read::Bool => Quick::Any,
        Read::Map => return None,
    })
}

fn decimal(plan: DecimalPlan) -> Quick {
    let power = |digits: i32| 10_u64.pow(digits.unsigned_abs());
    let scale = match plan.scale {
        8 => Scale::Eight,
        0..8 => Scale::Fewer(power(8 - plan.scale)),
        9..=24 => Scale::More(power(plan.scale - 8)),
        _ => return Quick::Any,
    };
    let limit = u64::try_from(plan.limit).unwrap_or(u64::MAX);
    let reject = plan.excess == crate::catalog::ExcessDigits::Reject;
    Quick::Decimal { scale, limit, reject }
}

/// What is left to do when all values are read.
fn end_of(parts: &[Part], slots: &[Slot], plan: &Plan, table: &Table) -> Option<End> {
    let unknown = parts.iter().filter(|part| part.target.slot == NO_SLOT).count();
    let mut end = End { unknown: u32::try_from(unknown).ok()?, ..End::default() };
    for (index, (column, kind)) in plan.columns.iter().zip(&table.columns).enumerate() {
        let index = u16::try_from(index).ok()?;
        match &column.input {
            Input::Slots { slots: own, .. } if own.iter().any(|slot| slots.contains(slot)) => {}
            Input::Slots { subject_token: Some(token), .. } => {
                if kind.kind != ColumnType::Keyword {
                    return None;
                }
                end.subject.push((index, *token));
            }
            Input::Slots { subject_token: None, .. } => {
                let honest = column.nullable || matches!(column.read, Read::Text(_) | Read::Map);
                if column.required || !honest {
                    return None;
                }
                end.nothing.push((index, column.nullable));
            }
            Input::DateAndTime { .. } => {
                if end.dated.replace(index).is_some() {
                    return None;
                }
            }
            Input::Origin | Input::OriginPosition | Input::Version | Input::EventId(_) => {}
        }
    }
    Some(end)
}
