use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use data_bridge_core::catalog::EXTERNAL_TYPES;

use super::keys::{Fallback, KEYS};
use super::kind::Kind;
use super::*;

mod fuzz;
mod legacy;
mod mistakes;
mod precedence;
mod routes;
mod shown;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        host_name: "host-1".to_owned(),
    }
}

fn load(text: &str) -> Result<Loaded, Problems> {
    load_with(text, &[])
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let file = File { path: Path::new("bridge.yaml"), text };
    Config::load(Some(file), &environment(variables), &[])
}

/// The config of a text that must be sound.
fn sound(text: &str) -> Config {
    match load(text) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{text}\n{problems:#?}"),
    }
}

/// The problems of a text, one line each, without hints.
fn problems(text: &str) -> Vec<String> {
    match load(text) {
        Ok(_) => Vec::new(),
        Err(problems) => first_lines(&problems.problems),
    }
}

fn warnings(text: &str) -> Vec<String> {
    first_lines(&load(text).unwrap().warnings)
}

fn first_lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().lines().next().unwrap().to_owned()).collect()
}

/// The path as YAML on one line, with a value.
fn yaml(path: &str, value: &str) -> String {
    let mut text = value.to_owned();
    for (depth, name) in path.split('.').rev().enumerate() {
        text = if depth == 0 { format!("{name}: {text}") } else { format!("{name}: {{ {text} }}") };
    }
    text
}

