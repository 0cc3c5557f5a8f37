//! The embedded ClickHouse from outside: raw HTTP, curl, a Python client, and kill -9.

mod answers;
mod bodies;
mod client;
mod clients;
mod durability;
mod errors;
mod formats;
mod load;
mod server;
mod sessions;
mod start;
