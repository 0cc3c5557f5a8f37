//! What tests the bridge from outside.

mod chance;
pub mod fake_clickhouse;
pub mod generate;
pub mod kafka;
mod layout;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod verify;
pub mod wait;
