//! How an instance is seen from outside.

pub mod board;
pub mod certificates;
pub mod log;
pub mod metrics;
pub mod pulse;
