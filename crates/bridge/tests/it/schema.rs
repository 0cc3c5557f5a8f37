//! Tables that are changed while rows flow into them: no value is cast or lands in another column;
//! rows go on as soon as they can, and until then only that route waits and says why.

use std::time::{Duration, Instant};

use data_bridge_core::verdict::CODES;
use data_bridge_lab::generate::Generator;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;

use crate::by_hand::{Sender, create_topic, drain, wait_for_reasons};
use crate::flow::{finish, under_load};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, until};

/// Retries so far apart that only a look at the table explains that rows flow again at once.
const FAR_APART: (&str, &str) = ("retry", "{ initial_ms: 30000, max_ms: 32000 }");
/// From the change back until rows flow: a look each second, and an insert.
const SOON: Duration = Duration::from_secs(10);

/// Columns that are changed, and a type that would take every value by a cast that loses some.
const NARROWER: [(&str, &str, &str); 3] = [
    ("ticks", "bid Decimal(18, 8)", "bid Decimal(18, 4)"),
    ("aggregates", "tick_count Nullable(UInt64)", "tick_count Nullable(UInt32)"),
    (
        "external_fred_economic",
        "event_time DateTime64(3, 'UTC')",
        "event_time DateTime64(6, 'UTC')",
    ),
];

/// Waits until rows that are not there now arrive in a table.
#[track_caller]
fn wait_flow(scenario: &Scenario, table: &str) {
    let count = format!("SELECT count() FROM {}.{table}", scenario.database());
    let before = scenario.query(&count).unwrap();
    until(PATIENCE, &format!("rows of {table}"), || match scenario.query(&count)? {
        now if now == before => Err(now),
        _ => Ok(()),
    });
}

#[track_caller]
fn wait_ready_soon(bridge: &Instance) {
    let began = Instant::now();
    bridge.wait_ready();
    let took = began.elapsed();
    assert!(took < SOON, "ready only after {took:?}");
}

#[test]
fn a_column_whose_type_is_changed_under_load_takes_no_value_by_a_cast() {
    let scenario = Scenario::new("retyped", &clickhouse().url()).with(FAR_APART.0, FAR_APART.1);
    scenario.init();
    let database = scenario.database();
    let generator = Generator::try_new(scenario.plan(53, 20_000)).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let bridge = scenario.start(1);
    under_load(&generator, 2_000, || {
        for (table, ..) in NARROWER {
            wait_flow(&scenario, table);
        }
        for (table, wide, narrow) in NARROWER {
            let show = format!("SHOW CREATE TABLE {database}.{table} FORMAT TSVRaw");
            let ddl = scenario.query(&show).unwrap().replace('`', "");
            assert!(ddl.contains(wide), "{ddl}");
            let ddl =
                ddl.replace(wide, narrow).replace(&format!(".{table}"), &format!(".{table}_2"));
            scenario.query(&ddl).unwrap();
            let exchange = format!("EXCHANGE TABLES {database}.{table} AND {database}.{table}_2");
            scenario.query(&exchange).unwrap();
        }
        let reasons = NARROWER.map(|(table, wide, narrow)| {
            let (column, wide) = wide.split_once(' ').unwrap();
            let (_, narrow) = narrow.split_once(' ').unwrap();
            format!("table {table}, column {column}: has type {narrow}, must be {wide}")
        });
        wait_for_reasons(&bridge, &reasons);
        // The others flow.
        wait_flow(&scenario, "external_market_sessions");
        for (table, ..) in NARROWER {
            let count = format!("SELECT count() FROM {database}.{table}");
            assert_eq!(scenario.query(&count).unwrap(), "0\n", "{table}: values were cast");
            let exchange = format!("EXCHANGE TABLES {database}.{table} AND {database}.{table}_2");
            scenario.query(&exchange).unwrap();
        }
        wait_ready_soon(&bridge);
    });
    finish(&scenario, &[bridge], &expected);
}

#[test]
fn columns_that_come_and_go_and_a_table_that_is_away_stop_only_their_route() {
    let scenario = Scenario::new("altered", &clickhouse().url()).with(FAR_APART.0, FAR_APART.1);
    scenario.init();
    let generator = Generator::try_new(scenario.plan(20, 30_000)).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let bridge = scenario.start(1);
    let alter = |statement: &str| {
        scenario.query(&statement.replace("TABLE ", &format!("TABLE {}.", scenario.database())))
    };
    under_load(&generator, 2_000, || {
        wait_flow(&scenario, "ticks");
        // What the bridge does not write gets its default: nobody notices.
        alter("ALTER TABLE ticks ADD COLUMN desk String DEFAULT 'a' AFTER bid").unwrap();
        wait_flow(&scenario, "ticks");
        alter("ALTER TABLE ticks DROP COLUMN desk").unwrap();
        wait_flow(&scenario, "ticks");
        assert!(bridge.get("/readyz").is_ok());
        // A column is dropped. In a table of its own: to drop one and add it again loses values, and to
        // rename one and rename it back does so too when a merge comes between.
        let database = scenario.database();
        let away = format!("{database}.ticks_without_ask");
        scenario.query(&format!("CREATE TABLE {away} AS {database}.ticks")).unwrap();
        scenario.query(&format!("ALTER TABLE {away} DROP COLUMN ask")).unwrap();
        let exchange = format!("EXCHANGE TABLES {database}.ticks AND {away}");
        let changes = [
            (
                exchange.as_str(),
                "table ticks, column ask: is missing, must be Decimal(18, 8)",
                exchange.as_str(),
            ),
            (
                "ALTER TABLE ticks MODIFY COLUMN bid Decimal(38, 8)",
                "table ticks, column bid: has type Decimal(38, 8), must be Decimal(18, 8)",
                "ALTER TABLE ticks MODIFY COLUMN bid Decimal(18, 8)",
            ),
        ];
        for (change, reason, back) in changes {
            alter(change).unwrap();
            wait_for_reasons(&bridge, &[reason.to_owned()]);
            wait_flow(&scenario, "aggregates");
            alter(back).unwrap();
            wait_ready_soon(&bridge);
            wait_flow(&scenario, "ticks");
        }
        scenario.query(&format!("RENAME TABLE {database}.ticks TO {database}.away")).unwrap();
        wait_for_reasons(&bridge, &[format!("table {database}.ticks does not exist")]);
        wait_flow(&scenario, "aggregates");
        scenario.query(&format!("RENAME TABLE {database}.away TO {database}.ticks")).unwrap();
        wait_ready_soon(&bridge);
    });
    finish(&scenario, &[bridge], &expected);
}

