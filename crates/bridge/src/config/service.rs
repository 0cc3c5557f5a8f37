//! `instance`, `http`, `hub`, `autoscale`, `log`: the instance as a part of a fleet.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use super::secret::Secret;

/// Which instance this is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Unique within the fleet; the host name by default.
    pub id: String,
    /// Counts from 1.
    pub number: u32,
}

/// The instance's own HTTP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// Where to listen; port 9400 + instance number by default.
    pub listen: SocketAddr,
    /// Under which URL others reach it; empty: the address that it listens on.
    pub advertise: String,
    /// Bearer token that callers must show; empty: none.
    pub token: Secret,
}

/// The hub that the instance reports to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hub {
    /// Its URL; empty: no hub.
    pub url: String,
    /// Where our own hub listens.
    pub listen: SocketAddr,
}

/// When a fleet on one machine grows and shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Autoscale {
    /// Whether it does at all.
    pub enabled: bool,
    /// Instances at least.
    pub min: NonZeroU32,
    /// Instances at most; not less than `min`.
    pub max: NonZeroU32,
    /// Lag above which it grows …
    pub lag: NonZeroU64,
    /// … when it lasts this long.
    pub for_time: Duration,
    /// Quiet time before it shrinks.
    pub quiet: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// A level or a filter such as `info,data_bridge::source=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
