//! The ClickHouse engine behind its own HTTP interface.
