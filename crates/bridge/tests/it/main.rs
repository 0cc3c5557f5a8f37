//! The bridge from outside: its command line, and its work between real servers.

#![expect(clippy::panic, reason = "a scenario says what broke by breaking")]

mod bad_data;
mod by_hand;
mod cli;
mod kafka_drain;
mod kafka_group;
mod kafka_member;
mod kafka_positions;
mod kafka_stage;
mod kafka_topics;
mod memory;
mod quiet_tail;
mod refused_rows;
mod tables;
mod world;
