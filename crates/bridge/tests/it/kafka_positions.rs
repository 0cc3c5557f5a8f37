//! Positions: where a partition starts, what is committed, and what happens when the log changes
//! under it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use data_bridge::config::OffsetReset;
use data_bridge::source::kafka::window::{Piece, QUEUE_BYTES, Span, WindowReader};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka_member::{Board, Manners, Member, no_rows};
use crate::kafka_stage::{
    PATIENCE, Sends, add_partitions, broker, commit_as_another, committed, config, delete_records,
    delete_topic, make_topic,
};

/// `latest`, killed before the first commit.
#[test]
fn nothing_produced_after_the_first_start_is_skipped() {
    let topic = "latest";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    sends.these(topic, 0, 0..10);
    let board = Arc::new(Board::default());
    let silent = Manners { commits: false, ..Manners::default() };
    let first = Member::join_as("a", &config, &board, no_rows(), silent);
    board.wait("it has the partition", |view| view.held("a") == 1);
    assert_eq!(board.look(|view| view.starts[0].2), 10, "at the end");
    let (offset, _) = committed(&config.kafka.group_id, topic, 0).expect("committed at once");
    assert_eq!(offset, 10);
    first.crash();
    sends.these(topic, 0, 10..20);
    let second = Member::join("b", &config, &board);
    board.wait("all since the start are read", |view| view.values(topic).len() == 10);
    assert_eq!(board.look(|view| view.offsets(topic, 0)), (10..20).collect::<Vec<_>>());
    second.close();
}

#[test]
fn earliest_starts_at_the_beginning() {
    let topic = "earliest";
    make_topic(topic, 1);
    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    let sends = Sends::new();
    sends.these(topic, 0, 0..10);
    delete_records(topic, 0, 3);
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("all are read", |view| view.offsets(topic, 0) == (3..10).collect::<Vec<_>>());
    board.look(|view| assert!(view.status("a").lost_ranges.is_empty()));
    member.close();
}

#[test]
fn an_added_partition_is_read_from_its_beginning() {
    let topic = "added";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let board = Arc::new(Board::default());
    let first = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    add_partitions(topic, 3);
    let sends = Sends::new();
    // Before the member knows of them.
    sends.these(topic, 1, 0..10);
    sends.these(topic, 2, 0..10);
    board.wait("it has them", |view| view.held("a") == 3);
    board.wait("they are read", |view| view.records.len() == 20);
    for partition in 1..3 {
        let offsets = board.look(|view| view.offsets(topic, partition));
        assert_eq!(offsets, (0..10).collect::<Vec<_>>());
        let (_, mark) = committed(&config.kafka.group_id, topic, partition).unwrap();
        assert!(mark.ends_with(";1;0"), "first seen with one partition: {mark}");
    }
    first.close();
    // Also while nobody is there to see it.
    add_partitions(topic, 4);
    let sends = Sends::new();
    sends.these(topic, 3, 0..10);
    let second = Member::join("b", &config, &board);
    board.wait("the fourth is read", |view| view.offsets(topic, 3).len() == 10);
    second.close();
}

#[test]
fn every_commit_carries_the_mark() {
    let topic = "mark";
    make_topic(topic, 2);
    let config = config(&[topic]);
    let sends = Sends::new();
    sends.these(topic, 0, 0..7);
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has both", |view| view.held("a") == 2);
    let group = &config.kafka.group_id;
    let (offset, first) = committed(group, topic, 0).unwrap();
    assert_eq!(offset, 7);
    assert!(first.starts_with("b1;") && first.ends_with(";2;7"), "{first}");
    sends.these(topic, 0, 7..20);
    board.wait("all are committed", |view| {
        view.status("a").lanes.iter().any(|lane| lane.committed.0 == 20)
    });
    let (offset, second) = committed(group, topic, 0).unwrap();
    assert_eq!((offset, second), (20, first), "it began where it began");
    member.close();

    let again = Member::join("b", &config, &board);
    board.wait("it goes on", |view| view.held("b") == 2);
    let starts = board.look(|view| view.starts.clone());
    assert!(starts.contains(&("b".into(), (topic.into(), 0), 20)), "{starts:?}");
    again.close();
}

