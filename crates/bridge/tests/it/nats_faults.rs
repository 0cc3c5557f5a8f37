//! JetStream with everything that goes wrong around it: instances, ClickHouse, server and link.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;
use data_bridge_lab::proxy::{Fault, Proxy};
use serde_json::json;

use crate::by_hand::audit;
use crate::nats_stage::{ACK_WAIT, Stream, finish, nats, own_nats, publisher, scenario, ticks};
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, pause, proxy_to, until};

/// The shortest time for acks that there is, and few that may be held.
const SHORT: &str = ", ack_wait_ms: 1000";
const SOON: (&str, &str) = ("retry", "{ initial_ms: 100, max_ms: 500 }");
const MIB: u64 = 1 << 20;

fn rows(scenario: &Scenario) -> u64 {
    let query = format!("SELECT count() FROM {}.ticks FINAL", scenario.database());
    let answer = scenario.query(&query).expect("ClickHouse answers");
    answer.trim().parse().expect("a number")
}

#[track_caller]
pub(crate) fn wait_more(scenario: &Scenario, limit: Duration) {
    let before = rows(scenario);
    until(limit, "rows to flow", || match rows(scenario) {
        now if now > before => Ok(()),
        now => Err(format!("{now} rows")),
    });
}

/// Publishes at this rate on a thread of its own while `work` goes on, then what is left at once.
pub(crate) fn under_load<T>(
    url: &str,
    generator: &data_bridge_lab::generate::Generator,
    per_second: u32,
    work: impl FnOnce() -> T,
) -> T {
    let done = AtomicBool::new(false);
    let messages = generator.plan().messages;
    let piece = u64::from(per_second / 5).max(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = publisher(url, Assurance::Once);
            let mut sent = 0;
            while sent < messages {
                let (end, pace) = if done.load(Ordering::Relaxed) {
                    (messages, Pace::Full)
                } else {
                    (messages.min(sent + piece), Pace::PerSecond(f64::from(per_second)))
                };
                publisher.publish(generator, sent..end, pace, |_| {}).expect("all is stored");
                sent = end;
            }
        });
        let _done = crate::flow::Done(&done);
        work()
    })
}

/// Acks come after rows: whatever the server counts as acked is visible by then.
#[track_caller]
fn assert_acks_follow_rows(scenario: &Scenario, stream: &Stream) {
    let floor = stream.consumer()["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
    let query = format!(
        "SELECT uniqExact(origin_position) FROM (SELECT origin_position FROM {db}.ticks UNION ALL \
         SELECT origin_position FROM {db}.dead_letters) WHERE origin_position <= {floor}",
        db = scenario.database()
    );
    let durable = scenario.query(&query).expect("ClickHouse answers");
    assert_eq!(durable.trim(), floor.to_string(), "acked and not durable");
}

#[test]
fn instances_killed_under_load_lose_nothing_and_ack_nothing_too_early() {
    let scenario = scenario("nats_kill", &nats().url(), SHORT);
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, 301, 30_000);
    let mut bridges: Vec<_> = (1..=3).map(|number| scenario.start(number)).collect();
    bridges.iter().for_each(Instance::wait_ready);
    let mut chance = fastrand::Rng::with_seed(301);
    under_load(&nats().url(), &generator, 2_000, || {
        for _ in 0..4 {
            wait_more(&scenario, PATIENCE);
            pause(Duration::from_millis(chance.u64(0..500)));
            let victim = chance.usize(..bridges.len());
            bridges[victim].kill();
            assert_acks_follow_rows(&scenario, &stream);
            bridges[victim] = scenario.start(u32::try_from(victim).expect("few") + 1);
        }
    });
    finish(&scenario, &stream, &bridges, &Expected::of(&generator).unwrap());
}

