//! The bridge from outside: its command line, and its work between real servers.

#![expect(clippy::panic, reason = "a scenario says what broke by breaking")]

mod cli;
mod commit_order;
mod fail_over;
mod flow;
mod front;
mod kafka_drain;
mod kafka_group;
mod kafka_member;
mod kafka_positions;
mod kafka_stage;
mod kafka_topics;
mod kill_loop;
mod latest;
mod quiet_tail;
mod rebalance;
mod stop;
mod world;
