//! What the bridge relies on in ClickHouse's HTTP interface: the scripted fake and the real engine
//! keep the same rules, so that a scenario with the fake says something about ClickHouse.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use data_bridge::config::{self, Config, Environment, Secret};
use data_bridge::sink::clickhouse::ClickHouse;
use data_bridge::sink::tables::{Found, describe, look_at};
use data_bridge_core::arena::Arena;
use data_bridge_core::block::Blocks;
use data_bridge_core::catalog::{Catalog, Table};
use data_bridge_core::decode::{Decoder, Tally};
use data_bridge_core::units::Position;
use data_bridge_core::verdict::{Failure, Verdict};
use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::proxy::{Direction, Fault};
use data_bridge_stack::clickhouse::{ClickHouse as Server, ClickHouseOptions};

use crate::fake_tables::{fake_with_tables, rows_of};
use crate::world::{binary, clickhouse, folder, proxy_to, wait_for};

const DATABASE: &str = "db_contract";
const PASSWORD: &str = "right";
const ROWS: u64 = 500;

/// One that keeps the contract.
enum Peer {
    Fake(FakeClickHouse),
    Engine { database: String },
}

/// What is to happen to the next statement.
enum Trouble {
    NoTable,
    NoDatabase,
    Syntax,
    Constraint,
}

impl Peer {
    /// Both, with the shipped tables in a database that only this rule uses.
    fn both(rule: &str) -> [Self; 2] {
        let database = format!("{DATABASE}_{rule}");
        [Self::Fake(fake_with_tables()), Self::engine(database)]
    }

    fn engine(database: String) -> Self {
        let server = client(&clickhouse().url(), &database, "");
        wait_for(async {
            let made = format!("CREATE DATABASE IF NOT EXISTS `{database}`");
            server.query(&made).await.unwrap();
            for table in Catalog::shipped().tables() {
                server.query(&table.ddl(&database)).await.unwrap();
            }
        });
        Self::Engine { database }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Fake(_) => "fake",
            Self::Engine { .. } => "engine",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Fake(fake) => fake.url(),
            Self::Engine { .. } => clickhouse().url(),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Fake(fake) => fake.address().port(),
            Self::Engine { .. } => clickhouse().port(),
        }
    }

    fn database(&self) -> &str {
        match self {
            Self::Fake(_) => DATABASE,
            Self::Engine { database } => database,
        }
    }

    /// The bridge's own client.
    fn client(&self) -> ClickHouse {
        client(&self.url(), self.database(), "")
    }

    /// Makes the next statement fail: the fake is told to, the engine really has that trouble.
    fn suffer(&self, trouble: &Trouble) {
        match self {
            Self::Fake(fake) => {
                let (code, name, text) = match trouble {
                    Trouble::NoTable => (60, "UNKNOWN_TABLE", "Table x.ticks does not exist"),
                    Trouble::NoDatabase => (81, "UNKNOWN_DATABASE", "Database x does not exist"),
                    Trouble::Syntax => (62, "SYNTAX_ERROR", "Syntax error: failed at position 1"),
                    Trouble::Constraint => (
                        469,
                        "VIOLATED_CONSTRAINT",
                        "Constraint `c` for table x.ticks is violated at row 1",
                    ),
                };
                fake.script(move |_| Some(Answer::exception(code, name, text)));
            }
            Self::Engine { database } => {
                let statement = match trouble {
                    Trouble::NoTable => format!("DROP TABLE `{database}`.ticks SYNC"),
                    Trouble::NoDatabase => format!("DROP DATABASE `{database}` SYNC"),
                    // The statement itself is at fault.
                    Trouble::Syntax => return,
                    Trouble::Constraint => format!(
                        "ALTER TABLE `{database}`.ticks ADD CONSTRAINT c CHECK symbol = 'other'"
                    ),
                };
                wait_for(self.client().query(&statement)).unwrap();
            }
        }
    }

    /// Rows that were taken into `ticks`.
    fn rows(&self) -> u64 {
        match self {
            Self::Fake(fake) => fake.inserts().iter().map(|insert| rows_of(insert) as u64).sum(),
            Self::Engine { database } => {
                let count = format!("SELECT count() FROM `{database}`.ticks FORMAT TabSeparated");
                let answer = wait_for(self.client().query(&count)).unwrap();
                answer.trim().parse().unwrap()
            }
        }
    }
}

