//! The verdict sees every way in which a table can be wrong.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::generate::{Generator, Message, Role};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Plan};
use data_bridge_lab::verify::{Server, Verdict, Wrong, verify, wait_until_complete};

const START_MS: i64 = 1_760_000_000_000;

/// A faithful ClickHouse of one plan, whose tables can be spoiled.
struct World {
    expected: Expected,
    tables: BTreeMap<Kind, Vec<String>>,
    letters: Vec<String>,
}

fn world() -> World {
    let mut plan = Plan::new(31, 1_500, START_MS);
    plan.mix.kinds = [10, 10, 1, 1, 1, 1, 1, 1];
    plan.mix.bad = 0.1;
    plan.mix.event_ids = 0.3;
    plan.mix.corrections = 0.1;
    let generator = Generator::try_new(plan).expect("sound");
    let expected = Expected::of(&generator).expect("the model reads it");
    let mut tables = BTreeMap::new();
    for kind in Kind::ALL {
        let rows = expected.placed_rows(kind).expect("the model reads it");
        // A position that agrees with its version; ids as the bridge would give them.
        let rows = rows.into_iter().enumerate().map(|(index, placed)| {
            let id = placed.event_id.unwrap_or(1_000_000 + index as u64);
            let id = if kind == Kind::Tick { format!("\t{id}") } else { String::new() };
            let time = placed.time_ms.expect("numbered");
            let position = 4_194_304 * 3 + index;
            format!("{}\t{}\t{time}\t{index}\t{position}{id}", placed.row, placed.origin)
        });
        tables.insert(kind, rows.collect());
    }
    let mut letters = Vec::new();
    let mut message = Message::default();
    for number in 0..1_500 {
        generator.message(number, &mut message);
        if let Role::Bad(flaw) = message.role {
            let hex = |bytes: &[u8]| {
                bytes.iter().fold(String::new(), |mut text, byte| {
                    write!(text, "{byte:02X}").expect("writing to memory");
                    text
                })
            };
            letters.push(format!(
                "kafka:{}:{}\t{number}\t{}\t{}\t{}\t{}",
                message.kind.topic(),
                message.partition,
                message.time_ms.expect("numbered"),
                flaw.reasons()[0],
                hex(&message.key),
                hex(message.payload().unwrap_or_default()),
            ));
        }
    }
    World { expected, tables, letters }
}

impl World {
    fn program(&self, fake: &FakeClickHouse) {
        let text = |rows: &[String]| {
            let mut text = rows.join("\n");
            if !rows.is_empty() {
                text.push('\n');
            }
            Answer::Text(text)
        };
        for (kind, rows) in &self.tables {
            let table = format!("FROM market.{}", kind.table());
            fake.program(&table, Answer::Text(format!("{}\n", rows.len())));
            fake.program(&format!("{table} FINAL"), text(rows));
        }
        let count = Answer::Text(format!("{}\n", self.letters.len()));
        fake.program("FROM market.dead_letters", count);
        fake.program("FROM market.dead_letters FINAL", text(&self.letters));
    }

    async fn verdict(&self) -> Verdict {
        let fake = FakeClickHouse::start().await.expect("a free port");
        self.program(&fake);
        let server = Server::new(&fake.url(), "market");
        verify(&server, &self.expected).await.expect("the fake answers")
    }

    fn rows(&mut self, kind: Kind) -> &mut Vec<String> {
        self.tables.get_mut(&kind).expect("all kinds are there")
    }
}

/// Missing, duplicates, differing, unexpected.
fn wrongs(verdict: &Verdict) -> [u64; 4] {
    let total = verdict.total();
    [total.missing, total.duplicates, total.differing, total.unexpected]
}

#[tokio::test]
async fn a_faithful_database_is_exact() {
    let world = world();
    let verdict = world.verdict().await;
    assert!(verdict.holds(), "{verdict}");
    assert!(verdict.letters.found > 100, "{verdict}");
    assert!(verdict.total().visible > 1_000, "{verdict}");
    assert!(verdict.line().starts_with("EXACT"), "{verdict}");
    assert_eq!(verdict.to_json()["holds"], true);
}

#[tokio::test]
async fn a_missing_row_is_missing() {
    for kind in Kind::ALL {
        let mut world = world();
        world.rows(kind).pop();
        let verdict = world.verdict().await;
        assert_eq!(wrongs(&verdict), [1, 0, 0, 0], "{verdict}");
        assert!(!verdict.holds());
        assert_eq!(verdict.samples[0].wrong, Wrong::Missing);
        assert!(verdict.samples[0].message.is_some(), "{verdict}");
    }
}

#[tokio::test]
async fn a_row_twice_is_a_duplicate_even_under_another_id() {
    for kind in Kind::ALL {
        let mut world = world();
        let row = world.rows(kind)[0].clone();
        world.rows(kind).push(row);
        assert_eq!(wrongs(&world.verdict().await), [0, 1, 0, 0], "{kind}");
    }
    let mut world = world();
    let rows = world.rows(Kind::Tick);
    let own_id = |row: &&String| row.rsplit('\t').next().is_some_and(|id| id.len() == 7);
    let row = rows.iter().find(own_id).expect("events without an id of the publisher");
    let row = format!("{}77", &row[..row.len() - 7]);
    rows.push(row);
    assert_eq!(wrongs(&world.verdict().await), [0, 1, 0, 0]);
}

