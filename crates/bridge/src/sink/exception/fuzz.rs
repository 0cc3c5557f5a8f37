//! Whatever an answer holds: no panic, and a code that the header states is the code.

use data_bridge_lab::mutate::{Corpus, campaign};

use super::*;

const INPUTS: &[&[u8]] = &[
    b"Code: 60. DB::Exception: Table market.ticks does not exist. (UNKNOWN_TABLE) (version 26.7.2.1 (official build))\n",
    b"Code: 469. DB::Exception: Constraint `sane` for table market.ticks (6f1c) is violated at row 17. Expression: (bid != 666). Column values: bid = 666. (VIOLATED_CONSTRAINT)",
    b"\n\nCode: 395. DB::Exception: Value passed to 'throwIf' is non-zero: while pushing to view m.w. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)",
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    "Code: 27. DB::Exception: Cannot parse input: expected '\"' before: 'é€😀\u{0}'. (CANNOT_PARSE)".as_bytes(),
    b"",
];

const WORDS: &[&[u8]] = &[
    b"Code: ",
    b". DB::Exception: ",
    b". DB::",
    b" is violated at row ",
    b" for table ",
    b"market.ticks",
    b" (",
    b")",
    b"(UNKNOWN_TABLE)",
    b"4294967296",
    b"-1",
    b"99999999999999999999",
    b"0",
    b"`",
    b"while pushing to view",
    "é€😀".as_bytes(),
    b"(A)",
    b"((((",
    b"))))",
];

#[test]
fn no_answer_makes_the_reader_panic_and_the_header_is_the_authority() {
    let fuzzed = campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
        let text = String::from_utf8_lossy(input);
        let stated = failure_in(&text, Some(241));
        assert!(matches!(stated, Some(Failure::Server { code: 241, .. })), "{stated:?}");
        let Some(failure) = failure_in(&text, None) else {
            return false;
        };
        let Failure::Server { code, name, message, .. } = &failure else {
            unreachable!("a text leads to an exception: {failure:?}")
        };
        assert!(text.contains("Code: ") && *code >= 0, "{code}");
        assert!(name.len() <= text.len() && message.len() <= 2_000, "{failure:?}");
        if let Some(row) = with_row(failure.clone(), "market.ticks").row() {
            // Rows count from 1 in the text.
            let said = format!("at row {}", u64::from(row) + 1);
            assert!(text.contains("at row ") && *code == VIOLATED_CONSTRAINT, "{said}");
        }
        true
    });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}
