//! Series whose event no test causes between real servers.

use super::*;
use crate::config::{Environment, Number};
use crate::source::nats::NatsStatus;

#[test]
fn what_the_source_of_nats_counts_is_exposed_once_however_often_it_is_told() {
    let metrics = Metrics::new("a", Number::new(1));
    let mut seen = nats::Seen::default();
    let status = NatsStatus {
        connected: true,
        pending: 3,
        ack_pending: 5,
        acked: 7,
        progress: 11,
        given_back: 13,
        redelivered: 17,
        acks_repeated: 19,
        slow_consumer_events: 23,
        connects: 29,
        lost_ranges: 31,
        lost_messages: 37,
        made_anew: 41,
        ..NatsStatus::default()
    };
    seen.count(&status, 1, &metrics);
    seen.count(&status, 2, &metrics);
    let page = metrics.page().unwrap();
    for line in [
        "data_bridge_nats_connected 1",
        "data_bridge_nats_pending_messages 3",
        "data_bridge_nats_ack_pending_messages 5",
        "data_bridge_nats_acked_messages_total 7",
        "data_bridge_nats_progress_signs_total 11",
        "data_bridge_nats_given_back_messages_total 13",
        "data_bridge_nats_redelivered_messages_total 17",
        "data_bridge_nats_acks_repeated_total 19",
        "data_bridge_nats_slow_consumer_events_total 23",
        "data_bridge_nats_connects_total 29",
        "data_bridge_lost_ranges_total 31",
        "data_bridge_lost_messages_total 37",
        "data_bridge_nats_streams_made_anew_total 41",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
}

#[test]
fn refused_commits_and_partitions_made_anew_are_counted_once() {
    let config = Config::from_defaults(&Environment::default());
    let clickhouse = ClickHouse::new(&config.clickhouse).unwrap();
    let metrics = Arc::new(Metrics::new("a", Number::new(1)));
    let board = Arc::new(Board::new(Status::default(), Number::new(1)));
    let catalog = Arc::new(Catalog::shipped());
    let mut report = Report::new(&config, catalog, clickhouse, board, Arc::clone(&metrics));
    report.commit_failed();
    let source = SourceStatus { made_anew: 2, ..SourceStatus::default() };
    report.kafka.count(&source, &metrics);
    report.kafka.count(&source, &metrics);
    let page = metrics.page().unwrap();
    assert!(page.contains("data_bridge_commit_failures_total 1\n"), "{page}");
    assert!(page.contains("data_bridge_made_anew_partitions_total 2\n"), "{page}");
    assert!(page.contains("data_bridge_budget_bytes 268435456\n"), "{page}");
}

/// A scrape may come at any time, also between two changes of the same look.
#[test]
fn a_scrape_finds_every_partition_that_is_read_and_none_that_is_gone() {
    let metrics = Metrics::new("a", Number::new(1));
    let lanes = |numbers: std::ops::Range<i32>| SourceStatus {
        lanes: numbers.map(lane).collect(),
        ..SourceStatus::default()
    };
    let shown = |name: &str| {
        let page = metrics.page().unwrap();
        page.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
    };
    let mut seen = kafka::Seen::default();
    let read = lanes(0..50);
    seen.count(&read, &metrics);
    std::thread::scope(|threads| {
        let looks = threads.spawn(|| (0..2_000).for_each(|_| seen.count(&read, &metrics)));
        while !looks.is_finished() {
            assert_eq!(shown("data_bridge_assigned"), 50);
            assert_eq!(shown("data_bridge_lag_seconds"), 50);
        }
    });
    seen.count(&lanes(10..60), &metrics);
    let page = metrics.page().unwrap();
    assert!(!page.contains("partition=\"9\"") && page.contains("partition=\"59\""), "{page}");
}

#[test]
fn topics_are_shown_with_their_partitions_until_they_are_gone() {
    let metrics = Metrics::new("a", Number::new(1));
    let topics = |list: &[(&str, u32)]| SourceStatus {
        partitions: list.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect(),
        ..SourceStatus::default()
    };
    let mut seen = kafka::Seen::default();
    seen.count(&topics(&[("t", 6), ("u", 1)]), &metrics);
    seen.count(&topics(&[("t", 8)]), &metrics);
    let page = metrics.page().unwrap();
    assert!(page.contains("data_bridge_topic_partitions{topic=\"t\"} 8\n"), "{page}");
    assert!(!page.contains("topic=\"u\""), "{page}");
}

fn lane(number: i32) -> LaneInfo {
    LaneInfo {
        lane: LaneId(u32::try_from(number).unwrap()),
        topic: "market.tick".to_owned(),
        partition: number,
        next: Position(0),
        committed: Position(0),
        lag: 0,
        paused: false,
        error: None,
    }
}