fn client(url: &str, database: &str, password: &str) -> ClickHouse {
    let mut config: config::ClickHouse = Config::from_defaults(&Environment::default()).clickhouse;
    config.urls = vec![url.to_owned()];
    database.clone_into(&mut config.database);
    config.password = Secret::new(password);
    ClickHouse::new(&config).unwrap()
}

fn ticks() -> Table {
    let catalog = Catalog::shipped();
    catalog.table(catalog.table_id("ticks").unwrap()).clone()
}

/// `ROWS` ticks as the bridge sends them.
fn body() -> Bytes {
    let catalog = Arc::new(Catalog::shipped());
    let route = catalog.route_id("ticks").unwrap();
    let mut arena = Arena::new();
    for number in 0..ROWS {
        let time = 1_706_198_400_000 + number;
        let tick =
            format!(r#"{{"symbol":"EUR/USD","bid":1.09551,"ask":1.09553,"timestamp_ms":{time}}}"#);
        arena.push(Position(number), 0, None, Some(tick.as_bytes()), None, []);
    }
    let mut blocks = Blocks::new(Arc::clone(&catalog));
    let mut tally = Tally::default();
    Decoder::new(catalog, route, "kafka:tick_archive:0".to_owned()).decode(
        &arena,
        1_706_198_500_000,
        &mut blocks,
        &mut tally,
    );
    let block = blocks.take(tally.parts[0].shelf).unwrap();
    let mut body = Vec::new();
    block.encode(0..block.rows(), &mut body);
    body.into()
}

/// Status, `X-ClickHouse-Exception-Code` and text, as they stand on the wire.
fn on_the_wire(url: &str, statement: &str, body: Bytes) -> (u16, Option<String>, String) {
    wait_for(async {
        let client = crate::world::http();
        let request = client.post(url).query(&[("query", statement)]).body(body);
        let answer = request.send().await.unwrap();
        let code = answer.headers().get("X-ClickHouse-Exception-Code");
        let code = code.map(|code| code.to_str().unwrap().to_owned());
        (answer.status().as_u16(), code, answer.text().await.unwrap())
    })
}

fn insert_into(database: &str) -> String {
    let names: Vec<_> = ticks().columns.into_iter().map(|column| column.name).collect();
    format!("INSERT INTO `{database}`.ticks ({}) FORMAT Native", names.join(", "))
}

/// A refusal as the bridge reads it, and as it stands on the wire.
#[track_caller]
fn assert_refusal(peer: &Peer, failure: &Failure, code: i32, name: &str, verdict: Verdict) {
    let Failure::Server { code: found, name: called, message, .. } = failure else {
        panic!("{}: {failure}", peer.name())
    };
    assert_eq!((*found, called.as_str()), (code, name), "{}", peer.name());
    assert!(!message.is_empty() && !message.contains("Code: "), "{}: {message}", peer.name());
    assert!(!message.contains(&format!("({name})")), "{}: {message}", peer.name());
    assert_eq!(failure.verdict(), verdict, "{}", peer.name());
}

#[track_caller]
fn assert_on_the_wire(peer: &Peer, statement: &str, status: u16, code: i32, name: &str) {
    let answer = on_the_wire(&peer.url(), statement, body());
    let (found, header, text) = answer;
    assert_eq!((found, header), (status, Some(code.to_string())), "{}: {text}", peer.name());
    let begin = format!("Code: {code}. DB::Exception: ");
    assert!(text.starts_with(&begin), "{}: {text}", peer.name());
    assert!(text.contains(&format!("({name})")), "{}: {text}", peer.name());
}

#[test]
fn a_ping_is_answered_by_ok() {
    for peer in Peer::both("ping") {
        assert_eq!(wait_for(peer.client().ping()), Ok(()), "{}", peer.name());
    }
}

#[test]
fn an_insert_that_was_taken_is_answered_by_200_and_nothing() {
    for peer in Peer::both("insert") {
        let inserted = wait_for(peer.client().insert(&ticks(), body()));
        assert_eq!(inserted, Ok(()), "{}", peer.name());
        assert_eq!(peer.rows(), ROWS, "{}", peer.name());
        let answer = on_the_wire(&peer.url(), &insert_into(peer.database()), body());
        assert_eq!(answer, (200, None, String::new()), "{}", peer.name());
        assert_eq!(peer.rows(), 2 * ROWS, "{}", peer.name());
    }
}

#[test]
fn an_insert_into_an_unknown_table_is_refused_by_404_and_code_60() {
    for peer in Peer::both("table") {
        peer.suffer(&Trouble::NoTable);
        let failure = wait_for(peer.client().insert(&ticks(), body())).unwrap_err();
        assert_refusal(&peer, &failure, 60, "UNKNOWN_TABLE", Verdict::Refresh);
        assert_on_the_wire(&peer, &insert_into(peer.database()), 404, 60, "UNKNOWN_TABLE");
    }
}

#[test]
fn an_insert_into_an_unknown_database_is_refused_by_404_and_code_81() {
    for peer in Peer::both("database") {
        peer.suffer(&Trouble::NoDatabase);
        let failure = wait_for(peer.client().insert(&ticks(), body())).unwrap_err();
        assert_refusal(&peer, &failure, 81, "UNKNOWN_DATABASE", Verdict::Refresh);
        assert_on_the_wire(&peer, &insert_into(peer.database()), 404, 81, "UNKNOWN_DATABASE");
    }
}

#[test]
fn a_syntax_error_is_refused_by_400_and_code_62() {
    for peer in Peer::both("syntax") {
        peer.suffer(&Trouble::Syntax);
        let failure = wait_for(peer.client().query("SELEC 1")).unwrap_err();
        assert_refusal(&peer, &failure, 62, "SYNTAX_ERROR", Verdict::Pause);
        assert_on_the_wire(&peer, "SELEC 1", 400, 62, "SYNTAX_ERROR");
    }
}

#[test]
fn a_row_that_a_constraint_refuses_is_refused_by_code_469_and_none_is_there() {
    for peer in Peer::both("constraint") {
        peer.suffer(&Trouble::Constraint);
        let failure = wait_for(peer.client().insert(&ticks(), body())).unwrap_err();
        assert_refusal(&peer, &failure, 469, "VIOLATED_CONSTRAINT", Verdict::Isolate);
        assert_on_the_wire(&peer, &insert_into(peer.database()), 500, 469, "VIOLATED_CONSTRAINT");
        if let Peer::Engine { .. } = peer {
            assert_eq!(peer.rows(), 0, "a refused insert is refused as a whole");
        }
    }
}

#[test]
fn a_body_that_is_cut_short_inserts_nothing() {
    for peer in Peer::both("cut") {
        let proxy = proxy_to(peer.port());
        let client = client(&proxy.url(), peer.database(), "");
        let whole = body();
        let length = whole.len() as u64;
        let head = 1_000;
        for bytes in [head, head + length / 4, head + length / 2, length] {
            let direction = Direction::ToServer;
            proxy.times(Fault::CutAfter { direction, bytes }, 1);
            let failure = wait_for(client.insert(&ticks(), whole.clone())).unwrap_err();
            let name = peer.name();
            assert!(matches!(failure, Failure::Cut(_)), "{name}: {failure}");
            assert_eq!(failure.verdict(), Verdict::Retry, "{name}");
        }
        assert_eq!(wait_for(client.insert(&ticks(), whole)), Ok(()));
        assert_eq!(peer.rows(), ROWS, "{}", peer.name());
    }
}

/// An engine with a password of its own.
fn locked() -> &'static Server {
    static LOCKED: OnceLock<Server> = OnceLock::new();
    LOCKED.get_or_init(|| {
        let options = ClickHouseOptions {
            arguments: vec!["--password".to_owned(), PASSWORD.to_owned()],
            ..ClickHouseOptions::default()
        };
        let folder = folder("contract_locked");
        Server::start(binary(), Path::new(&folder), options).expect("ClickHouse starts")
    })
}