#[test]
fn an_own_route_takes_the_columns_that_its_table_gets_without_a_restart() {
    let topic = "reshaped.orders";
    let routes = format!(
        "{{ orders: {{ from: {{ topics: [{topic}] }}, table: orders, required: [order_id] }} }}"
    );
    let scenario = Scenario::new("reshaped", &clickhouse().url()).with("routes", &routes);
    create_topic(topic, 1, &[]);
    scenario.init();
    let database = scenario.database();
    let bridge = scenario.start(1);
    // Its table is missing: the shipped routes flow.
    let missing = format!("table {database}.orders does not exist");
    let sender = Sender::new();
    sender.text(topic, 0, r#"{"order_id":1,"price":1.25}"#);
    sender.flush();
    wait_for_reasons(&bridge, std::slice::from_ref(&missing));
    let generator = Generator::try_new(scenario.plan(21, 500)).unwrap();
    let expected = Expected::of(&generator).unwrap();
    crate::world::produce(&generator, 0..500, data_bridge_lab::kafka::Pace::Full);
    for kind in Kind::ALL {
        scenario.wait_rows(kind.table(), expected.visible(kind));
    }
    wait_for_reasons(&bridge, &[missing]);

    // One that cannot be written is named, and holds its own route only.
    let table = format!("{database}.orders");
    scenario
        .query(&format!(
            "CREATE TABLE {table} (order_id UInt64, place IPv6, version UInt64) \
             ENGINE = ReplacingMergeTree(version) ORDER BY order_id"
        ))
        .unwrap();
    wait_for_reasons(&bridge, &["column place has type IPv6, which cannot be written".to_owned()]);
    assert!(bridge.get("/healthz").is_ok());
    scenario.query(&format!("DROP TABLE {table} SYNC")).unwrap();

    let create = format!(
        "CREATE TABLE {database}.orders (order_id UInt64, price Nullable(Decimal(10, 2)), \
         version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY order_id"
    );
    scenario.query(&create).unwrap();
    scenario.wait_rows("orders", 1);
    let values = |columns: &str| {
        let query = format!("SELECT {columns} FROM {database}.orders FINAL ORDER BY order_id");
        scenario.query(&query).unwrap()
    };
    assert_eq!(values("order_id, price"), "1\t1.25\n");

    // One column comes, another one gets a wider type, one goes: each is written as it is now.
    let changes = [
        ("ADD COLUMN note Nullable(String)", r#"{"order_id":2,"price":2,"note":"n"}"#),
        ("MODIFY COLUMN price Nullable(Decimal(18, 4))", r#"{"order_id":3,"price":3.1234}"#),
        ("DROP COLUMN note", r#"{"order_id":4,"price":4,"note":"gone"}"#),
    ];
    let mut rows = 1;
    for (change, message) in changes {
        // What is fetched before the pipeline has begun again is written with the columns of before.
        let log = || {
            let said = std::fs::read_to_string(scenario.folder.join("bridge-1.log")).unwrap();
            said.matches("partitions assigned").count()
        };
        let before = log();
        scenario.query(&format!("ALTER TABLE {database}.orders {change}")).unwrap();
        until(PATIENCE, "the pipeline to begin again", || match log() {
            seen if seen > before => Ok(()),
            seen => Err(format!("{seen} times")),
        });
        sender.text(topic, 0, message);
        sender.flush();
        rows += 1;
        scenario.wait_rows("orders", rows);
        if change.starts_with("ADD") {
            assert_eq!(values("order_id, note"), "1\t\\N\n2\tn\n");
        }
    }
    assert_eq!(values("order_id, price"), "1\t1.25\n2\t2\n3\t3.1234\n4\t4\n");
    scenario.wait_rows("dead_letters", expected.dead_letters());
    bridge.wait_ready();
    drain(&bridge);
}

#[test]
fn every_code_of_the_verdict_table_has_the_name_that_clickhouse_gives_it() {
    let codes: Vec<_> = CODES.iter().map(|(code, ..)| code.to_string()).collect();
    let query = format!(
        "SELECT n, errorCodeToName(n) FROM (SELECT arrayJoin([{}]) AS n) ORDER BY n \
         FORMAT TabSeparated",
        codes.join(", ")
    );
    let server = data_bridge_lab::verify::Server::new(&clickhouse().url(), "default");
    let answer = crate::world::wait_for(server.query(&query)).unwrap();
    let ours = CODES.iter().map(|(code, name, _)| format!("{code}\t{name}"));
    assert_eq!(answer.lines().collect::<Vec<_>>(), ours.collect::<Vec<_>>());
}
