//! What the server is told by its caller, and what it cannot do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How to run the embedded ClickHouse.
#[derive(Clone)]
pub struct Options {
    /// The library; `None`: `$DATA_BRIDGE_LIBCHDB`, else the cache that `cargo xtask stack up`
    /// fills.
    pub library: Option<PathBuf>,
    /// Directory of the data; made when absent, locked while the server runs.
    pub data: PathBuf,
    /// Where to listen; a loopback address. Port 0: any free one.
    pub listen: SocketAddr,
    /// Memory that all statements together may use. The process takes about 200 MB more.
    pub max_memory_bytes: u64,
    /// Statements that run at the same time.
    pub max_concurrent: usize,
    /// How long a statement waits for a place among those before it is refused with
    /// `TOO_MANY_SIMULTANEOUS_QUERIES`.
    pub max_queue_wait: Duration,
    /// Password of the user `default`; `None` accepts any.
    pub password: Option<String>,
    /// How long running requests may take to end after a shutdown was asked for.
    pub drain: Duration,
}

impl Options {
    /// The defaults: 127.0.0.1:8123, 1.5 GB, 16 statements, 30 s of waiting, 5 s to drain.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            library: None,
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8123)),
            max_memory_bytes: 1_500_000_000,
            max_concurrent: 16,
            max_queue_wait: Duration::from_secs(30),
            password: None,
            drain: Duration::from_secs(5),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("library", &self.library)
            .field("data", &self.data)
            .field("listen", &self.listen)
            .field("max_memory_bytes", &self.max_memory_bytes)
            .field("max_concurrent", &self.max_concurrent)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// What a ClickHouse server has and this one cannot, for `--help`.
pub const LIMITS: &str = "\
For development, tests and demos, on loopback only. What a ClickHouse server has and this one has not:
  - users, roles, quotas, row policies (CREATE USER, GRANT, the `role` parameter): one user, `default`
  - the native TCP protocol (port 9000), MySQL and PostgreSQL protocols, HTTPS: HTTP only
  - replication: Replicated* engines, Keeper, ON CLUSTER
  - the queue of asynchronous inserts: `async_insert` is accepted, every insert runs at once
  - KILL QUERY by the query id of HTTP: the engine gives its own ids; a query whose client leaves is
    cancelled
  - INSERT ... FROM input(...) and FROM INFILE, SELECT ... INTO OUTFILE, progress headers
  - system.query_log, system.part_log and the other log tables
  - data of a request compressed by Brotli, xz, bzip2 or Snappy
One process per data directory. The database `default` also resolves file names: use one of your own
(CREATE DATABASE market).";
