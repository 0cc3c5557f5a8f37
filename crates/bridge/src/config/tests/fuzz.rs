//! Whatever a file holds: no panic, every problem has a place in it, and no secret is repeated.

use data_bridge_lab::mutate::{Corpus, campaign};

use super::*;

/// Stands where passwords stand.
const SECRET: &str = "hunter2zQ";

const INPUTS: &[&[u8]] = &[
    include_bytes!("fuzz/whole.yaml"),
    include_bytes!("fuzz/older.yaml"),
    b"kafka: { brokers: [a:1, b:2], topics: { t: ticks }, properties: { sasl.password: hunter2zQ } }",
    b"routes: { r: { from: { topics: [o], subjects: [\"o.>\"] }, table: o, columns: { p: { keys: [x] } } } }",
    b"clickhouse: { urls: [\"http://u:hunter2zQ@h:1\"], password: hunter2zQ }\n",
    b"a: &a { b: 1 }\nc: *a\n<<: *a\n? [k]\n: |\n  text\n--- \n...\n",
    b"",
];

const WORDS: &[&[u8]] = &[
    b"${X:-1}",
    b"${UNKNOWN}",
    b"${",
    b"$$",
    b": ",
    b"- ",
    b"\n",
    b"\n  ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"~",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"64MiB",
    b"7d",
    b"0.5",
    b"NaN",
    b"&a",
    b"*a",
    b"<<",
    b"!!str ",
    b"!t ",
    b"|",
    b">",
    b"\"",
    b"'",
    b"#",
    b"%YAML",
    b"---",
    b"\t",
    b"\r",
    b"\xef\xbb\xbf",
    b"external",
    b"ticks",
    b"market.>",
    b"kafka",
    b"nats",
    b"routes",
    b"batch",
    b"max_rows",
    b"clickhouse",
    b"password",
    b"hunter2zQ",
];

#[test]
fn no_file_makes_the_reader_panic_and_every_problem_has_its_line() {
    let fuzzed = campaign(Corpus { inputs: INPUTS, words: WORDS }, |input| {
        let text = String::from_utf8_lossy(input);
        let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
        let problems = match load(&text) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    has_a_place(warning, lines);
                }
                return true;
            }
            Err(problems) => problems,
        };
        assert!(!problems.problems.is_empty(), "refused without a reason");
        for problem in problems.problems.iter().chain(&problems.warnings) {
            has_a_place(problem, lines);
            assert!(!problem.what.is_empty() && !problem.hint.is_empty(), "{problem:?}");
        }
        false
    });
    println!("{fuzzed:?}");
    assert!(fuzzed.accepted > 0 && fuzzed.accepted < fuzzed.rounds, "{fuzzed:?}");
}

#[track_caller]
fn has_a_place(problem: &Problem, lines: usize) {
    let Origin::File { line, column, .. } = problem.origin else {
        panic!("{problem:?} has no place in the file");
    };
    assert!((1..=lines).contains(&line) && column >= 1, "{problem:?} in {lines} lines");
}

/// A file that breaks off anywhere, with and without a stray byte behind.
#[test]
fn no_cut_of_a_file_makes_the_reader_repeat_a_password() {
    const FILES: &[&str] = &[
        "clickhouse: { password: hunter2zQ, url: 'http://u:hunter2zQ@h' }",
        "nats: { auth: { user: u, password: hunter2zQ, token: hunter2zQ } }",
        "nats:\n  cluster_urls: ['nats://u:hunter2zQ@h']\n  auth:\n    password: hunter2zQ\n",
        "kafka: { properties: { sasl.password: hunter2zQ, ssl.key.password: hunter2zQ } }",
        "http: { token: hunter2zQ }\nhub: { url: 'http://u:hunter2zQ@h' }",
    ];
    for file in FILES {
        for end in 0..=file.len() {
            for stray in ["", "\n", ":", "}", "\"", "[", "\t", "&", "${"] {
                let text = format!("{}{stray}", &file[..end]);
                let said = match load(&text) {
                    Ok(loaded) => format!("{loaded:?}"),
                    Err(problems) => format!("{problems:?} {problems}"),
                };
                assert!(!said.contains(SECRET), "{text}\n{said}");
            }
        }
    }
}
