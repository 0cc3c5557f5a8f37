//! `clickhouse`: where rows go.

use std::time::Duration;

use super::nats::Tls;
use super::secret::Secret;

/// The ClickHouse side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClickHouse {
    /// HTTP addresses, `http(s)://host:port[/path]` without a final `/`; the next one is tried
    /// when one fails.
    pub urls: Vec<String>,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// Database of all our tables.
    pub database: String,
    /// Compression of inserts on the wire.
    pub compression: Compression,
    /// How long an insert may take before it counts as unknown.
    pub insert_timeout: Duration,
    /// Certificates.
    pub tls: Tls,
}

/// Compression of inserts on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None: best on a LAN.
    None,
    /// LZ4 frames.
    Lz4,
}