#[tokio::test]
async fn every_altered_column_is_seen() {
    for kind in Kind::ALL {
        let mut world = world();
        let row = world.rows(kind)[3].clone();
        let values: Vec<_> = row.split('\t').collect();
        // The id of an event that was given none is the bridge's own affair.
        let checked = if kind == Kind::Tick { values.len() - 1 } else { values.len() };
        for column in 0..checked {
            let mut altered = values.clone();
            altered[column] = if values[column] == "7" { "8" } else { "7" };
            world.rows(kind)[3] = altered.join("\t");
            let verdict = world.verdict().await;
            let wrong = wrongs(&verdict);
            assert!(
                wrong == [0, 0, 1, 0] || wrong == [1, 0, 0, 1],
                "{kind}, column {column}: {verdict}"
            );
        }
    }
}

#[tokio::test]
async fn the_id_that_a_publisher_gave_is_checked() {
    let mut world = world();
    let mut message = Message::default();
    let generator = world.expected.generator().clone();
    // Winners with a decimal id end in that id.
    let ids: Vec<_> = (0..1_500)
        .filter_map(|number| {
            generator.message(number, &mut message);
            message.event_id()?.parse::<u64>().ok()
        })
        .collect();
    let rows = world.rows(Kind::Tick);
    let ends = |row: &&mut String| ids.iter().any(|id| row.ends_with(&format!("\t{id}")));
    let row = rows.iter_mut().find(ends).expect("some have ids");
    let last = row.pop().expect("digits");
    row.push(if last == '1' { '2' } else { '1' });
    let wrong = wrongs(&world.verdict().await);
    assert!(wrong.iter().sum::<u64>() > 0, "{wrong:?}");
}

#[tokio::test]
async fn a_row_of_nobody_is_unexpected() {
    let mut world = world();
    let row = world.rows(Kind::FredEconomic)[0].replacen('\t', "\t9", 1);
    world.rows(Kind::FredEconomic).push(row);
    let verdict = world.verdict().await;
    assert_eq!(wrongs(&verdict), [0, 0, 0, 1], "{verdict}");
}

#[tokio::test]
async fn dead_letters_are_compared_byte_by_byte() {
    let mut world = world();
    let lost = world.letters.pop().expect("many");
    let verdict = world.verdict().await;
    assert_eq!((verdict.letters.missing, verdict.letters.unexpected), (1, 0), "{verdict}");
    assert!(!verdict.holds());

    world.letters.push(lost.clone());
    world.letters.push(lost);
    let verdict = world.verdict().await;
    assert_eq!((verdict.letters.missing, verdict.letters.duplicates), (0, 1), "{verdict}");
    assert!(!verdict.holds());

    world.letters.pop();
    let with_payload = world.letters.iter_mut().find(|letter| letter.ends_with("7D"));
    let letter = with_payload.expect("some end in a brace");
    letter.truncate(letter.len() - 2);
    let verdict = world.verdict().await;
    assert_eq!((verdict.letters.missing, verdict.letters.unexpected), (1, 1), "{verdict}");
}

#[tokio::test]
async fn a_reason_of_another_class_is_misnamed() {
    let mut world = world();
    let letter = &mut world.letters[0];
    let mut parts: Vec<_> = letter.split('\t').collect();
    parts[3] = "no_route";
    *letter = parts.join("\t");
    let verdict = world.verdict().await;
    assert_eq!(verdict.letters.misnamed, 1, "{verdict}");
    assert!(!verdict.holds());
}

#[tokio::test]
async fn waiting_ends_when_the_last_row_arrives_and_at_the_deadline_with_a_verdict() {
    let mut world = world();
    let fake = FakeClickHouse::start().await.expect("a free port");
    let server = Server::new(&fake.url(), "market");
    let last = world.rows(Kind::Candle).pop().expect("many");
    world.program(&fake);
    let deadline = Duration::from_millis(400);
    let mut looks = 0;
    let verdict = wait_until_complete(&server, &world.expected, deadline, |_| looks += 1).await;
    assert_eq!(wrongs(&verdict.expect("the fake answers")), [1, 0, 0, 0]);
    assert!(looks >= 2, "{looks}");

    let mut looks = 0;
    let verdict = wait_until_complete(&server, &world.expected, Duration::from_secs(20), |_| {
        looks += 1;
        if looks == 2 {
            world.tables.get_mut(&Kind::Candle).expect("there").push(last.clone());
            // The next look finds it.
            let rows = &world.tables[&Kind::Candle];
            fake.program("FROM market.aggregates", Answer::Text(format!("{}\n", rows.len())));
            fake.program("FROM market.aggregates FINAL", Answer::Text(rows.join("\n") + "\n"));
        }
    })
    .await
    .expect("the fake answers");
    assert!(verdict.holds(), "{verdict}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_verdict() {
    let world = world();
    let fake = FakeClickHouse::start().await.expect("a free port");
    world.program(&fake);
    let server = Server::new(&fake.url(), "market");
    let before = world.tables[&Kind::Tick][0].clone() + "\n";
    for answer in [
        Answer::CutBody { before: before.clone() },
        Answer::exception(241, "MEMORY_LIMIT_EXCEEDED", "no"),
        Answer::ExceptionInBody {
            before,
            code: 241,
            name: "MEMORY_LIMIT_EXCEEDED".to_owned(),
            message: "no".to_owned(),
        },
    ] {
        fake.program("FROM market.ticks FINAL", answer);
        assert!(verify(&server, &world.expected).await.is_err());
    }
}
