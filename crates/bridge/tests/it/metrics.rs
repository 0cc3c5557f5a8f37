//! Every series moves when its event happens: held against what the lab sent and what a scripted
//! ClickHouse got. Counters exactly, histograms within a bucket. None is left out.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "a page of metrics is floats; what a test counts is exact in them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse, Request};
use data_bridge_lab::generate::{Generator, Message, Role};
use data_bridge_lab::kafka::{Pace, Producer};
use data_bridge_lab::metrics::Metrics;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;
use data_bridge_lab::plan::{Kind, Mix, Stamp, Ways};

use crate::fake_tables::{fake_with_tables, rows_of};
use crate::nats_stage::{nats, publisher, read_nats};
use crate::world::{Instance, PATIENCE, Scenario, kafka, until};

/// Series whose event another test causes, or a unit test; its source names the series.
const ELSEWHERE: [(&str, &str); 16] = [
    ("data_bridge_lost_ranges_total", include_str!("positions.rs")),
    ("data_bridge_lost_messages_total", include_str!("positions.rs")),
    ("data_bridge_added_partitions_total", include_str!("positions.rs")),
    ("data_bridge_made_anew_partitions_total", include_str!("../../src/pipeline/report/tests.rs")),
    ("data_bridge_flooded", include_str!("flood.rs")),
    ("data_bridge_table_paused", include_str!("paused_table.rs")),
    ("data_bridge_nats_dropped_messages_total", include_str!("nats_ways.rs")),
    ("data_bridge_nats_progress_signs_total", include_str!("nats_faults.rs")),
    ("data_bridge_nats_streams_made_anew_total", include_str!("nats_faults.rs")),
    ("data_bridge_commit_failures_total", include_str!("../../src/pipeline/report/tests.rs")),
    (
        "data_bridge_nats_given_back_messages_total",
        include_str!("../../src/pipeline/report/tests.rs"),
    ),
    (
        "data_bridge_nats_redelivered_messages_total",
        include_str!("../../src/pipeline/report/tests.rs"),
    ),
    ("data_bridge_nats_acks_repeated_total", include_str!("../../src/pipeline/report/tests.rs")),
    (
        "data_bridge_nats_slow_consumer_events_total",
        include_str!("../../src/pipeline/report/tests.rs"),
    ),
    ("data_bridge_nats_pending_messages", include_str!("../../src/pipeline/report/tests.rs")),
    (
        "data_bridge_certificate_expiry_timestamp_seconds",
        include_str!("../../src/telemetry/certificates.rs"),
    ),
];
/// What the scripted ClickHouse needs for an insert.
const INSERT: Duration = Duration::from_millis(70);
const MESSAGES: u64 = 8_000;

/// What the scripted ClickHouse saw.
#[derive(Default)]
struct Ledger {
    refuses: AtomicBool,
    refused: AtomicU64,
    /// Of each insert that was taken: its table, its rows, and the least time from its oldest
    /// record to its answer.
    taken: Mutex<Vec<(String, usize, f64)>>,
}

impl Ledger {
    fn answer(&self, request: &Request) -> Option<Answer> {
        if !request.is_insert() {
            return None;
        }
        if self.refuses.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Some(Answer::too_many_parts());
        }
        let table = request.table().expect("an insert names its table");
        // The bridge counts whole milliseconds.
        let least = INSERT.as_secs_f64() + oldest(request) - 0.002;
        let insert = (table, rows_of(request), least);
        self.taken.lock().expect("nobody panicked").push(insert);
        Some(Answer::Ok.after(INSERT))
    }

    fn rows(&self, table: &str) -> u64 {
        let taken = self.taken.lock().expect("nobody panicked");
        taken.iter().filter(|(name, ..)| name == table).map(|(_, rows, _)| *rows as u64).sum()
    }

    fn rows_in_all(&self) -> u64 {
        self.taken.lock().expect("nobody panicked").iter().map(|(_, rows, _)| *rows as u64).sum()
    }
}

/// Age of the oldest record of an insert: the version of a row begins with its broker's time.
fn oldest(request: &Request) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let mut oldest = now;
    for block in request.rows().expect("a whole insert") {
        for row in 0..block.rows.len() {
            let version = block.value(row, "version").expect("every table has one").to_string();
            let version: u64 = version.parse().expect("a whole number");
            oldest = oldest.min(((version >> 22) as f64) / 1_000.0);
        }
    }
    now - oldest
}

/// One scrape, and the series that were held against something.
struct Sheet<'i> {
    instance: &'i Instance,
    page: Metrics,
    checked: BTreeSet<String>,
}

