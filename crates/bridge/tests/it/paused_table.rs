//! Troubles that are not the rows' fault: nothing becomes a dead letter, and all goes on by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse, Request};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Mix, Plan};
use data_bridge_lab::verify::wait_until_complete;
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};

use crate::fake_tables::{fake_with_tables, rows_of};
use crate::world::{
    Instance, PATIENCE, Scenario, binary, clickhouse, folder, produce, until, wait_for,
};

const SOON: (&str, &str) = ("retry", "{ initial_ms: 100, max_ms: 500 }");

#[track_caller]
fn finish(scenario: &Scenario, bridge: &Instance, generator: &Generator) {
    bridge.wait_ready();
    let expected = Expected::of(generator).unwrap();
    let verdict = scenario.assert_exact(&expected, PATIENCE);
    println!("{}", verdict.line());
    scenario.assert_committed();
    bridge.end();
}

#[track_caller]
fn wait_committed(bridge: &Instance) {
    until(PATIENCE, "the commits", || match bridge.lag() {
        0 => Ok(()),
        lag => Err(format!("lag {lag}")),
    });
}

/// Per table whether partitions of its topic are paused: all, none, or some.
fn paused(scenario: &Scenario, bridge: &Instance) -> BTreeMap<&'static str, Vec<bool>> {
    let status = bridge.status();
    let mut found = BTreeMap::<_, Vec<bool>>::new();
    for partition in status["partitions"].as_array().expect("an instance with partitions") {
        let topic = partition["topic"].as_str().expect("a name");
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| format!("{}{}", scenario.prefix(), kind.topic()) == topic)
            .expect("a topic of the scenario");
        let paused = partition["paused"].as_bool().expect("yes or no");
        found.entry(kind.table()).or_default().push(paused);
    }
    for states in found.values_mut() {
        states.sort_unstable();
        states.dedup();
    }
    found
}

#[test]
fn a_table_that_was_renamed_pauses_its_own_route_until_it_is_back() {
    let scenario = Scenario::new("table_renamed", &clickhouse().url()).with(SOON.0, SOON.1);
    scenario.init();
    let bridge = scenario.start(1);
    let generator = Generator::try_new(scenario.plan(19, 8_000)).unwrap();
    produce(&generator, 0..2_000, Pace::Full);
    bridge.wait_ready();
    wait_committed(&bridge);
    let database = scenario.database();
    let rename = |from: &str, to: &str| {
        let statement = format!("RENAME TABLE {database}.{from} TO {database}.{to}");
        scenario.query(&statement).unwrap();
    };
    rename("ticks", "ticks_away");
    produce(&generator, 2_000..8_000, Pace::Full);
    let said = bridge.wait_reason(&["route of table ticks is paused", "code 60 (UNKNOWN_TABLE)"]);
    println!("{said}");
    assert!(!said.contains("route of table aggregates"), "{said}");

    // All others arrive, and nobody mended anything.
    let expected = Expected::of(&generator).unwrap();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Tick) {
        scenario.wait_rows(kind.table(), expected.visible(kind));
    }
    for (table, states) in paused(&scenario, &bridge) {
        assert_eq!(states, [table == "ticks"], "{table}");
    }
    assert_eq!(bridge.metric("data_bridge_table_paused"), 1);
    assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");

    rename("ticks_away", "ticks");
    bridge.wait_ready();
    assert_eq!(bridge.metric("data_bridge_table_paused"), 0);
    finish(&scenario, &bridge, &generator);
}

