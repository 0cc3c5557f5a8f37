//! JetStream on servers that lose their leader, their disk or their patience: clusters, backups,
//! permissions, sizes.

use std::path::Path;
use std::time::Duration;

use async_nats::ConnectOptions;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_stack::nats::{Nats, NatsOptions};

use crate::nats_faults::{under_load, wait_more};
use crate::nats_stage::{Stream, nats, publisher, read_nats, scenario, ticks};
use crate::stopwatch::Stopwatch;
use crate::world::{Instance, PATIENCE, Scenario, clickhouse, folder, until};

#[test]
fn leaders_that_step_down_or_die_lose_nothing() {
    let mut cluster = Nats::cluster(&folder("server-nats_cluster"), 3).expect("NATS starts");
    let urls = cluster.iter().map(Nats::url).collect::<Vec<_>>().join(",");
    let more = ", ack_wait_ms: 2000, init: { replicas: 3 }";
    let scenario = scenario("nats_cluster", &urls, more);
    scenario.init();
    let monitors: Vec<_> = cluster.iter().map(Nats::monitor_port).collect();
    let leader = |of: &str| {
        until(PATIENCE, "a leader", || {
            let mut streams =
                monitors.iter().map(|port| Stream::on(&scenario, *port)).filter_map(|stream| {
                    let detail = if of == "stream" { stream.detail() } else { stream.consumer() };
                    detail["cluster"]["leader"].as_str().map(str::to_owned)
                });
            streams.next().filter(|name| !name.is_empty()).ok_or_else(|| "none".to_owned())
        })
    };
    let generator = ticks(&scenario, 321, 8_000);
    let bridges = [scenario.start(1), scenario.start(2)];
    bridges.iter().for_each(Instance::wait_ready);
    under_load(&urls, &generator, 500, || {
        for subject in
            ["STREAM.LEADER.STEPDOWN.NATS_CLUSTER", "CONSUMER.LEADER.STEPDOWN.NATS_CLUSTER.bridge"]
        {
            wait_more(&scenario, PATIENCE);
            let of = if subject.starts_with("STREAM") { "stream" } else { "consumer" };
            let before = leader(of);
            let mut admin = publisher(&urls, Assurance::Confirmed);
            admin.publish_one(&format!("$JS.API.{subject}"), b"", &[]).expect("it steps down");
            until(PATIENCE, "another leader", || match leader(of) {
                now if now != before => Ok(()),
                now => Err(now),
            });
            wait_more(&scenario, Duration::from_secs(20));
        }
        let dead =
            leader("consumer").trim_start_matches('n').parse::<usize>().expect("n1 to n3") - 1;
        cluster[dead].kill().expect("kill -9 works");
        wait_more(&scenario, Duration::from_secs(20));
        cluster[dead].restart().expect("NATS starts again");
        wait_more(&scenario, Duration::from_secs(20));
    });
    let expected = Expected::of(&generator).unwrap();
    scenario.assert_exact(&expected, PATIENCE);
    let stream = Stream::on(&scenario, monitors[0]);
    until(PATIENCE, "every message to be acked", || {
        let floor = stream.consumer()["ack_floor"]["stream_seq"].clone();
        if floor == 8_000 { Ok(()) } else { Err(stream.consumer().to_string()) }
    });
    for bridge in &bridges {
        assert_eq!(bridge.metric("data_bridge_nats_streams_made_anew_total"), 0);
        bridge.end();
    }
}

