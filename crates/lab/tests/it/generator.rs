//! Messages are functions of their numbers, and are what they claim to be.

use std::collections::{BTreeMap, BTreeSet};

use data_bridge_lab::generate::{Flaw, Generator, Message, Role};
use data_bridge_lab::plan::{Mix, Plan};
use serde_json::Value;

const START_MS: i64 = 1_760_000_000_000;

fn rich(seed: u64, messages: u64) -> Generator {
    let mut plan = Plan::new(seed, messages, START_MS);
    plan.mix = Mix {
        kinds: [10, 10, 2, 2, 2, 2, 2, 2],
        bad: 0.2,
        duplicates: 0.1,
        corrections: 0.1,
        event_ids: 0.2,
        odd_shapes: 0.3,
    };
    Generator::try_new(plan).expect("the plan is sound")
}

/// Everything of a message that reaches the broker.
fn seen(message: &Message) -> impl PartialEq + std::fmt::Debug + use<> {
    let Message { number, kind, role, partition, time_ms, key, headers, .. } = message.clone();
    (number, kind, role, partition, time_ms, key, headers, message.payload().map(<[u8]>::to_vec))
}

#[test]
fn a_message_depends_on_seed_and_number_alone() {
    let (generator, again, other) = (rich(7, 5_000), rich(7, 5_000), rich(8, 5_000));
    let mut forward = Vec::new();
    let mut message = Message::default();
    for number in 0..5_000 {
        generator.message(number, &mut message);
        forward.push(seen(&message));
    }
    for number in (0..5_000).rev() {
        again.message(number, &mut message);
        assert_eq!(seen(&message), forward[usize::try_from(number).expect("small")]);
    }
    other.message(17, &mut message);
    assert_ne!(seen(&message), forward[17]);
}

#[test]
fn good_messages_are_json_objects_and_every_flaw_is_planted() {
    let generator = rich(1, 60_000);
    let mut message = Message::default();
    let mut flaws: BTreeMap<Flaw, u32> = BTreeMap::new();
    let mut roles = [0; 3];
    for number in 0..60_000 {
        generator.message(number, &mut message);
        match message.role {
            Role::Bad(flaw) => *flaws.entry(flaw).or_default() += 1,
            role => {
                let payload = message.payload().expect("good messages have a payload");
                let value: Value = serde_json::from_slice(payload).unwrap_or_else(|error| {
                    panic!("message {number} {error}: {}", String::from_utf8_lossy(payload))
                });
                assert!(value.is_object(), "message {number}");
                roles[match role {
                    Role::Copy { .. } => 1,
                    Role::Correction { .. } => 2,
                    _ => 0,
                }] += 1;
            }
        }
    }
    let planted: BTreeSet<_> = flaws.keys().copied().collect();
    assert_eq!(planted, Flaw::ALL.into_iter().collect(), "{flaws:?}");
    assert!(roles.iter().all(|count| *count > 1_000), "{roles:?}");
}

#[test]
fn flaws_of_grammar_are_refused_by_another_parser() {
    let generator = rich(2, 60_000);
    let mut message = Message::default();
    for number in 0..60_000 {
        generator.message(number, &mut message);
        let Role::Bad(flaw) = message.role else {
            continue;
        };
        let payload = message.payload().unwrap_or_default();
        let parsed: Result<Value, _> = serde_json::from_slice(payload);
        let grammar = matches!(
            flaw,
            Flaw::Truncated
                | Flaw::Syntax
                | Flaw::TrailingBytes
                | Flaw::Garbage
                | Flaw::EmptyValue
                | Flaw::Tombstone
                | Flaw::DeepNesting
                | Flaw::InvalidUtf8
                | Flaw::ControlCharacter
                | Flaw::BadEscape
        );
        let shown = String::from_utf8_lossy(payload);
        if grammar {
            assert!(parsed.is_err(), "message {number} {flaw}: {shown}");
        } else if flaw == Flaw::NotAnObject {
            assert!(!parsed.is_ok_and(|value| value.is_object()), "message {number}: {shown}");
        } else if flaw != Flaw::NotFinite
            && !shown.contains("e999999999999")
            && !shown.contains("1e300")
        {
            assert!(
                parsed.is_ok_and(|value| value.is_object()),
                "message {number} {flaw}: {shown}"
            );
        }
    }
}