#[test]
fn a_password_that_is_wrong_for_a_while_pauses_without_dead_letters() {
    let data = folder("wrong_password_server");
    let start = |port, password: Option<&str>| {
        let arguments = password.map(|password| vec!["--password".to_owned(), password.to_owned()]);
        let options = ClickHouseOptions {
            port,
            arguments: arguments.unwrap_or_default(),
            ..ClickHouseOptions::default()
        };
        ClickHouse::start(binary(), &data, options).expect("ClickHouse starts")
    };
    // Without a password of its own it takes any.
    let server = start(None, None);
    let port = server.port();
    let scenario = Scenario::new("wrong_password", &server.url()).with(SOON.0, SOON.1);
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let generator = Generator::try_new(scenario.plan(516, 4_000)).unwrap();
    produce(&generator, 0..1_000, Pace::Full);
    wait_committed(&bridge);
    server.stop().unwrap();
    drop(server);

    let server = start(Some(port), Some("another"));
    produce(&generator, 1_000..4_000, Pace::Full);
    let said = bridge.wait_reason(&[
        "route of table ticks is paused",
        "route of table aggregates is paused",
        "code 516 (AUTHENTICATION_FAILED)",
    ]);
    println!("{said}");
    server.stop().unwrap();
    drop(server);

    let _server = start(Some(port), None);
    finish(&scenario, &bridge, &generator);
}

#[test]
fn a_password_that_is_changed_in_its_file_needs_no_restart() {
    let data = folder("changed_password_server");
    let start = |port, password: &str| {
        let arguments = vec!["--password".to_owned(), password.to_owned()];
        let options = ClickHouseOptions { port, arguments, ..ClickHouseOptions::default() };
        ClickHouse::start(binary(), &data, options).expect("ClickHouse starts")
    };
    let server = start(None, "first");
    let port = server.port();
    let scenario = Scenario::new("changed_password", &server.url()).with(SOON.0, SOON.1);
    let file = scenario.folder.join("password");
    std::fs::write(&file, "first\n").unwrap();
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let generator = Generator::try_new(scenario.plan(193, 3_000)).unwrap();
    produce(&generator, 0..1_000, Pace::Full);
    wait_committed(&bridge);
    server.stop().unwrap();
    drop(server);

    let _server = start(Some(port), "second");
    produce(&generator, 1_000..3_000, Pace::Full);
    bridge.wait_reason(&["route of table ticks is paused", "516 (AUTHENTICATION_FAILED)"]);
    std::fs::remove_file(&file).unwrap();
    let said = bridge.wait_reason(&["no credentials for ClickHouse: cannot read", "password"]);
    assert!(!said.contains("first"), "{said}");
    std::fs::write(&file, "second\n").unwrap();
    bridge.wait_ready();
    let server = scenario.server().with_credentials("default", "second");
    let expected = Expected::of(&generator).unwrap();
    let verdict = wait_for(wait_until_complete(&server, &expected, PATIENCE, |_| {})).unwrap();
    assert!(verdict.holds(), "{verdict}");
    bridge.end();
}

/// A plan of ticks within one month, so that all rows lie on one shelf.
fn ticks_of_a_month(scenario: &Scenario, seed: u64, messages: u64) -> Plan {
    let mut plan = scenario.plan(seed, messages);
    plan.mix = Mix::only(Kind::Tick);
    plan.events_from_ms = 1_704_067_200_000; // 2024-01-01
    plan.events_to_ms = 1_706_745_600_000; // 2024-02-01
    plan
}

/// Where each row of the inserts came from, sorted.
fn origins<'r>(inserts: impl Iterator<Item = &'r Request>) -> Vec<String> {
    let mut origins = Vec::new();
    for insert in inserts {
        for block in insert.rows().expect("a whole insert") {
            for row in 0..block.rows.len() {
                let of = |column| block.value(row, column).expect("every table has it").to_string();
                origins.push(format!("{}@{}", of("origin"), of("origin_position")));
            }
        }
    }
    origins.sort_unstable();
    origins
}

/// Waits until everything is committed, and ends the instance.
fn drain(scenario: &Scenario, bridge: &Instance, fake: &FakeClickHouse) -> Vec<Request> {
    scenario.assert_committed();
    bridge.wait_ready();
    bridge.end();
    let inserts = fake.inserts();
    let tables: Vec<_> = inserts.iter().filter_map(Request::table).collect();
    assert!(tables.iter().all(|table| table == "ticks"), "{tables:?}");
    inserts
}