#[test]
fn a_commit_of_the_previous_service_is_gone_on_from() {
    let topic = "foreign";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    sends.these(topic, 0, 0..10);
    commit_as_another(&config.kafka.group_id, topic, 4, "");
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("the rest is read", |view| view.offsets(topic, 0) == (4..10).collect::<Vec<_>>());
    let (_, mark) = committed(&config.kafka.group_id, topic, 0).unwrap();
    assert!(mark.ends_with(";1;4"), "{mark}");
    member.close();
}

#[test]
fn rows_without_commits_start_at_the_beginning() {
    let topic = "expired";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    sends.these(topic, 0, 0..10);
    let board = Arc::new(Board::default());
    let has_rows = Arc::new(|asked: &str| Some(asked == "expired"));
    let member = Member::join_as("a", &config, &board, has_rows, Manners::default());
    board.wait("all are read", |view| view.records.len() == 10);
    member.close();
}

/// Retention was faster, seen at assignment.
#[test]
fn what_retention_deleted_before_the_start_is_named() {
    let topic = "lost-before";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    let board = Arc::new(Board::default());
    let first = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    first.close();
    sends.these(topic, 0, 0..100);
    delete_records(topic, 0, 60);
    let second = Member::join("b", &config, &board);
    board.wait("the rest is read", |view| view.records.len() == 40);
    assert_eq!(board.look(|view| view.offsets(topic, 0)), (60..100).collect::<Vec<_>>());
    let lost = board.look(|view| view.status("b").lost_ranges);
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].partition, lost[0].offsets.clone()), (0, 0..60));
    second.close();
    // For an audit that asks later.
    let (_, mark) = committed(&config.kafka.group_id, topic, 0).expect("committed");
    assert!(mark.ends_with(";1;0;0-60"), "{mark}");
}

/// Retention was faster, seen while it is read.
#[test]
fn what_retention_deletes_under_a_reader_is_named() {
    let topic = "lost-under";
    make_topic(topic, 2);
    let config = config(&[topic]);
    let sends = Sends::new();
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has both", |view| view.held("a") == 2);
    sends.these(topic, 0, 0..10);
    board.wait("the first are read", |view| view.records.len() == 10);
    member.pause();
    board.wait("it is paused", |view| view.status("a").lanes.iter().all(|lane| lane.paused));
    sends.these(topic, 0, 10..100);
    delete_records(topic, 0, 60);
    member.resume();
    board.wait("the rest is read", |view| view.records.len() == 50);
    let expected = (0..10).chain(60..100).collect::<Vec<_>>();
    assert_eq!(board.look(|view| view.offsets(topic, 0)), expected);
    let lost = board.look(|view| view.status("a").lost_ranges);
    assert_eq!((lost.len(), lost[0].offsets.clone()), (1, 10..60));
    // The other partition was not touched by it.
    sends.these(topic, 1, 0..10);
    board.wait("the other flows", |view| view.offsets(topic, 1) == (0..10).collect::<Vec<_>>());
    board.look(|view| assert_eq!(view.starts.len(), 2, "the lane is the same"));
    member.close();
    let (_, mark) = committed(&config.kafka.group_id, topic, 0).expect("committed");
    assert!(mark.ends_with(";2;0;10-60"), "{mark}");
}

/// The same while the cooperative protocol is in use: partitions are given one by one.
#[test]
fn what_retention_deletes_under_a_cooperative_reader_is_named() {
    let topic = "lost-cooperative";
    make_topic(topic, 2);
    let mut config = config(&[topic]);
    config.kafka.assignor = data_bridge::config::Assignor::CooperativeSticky;
    let sends = Sends::new();
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has both", |view| view.held("a") == 2);
    member.pause();
    board.wait("it is paused", |view| view.status("a").lanes.iter().all(|lane| lane.paused));
    sends.these(topic, 0, 0..100);
    delete_records(topic, 0, 60);
    member.resume();
    board.wait("the rest is read", |view| view.records.len() == 40);
    assert_eq!(board.look(|view| view.offsets(topic, 0)), (60..100).collect::<Vec<_>>());
    assert_eq!(board.look(|view| view.status("a").lost_ranges.len()), 1);
    member.close();
}