#[test]
fn a_wrong_password_is_refused_by_403_and_code_516() {
    let fake = fake_with_tables();
    fake.script(|request| {
        let known = request.header("X-ClickHouse-Key") == Some(PASSWORD);
        let refusal = "default: Authentication failed: password is incorrect";
        (!known).then(|| Answer::exception(516, "AUTHENTICATION_FAILED", refusal))
    });
    let engine = Peer::Engine { database: "system".to_owned() };
    for (peer, url) in [(&Peer::Fake(fake), None), (&engine, Some(locked().url()))] {
        let url = url.unwrap_or_else(|| peer.url());
        let failure = wait_for(client(&url, peer.database(), "wrong").query("SELECT 1"));
        let refused = (516, "AUTHENTICATION_FAILED");
        assert_refusal(peer, &failure.unwrap_err(), refused.0, refused.1, Verdict::Pause);
        let (status, code, _) = on_the_wire(&url, "SELECT 1", Bytes::new());
        assert_eq!((status, code.as_deref()), (403, Some("516")), "{}", peer.name());
        let allowed = wait_for(client(&url, peer.database(), PASSWORD).query("SELECT 1"));
        assert!(allowed.is_ok(), "{}: {allowed:?}", peer.name());
    }
}

#[test]
fn tables_are_described_alike_and_found_as_they_must_be() {
    let [fake, engine] = Peer::both("describe");
    for table in Catalog::shipped().tables() {
        let of = |peer: &Peer| wait_for(describe(&peer.client(), &table.name)).unwrap().unwrap();
        let (told, real) = (of(&fake), of(&engine));
        assert_eq!(told.columns, real.columns, "{}", table.name);
        assert_eq!(told.sorting_key, real.sorting_key, "{}", table.name);
        assert_eq!(told.partition_key, real.partition_key, "{}", table.name);
        assert_eq!(told.engine_full, real.engine_full, "{}", table.name);
        for peer in [&fake, &engine] {
            let found = wait_for(look_at(&peer.client(), table)).unwrap();
            let well = Found::Table { mismatches: Vec::new() };
            assert_eq!(found, well, "{}", peer.name());
        }
    }
}

#[test]
fn a_table_that_does_not_exist_is_described_by_no_line() {
    for peer in Peer::both("absent") {
        let found = wait_for(describe(&peer.client(), "nowhere")).unwrap();
        assert_eq!(found, None, "{}", peer.name());
    }
}

#[test]
fn an_error_in_the_middle_of_a_200_answer_is_an_error() {
    let fake = fake_with_tables();
    fake.next_insert(Answer::ExceptionInBody {
        before: "half an answer\n".to_owned(),
        code: 241,
        name: "MEMORY_LIMIT_EXCEEDED".to_owned(),
        message: "Memory limit (total) exceeded".to_owned(),
    });
    let peer = Peer::Fake(fake);
    let failure = wait_for(peer.client().insert(&ticks(), body())).unwrap_err();
    assert_refusal(&peer, &failure, 241, "MEMORY_LIMIT_EXCEEDED", Verdict::Split);
}
