//! A backlog, fetched: every message once and in order, in chunks that are worth their bookkeeping.

use std::time::{Duration, Instant};

use data_bridge::config::OffsetReset;
use data_bridge::source::kafka::{Event, KafkaSource};

use crate::kafka_member::no_rows;
use crate::kafka_stage::{PATIENCE, Sends, config, make_topic};

const PARTITIONS: u32 = 4;
const EACH: u32 = 30_000;
const LIMIT: usize = 10_000;
/// Records of a chunk on average, at least. Nothing is tracked per record only as long as chunks are
/// large: with chunks of a few records the ledger would cost more than the decoder.
const WORTHWHILE: u32 = 500;

#[test]
fn a_backlog_comes_in_large_chunks_each_message_once_and_in_order() {
    let topic = "drain";
    make_topic(topic, i32::try_from(PARTITIONS).expect("four"));
    let sends = Sends::new();
    for value in 0..EACH * PARTITIONS {
        let partition = i32::try_from(value % PARTITIONS).expect("below four");
        sends.one(topic, partition, &format!("{:0>160}", value / PARTITIONS));
    }
    sends.flush();

    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    let mut source = KafkaSource::connect(&config.kafka, &config.instance, 32 << 20, no_rows())
        .expect("the broker is there");
    let mut events = Vec::new();
    let mut next = Vec::new();
    let mut chunks = 0;
    let until = Instant::now() + PATIENCE;
    while next.iter().map(|(_, next)| next).sum::<u32>() < EACH * PARTITIONS {
        assert!(Instant::now() < until, "the backlog is drained: {next:?}");
        source.fetch(Duration::from_millis(100), LIMIT, &mut events);
        let mut records = 0;
        for event in events.drain(..) {
            let Event::Fetched { lane, arena, .. } = event else { continue };
            if arena.is_empty() {
                continue;
            }
            chunks += 1;
            records += arena.len();
            let at = next.iter().position(|(known, _)| *known == lane).unwrap_or_else(|| {
                next.push((lane, 0));
                next.len() - 1
            });
            for record in arena.records() {
                let value = record.payload.map(String::from_utf8_lossy).unwrap_or_default();
                let value: u32 = value.parse().expect("a number was sent");
                assert_eq!(value, next[at].1, "{lane}");
                next[at].1 += 1;
            }
        }
        assert!(records <= LIMIT, "{records} records where {LIMIT} were asked for");
    }
    assert_eq!(next.len(), PARTITIONS as usize);
    let average = EACH * PARTITIONS / chunks;
    assert!(average >= WORTHWHILE, "{chunks} chunks of {average} records on average");
    source.close(Instant::now() + Duration::from_secs(5));
}