impl<'i> Sheet<'i> {
    fn of(instance: &'i Instance) -> Self {
        let mut sheet = Self { instance, page: Metrics::default(), checked: BTreeSet::new() };
        sheet.scrape();
        sheet
    }

    fn scrape(&mut self) {
        self.page = Metrics::read(&self.instance.get("/metrics").expect("it answers"));
    }

    /// The sum of a series; it counts as checked from here.
    fn value(&mut self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let series = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        self.checked.insert(series.unwrap_or(name).to_owned());
        self.page.sum(&format!("data_bridge_{name}"), labels).unwrap_or(0.0)
    }

    #[track_caller]
    fn exactly(&mut self, name: &str, labels: &[(&str, &str)], wanted: u64) {
        let found = self.value(name, labels);
        assert!((found - wanted as f64).abs() < 1e-6, "{name}{labels:?}: {found}, not {wanted}");
    }

    /// Waits for the pipeline's next look, at which gauges are set.
    #[track_caller]
    fn wait(&mut self, name: &str, holds: impl Fn(f64) -> bool) -> f64 {
        until(PATIENCE, name, || {
            self.scrape();
            let found = self.value(name, &[]);
            if holds(found) { Ok(found) } else { Err(found.to_string()) }
        })
    }

    /// Holds a histogram against values that its own may exceed by less than a bucket.
    #[track_caller]
    fn within_a_bucket(&mut self, name: &str, labels: &[(&str, &str)], least: &[f64]) {
        self.exactly(&format!("{name}_count"), labels, least.len() as u64);
        let bucket = format!("data_bridge_{name}_bucket");
        let mut found = BTreeMap::new();
        for (has, count) in self.page.of(&bucket) {
            if labels.iter().all(|(key, value)| has.get(*key).is_some_and(|has| has == value)) {
                let bound = has["le"].replace("+Inf", "inf").parse::<f64>().expect("a bound");
                *found.entry((bound * 1e6) as u64).or_insert(0.0) += count;
            }
        }
        let mut before = 0.0;
        for (bound, count) in found {
            let bound = bound as f64 / 1e6;
            let below = least.iter().filter(|value| **value <= bound).count() as f64;
            assert!(count <= below, "{name}{labels:?} ≤ {bound}: {count}, and {below} can be");
            assert!(count >= before, "{name}{labels:?} ≤ {bound}: {count}, not {before} as below");
            before = below;
        }
    }
}

/// What a plan's messages are, by this generator's own account.
#[derive(Default)]
struct Sent {
    rows: BTreeMap<Kind, u64>,
    bad: u64,
    kafka_bytes: u64,
    nats_bytes: u64,
}

fn sent(generator: &Generator) -> Sent {
    let (mut sent, mut message) = (Sent::default(), Message::default());
    for number in 0..MESSAGES {
        generator.message(number, &mut message);
        if matches!(message.role, Role::Bad(_)) {
            sent.bad += 1;
        } else {
            *sent.rows.entry(message.kind).or_default() += 1;
        }
        let headers = message.headers.iter().map(|(name, value)| name.len() + value.len());
        let content = headers.sum::<usize>() + message.payload().map_or(0, <[u8]>::len);
        sent.nats_bytes += content as u64;
        sent.kafka_bytes += (content + message.key.len()) as u64;
    }
    sent
}

fn stage() -> (Scenario, FakeClickHouse, Arc<Ledger>) {
    let fake = fake_with_tables();
    fake.program("system.parts", Answer::Text("ticks\t7\n".to_owned()));
    let ledger = Arc::new(Ledger::default());
    let script = Arc::clone(&ledger);
    fake.script(move |request| script.answer(request));
    let mut scenario = Scenario::new("metrics", &fake.url())
        .with("retry", "{ initial_ms: 50, max_ms: 200 }")
        .with("backpressure", "{ max_rows: 5000 }");
    read_nats(&mut scenario, &nats().url(), "");
    (scenario, fake, ledger)
}

fn generator(scenario: &Scenario) -> Generator {
    let mut plan = scenario.plan(801, MESSAGES);
    plan.ways = Ways::Both { origin: "nats:METRICS".to_owned() };
    plan.stamp = Stamp::Clock;
    plan.mix = Mix { bad: 0.01, duplicates: 0.0, corrections: 0.0, ..Mix::default() };
    Generator::try_new(plan).expect("a sound plan")
}

