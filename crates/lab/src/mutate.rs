//! Fuzzing by mutation: what is known to be sound is cut, doubled, spliced and spoiled, and fed to
//! a reader that must not panic and must keep its word.
//!
//! A round is a function of the seed, so a failure can be run again; what fails is made smaller
//! before it is shown. `FUZZ_SECONDS` and `FUZZ_SEED` make a campaign longer and different.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::chance::Chance;

/// Rounds of a campaign that nobody made longer: a second or two.
const ROUNDS: u64 = 20_000;
/// Longest input; a reader that is linear reads it in microseconds.
const LONGEST: usize = 16 * 1024;
/// How often a failing input is made smaller at most.
const SHRINKS: u32 = 2_000;
/// Bytes that mean something to one parser or another.
const TELLING: &[u8] =
    b"\0\r\n\t \"'`\\/{}[]()<>:;,.=&?%#!|*-+_~@$0129aAzZ\x1b\x7f\x80\xc3\xe2\xed\xf0\xff";

/// Inputs to begin with, and words to throw in.
#[derive(Clone, Copy, Debug)]
pub struct Corpus<'a> {
    /// Whole inputs, sound ones and ones that once were trouble.
    pub inputs: &'a [&'a [u8]],
    /// Pieces that a reader looks for.
    pub words: &'a [&'a [u8]],
}

/// What a campaign did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuzzed {
    /// Inputs that were read.
    pub rounds: u64,
    /// Inputs of which the reader said that they are sound.
    pub accepted: u64,
}

/// Feeds mutations of `corpus` to `read`, which panics when it does not keep its word and says
/// whether it accepted the input.
///
/// # Panics
/// With the seed and the smallest input found, when `read` panics.
pub fn campaign(corpus: Corpus<'_>, read: impl Fn(&[u8]) -> bool) -> Fuzzed {
    let number =
        |name: &str| std::env::var(name).ok().and_then(|value| value.trim().parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS");
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let began = Instant::now();
    let goes_on = |round: u64| match seconds {
        Some(seconds) => began.elapsed() < Duration::from_secs(seconds),
        None => round < ROUNDS,
    };
    let mut fuzzed = Fuzzed { rounds: 0, accepted: 0 };
    while goes_on(fuzzed.rounds) {
        // What was never touched is read first.
        let place = usize::try_from(fuzzed.rounds).unwrap_or(usize::MAX);
        let input = match corpus.inputs.get(place) {
            Some(input) => input.to_vec(),
            None => mutated(corpus, &mut Chance::new(seed, fuzzed.rounds, 1)),
        };
        match outcome(&read, &input) {
            Some(accepted) => fuzzed.accepted += u64::from(accepted),
            None => fail(&read, &input, seed, fuzzed.rounds),
        }
        fuzzed.rounds += 1;
    }
    fuzzed
}

fn outcome(read: &impl Fn(&[u8]) -> bool, input: &[u8]) -> Option<bool> {
    panic::catch_unwind(AssertUnwindSafe(|| read(input))).ok()
}

/// Shows the smallest input that fails.
fn fail(read: &impl Fn(&[u8]) -> bool, input: &[u8], seed: u64, round: u64) {
    // Hundreds of attempts would each print a backtrace.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let smallest = shrunk(input, |input| outcome(read, input).is_none());
    panic::set_hook(hook);
    let text = smallest.escape_ascii();
    // Once more, aloud: its own message and place come first.
    let again = outcome(read, &smallest);
    assert_eq!(
        again,
        None,
        "seed {seed}, round {round}: a failure that does not come again: b\"{}\"",
        input.escape_ascii()
    );
    assert!(again.is_some(), "seed {seed}, round {round}: fails on b\"{text}\"");
}

/// Takes pieces away for as long as what is left still fails.
fn shrunk(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut piece = best.len().div_ceil(2);
    let mut left = SHRINKS;
    while piece > 0 && left > 0 {
        let mut at = 0;
        while at < best.len() && left > 0 {
            let mut smaller = best.clone();
            smaller.drain(at..(at + piece).min(best.len()));
            left -= 1;
            if fails(&smaller) {
                best = smaller;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

fn mutated(corpus: Corpus<'_>, chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.pick(corpus.inputs).to_vec();
    for _ in 0..chance.between(1, 5) {
        mutate(&mut input, corpus, chance);
    }
    input.truncate(LONGEST);
    input
}

fn mutate(input: &mut Vec<u8>, corpus: Corpus<'_>, chance: &mut Chance) {
    let kind = chance.below(9);
    let at = place(input.len(), chance);
    let end = (at + size(chance)).min(input.len());
    match kind {
        0 if at < input.len() => input[at] = *chance.pick(TELLING),
        1 if at < input.len() => input[at] ^= 1 << chance.below(8),
        2 => {
            input.drain(at..end);
        }
        3 => insert(input, at, &[*chance.pick(TELLING)]),
        4 => {
            let copy = input[at..end].to_vec();
            for _ in 0..chance.between(1, 40) {
                insert(input, at, &copy);
            }
        }
        5 if !corpus.words.is_empty() => {
            let word: &&[u8] = chance.pick(corpus.words);
            insert(input, at, word);
        }
        6 => {
            let other = chance.pick(corpus.inputs);
            let from = place(other.len(), chance);
            let to = (from + size(chance) * 4).min(other.len());
            insert(input, at, &other[from..to]);
        }
        7 => input.truncate(at),
        _ if !corpus.words.is_empty() && at < end => {
            let word: &&[u8] = chance.pick(corpus.words);
            input.splice(at..end, word.iter().copied());
        }
        _ => insert(input, at, &chance.next().to_le_bytes()),
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() < LONGEST {
        input.splice(at..at, piece.iter().copied());
    }
}

fn place(length: usize, chance: &mut Chance) -> usize {
    let bound = u32::try_from(length + 1).unwrap_or(u32::MAX);
    chance.below(bound) as usize
}

/// Mostly small, sometimes large.
fn size(chance: &mut Chance) -> usize {
    1 << chance.below(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: Corpus<'_> =
        Corpus { inputs: &[b"key: value", b"[1, 2, 3]"], words: &[b"word", b"${X}"] };

    #[test]
    fn what_fails_is_made_as_small_as_it_goes() {
        let input = b"some text with a ( in it and a ) behind it";
        let fails = |input: &[u8]| input.contains(&b'(') && input.contains(&b')');
        assert_eq!(shrunk(input, fails), b"()");
    }

    #[test]
    fn a_campaign_finds_what_fails_and_names_the_input() {
        let found = panic::catch_unwind(|| {
            campaign(CORPUS, |input| {
                assert!(!input.ends_with(b"${X}"), "found");
                true
            })
        });
        let message = found.expect_err("one in fifty inputs ends so");
        let message = message.downcast_ref::<String>().expect("an assertion's text");
        assert!(message.contains(r#"fails on b"${X}""#), "{message}");
    }

    #[test]
    fn rounds_are_a_function_of_the_seed() {
        let round = |seed, number| mutated(CORPUS, &mut Chance::new(seed, number, 1));
        assert_eq!(round(1, 7), round(1, 7));
        assert!((0..50).any(|number| round(1, number) != round(2, number)));
    }
}
