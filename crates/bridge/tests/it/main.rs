//! The bridge from outside: its command line, and its work between real servers.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario says what broke by breaking, and shows its figures beside it"
)]

mod backpressure;
mod cli;
mod clickhouse_away;
mod clickhouse_killed;
mod contract;
mod fake_tables;
mod kafka_drain;
mod kafka_group;
mod kafka_member;
mod kafka_positions;
mod kafka_stage;
mod kafka_topics;
mod lost_answers;
mod paused_table;
mod quiet_tail;
mod world;