/// The mark tells that the commit speaks of another topic, though it would fit.
#[test]
fn a_commit_of_another_topic_of_that_name_does_not_count() {
    let topic = "anew-marked";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    sends.these(topic, 0, 0..30);
    let group = &config.kafka.group_id;
    commit_as_another(group, topic, 10, "b1;AAAAAAAAAAAAAAAAAAAAAA;1;0");
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("all are read", |view| view.offsets(topic, 0) == (0..30).collect::<Vec<_>>());
    board.look(|view| assert_eq!(view.status("a").made_anew, 1));
    let (_, mark) = committed(group, topic, 0).unwrap();
    assert!(!mark.contains("AAAAAA") && mark.ends_with(";1;0"), "{mark}");
    member.close();
}

/// The broker deletes the commits together with the topic; that ClickHouse has rows tells it.
#[test]
fn a_topic_made_anew_while_nobody_looks_starts_at_its_beginning() {
    let topic = "anew";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    let board = Arc::new(Board::default());
    let first = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    sends.these(topic, 0, 0..10);
    board.wait("all are committed", |view| {
        let lanes = view.status("a").lanes;
        lanes.iter().any(|lane| lane.committed.0 == 10)
    });
    first.close();
    delete_topic(topic);
    make_topic(topic, 1);
    let sends = Sends::new();
    sends.these(topic, 0, 100..130);
    let rows = Arc::new(|_: &str| Some(true));
    let second = Member::join_as("b", &config, &board, rows, Manners::default());
    board.wait("all of the new are read", |view| view.values(topic).len() == 40);
    let starts = board.look(|view| view.starts.clone());
    assert_eq!(starts[1], ("b".into(), (topic.into(), 0), 0));
    second.close();
}

#[test]
fn a_topic_made_anew_under_a_reader_starts_at_its_beginning() {
    let topic = "anew-under";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let sends = Sends::new();
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    sends.these(topic, 0, 0..10);
    board.wait("the old are read", |view| view.records.len() == 10);
    delete_topic(topic);
    make_topic(topic, 1);
    let sends = Sends::new();
    sends.these(topic, 0, 100..130);
    board.wait("all of the new are read", |view| view.values(topic).len() == 40);
    board.look(|view| {
        let new = view.records.iter().filter(|(_, _, _, value)| value.len() == 3);
        assert_eq!(new.map(|record| record.2).min(), Some(0), "from its beginning");
    });
    member.close();
}

/// Aborted records are absent, and the position behind the last control record is
/// committed.
#[test]
fn a_transactional_topic_is_committed_to_its_end() {
    let topic = "transactions";
    make_topic(topic, 1);
    let config = config(&[topic]);
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker().bootstrap())
        .set("transactional.id", "test")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for round in 0..10 {
        producer.begin_transaction().unwrap();
        for record in 0..10 {
            let value = format!("{round}-{record}");
            let record = BaseRecord::<(), str>::to(topic).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        if round % 3 == 2 {
            producer.abort_transaction(PATIENCE).unwrap();
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
        }
    }
    board.wait("the committed ones are read", |view| view.records.len() == 70);
    let end = 10 * 11;
    board.wait("nothing is left", |view| {
        let lanes = view.status("a").lanes;
        lanes.iter().all(|lane| lane.lag == 0 && lane.committed.0 == end)
    });
    // An aborted end, too.
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), str>::to(topic).payload("aborted");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    producer.abort_transaction(PATIENCE).unwrap();
    board.wait("nothing is left", |view| {
        let lanes = view.status("a").lanes;
        lanes.iter().all(|lane| lane.lag == 0 && lane.committed.0 == end + 2)
    });
    board.look(|view| {
        assert_eq!(view.records.len(), 70);
        assert!(view.records.iter().all(|(.., value)| !value.starts_with("2-")));
    });
    member.close();
}

/// A batch that cannot be read stops its partition, and says so, until it can be read: librdkafka
/// by itself goes on behind it.
#[test]
fn a_batch_that_cannot_be_read_is_not_skipped() {
    let topic = "corrupt";
    make_topic(topic, 1);
    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    let sends = Sends::new();
    for begin in [0, 100, 200] {
        sends.these(topic, 0, begin..begin + 100);
    }
    // The first bytes of an LZ4 frame; the frame of the second batch is broken.
    let magic = [0x04, 0x22, 0x4D, 0x18];
    let (file, bytes) = log_of(topic);
    let frames = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == magic);
    let second = frames.collect::<Vec<_>>()[1] as u64;
    file.write_all_at(&[0; 4], second).unwrap();

    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it stops and says why", |view| {
        let lanes = view.status("a").lanes;
        lanes.iter().any(|lane| lane.error.is_some())
    });
    let read = board.look(|view| view.offsets(topic, 0));
    assert!(read.len() < 300, "{read:?}");
    assert_eq!(read, (0..read.len() as u64).collect::<Vec<_>>());
    file.write_all_at(&magic, second).unwrap();
    board.wait("it goes on when it can be read", |view| {
        view.offsets(topic, 0) == (0..300).collect::<Vec<_>>()
    });
    member.close();
}

