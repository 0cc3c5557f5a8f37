//! Real servers for tests and the demo: installs pinned versions of Apache Kafka, nats-server and
//! the ClickHouse engine into a cache outside the tree, and runs them on loopback.
//!
//! A server belongs to the process that started it: dropping its handle ends it, and the kernel
//! ends it when that process dies, however it dies. Only [`process::Lifetime::Detached`] outlives
//! its starter.

pub mod cache;
pub mod install;
pub mod kafka;
pub mod nats;

pub mod bridge;
pub mod clickhouse;
pub mod health;
pub mod port;
pub mod process;
