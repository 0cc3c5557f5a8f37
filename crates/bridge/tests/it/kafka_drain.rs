//! How fast fetching alone is. Not a test of a promise: run it by hand, on a quiet machine, with
//! `cargo test --release -p data-bridge --test it -- --ignored --nocapture drain`.

use std::fs;
use std::time::{Duration, Instant};

use data_bridge::config::OffsetReset;
use data_bridge::source::kafka::{Event, KafkaSource};

use crate::kafka_member::no_rows;
use crate::kafka_stage::{PATIENCE, Sends, config, make_topic};

const MESSAGES: u32 = 2_000_000;
const PARTITIONS: i32 = 4;

#[test]
#[ignore = "a measurement"]
fn drain_speed_of_fetch_alone() {
    let topic = "drain";
    make_topic(topic, PARTITIONS);
    let sends = Sends::new();
    for number in 0..MESSAGES {
        let (tenth, time) = (number % 10, 1_706_198_400_123 + u64::from(number));
        let pair = ["EUR/USD", "GBP/USD", "USD/JPY"][number as usize % 3];
        let value = format!(
            r#"{{"symbol":"{pair}","bid":1.{:05},"ask":1.{:05},"timestamp":{time},"timestamp_ms":{time},"exchange":48,"source":"polygon_websocket","event_type":"quote","_t":{tenth}}}"#,
            number % 100_000,
            (number + 2) % 100_000
        );
        let partition = i32::try_from(number).expect("as Linux writes it") % PARTITIONS;
        sends.one(topic, partition, &value);
    }
    sends.flush();

    for batch in [1_000, 10_000, 50_000] {
        let mut config = config(&[topic]);
        config.kafka.group_id = format!("drain-{batch}");
        config.kafka.auto_offset_reset = OffsetReset::Earliest;
        let budget = 32 << 20;
        let mut source = KafkaSource::connect(&config.kafka, &config.instance, budget, no_rows())
            .expect("as Linux writes it");
        let mut events = Vec::new();
        let (mut count, mut bytes, mut fetches) = (0_u32, 0_u64, 0_u32);
        let mut began = None;
        let until = Instant::now() + PATIENCE;
        while count < MESSAGES && Instant::now() < until {
            source.fetch(Duration::from_millis(100), batch, &mut events);
            for event in events.drain(..) {
                if let Event::Fetched { arena, .. } = event {
                    began.get_or_insert_with(|| (Instant::now(), cpu("self"), cpu("thread-self")));
                    count += u32::try_from(arena.len()).expect("as Linux writes it");
                    bytes += arena.bytes();
                    fetches += 1;
                }
            }
        }
        let (start, process, thread) = began.expect("something was fetched");
        let wall = start.elapsed();
        let each = |time: Duration| time.as_nanos() / u128::from(count);
        println!(
            "batch {batch}: {count} messages in {wall:?}, {:.2} M/s; CPU per message: process {} ns, \
             fetching thread {} ns; {} bytes of arena each, {} a chunk",
            f64::from(count) / wall.as_secs_f64() / 1e6,
            each(cpu("self").saturating_sub(process)),
            each(cpu("thread-self").saturating_sub(thread)),
            bytes / u64::from(count),
            count / fetches,
        );
        assert_eq!(count, MESSAGES);
        source.close(Instant::now() + Duration::from_secs(5));
    }
}

/// CPU time of a process or thread, from the kernel, in steps of 10 ms.
fn cpu(of: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{of}/stat")).expect("as Linux writes it");
    let behind_name = text.rsplit(')').next().expect("as Linux writes it");
    let fields = behind_name.split_whitespace().collect::<Vec<_>>();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("as Linux writes it");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