#[test]
fn a_drained_stop_leaves_nothing_behind_and_nothing_is_delivered_twice() {
    let scenario = scenario("nats_stop", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, 302, 10_000);
    let mut bridge = scenario.start(1);
    bridge.wait_ready();
    under_load(&nats().url(), &generator, 2_000, || {
        for _ in 0..2 {
            wait_more(&scenario, PATIENCE);
            bridge.end();
            let held = stream.consumer()["delivered"]["stream_seq"].as_u64().expect("a number");
            bridge = scenario.start(1);
            // Nothing is left to wait for the 10 s of `ack_wait_ms`.
            until(Duration::from_secs(8), "what was delivered before the stop to be acked", || {
                let consumer = stream.consumer();
                let floor = consumer["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
                if floor >= held { Ok(()) } else { Err(consumer.to_string()) }
            });
        }
    });
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
    stream.wait_acked_once(10_000);
}

#[test]
fn inserts_slower_than_the_wait_for_acks_cause_no_redelivery() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario("nats_slow", &nats().url(), SHORT).through(&proxy);
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, 303, 500);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    proxy.set(Fault::Delay(ACK_WAIT * 3 / 2));
    publisher(&nats().url(), Assurance::Confirmed)
        .publish(&generator, 0..497, Pace::Full, |_| {})
        .expect("the stream takes the messages");
    until(PATIENCE, "signs of progress", || {
        let signs = bridge.metric("data_bridge_nats_progress_signs_total");
        if signs > 0 { Ok(()) } else { Err("none".to_owned()) }
    });
    stream.wait_acked();
    proxy.set(Fault::Pass);
    // One message a second, each waiting alone.
    publisher(&nats().url(), Assurance::Confirmed)
        .publish(&generator, 497..500, Pace::PerSecond(1.0), |_| {})
        .expect("the stream takes the messages");
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    stream.wait_acked_once(500);
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
}

#[test]
fn clickhouse_away_for_many_waits_orphans_nothing_and_costs_neither_memory_nor_a_flood() {
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario("nats_away", &nats().url(), SHORT)
        .with(SOON.0, SOON.1)
        .with("backpressure", "{ max_rows: 5000, max_bytes: 16MiB }")
        .through(&proxy);
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, 304, 30_000);
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    publisher.publish(&generator, 0..1_000, Pace::Full, |_| {}).expect("stored");
    stream.wait_acked();
    proxy.set(Fault::Refuse);
    publisher.publish(&generator, 1_000..30_000, Pace::Full, |_| {}).expect("stored");
    let away = Instant::now();
    let (mut rss, mut held) = (0, 0);
    while away.elapsed() < ACK_WAIT * 10 {
        rss = rss.max(bridge.rss());
        held = held.max(bridge.status()["buffered_rows"].as_u64().unwrap_or(0));
        assert_eq!(bridge.get("/healthz").unwrap(), "ok\n");
        pause(Duration::from_millis(50));
    }
    bridge.wait_reason(&["cannot connect", &proxy.url()]);
    let consumer = stream.consumer();
    let delivered = consumer["delivered"]["consumer_seq"].as_u64().expect("a count");
    println!("rss {} MiB, {held} rows held, {delivered} deliveries", rss / MIB);
    println!("{}", bridge.status());
    assert!(rss <= 16 * MIB + 64 * MIB, "{rss} bytes resident");
    assert!(held <= 5_000, "{held} rows held");
    assert!(delivered <= 1_000 + 5_000, "{delivered} deliveries: {consumer}");
    proxy.set(Fault::Pass);
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
    let delivered = stream.consumer()["delivered"]["consumer_seq"].as_u64().expect("a count");
    println!("{delivered} deliveries of 30000 messages in all");
    assert!(delivered <= 2 * 30_000, "{delivered} deliveries");
}

/// A proxy in front of NATS, and its address as clients write it.
fn nats_proxy(port: u16) -> (Proxy, String) {
    let proxy = proxy_to(port);
    let url = format!("nats://{}", proxy.address());
    (proxy, url)
}

