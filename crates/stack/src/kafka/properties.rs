//! `server.properties` of one broker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use super::Way;

#[derive(Debug, Clone)]
pub(super) struct Listeners {
    pub(super) client: u16,
    pub(super) controller: u16,
    pub(super) ways: Vec<Way>,
}

/// The whole file; `own` wins over what stands here.
pub(super) fn text(listeners: &Listeners, data: &Path, own: &[(String, String)]) -> String {
    let Listeners { client, controller, ways } = listeners;
    // A listener of its own each, so that the broker knows by which way a client came.
    let each = |line: &dyn Fn(usize, &Way) -> String| {
        ways.iter().enumerate().map(|(index, way)| line(index, way)).collect::<String>()
    };
    let behind = each(&|index, way| format!(",WAY{index}://127.0.0.1:{}", way.behind));
    let seen = each(&|index, way| format!(",WAY{index}://127.0.0.1:{}", way.seen));
    let map = each(&|index, way| format!(",WAY{index}:{}", way.protocol));

    let mut lines = BTreeMap::new();
    let mut set = |key: &str, value: &str| lines.insert(key.to_owned(), value.to_owned());
    set("process.roles", "broker,controller");
    set("node.id", "1");
    set("controller.quorum.voters", &format!("1@127.0.0.1:{controller}"));
    set("controller.listener.names", "CONTROLLER");
    set(
        "listeners",
        &format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}{behind}"),
    );
    set("advertised.listeners", &format!("PLAINTEXT://127.0.0.1:{client}{seen}"));
    set(
        "listener.security.protocol.map",
        &format!("CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{map}"),
    );
    set("inter.broker.listener.name", "PLAINTEXT");
    set("log.dirs", &data.display().to_string());

    // A missing topic stays missing; whoever creates one without a count gets the usual six.
    set("auto.create.topics.enable", "false");
    set("num.partitions", "6");
    // Messages of the past are test data, not rubbish: retention goes by the record's time.
    set("log.retention.ms", "-1");

    // One node holds every internal topic; few partitions of them make a start quick.
    set("offsets.topic.replication.factor", "1");
    set("offsets.topic.num.partitions", "4");
    set("transaction.state.log.replication.factor", "1");
    set("transaction.state.log.min.isr", "1");
    set("transaction.state.log.num.partitions", "4");
    set("share.coordinator.state.topic.replication.factor", "1");
    set("share.coordinator.state.topic.min.isr", "1");
    set("share.coordinator.state.topic.num.partitions", "4");
    set("group.initial.rebalance.delay.ms", "0");
    // After kill -9 the controller takes the same broker back only when its old session is over:
    // 9 s by default. Both sit in one process, so a lost heartbeat is no risk.
    set("broker.session.timeout.ms", "3000");
    set("broker.heartbeat.interval.ms", "500");
    // The default of 128 MB would take a third of the heap for compacting tiny topics.
    set("log.cleaner.dedupe.buffer.size", "8388608");

    for (key, value) in own {
        set(key, value);
    }
    let mut text = String::new();
    for (key, value) in &lines {
        text.extend([
            key.as_str(),
            "=",
            value,
            "
",
        ]);
    }
    text
}

/// 16 random bytes as Kafka writes its ids: URL-safe base64 without padding, 22 characters.
pub(super) fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no random numbers")?;
    // Kafka reserves ids that begin with a dash for its own use.
    bytes[0] &= 0x7F;
    Ok(base64(bytes))
}

fn base64(bytes: [u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 22 digits carry 132 bits: 4 more than there are, so the last digit holds two bits of data.
    let number = u128::from_be_bytes(bytes);
    (0..22_u32)
        .map(|place| {
            let shift = 122_i64 - 6 * i64::from(place);
            let bits = if shift >= 0 { number >> shift } else { number << -shift };
            char::from(DIGITS[usize::try_from(bits & 63).expect("six bits fit")])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        assert_eq!(base64([0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64([0xFF; 16]), "_____________________w");
        assert_eq!(base64(*b"0123456789abcdef"), "MDEyMzQ1Njc4OWFiY2RlZg");
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }

    #[test]
    fn own_properties_win_and_every_way_has_a_listener_of_its_own() {
        let ways = vec![
            Way { behind: 3, seen: 4, protocol: "PLAINTEXT" },
            Way { behind: 5, seen: 6, protocol: "SASL_SSL" },
        ];
        let listeners = Listeners { client: 1, controller: 2, ways };
        let own = [("num.partitions".to_owned(), "3".to_owned())];
        // A line end before the first line too, so that each can be looked for as a whole.
        let text = format!("\n{}", text(&listeners, Path::new("/d"), &own));
        assert!(text.contains("\nnum.partitions=3\n") && !text.contains("num.partitions=6"));
        for line in [
            "\nadvertised.listeners=PLAINTEXT://127.0.0.1:1,WAY0://127.0.0.1:4,WAY1://127.0.0.1:6\n",
            "WAY0://127.0.0.1:3,WAY1://127.0.0.1:5\n",
            ",WAY0:PLAINTEXT,WAY1:SASL_SSL\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