#[test]
fn every_default_of_a_source_is_the_one_that_is_specified() {
    let config = Config::from_defaults(&environment(&[]));
    let ms = Duration::from_millis;

    assert_eq!(config.instance, Instance { id: "host-1".into(), number: Number::new(1) });

    let kafka = &config.kafka;
    assert!(kafka.enabled && !kafka.static_membership);
    assert_eq!(kafka.brokers, "localhost:9092");
    assert_eq!(kafka.group_id, "data-bridge-group");
    assert_eq!(kafka.group_protocol, GroupProtocol::Classic);
    assert_eq!(kafka.assignor, Assignor::Range);
    assert_eq!(kafka.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(kafka.session_timeout, ms(8000));
    assert_eq!(kafka.heartbeat_interval, ms(1000));
    assert_eq!(kafka.max_poll_interval, ms(300_000));
    assert_eq!(kafka.revoke, ms(1000));
    assert_eq!(kafka.topics.len(), 8);
    assert_eq!(kafka.topics["tick_archive"], "ticks");
    assert_eq!(kafka.topics["aggregate_archive"], "aggregates");
    for kind in EXTERNAL_TYPES {
        assert_eq!(kafka.topics[&format!("market.external.{kind}")], format!("external_{kind}"));
    }
    assert!(kafka.properties.is_empty());
    assert_eq!(kafka.init, KafkaInit { partitions: 6, replication: -1 });
    assert_eq!((kafka.fetch_min_bytes, kafka.fetch_max_wait), (None, ms(100)));

    let nats = &config.nats;
    assert!(nats.enabled && !nats.msg_id_is_event_id);
    assert_eq!(nats.cluster_urls, ["nats://localhost:4222"]);
    assert_eq!(nats.mode, NatsMode::JetStream);
    assert_eq!((nats.stream.as_str(), nats.consumer.as_str()), ("MARKET", "data-bridge"));
    assert_eq!(nats.queue_group, "data-bridge-group");
    assert_eq!(nats.ack_wait, ms(10_000));
    assert_eq!(nats.max_ack_pending.get(), 200_000);
    assert_eq!(nats.deliver_policy, DeliverPolicy::All);
    assert!(nats.auth.user.is_empty() && nats.auth.token.is_empty());
    let week = Duration::from_hours(7 * 24);
    let init = NatsInit { create: true, replicas: 1, max_age: week, max_bytes: None };
    assert_eq!(nats.init, init);
    let subject = |pattern: &str| nats.subjects[pattern].name().to_owned();
    assert_eq!(nats.subjects.len(), 3);
    assert_eq!(subject("market.*.tick"), "ticks");
    assert_eq!(subject("market.*.*"), "aggregates");
    assert_eq!(nats.subjects["market.external.*"], SubjectRoute::ExternalByType);
}

#[test]
fn every_other_default_is_the_one_that_is_specified() {
    let config = Config::from_defaults(&environment(&[]));
    let ms = Duration::from_millis;
    let clickhouse = &config.clickhouse;
    assert_eq!(clickhouse.urls, ["http://localhost:8123"]);
    assert_eq!((clickhouse.user.as_str(), clickhouse.database.as_str()), ("default", "market"));
    assert!(clickhouse.password.is_empty());
    assert_eq!(clickhouse.compression, Compression::None);
    assert_eq!(clickhouse.insert_timeout, ms(30_000));

    assert_eq!(config.batch.max_rows.get(), 1_000_000);
    assert_eq!(config.batch.max_bytes.get(), 64 << 20);
    assert_eq!(config.batch.max_age, ms(30));
    assert_eq!(config.batch.inserts_per_second.get(), 60);
    assert_eq!(config.backpressure.max_rows.get(), 1_000_000);
    assert_eq!(config.backpressure.max_bytes.get(), 256 << 20);
    assert_eq!((config.backpressure.pause_at, config.backpressure.resume_at), (0.8, 0.4));
    assert_eq!(config.retry, Retry { initial: ms(1000), max: ms(32_000) });
    assert_eq!(config.dead_letters.flood_rows.get(), 1000);
    assert_eq!(config.dead_letters.flood_share.to_string(), "0.5");
    assert_eq!(config.dead_letters.flood_window, ms(60_000));
    assert_eq!(config.readiness.stall, ms(10_000));
    assert_eq!(config.shutdown.grace, ms(25_000));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9401");
    assert!(config.http.advertise.is_empty() && config.http.token.is_empty());
    assert_eq!((config.hub.url.as_str(), config.hub.listen.port()), ("", 9400));
    let scale = config.autoscale;
    assert!(!scale.enabled);
    assert_eq!((scale.min.get(), scale.max.get(), scale.lag.get()), (3, 5, 10_000));
    assert_eq!((scale.for_time, scale.quiet), (ms(30_000), ms(300_000)));
    assert!(config.routes.is_empty());
    assert_eq!(config.log, Log { level: "info".into(), format: LogFormat::Text });
}

#[test]
fn defaults_say_nothing() {
    let loaded = Config::load(None, &environment(&[]), &[]).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(warnings("").is_empty());
    assert!(warnings("kafka:\nnats: {}\n").is_empty());
}

#[test]
fn every_key_is_read_and_shown() {
    let loaded = Config::load(None, &environment(&[]), &[]).unwrap();
    for key in KEYS {
        let shown = loaded.settings.iter().any(|setting| setting.path == key.path);
        let unset = matches!(key.default, Fallback::Says(text) if text.starts_with("librdkafka"));
        assert!(shown || unset, "{} is not read", key.path);
    }
}

/// Both ends of every range are taken, and the values beside them are refused by their key.
#[test]
fn every_range_holds_its_ends_and_no_more() {
    for key in KEYS {
        let (Kind::Whole { min, max } | Kind::Millis { min, max } | Kind::Seconds { min, max }) =
            key.kind
        else {
            continue;
        };
        for end in [min, max] {
            // Rules between keys may refuse an end; its range does not.
            for problem in problems(&yaml(key.path, &end.to_string())) {
                assert!(!problem.contains("is out of range"), "{problem}");
            }
        }
        let beyond = [min.checked_sub(1), max.checked_add(1)];
        for number in beyond.into_iter().flatten() {
            let found = problems(&yaml(key.path, &number.to_string()));
            let expected = format!("{}: `{number}` is out of range", key.path);
            assert!(found.iter().any(|line| line.contains(&expected)), "{expected}: {found:?}");
        }
    }
}

#[test]
fn every_word_of_a_choice_is_taken() {
    for key in KEYS {
        let Kind::Choice(words) = key.kind else {
            continue;
        };
        for word in words {
            assert!(load(&yaml(key.path, word)).is_ok(), "{}: {word}", key.path);
        }
        let found = problems(&yaml(key.path, "nonsense"));
        assert!(found[0].ends_with(&format!("{}: cannot be `nonsense`", key.path)), "{found:?}");
    }
    assert_eq!(
        sound("kafka: { assignor: cooperative-sticky }").kafka.assignor,
        Assignor::CooperativeSticky
    );
    assert_eq!(
        sound("kafka: { auto_offset_reset: earliest }").kafka.auto_offset_reset,
        OffsetReset::Earliest
    );
    assert_eq!(sound("nats: { mode: core }").nats.mode, NatsMode::Core);
    assert_eq!(sound("log: { format: json }").log.format, LogFormat::Json);
}

#[test]
fn one_value_of_each_shape_is_read() {
    let config = sound(
        "kafka:
  brokers: [a:1, 'b:2']
  fetch_min_bytes: 1024
  fetch_max_wait_ms: 50
  properties: { security.protocol: SASL_SSL, sasl.password: pw }
nats: { init: { max_age: 12h, max_bytes: 1GiB } }
clickhouse: { urls: http://a:1/ , tls: { ca_file: /ca.pem } }
batch: { max_bytes: 1MiB }
http: { listen: '[::1]:80' }
",
    );
    assert_eq!(config.kafka.brokers, "a:1,b:2");
    assert_eq!(config.kafka.fetch_min_bytes, Some(1024));
    assert_eq!(config.kafka.fetch_max_wait, Duration::from_millis(50));
    assert_eq!(config.kafka.properties["sasl.password"].expose(), "pw");
    assert_eq!(config.nats.init.max_age, Duration::from_hours(12));
    assert_eq!(config.nats.init.max_bytes, Some(1 << 30));
    assert_eq!(config.clickhouse.urls, ["http://a:1"]);
    assert_eq!(config.clickhouse.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(config.batch.max_bytes.get(), 1 << 20);
    assert_eq!(config.http.listen.to_string(), "[::1]:80");
}

#[test]
fn a_batch_that_nobody_sized_shrinks_with_the_buffer() {
    let config = sound("backpressure: { max_rows: 50000, max_bytes: 32MiB }");
    assert_eq!(config.batch.max_rows.get(), 50_000);
    assert_eq!(config.batch.max_bytes.get(), 8 << 20);
    let found = problems("backpressure: { max_rows: 50000 }\nbatch: { max_rows: 60000 }");
    assert_eq!(found.len(), 1, "{found:?}");
    let found = problems("backpressure: { max_bytes: 8MiB }\nbatch: { max_bytes: 16MiB }");
    assert!(found[0].contains("batch.max_bytes: 16MiB never fit"), "{found:?}");
}

/// Any text: an answer, never a panic.
#[test]
fn no_text_brings_the_reader_down() {
    let texts = [
        "[]",
        "5",
        "\"\"",
        "kafka",
        "- a\n- b",
        "? [a]\n: b",
        "{",
        "}",
        "*x",
        "&a *a",
        "&a [*a]",
        "!!int x",
        "kafka: [1]",
        "routes: { a: [] }",
        "routes: { a: { from: 5 } }",
        "routes: 7",
        "\u{feff}kafka: {}",
        "kafka: { topics: [a] }",
        "kafka: { topics: { a: { b: c } } }",
        "kafka: { 5: 6, ~: 7 }",
        "%YAML 9.9\n---\n",
        "kafka: { topics: { '': ticks } }",
        "nats: { subjects: { '..': ticks } }",
        "a: |\n  ${",
        "\0",
        "kafka: !x 5",
        "<<: {}",
        "kafka: {brokers: [[]]}",
        "kafka: { properties: { a: [] } }",
        "routes: { ~: ~ }",
    ];
    for text in texts {
        if let Err(problems) = load(text) {
            assert!(!problems.problems.is_empty(), "{text}");
        }
    }
}

/// The file with every key at its default says the same as no file, `topics` aside.
#[test]
fn the_complete_file_says_what_no_file_says() {
    let complete = include_str!("../../tests/fixtures/complete.yaml");
    let loaded = load(complete).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let mut config = loaded.config;
    let default = Config::from_defaults(&environment(&[]));
    assert_eq!(config.kafka.topics.len(), 2);
    config.kafka.topics.clone_from(&default.kafka.topics);
    assert_eq!(format!("{config:#?}"), format!("{default:#?}"));
}

#[test]
fn a_budget_of_inserts_below_the_default_is_kept_and_others_yield_to_latency() {
    let stretch = |text| load(text).unwrap().config.batch.longest_stretch;
    assert_eq!(stretch("batch: { inserts_per_second: 59 }"), Duration::from_secs(5));
    assert_eq!(stretch("batch: { inserts_per_second: 60 }"), Duration::from_millis(30));
    assert_eq!(stretch("batch: { max_age_ms: 10 }"), Duration::from_millis(10));
}