#[test]
fn a_server_that_comes_back_with_an_older_disk_loses_nothing_that_it_has() {
    let folder = folder("server-nats_older");
    let mut server = Nats::start(&folder, NatsOptions::default()).expect("NATS starts");
    let scenario = scenario("nats_older", &server.url(), ", ack_wait_ms: 1000");
    scenario.init();
    let generator = ticks(&scenario, 322, 6_000);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let publish = |server: &Nats, numbers| {
        publisher(&server.url(), Assurance::Confirmed)
            .publish(&generator, numbers, Pace::Full, |_| {})
            .expect("stored");
    };
    publish(&server, 0..2_000);
    Stream::on(&scenario, server.monitor_port()).wait_acked();
    server.stop().expect("it ends");
    let backup = folder.join("backup");
    copy(&folder.join("data"), &backup);
    server.restart().expect("NATS starts again");
    bridge.wait_ready();
    publish(&server, 2_000..4_000);
    scenario.wait_rows_in_all(4_000);
    // What is published now has sequences that others had before.
    server.kill().expect("kill -9 works");
    std::fs::remove_dir_all(folder.join("data")).expect("the disk is lost");
    copy(&backup, &folder.join("data"));
    server.restart().expect("NATS starts again");
    until(PATIENCE, "the older stream to be noticed", || {
        match bridge.metric("data_bridge_nats_streams_made_anew_total") {
            0 => Err("not seen".to_owned()),
            _ => Ok(()),
        }
    });
    publish(&server, 4_000..6_000);
    scenario.wait_rows_in_all(6_000);
    Stream::on(&scenario, server.monitor_port()).wait_acked();
    bridge.end();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("it can be read").map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a file has a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

/// A server where `bridge` may do anything but publish to `denied`, and `admin` everything.
fn that_denies(name: &str, denied: &str) -> Nats {
    let folder = folder(&format!("server-{name}"));
    let config = folder.join("nats.conf");
    let text = format!(
        "authorization {{ users: [\n  {{ user: admin, password: admin }},\n  {{ user: bridge, \
         password: right, permissions: {{ publish: {{ deny: [\"{denied}\"] }} }} }}\n] }}\n"
    );
    std::fs::write(&config, text).expect("the configuration can be written");
    let arguments = vec!["-c".to_owned(), config.display().to_string()];
    Nats::start(&folder, NatsOptions { arguments, ..NatsOptions::default() }).expect("NATS starts")
}

/// What the account may not do is named, and Kafka goes on meanwhile.
fn assert_named(name: &str, denied: &str, words: &[&str]) {
    let server = that_denies(name, denied);
    let mut scenario = Scenario::new(name, &clickhouse().url());
    let with = |user: &str, password: &str| {
        format!(", ack_wait_ms: 1000, auth: {{ user: {user}, password: {password} }}")
    };
    read_nats(&mut scenario, &server.url(), &with("admin", "admin"));
    scenario.init();
    let options = ConnectOptions::new().user_and_password("admin".into(), "admin".into());
    let generator = ticks(&scenario, 323, 50);
    Publisher::connect_with(&server.url(), options, Assurance::Confirmed)
        .expect("NATS lets admin in")
        .publish(&generator, 0..50, Pace::Full, |_| {})
        .expect("stored");
    read_nats(&mut scenario, &server.url(), &with("bridge", "right"));
    let bridge = scenario.start(1);
    bridge.wait_reason(words);
    let by_kafka = crate::flow::ticks(&scenario, 324, 500);
    crate::world::produce(&by_kafka, 0..500, Pace::Full);
    scenario.assert_committed();
    bridge.wait_reason(words);
    bridge.end();
}

#[test]
fn an_account_that_may_not_pull_is_told_what_it_lacks() {
    let subject = "$JS.API.CONSUMER.MSG.NEXT.NATS_NO_PULL.bridge";
    assert_named("nats_no_pull", subject, &["denies the account", subject]);
}

#[test]
fn an_account_that_may_not_ack_is_told_what_it_lacks() {
    let words = ["denies the account", "$JS.ACK"];
    assert_named("nats_no_ack", "$JS.ACK.>", &words);
}

#[test]
fn an_account_that_may_not_ask_about_the_stream_is_told_what_it_lacks() {
    let words = ["denies the account", "$JS.API.STREAM.INFO"];
    assert_named("nats_no_info", "$JS.API.STREAM.INFO.>", &words);
}

#[test]
fn a_message_larger_than_a_pull_asks_for_passes_alone() {
    let scenario =
        scenario("nats_large", &nats().url(), "").with("backpressure", "{ max_bytes: 16MiB }");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    let tick = br#"{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp":1706198400123}"#;
    let large = vec![b'x'; 1_000_000];
    for _ in 0..3 {
        publisher.publish_one("nats_large.market.EURUSD.tick", tick, &[]).expect("stored");
        publisher.publish_one("nats_large.market.EURUSD.tick", &large, &[]).expect("stored");
    }
    let bridge = scenario.start(1);
    let query = format!(
        "SELECT count(), min(length(payload)), max(length(payload)) FROM {}.dead_letters FINAL",
        scenario.database()
    );
    until(PATIENCE, "the large ones to be letters", || match scenario.query(&query) {
        Ok(found) if found.trim() == "3\t1000000\t1000000" => Ok(()),
        found => Err(format!("{found:?}")),
    });
    stream.wait_acked_once(6);
    bridge.end();
}

#[test]
fn a_message_above_the_limit_that_its_server_has_by_now_is_read_and_others_are_refused() {
    let folder = folder("server-nats_payload");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let config = folder.join("nats.conf");
    let limit = |bytes: u32| {
        std::fs::write(&config, format!("max_payload: {bytes}\n")).expect("it can be written");
    };
    limit(400_000);
    let arguments = vec!["-c".to_owned(), config.display().to_string()];
    let options = NatsOptions { arguments, ..NatsOptions::default() };
    let mut server = Nats::start(&folder, options).expect("NATS starts");
    let scenario = scenario("nats_payload", &server.url(), "");
    scenario.init();
    let tick = |number: u64, padding: usize| {
        let time = 1_706_198_400_123 + number;
        let padding = "x".repeat(padding);
        format!(
            r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp":{time},"note":"{padding}"}}"#
        )
    };
    let publish = |server: &Nats, payload: &str| {
        let mut publisher = publisher(&server.url(), Assurance::Confirmed);
        publisher.publish_one("nats_payload.market.EURUSD.tick", payload.as_bytes(), &[])
    };
    publish(&server, &tick(0, 300_000)).expect("stored");
    publish(&server, &tick(1, 0)).expect("stored");
    server.stop().expect("it ends");
    limit(10_000);
    server.restart().expect("NATS starts again");
    let bridge = scenario.start(1);
    scenario.wait_rows_in_all(2);
    let refused = publish(&server, &tick(2, 20_000));
    assert!(refused.is_err(), "it is above the server's limit");
    publish(&server, &tick(3, 9_000)).expect("stored");
    scenario.wait_rows_in_all(3);
    bridge.wait_ready();
    Stream::on(&scenario, server.monitor_port()).wait_acked_once(3);
    bridge.end();
}

#[test]
fn a_message_is_visible_soon_after_it_was_published() {
    let scenario = scenario("nats_soon", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let mut publisher = publisher(&nats().url(), Assurance::Confirmed);
    let count = format!("SELECT count() FROM {}.ticks", scenario.database());
    let watch = Stopwatch::start();
    let mut times: Vec<_> = (0..21)
        .map(|number| {
            let tick = format!(
                r#"{{"symbol":"EUR/USD","bid":1.1,"ask":1.2,"timestamp":{}}}"#,
                1_706_198_400_123_u64 + number
            );
            let one = Stopwatch::start();
            publisher
                .publish_one("nats_soon.market.EURUSD.tick", tick.as_bytes(), &[])
                .expect("stored");
            while scenario.query(&count).map(|found| found.trim().parse()) != Ok(Ok(number + 1)) {
                assert!(one.elapsed() < PATIENCE, "{number} messages became visible");
                std::thread::yield_now();
            }
            one.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("published to visible: {times:?}");
    watch.assert("from published to visible, p50", times[10], Duration::from_millis(30 + 20));
    stream.wait_acked_once(21);
    bridge.end();
}
