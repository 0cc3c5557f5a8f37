//! The embedded ClickHouse from outside.

mod native_round_trip;
