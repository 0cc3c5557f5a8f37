//! Column `origin` of a row that came from a partition: `kafka:TOPIC:PARTITION`.

/// The origin of the rows of a partition.
#[must_use]
pub fn of(topic: &str, partition: i32) -> String {
    format!("kafka:{topic}:{partition}")
}

/// Topic and partition of an origin; None when it is no partition of Kafka.
#[must_use]
pub fn parse(origin: &str) -> Option<(&str, i32)> {
    let (topic, partition) = origin.strip_prefix("kafka:")?.rsplit_once(':')?;
    Some((topic, partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_of_kafka_names_a_partition() {
        assert_eq!(parse(&of("market.ticks-1_a", 12)), Some(("market.ticks-1_a", 12)));
        for origin in ["nats:market:12", "kafka:ticks", "kafka:ticks:", "kafka:ticks:x", ""] {
            assert_eq!(parse(origin), None, "{origin}");
        }
    }
}
