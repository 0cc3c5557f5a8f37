//! What runs.

pub mod admin;
pub mod audit;
pub mod autoscale;
pub mod checkup;
pub mod cli;
pub mod config;
pub mod hub;
pub mod instance;
pub mod letters;
pub mod pipeline;
pub mod reread;
pub mod routes;
pub mod sink;
pub mod source;
pub mod supervisor;
pub mod telemetry;
