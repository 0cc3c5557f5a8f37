//! `clickhouse`: where rows go.

use std::time::Duration;

use super::keys;
use super::kind;
use super::nats::Tls;
use super::secret::Secret;
use super::values::Values;

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

impl ClickHouse {
    pub(super) fn read(values: &mut Values) -> Self {
        Self {
            urls: values.list("clickhouse.urls", |text| kind::url(text, keys::HTTP)),
            user: values.text("clickhouse.user"),
            password: values.secret("clickhouse.password"),
            database: values.text("clickhouse.database"),
            compression: values
                .choice("clickhouse.compression", [Compression::None, Compression::Lz4]),
            insert_timeout: values.duration("clickhouse.insert_timeout_ms"),
            tls: Tls {
                ca_file: values.file("clickhouse.tls.ca_file"),
                cert_file: values.file("clickhouse.tls.cert_file"),
                key_file: values.file("clickhouse.tls.key_file"),
            },
        }
    }
}
