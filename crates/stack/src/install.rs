//! Installing the servers, pinned, through the ordinary clients of the package registries.

mod checksum;
mod kafka;
mod libchdb;
mod nats;
mod tool;

pub use kafka::{KafkaHome, kafka};
pub use libchdb::libchdb;
pub use nats::nats_server;
pub use tool::{Tool, missing_tools};