fn tick(more: &str) -> Vec<u8> {
    format!(r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp_ms":1706198400123{more}}}"#)
        .into_bytes()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one instance, all series, in the order of its life")]
fn every_series_agrees_with_what_was_sent_and_what_was_written() {
    let (scenario, _fake, ledger) = stage();
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let generator = generator(&scenario);
    let sent = sent(&generator);
    let producer = Producer::connect(&kafka().bootstrap()).expect("a producer can be made");
    let mut stream = publisher(&nats().url(), Assurance::Confirmed);
    for start in (0..MESSAGES).step_by(200) {
        let numbers = start..start + 200;
        producer.produce(&generator, numbers.clone(), Pace::Full, |_| {}).expect("stored");
        stream.publish(&generator, numbers, Pace::Full, |_| {}).expect("stored");
    }
    until(PATIENCE, "every row", || match ledger.rows_in_all() {
        rows if rows == 2 * MESSAGES => Ok(()),
        rows if rows > 2 * MESSAGES => {
            panic!("{rows} of {}:\n{}", 2 * MESSAGES, bridge.get("/metrics").unwrap_or_default())
        }
        rows => Err(format!("{rows} of {}", 2 * MESSAGES)),
    });
    let mut sheet = Sheet::of(&bridge);
    sheet.wait("lag_messages", |lag| lag == 0.0);
    sheet.wait("nats_ack_pending_messages", |held| held == 0.0);
    sheet.wait("nats_acked_messages_total", |acked| acked == MESSAGES as f64);

    for (source, bytes) in [("kafka", sent.kafka_bytes), ("nats", sent.nats_bytes)] {
        sheet.exactly("received_messages_total", &[("source", source)], MESSAGES);
        sheet.exactly("received_bytes_total", &[("source", source)], bytes);
    }
    for (kind, rows) in &sent.rows {
        sheet.exactly("decoded_rows_total", &[("table", kind.table())], 2 * rows);
        sheet.exactly("inserted_rows_total", &[("table", kind.table())], 2 * rows);
        assert_eq!(ledger.rows(kind.table()), 2 * rows);
    }
    // This instance alone: the copies of each event meet here. A few events are sent by two messages.
    let events = Expected::of(&generator).expect("a model of all messages").visible_in_all();
    sheet.exactly("both_ways_seconds_count", &[], events);
    sheet.exactly("dead_letters_total", &[], 2 * sent.bad);
    assert_eq!(ledger.rows("dead_letters"), 2 * sent.bad);
    let taken = ledger.taken.lock().expect("nobody panicked").clone();
    for table in taken.iter().map(|(table, ..)| table).collect::<BTreeSet<_>>() {
        let of = &[("table", table.as_str())];
        let inserts: Vec<_> = taken.iter().filter(|(name, ..)| name == table).collect();
        sheet.exactly("inserts_total", of, inserts.len() as u64);
        let rows: Vec<f64> = inserts.iter().map(|(_, rows, _)| *rows as f64).collect();
        sheet.within_a_bucket("batch_rows", of, &rows);
        sheet.exactly("batch_rows_sum", of, rows.iter().sum::<f64>() as u64);
        sheet.within_a_bucket(
            "insert_duration_seconds",
            of,
            &vec![INSERT.as_secs_f64(); rows.len()],
        );
    }
    let latencies: Vec<f64> = taken.iter().map(|(.., latency)| *latency).collect();
    sheet.within_a_bucket("produce_to_durable_seconds", &[], &latencies);
    // A chunk is settled when its insert has been answered.
    assert!(sheet.value("chunk_age_seconds_count", &[]) > 0.0);
    let quick = sheet.page.sum("data_bridge_chunk_age_seconds_bucket", &[("le", "0.05")]);
    assert_eq!(quick, Some(0.0), "no chunk is older than its insert takes");
    sheet.exactly("insert_retries_total", &[], 0);
    sheet.exactly("lag_seconds", &[], 0);
    sheet.exactly("buffer_rows", &[], 0);
    sheet.exactly("budget_bytes", &[], 256 << 20);
    sheet.exactly("backpressure", &[], 0);
    sheet.exactly("backpressure_seconds_total", &[], 0);
    sheet.exactly("assigned", &[], 8 * 6);
    sheet.exactly("topic_partitions", &[], 8 * 6);
    sheet.exactly("rebalances_total", &[], 1);
    sheet.exactly("ready", &[], 1);
    sheet.exactly("clickhouse_parts", &[("table", "ticks")], 7);
    sheet.exactly("clickhouse_parts", &[("table", "aggregates")], 0);
    sheet.exactly("nats_connected", &[], 1);
    sheet.exactly("nats_connects_total", &[], 1);
    sheet.exactly("build_info", &[("instance_id", "metrics-1"), ("instance_number", "1")], 1);
    let alone = sheet.value("rebalancing_seconds_total", &[]);
    a_scrape_is_small_and_quick(&bridge);

    // One message is one insert and one commit; what no column takes is counted.
    let topic = format!("{}{}", scenario.prefix(), Kind::Tick.topic());
    let (commits, unknown) =
        (sheet.value("commits_total", &[]), sheet.value("unknown_fields_total", &[]));
    producer.produce_one(&topic, 0, None, Some(&tick(r#","a1":1,"b2":{"c":3}"#))).expect("stored");
    let more = sheet.wait("commits_total", |now| now > commits);
    assert!((more - commits - 1.0).abs() < 1e-6, "{commits}, then {more}");
    assert!((sheet.value("unknown_fields_total", &[]) - unknown - 2.0).abs() < 1e-6);

    // ClickHouse refuses: messages wait, and how many and how long is said.
    sheet.wait("lag_messages", |lag| lag == 0.0);
    ledger.refuses.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let mut flood = crate::flow::ticks(&scenario, 802, 4_500).plan().clone();
    flood.stamp = Stamp::Clock;
    let flood = Generator::try_new(flood).expect("a sound plan");
    producer.produce(&flood, 0..1_000, Pace::Full, |_| {}).expect("stored");
    sheet.wait("lag_messages", |lag| lag == 1_000.0);
    producer.produce(&flood, 1_000..4_500, Pace::Full, |_| {}).expect("stored");
    sheet.wait("backpressure", |held| held == 1.0);
    // What comes to a partition that is held is seen when it is read again.
    sheet.wait("lag_messages", |lag| (4_000.0..=4_500.0).contains(&lag));
    sheet.wait("backpressure_seconds_total", |time| time > 0.5);
    assert!(sheet.value("lag_seconds", &[]) > 0.0);
    let waits = sheet.page.of("data_bridge_lag_seconds").map(|(_, time)| time).fold(0.0, f64::max);
    let most = began.elapsed().as_secs_f64();
    assert!(waits > 0.5 && waits <= most, "{waits} s of {most}");
    assert!(sheet.value("backpressure_seconds_total", &[]) <= most);
    let rows = sheet.value("buffer_rows", &[]);
    assert!((4_000.0..=5_000.0).contains(&rows), "{rows} rows are held");
    let bytes = sheet.value("buffer_bytes", &[]);
    assert!(bytes >= rows * 60.0, "{bytes} bytes for {rows} rows");
    let idle = sheet.value("since_last_durable_seconds", &[]);
    assert!(idle >= waits && idle <= most + 5.0, "{idle} s");
    ledger.refuses.store(false, Ordering::Relaxed);
    sheet.wait("lag_messages", |lag| lag == 0.0);
    sheet.exactly("insert_retries_total", &[], ledger.refused.load(Ordering::Relaxed));
    let slow = sheet.page.sum("data_bridge_chunk_age_seconds_bucket", &[("le", "0.5")]);
    assert!(sheet.value("chunk_age_seconds_count", &[]) > slow.expect("a bucket"));

    // Another joins: half of the partitions go, and the group took its time for it.
    let other = scenario.start(2);
    sheet.wait("assigned", |assigned| assigned == 24.0);
    sheet.exactly("topic_partitions", &[], 8 * 6);
    other.wait_ready();
    sheet.wait("rebalances_total", |changes| changes >= 2.0);
    assert!(sheet.value("rebalancing_seconds_total", &[]) > alone);

    let checked = sheet.checked;
    other.end();
    bridge.end();
    let missing = unchecked(&checked);
    assert!(missing.is_empty(), "no test says when these move: {missing:?}");
}

/// For eight topics of six partitions and all tables, after messages of every kind.
fn a_scrape_is_small_and_quick(bridge: &Instance) {
    let scrape = || {
        let began = Instant::now();
        let page = bridge.get("/metrics").expect("it answers");
        (began.elapsed(), page)
    };
    let (took, page) = (0..20).map(|_| scrape()).min().expect("twenty scrapes");
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    println!("{series} series in {took:?}");
    assert!(series < 600, "{series} series:\n{page}");
    assert!(took < Duration::from_millis(20), "the quickest of twenty took {took:?}");
}

/// Declared series that nothing was held against, here or elsewhere.
fn unchecked(checked: &BTreeSet<String>) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let reference = fs::read_to_string(path).expect("the reference is there");
    let declared = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let declared: Vec<_> = declared.map(str::to_owned).collect();
    assert!(declared.len() > 40, "{declared:?}");
    let elsewhere = |name: &str| {
        ELSEWHERE.iter().any(|(other, source)| *other == name && source.contains(name))
    };
    let here = |name: &str| checked.contains(name.trim_start_matches("data_bridge_"));
    declared.into_iter().filter(|name| !here(name) && !elsewhere(name)).collect()
}
