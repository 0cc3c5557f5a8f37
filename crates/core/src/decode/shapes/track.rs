//! Tracks: paths that many messages took, straightened. Values that never change become part of
//! the literal around them, and a value that a better key overrides is only passed.
//!
//! A track that no longer fits costs a compare; the tree reads the message then. Which values
//! change is found by looking at a few messages, some time apart; one that changed once is never
//! again taken for constant.

use super::super::plan::{Plan, Read};
use super::learn::outline;
use super::{Act, Literal, NONE, OnNull, Quick, Reading, Shapes, Step};

/// Tracks at once; dialects beyond that are read by the tree.
const MOST: usize = 8;
/// Messages on a path before its track is made, and those that are looked at among them.
const LOOKS: [u32; 4] = [16, 48, 128, 256];

/// A straight line through a message.
#[derive(Debug)]
pub(super) struct Track {
    steps: Vec<Step>,
    last: Literal,
    /// Columns whose values never change.
    constants: Vec<(u16, u64, bool)>,
    literals: Vec<u8>,
    more: Vec<Act>,
    /// The end of the path that it was made from.
    end: u16,
    taken: u32,
}

/// What is known of the messages on a path.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Messages that took the path through the tree.
    messages: u32,
    /// Values of the message that was looked at first, one per step.
    values: Vec<Box<[u8]>>,
    /// Which of them every message had that was looked at.
    same: Vec<bool>,
    /// Those that did not fit the path's track.
    missed: u32,
}

impl Shapes {
    /// Reads a message along a track.
    #[inline]
    pub(super) fn follow(&mut self, reading: &mut Reading<'_>) -> Option<u32> {
        let Self { tracks, ends, .. } = self;
        for track in tracks {
            let (literals, more) = (&track.literals, &track.more);
            let first = track.steps.first().map_or(&track.last, |step| &step.literal);
            if !first.fits(literals, reading.padded, 0) {
                continue;
            }
            let mut at = 0;
            for step in &track.steps {
                if !step.literal.fits(literals, reading.padded, at) {
                    return None;
                }
                at = step.act(more, reading, at + step.literal.length as usize)?;
            }
            if !track.last.fits(literals, reading.padded, at)
                || at + track.last.length as usize != reading.length
            {
                return None;
            }
            for (column, value, null) in &track.constants {
                reading.stage.put_known(*column, *value, *null);
            }
            let end = ends.get(usize::from(track.end))?;
            reading.finish(end)?;
            reading.stage.finish();
            track.taken = track.taken.saturating_add(1);
            return Some(end.unknown);
        }
        None
    }

    /// Notes that a message, whose row is the last of the stage, took a path through the tree.
    #[inline]
    pub(super) fn note(&mut self, end: u16, reading: &Reading<'_>) {
        if let Some(traffic) = self.traffic.get_mut(usize::from(end)) {
            traffic.messages = traffic.messages.saturating_add(1);
            if LOOKS.contains(&traffic.messages) {
                self.look(end, reading);
            } else if traffic.messages > LOOKS[3] {
                self.reconsider(end, reading);
            }
        }
    }

    /// Compares the values of a message with those of the path's first one; at the last look, makes
    /// the track.
    #[cold]
    fn look(&mut self, end: u16, reading: &Reading<'_>) -> Option<()> {
        let (parts, tail) = outline(reading.padded, reading.length, reading.plan)?;
        let starts = parts.iter().skip(1).map(|part| part.literal.start).chain([tail.start]);
        let values = parts.iter().zip(starts).map(|(part, end)| part.literal.end..end);
        let values: Vec<&[u8]> = values.filter_map(|range| reading.padded.get(range)).collect();
        let traffic = self.traffic.get_mut(usize::from(end))?;
        if traffic.values.len() == values.len() {
            for ((same, known), value) in traffic.same.iter_mut().zip(&traffic.values).zip(values) {
                *same &= **known == *value;
            }
        } else {
            traffic.same = vec![true; values.len()];
            traffic.values = values.into_iter().map(Box::from).collect();
        }
        if traffic.messages == LOOKS[3] && self.tracks.len() < MOST {
            let track = self.straighten(end, reading)?;
            self.tracks.push(track);
        }
        Some(())
    }