/// `cargo xtask cuts` cuts more often.
#[test]
fn a_link_that_is_cut_again_and_again_flows_within_five_seconds_each_time() {
    let of = |name: &str, otherwise: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (cuts, seed) = (of("NATS_CUTS", 8), of("NATS_CUTS_SEED", 305));
    let (proxy, url) = nats_proxy(nats().port());
    let scenario = scenario("nats_cut", &url, "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = ticks(&scenario, seed, 2_000 + cuts * 500);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut longest = Duration::ZERO;
    under_load(&nats().url(), &generator, 200, || {
        for cut in 0..cuts {
            pause(Duration::from_millis(chance.u64(0..200)));
            match cut % 3 {
                0 => proxy.times(Fault::Reset, 1),
                1 => {
                    proxy.set(Fault::Refuse);
                    pause(Duration::from_millis(chance.u64(50..500)));
                    proxy.set(Fault::Pass);
                }
                _ => {
                    // Nobody says that the link is dead.
                    proxy.set(Fault::BlackHole);
                    pause(Duration::from_millis(chance.u64(50..1_000)));
                    proxy.set(Fault::Reset);
                    proxy.set(Fault::Pass);
                }
            }
            let healed = Instant::now();
            wait_more(&scenario, Duration::from_secs(5));
            longest = longest.max(healed.elapsed());
        }
    });
    println!("{cuts} cuts, flowing again after at most {longest:?}");
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
}

#[test]
fn a_server_killed_under_load_loses_nothing() {
    let mut server = own_nats("nats_killed");
    let scenario = scenario("nats_killed", &server.url(), SHORT);
    scenario.init();
    let stream = Stream::on(&scenario, server.monitor_port());
    let generator = ticks(&scenario, 306, 20_000);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let url = server.url();
    under_load(&url, &generator, 2_000, || {
        for _ in 0..3 {
            wait_more(&scenario, PATIENCE);
            server.kill().expect("kill -9 works");
            bridge.wait_reason(&["NATS", "not connected"]);
            server.restart().expect("NATS starts again");
            wait_more(&scenario, Duration::from_secs(20));
        }
    });
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
}

/// What `init` would ask for, in a test where it may not.
fn stream_of(name: &str) -> serde_json::Value {
    json!({ "name": name, "subjects": [format!("{}.>", name.to_lowercase())], "storage": "file",
            "retention": "limits", "num_replicas": 1, "max_age": 0, "max_bytes": -1,
            "discard": "old" })
}

fn consumer_of(stream: &str, ack_wait_s: u64, max_deliver: i64) -> serde_json::Value {
    json!({ "stream_name": stream, "config": { "durable_name": "bridge",
            "deliver_policy": "all", "ack_policy": "explicit",
            "ack_wait": ack_wait_s * 1_000_000_000, "max_deliver": max_deliver,
            "max_ack_pending": 200_000, "replay_policy": "instant" } })
}

#[test]
fn what_is_missing_is_named_and_found_again_by_itself() {
    let server = own_nats("nats_missing");
    let scenario = scenario("nats_missing", &server.url(), ", init: { create: false }");
    // Tables alone: stream and consumer may not be created.
    let output = std::process::Command::new(crate::world::binary())
        .args(["init", "--config"])
        .arg(scenario.config(1, 0))
        .output()
        .expect("data-bridge runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let bridge = scenario.start(1);
    bridge.wait_reason(&["stream NATS_MISSING does not exist", "data-bridge init"]);
    let mut admin = publisher(&server.url(), Assurance::Confirmed);
    let mut ask = |subject: &str, body: serde_json::Value| {
        admin.publish_one(subject, body.to_string().as_bytes(), &[]).expect("the server does it");
    };
    ask("$JS.API.STREAM.CREATE.NATS_MISSING", stream_of("NATS_MISSING"));
    bridge.wait_reason(&["consumer bridge", "does not exist"]);
    let consumer = |max_deliver: i64| consumer_of("NATS_MISSING", 10, max_deliver);
    ask("$JS.API.CONSUMER.DURABLE.CREATE.NATS_MISSING.bridge", consumer(10));
    bridge.wait_reason(&["max_deliver is 10", "orphaned"]);
    ask("$JS.API.CONSUMER.DELETE.NATS_MISSING.bridge", json!({}));
    ask("$JS.API.CONSUMER.DURABLE.CREATE.NATS_MISSING.bridge", consumer(-1));
    bridge.wait_ready();

    let generator = ticks(&scenario, 307, 3_000);
    let stream = Stream::on(&scenario, server.monitor_port());
    let mut producer = publisher(&server.url(), Assurance::Confirmed);
    producer.publish(&generator, 0..1_000, Pace::Full, |_| {}).expect("stored");
    stream.wait_acked();
    // The consumer is deleted under us: known, named, and all is read when there is one again.
    ask("$JS.API.CONSUMER.DELETE.NATS_MISSING.bridge", json!({}));
    bridge.wait_reason(&["consumer bridge", "does not exist"]);
    producer.publish(&generator, 1_000..2_000, Pace::Full, |_| {}).expect("stored");
    ask("$JS.API.CONSUMER.DURABLE.CREATE.NATS_MISSING.bridge", consumer(-1));
    bridge.wait_ready();
    stream.wait_acked();
    producer.publish(&generator, 2_000..3_000, Pace::Full, |_| {}).expect("stored");
    finish(&scenario, &stream, &[bridge], &Expected::of(&generator).unwrap());
}

#[test]
fn purged_messages_are_counted_and_a_stream_made_anew_is_read_from_its_start() {
    let server = own_nats("nats_purge");
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario("nats_purge", &server.url(), "")
        .with(SOON.0, SOON.1)
        .with("backpressure", "{ max_rows: 1000 }")
        .through(&proxy);
    scenario.init();
    let stream = Stream::on(&scenario, server.monitor_port());
    let generator = ticks(&scenario, 308, 10_000);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut producer = publisher(&server.url(), Assurance::Confirmed);
    proxy.set(Fault::Refuse);
    producer.publish(&generator, 0..5_000, Pace::Full, |_| {}).expect("stored");
    let delivered = until(PATIENCE, "pulling to pause", || {
        let status = bridge.status();
        let waiting = status["nats"]["pending"].as_u64().unwrap_or(0);
        let full = status["backpressure"] == true && waiting > 0;
        if full { Ok(5_000 - waiting) } else { Err(status.to_string()) }
    });
    let mut admin = publisher(&server.url(), Assurance::Confirmed);
    admin.publish_one("$JS.API.STREAM.PURGE.NATS_PURGE", b"", &[]).expect("purged");
    let lost = until(PATIENCE, "the lost messages to be counted", || {
        match bridge.metric("data_bridge_lost_messages_total") {
            0 => Err("none".to_owned()),
            lost => Ok(lost),
        }
    });
    assert_eq!(lost, 5_000 - delivered, "of 5000, {delivered} had been delivered");
    proxy.set(Fault::Pass);
    bridge.wait_ready();
    scenario.wait_rows_in_all(delivered);
    stream.wait_acked();
    let (findings, summary) = audit(&scenario, &[], 1);
    assert_eq!(summary["messages_lost"].as_u64(), Some(lost), "{findings:#?} {summary}");

    // The server loses its disk: sequences begin again.
    admin.publish_one("$JS.API.STREAM.DELETE.NATS_PURGE", b"", &[]).expect("deleted");
    scenario.init();
    until(PATIENCE, "the new stream to be seen", || {
        match bridge.metric("data_bridge_nats_streams_made_anew_total") {
            0 => Err("not seen".to_owned()),
            _ => Ok(()),
        }
    });
    producer.publish(&generator, 5_000..10_000, Pace::Full, |_| {}).expect("stored");
    stream.wait_acked();
    scenario.wait_rows_in_all(delivered + 5_000);
    bridge.end();
}

/// Ticks of the old stream are written, under sequences that candles have in the new one, which
/// cannot be written yet: an ack of the old ones would be taken for one of these.
#[test]
fn what_is_held_of_a_stream_is_written_and_acks_nothing_of_the_one_made_anew() {
    const EACH: u64 = 50;
    let server = own_nats("nats_anew");
    let proxy = proxy_to(clickhouse().port());
    let scenario = scenario("nats_anew", &server.url(), SHORT).with(SOON.0, SOON.1).through(&proxy);
    scenario.init();
    let stream = Stream::on(&scenario, server.monitor_port());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut admin = publisher(&server.url(), Assurance::Confirmed);
    let mut send = |subject: &str, payload: String| {
        admin.publish_one(subject, payload.as_bytes(), &[]).expect("the server takes it");
    };
    let held = |created: &str| {
        until(PATIENCE, "all to be delivered", || {
            let consumer = stream.consumer();
            let other = consumer["created"] != created && !consumer.is_null();
            match consumer["num_ack_pending"].as_u64() {
                Some(EACH) if other => Ok(consumer["created"].as_str().unwrap_or("").to_owned()),
                _ => Err(consumer.to_string()),
            }
        })
    };

    proxy.set(Fault::Refuse);
    for number in 0..EACH {
        let time = 1_706_198_400_000 + number;
        let tick = json!({ "symbol": "EUR/USD", "bid": 1.1, "ask": 1.2, "timestamp_ms": time });
        send("nats_anew.market.EURUSD.tick", tick.to_string());
    }
    let old = held("");
    send("$JS.API.STREAM.DELETE.NATS_ANEW", String::new());
    send("$JS.API.STREAM.CREATE.NATS_ANEW", stream_of("NATS_ANEW").to_string());
    let consumer = consumer_of("NATS_ANEW", 1, -1).to_string();
    send("$JS.API.CONSUMER.DURABLE.CREATE.NATS_ANEW.bridge", consumer);
    let database = scenario.database();
    let rename = |from: &str, to: &str| {
        let query = format!("RENAME TABLE {database}.{from} TO {database}.{to}");
        scenario.query(&query).expect("it can be renamed");
    };
    rename("aggregates", "elsewhere");
    for number in 0..EACH {
        let candle = json!({ "symbol": "EUR/USD", "timeframe": "5m", "open": 1, "high": 1, "low": 1, "close": 1,
                             "timestamp_ms": 1_706_198_400_000 + number * 300_000 });
        send("nats_anew.market.EURUSD.5m", candle.to_string());
    }
    held(&old);
    proxy.set(Fault::Pass);
    scenario.wait_rows("ticks", EACH);
    bridge.wait_reason(&["aggregates"]);
    bridge.kill();
    rename("elsewhere", "aggregates");
    let bridge = scenario.start(2);
    scenario.wait_rows("aggregates", EACH);
    stream.wait_acked();
    bridge.end();
}
