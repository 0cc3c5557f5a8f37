use super::*;

const PREVIOUS: &str = include_str!("../../../tests/fixtures/previous-service.yaml");

#[test]
fn the_previous_services_file_loads_as_it_stands() {
    let config = sound(PREVIOUS);
    let kafka = &config.kafka;
    assert_eq!(kafka.brokers, "kafka-1:9092");
    assert_eq!(kafka.group_id, "data-bridge-group");
    assert_eq!(kafka.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(kafka.session_timeout, Duration::from_secs(30));
    assert_eq!(kafka.heartbeat_interval, Duration::from_secs(10));
    assert_eq!(kafka.max_poll_interval, Duration::from_mins(5));
    assert_eq!(kafka.fetch_min_bytes, Some(1024));
    assert_eq!(kafka.fetch_max_wait, Duration::from_millis(500));
    let topics = BTreeMap::from([("tick_archive", "ticks"), ("aggregate_archive", "aggregates")]);
    let found = kafka.topics.iter().map(|(topic, route)| (topic.as_str(), route.as_str()));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), topics);

    let nats = &config.nats;
    assert_eq!(
        nats.cluster_urls,
        ["nats://nats-1:4222", "nats://nats-2:4222", "nats://nats-3:4222"]
    );
    let named = |name: &str| SubjectRoute::Named(name.to_owned());
    let subjects = BTreeMap::from([
        ("ticks.>".to_owned(), named("ticks")),
        ("bars.>".to_owned(), named("aggregates")),
        ("market.external.>".to_owned(), SubjectRoute::ExternalByType),
    ]);
    assert_eq!(nats.subjects, subjects);

    // What adapts now keeps its defaults.
    assert_eq!(config.batch.max_rows.get(), 1_000_000);
    assert_eq!(config.batch.max_age, Duration::from_millis(30));
}

#[test]
fn the_previous_services_file_gets_exactly_these_warnings() {
    let expected = [
        "bridge.yaml:5:3: nats.max_reconnect_attempts: has no meaning any more",
        "bridge.yaml:6:3: nats.reconnect_time_wait: has no meaning any more",
        "bridge.yaml:7:3: nats.ping_interval: has no meaning any more",
        "bridge.yaml:11:5: nats.subjects.confirmation: is not subscribed",
        "bridge.yaml:18:3: kafka.enable_auto_commit: has no meaning any more",
        "bridge.yaml:19:3: kafka.auto_commit_interval_ms: has no meaning any more",
        "bridge.yaml:20:23: kafka.session_timeout_ms: fail-over after a crash takes up to 42 s \
         (session + heartbeat + 2 s)",
        "bridge.yaml:25:3: kafka.max_poll_records: has no meaning any more",
        "bridge.yaml:29:5: kafka.topics.confirmation_archive: is not subscribed",
        "bridge.yaml:31:3: batch.tick_batch_size: has no meaning any more",
        "bridge.yaml:32:3: batch.aggregate_batch_size: has no meaning any more",
        "bridge.yaml:33:3: batch.flush_interval_seconds: has no meaning any more",
        "bridge.yaml:35:3: deduplication.enabled: has no meaning any more",
        "bridge.yaml:36:3: deduplication.cache_size: has no meaning any more",
        "bridge.yaml:37:3: deduplication.cache_ttl_seconds: has no meaning any more",
        "bridge.yaml:39:3: monitoring.report_interval_seconds: has no meaning any more",
        "bridge.yaml:40:3: monitoring.enable_metrics: has no meaning any more",
    ];
    assert_eq!(warnings(PREVIOUS), expected);
    for warning in load(PREVIOUS).unwrap().warnings {
        assert!(warning.hint.len() > 20, "says what happens instead: {warning}");
    }
}

#[test]
fn old_names_stand_for_routes_when_their_value_is_a_topic_or_a_pattern() {
    let config =
        sound("kafka: { topics: { ticks: my-ticks } }\nnats: { subjects: { ticks: 'a.>' } }");
    assert_eq!(config.kafka.topics["my-ticks"], "ticks");
    assert_eq!(config.nats.subjects["a.>"].name(), "ticks");
    // Read either way, this is what it says.
    let config =
        sound("kafka: { topics: { tick_archive: ticks } }\nnats: { subjects: { ticks: ticks } }");
    assert_eq!(config.kafka.topics["tick_archive"], "ticks");
    assert_eq!(config.nats.subjects["ticks"].name(), "ticks");
}

#[test]
fn a_misspelled_route_of_a_topic_is_not_read_in_silence() {
    let found = warnings("kafka: { topics: { tick_archive: tick } }");
    assert_eq!(
        found,
        [
            "bridge.yaml:1:34: kafka.topics.tick_archive: is read as in the previous service: topic `tick`"
        ]
    );
    let found = problems("kafka: { topics: { mine: tikcs } }");
    assert_eq!(found, ["bridge.yaml:1:26: kafka.topics.mine: there is no route `tikcs`"]);
}

#[test]
fn other_names_of_keys_are_taken_and_contradictions_are_said() {
    assert_eq!(sound("clickhouse: { url: 'http://a:1' }").clickhouse.urls, ["http://a:1"]);
    assert_eq!(sound("nats: { url: 'nats://a:1, nats://b:2' }").nats.cluster_urls.len(), 2);
    let text = "nats: { url: 'nats://a:1', cluster_urls: ['nats://b:2'] }";
    assert_eq!(sound(text).nats.cluster_urls, ["nats://b:2"]);
    let found = warnings(text);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("nats.url: is an old name of nats.cluster_urls"), "{found:?}");
}

#[test]
fn external_is_resolved_by_the_last_word() {
    let config = sound("kafka: { topics: { market.external.fred_economic: external } }");
    assert_eq!(config.kafka.topics["market.external.fred_economic"], "external_fred_economic");
    let found = problems("kafka: { topics: { other.topic: external } }");
    assert!(found[0].contains("last word `topic` is no type"), "{found:?}");
    let config = sound("nats: { subjects: { 'x.market_sessions': external } }");
    assert_eq!(config.nats.subjects["x.market_sessions"].name(), "external_market_sessions");
    let found = problems("nats: { subjects: { 'x.y': external } }");
    assert!(found[0].contains("last word `y` is no type"), "{found:?}");
}