/// A byte that changed on the broker's disk: the record is not handed out with another value.
#[test]
fn a_batch_that_was_altered_is_not_read() {
    let topic = "altered";
    make_topic(topic, 1);
    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    // Not compressed: only the checksum can tell.
    one_batch_each(topic, (0..30).map(|number| format!("price 1.0{number:02}")));
    let (file, bytes) = log_of(topic);
    let wanted = b"price 1.020";
    let at = bytes.windows(wanted.len()).position(|bytes| bytes == wanted).unwrap();
    let digit = u64::try_from(at + b"price ".len()).unwrap();
    file.write_all_at(b"7", digit).unwrap();

    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it stops and says why, or reads on", |view| {
        let is_stuck = view.status("a").lanes.iter().any(|lane| lane.error.is_some());
        is_stuck || view.records.len() == 30
    });
    board.look(|view| assert!(!view.values(topic).contains("price 7.020"), "an altered price"));
    file.write_all_at(b"1", digit).unwrap();
    board.wait("it goes on when it is as it was", |view| {
        view.offsets(topic, 0) == (0..30).collect::<Vec<_>>()
    });
    assert!(board.look(|view| view.values(topic).contains("price 1.020")));
    member.close();
}

/// Behind a batch whose checksum is wrong, librdkafka reads on from the wrong byte: what stands
/// there is an offset to it, at which the broker has nothing, and it leaves the partition.
#[test]
fn a_partition_that_librdkafka_left_is_read_again() {
    let topic = "left";
    make_topic(topic, 1);
    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    // Whatever byte it reads on from, the offset is 0x6e6e6e6e6e6e6e6e.
    let values = ["1", "2", "3"].map(|value| value.to_owned() + &"n".repeat(2_000));
    one_batch_each(topic, values.clone());
    let (file, bytes) = log_of(topic);
    let second = bytes.windows(2).position(|bytes| bytes == b"2n").unwrap() as u64;
    file.write_all_at(b"x", second).unwrap();

    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it stops and says why", |view| {
        let lanes = view.status("a").lanes;
        lanes.iter().any(|lane| lane.error.is_some())
    });
    let mut reader = WindowReader::new(&config.kafka, &config.instance, QUEUE_BYTES).unwrap();
    reader.open(Span { topic: topic.into(), partition: 0, offsets: 0..3 }).unwrap();
    let mut read = Vec::new();
    let mut next = |read: &mut Vec<String>| match reader.read(100).unwrap() {
        Piece::Records(arena, _) => {
            let values = arena.records().filter_map(|record| record.payload);
            read.extend(values.map(|value| String::from_utf8_lossy(value).into_owned()));
            true
        }
        Piece::Gone(lost) => panic!("nothing is gone: {lost:?}"),
        Piece::End => false,
    };
    assert!(next(&mut read));
    assert_eq!(read, values[..1]);
    board.look(|view| assert_eq!(view.offsets(topic, 0), [0]));

    file.write_all_at(b"2", second).unwrap();
    while next(&mut read) {}
    assert_eq!(read, values);
    board.wait("it goes on when it can be read", |view| view.offsets(topic, 0) == [0, 1, 2]);
    board.look(|view| assert_eq!(view.values(topic), values.into_iter().collect()));
    member.close();
}

/// Produces each value in a batch of its own, not compressed.
fn one_batch_each(topic: &str, values: impl IntoIterator<Item = String>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker().bootstrap()).create().unwrap();
    for value in values {
        let record = BaseRecord::<(), str>::to(topic).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }
}

/// The broker's file of a topic's only partition, to be altered, and what is in it.
fn log_of(topic: &str) -> (File, Vec<u8>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-source/data");
    let log = folder.join(format!("{topic}-0/00000000000000000000.log"));
    let bytes = fs::read(&log).unwrap();
    (OpenOptions::new().write(true).open(&log).unwrap(), bytes)
}
