//! The bridge from outside: its command line, and its work between real servers.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a scenario says what broke by breaking, and shows its figures beside it"
)]

mod alerts;
mod audit;
mod authority;
mod backpressure;
mod bad_data;
mod bad_input;
mod by_hand;
mod cli;
mod clickhouse_away;
mod clickhouse_killed;
mod commit_order;
mod contract;
mod coordinator;
mod dashboard;
mod dlq;
mod fail_over;
mod fake_tables;
mod fleet;
mod fleet_stage;
mod fleet_upkeep;
mod fleet_validate;
mod flood;
mod flow;
#[cfg(feature = "fail-points")]
mod frozen;
mod holes;
mod hub;
mod insert_budget;
mod kafka_commits;
mod kafka_drain;
mod kafka_group;
mod kafka_member;
mod kafka_positions;
mod kafka_resume;
mod kafka_stage;
mod kafka_static;
mod kafka_terms;
mod kafka_topics;
mod kill_loop;
mod latest;
mod letters_away;
mod listens;
mod logs;
mod lost_answers;
mod many_partitions;
mod memory;
mod metrics;
mod migrate;
mod nats_again;
mod nats_drain;
mod nats_faults;
mod nats_secure;
mod nats_servers;
mod nats_stage;
mod nats_ways;
mod own_route;
mod paused_table;
mod positions;
mod quiet_tail;
mod rebalance;
mod refused_rows;
mod schema;
mod secure;
mod several_servers;
mod start;
mod stop;
mod stopwatch;
mod tables;
mod visitors;
mod world;
mod zombie;