#[test]
fn too_many_parts_for_a_while_are_met_with_patience_and_the_same_batch() {
    const MESSAGES: u64 = 3_000;
    let fake = fake_with_tables();
    let scenario = Scenario::new("too_many_parts", &fake.url())
        .with("retry", "{ initial_ms: 200, max_ms: 800 }");
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let full = Arc::new(AtomicBool::new(true));
    fake.script({
        let full = Arc::clone(&full);
        move |request| {
            let refuses = request.is_insert() && full.load(Ordering::SeqCst);
            refuses.then(Answer::too_many_parts)
        }
    });
    let generator = Generator::try_new(ticks_of_a_month(&scenario, 252, MESSAGES)).unwrap();
    produce(&generator, 0..MESSAGES, Pace::PerSecond(1_500.0));
    let began = Instant::now();
    let said = bridge.wait_reason(&["inserts into", "code 252 (TOO_MANY_PARTS)"]);
    println!("{said}");
    until(PATIENCE, "five attempts", || match fake.inserts().len() {
        attempts @ ..5 => Err(format!("{attempts}")),
        _ => Ok(()),
    });
    let refused = fake.inserts();
    // Without patience there were one each linger of 30 ms.
    let elapsed = began.elapsed() + Duration::from_secs(2);
    println!("{} attempts within {elapsed:?}", refused.len());
    assert!(refused.len() as u128 <= elapsed.as_millis() / 100);
    full.store(false, Ordering::SeqCst);

    let inserts = drain(&scenario, &bridge, &fake);
    // One shelf: its first batch is sent until it is taken, and only then the next.
    let first = &refused[0].body;
    let again = inserts.iter().filter(|insert| insert.body == *first).count();
    assert!(refused.iter().all(|insert| insert.body == *first), "another batch");
    let taken = &inserts[again - 1..];
    let origins = origins(taken.iter());
    assert_eq!(origins.len() as u64, MESSAGES);
    assert!(origins.windows(2).all(|pair| pair[0] < pair[1]), "a row was taken twice");
}

#[test]
fn a_batch_beyond_the_memory_limit_is_halved_until_it_fits() {
    const MESSAGES: u64 = 2_000;
    const FITS: usize = 300;
    let fake = fake_with_tables();
    let scenario = Scenario::new("memory_limit", &fake.url())
        .with("batch", "{ max_age_ms: 300 }")
        .with("retry", "{ initial_ms: 20, max_ms: 100 }");
    scenario.init();
    let refusals = Arc::new(AtomicUsize::new(0));
    fake.script({
        let refusals = Arc::clone(&refusals);
        move |request| {
            if !request.is_insert() || rows_of(request) <= FITS {
                return None;
            }
            refusals.fetch_add(1, Ordering::SeqCst);
            let text = "Memory limit (total) exceeded: would use 1.50 GiB";
            Some(Answer::exception(241, "MEMORY_LIMIT_EXCEEDED", text))
        }
    });
    let generator = Generator::try_new(ticks_of_a_month(&scenario, 241, MESSAGES)).unwrap();
    produce(&generator, 0..MESSAGES, Pace::Full);
    let bridge = scenario.start(1);
    let inserts = drain(&scenario, &bridge, &fake);
    let sizes: Vec<_> = inserts.iter().map(rows_of).collect();
    println!("rows of the inserts: {sizes:?}");
    assert!(refusals.load(Ordering::SeqCst) > 0, "nothing was too large");
    let refused = inserts.iter().filter(|insert| rows_of(insert) > FITS);
    for insert in refused {
        let same = inserts.iter().filter(|other| other.body == insert.body);
        let size = rows_of(insert);
        assert_eq!(same.count(), 1, "{size} rows were sent once more");
        let halves = [size / 2, size - size / 2];
        assert!(halves.iter().all(|half| sizes.contains(half)), "{size} rows were not halved");
    }
    let taken = inserts.iter().filter(|insert| rows_of(insert) <= FITS);
    let origins = origins(taken);
    assert_eq!(origins.len() as u64, MESSAGES);
    assert!(origins.windows(2).all(|pair| pair[0] < pair[1]), "a row was taken twice");
}
