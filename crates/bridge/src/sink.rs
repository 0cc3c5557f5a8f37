//! Where rows go: ClickHouse over HTTP.

pub mod clickhouse;
pub mod deliver;
pub mod tables;
pub mod writers;

mod exception;
mod password;
