//! The embedded ClickHouse from outside: raw HTTP, curl, a Python client, and kill -9.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    reason = "a test says what broke by breaking, and reports its figures"
)]

mod answers;
mod bodies;
mod client;
mod clients;
mod durability;
mod errors;
mod formats;
mod load;
mod native_round_trip;
mod server;
mod sessions;
mod start;
