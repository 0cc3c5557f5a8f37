//! Tests against real servers.

mod kafka_drain;
mod kafka_group;
mod kafka_positions;
mod kafka_stage;
mod kafka_topics;