    /// Makes the track of a path, with the values of its last message.
    fn straighten(&self, end: u16, reading: &Reading<'_>) -> Option<Track> {
        let traffic = self.traffic.get(usize::from(end))?;
        let steps = self.path(end)?;
        let row = reading.stage.rows().checked_sub(1)?;
        let (mut literals, mut more) = (Vec::new(), Vec::new());
        let mut straight: Vec<Step> = Vec::new();
        let mut constants = Vec::new();
        // Bytes of the literal that is being put together.
        let mut literal: Vec<u8> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            literal.extend_from_slice(step.literal.bytes(&self.literals)?);
            let acts = step.acts(&self.more)?;
            let later = steps.get(index + 1..)?;
            let overridden = |act: &Act| {
                let writes = |other: &Act| other.column == act.column && other.null == OnNull::Keep;
                later.iter().filter_map(|step| step.acts(&self.more)).flatten().any(writes)
            };
            let acts: Vec<Act> = acts.map(|act| straightened(*act, overridden(act))).collect();
            let value = traffic.values.get(index)?;
            let constant = traffic.same.get(index) == Some(&true)
                && **value != *b"null"
                && acts.iter().all(|act| may_be_constant(act, reading.plan));
            if constant {
                literal.extend_from_slice(value);
                for act in acts.iter().filter(|act| !matches!(act.quick, Quick::Skip)) {
                    let (value, null) = reading.stage.get(act.column, row)?;
                    constants.push((act.column, value, null));
                }
                continue;
            }
            let own = Literal::new(&literal, &mut literals)?;
            literal.clear();
            straight.push(Step::new(own, &acts, &mut more)?);
        }
        let left = self.ends.get(usize::from(end))?;
        literal.extend_from_slice(left.literal.bytes(&self.literals)?);
        let last = Literal::new(&literal, &mut literals)?;
        constants.extend(left.nothing.iter().map(|(column, nullable)| (*column, 0, *nullable)));
        Some(Track { steps: straight, last, constants, literals, more, end, taken: 0 })
    }

    /// The steps that lead to an end.
    fn path(&self, end: u16) -> Option<Vec<Step>> {
        let mut node = self.ends.get(usize::from(end))?.parent;
        let mut steps = Vec::new();
        while node != NONE {
            let known = self.nodes.get(usize::from(node))?;
            steps.push(known.step);
            node = known.parent;
        }
        steps.reverse();
        Some(steps)
    }

    /// A message took the path and not its track: gives the track up if many do.
    fn reconsider(&mut self, end: u16, reading: &Reading<'_>) {
        const TOLERATED: u32 = 16;
        let Some(traffic) = self.traffic.get_mut(usize::from(end)) else {
            return;
        };
        let Some(index) = self.tracks.iter().position(|track| track.end == end) else {
            return;
        };
        traffic.missed += 1;
        if traffic.missed < TOLERATED || traffic.missed < self.tracks[index].taken / 8 {
            return;
        }
        traffic.missed = 0;
        // What was alike so far stays in question: from the second look on.
        traffic.messages = LOOKS[0];
        self.tracks.remove(index);
        self.look(end, reading);
    }

    /// Forgets all tracks, since what they hold of keyword columns is no longer known.
    pub(in crate::decode) fn drop_tracks(&mut self) {
        self.tracks.clear();
        for traffic in &mut self.traffic {
            traffic.messages = traffic.messages.min(LOOKS[0]);
        }
    }
}

/// What a track does with a value.
fn straightened(act: Act, overridden: bool) -> Act {
    match act.quick {
        // A better key follows and is there; should it be `null`, the tree reads the message.
        _ if overridden => Act { null: OnNull::Refuse, quick: Quick::Skip, ..act },
        _ if act.null == OnNull::Keep => Act { null: OnNull::Refuse, ..act },
        _ => act,
    }
}

/// Whether a value can be taken for granted when its bytes are those of another message.
fn may_be_constant(act: &Act, plan: &Plan) -> bool {
    match act.quick {
        Quick::Skip | Quick::Word | Quick::Decimal { .. } | Quick::Int { .. } => true,
        // A span of another message; what depends on other values, or on the time of day.
        Quick::Text | Quick::Hold(_) | Quick::Covered | Quick::Time(_) => false,
        Quick::Any => plan
            .columns
            .get(usize::from(act.column))
            .is_some_and(|column| !matches!(column.read, Read::Text(_))),
    }
}
