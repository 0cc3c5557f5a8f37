//! What runs.

pub mod admin;
pub mod cli;
pub mod config;
pub mod sink;
pub mod source;
pub mod telemetry;
