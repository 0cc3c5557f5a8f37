//! What runs.

pub mod admin;
pub mod checkup;
pub mod cli;
pub mod config;
pub mod instance;
pub mod pipeline;
pub mod reread;
pub mod routes;
pub mod sink;
pub mod source;
pub mod telemetry;
