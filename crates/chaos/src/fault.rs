//! What can go wrong, and to whom.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One fault: what, to whom, how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(crate) enum Fault {
    /// kill -9 of an instance, which is started again later.
    KillInstance { instance: usize, ms: u64 },
    /// kill -9 of the broker.
    KillKafka { ms: u64 },
    /// kill -9 of ClickHouse.
    KillClickHouse { ms: u64 },
    /// SIGSTOP of an instance, for less or for more than its session.
    FreezeInstance { instance: usize, ms: u64 },
    /// SIGSTOP of the broker.
    FreezeKafka { ms: u64 },
    /// SIGSTOP of ClickHouse.
    FreezeClickHouse { ms: u64 },
    /// kill -9 of nats-server.
    KillNats { ms: u64 },
    /// SIGSTOP of nats-server.
    FreezeNats { ms: u64 },
    /// The link of an instance to one of the servers.
    Link { instance: usize, to: Peer, how: Trouble, ms: u64 },
    /// Every nth insert of an instance is done, and its answer is lost.
    LoseAnswers { instance: usize, nth: u64, ms: u64 },
    /// Requests of an instance to ClickHouse break off after so many bytes.
    CutRequests { instance: usize, bytes: u64, ms: u64 },
    /// ClickHouse answers inserts with this error; with `done` after it has done them.
    Refuse { code: i32, done: bool, ms: u64 },
    /// Every insert takes so much longer, as on a slow disk.
    SlowInserts { each_ms: u64, ms: u64 },
    /// A fourth instance joins and leaves again.
    Guest { ms: u64 },
    /// All instances are stopped and started again, one after the other.
    RollingRestart,
}

/// The far end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Peer {
    Kafka,
    Nats,
    ClickHouse,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// All connections are reset at once; new ones are taken.
    Reset,
    /// Nobody listens.
    Refused,
    /// Half open: connections stay, nothing passes.
    Silent,
    /// Each piece is held for so long.
    Delayed { each_ms: u64 },
    /// At most so many bytes per second.
    Throttled { bytes_per_second: u64 },
}

/// What only one fault at a time may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Instance(usize),
    Link(usize, Peer),
    Kafka,
    Nats,
    ClickHouse,
    Front,
    Guest,
}

/// How many instances there are, without the guest.
pub(crate) const INSTANCES: usize = 3;

/// Codes by which ClickHouse says that it is in trouble, not the rows: too many parts, memory
/// limit, too many queries, read-only, Keeper, unknown status of an insert, socket time-out.
pub(crate) const CODES: [(i32, &str); 7] = [
    (252, "TOO_MANY_PARTS"),
    (241, "MEMORY_LIMIT_EXCEEDED"),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    (242, "TABLE_IS_READ_ONLY"),
    (999, "KEEPER_EXCEPTION"),
    (319, "UNKNOWN_STATUS_OF_INSERT"),
    (209, "SOCKET_TIMEOUT"),
];

impl Fault {
    /// Everything that it holds while it lasts.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match *self {
            Self::KillInstance { instance, .. } | Self::FreezeInstance { instance, .. } => {
                vec![Part::Instance(instance)]
            }
            Self::KillKafka { .. } | Self::FreezeKafka { .. } => vec![Part::Kafka],
            Self::KillClickHouse { .. } | Self::FreezeClickHouse { .. } => vec![Part::ClickHouse],
            Self::KillNats { .. } | Self::FreezeNats { .. } => vec![Part::Nats],
            Self::Link { instance, to, .. } => vec![Part::Link(instance, to)],
            Self::LoseAnswers { instance, .. } | Self::CutRequests { instance, .. } => {
                vec![Part::Link(instance, Peer::ClickHouse)]
            }
            Self::Refuse { .. } | Self::SlowInserts { .. } => vec![Part::Front],
            Self::Guest { .. } => vec![Part::Guest],
            Self::RollingRestart => (0..INSTANCES).map(Part::Instance).collect(),
        }
    }

    /// How long it lasts; what must be started again takes longer.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_millis(match *self {
            Self::KillInstance { ms, .. }
            | Self::KillKafka { ms }
            | Self::KillClickHouse { ms }
            | Self::FreezeInstance { ms, .. }
            | Self::FreezeKafka { ms }
            | Self::FreezeClickHouse { ms }
            | Self::KillNats { ms }
            | Self::FreezeNats { ms }
            | Self::Link { ms, .. }
            | Self::LoseAnswers { ms, .. }
            | Self::CutRequests { ms, .. }
            | Self::Refuse { ms, .. }
            | Self::SlowInserts { ms, .. }
            | Self::Guest { ms } => ms,
            Self::RollingRestart => 9_000,
        })
    }

    /// Its name, for counts.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::KillInstance { .. } => "kill -9 of an instance",
            Self::KillKafka { .. } => "kill -9 of Kafka",
            Self::KillClickHouse { .. } => "kill -9 of ClickHouse",
            Self::FreezeInstance { .. } => "instance frozen",
            Self::FreezeKafka { .. } => "Kafka frozen",
            Self::FreezeClickHouse { .. } => "ClickHouse frozen",
            Self::KillNats { .. } => "kill -9 of NATS",
            Self::FreezeNats { .. } => "NATS frozen",
            Self::Link { .. } => "bad link",
            Self::LoseAnswers { .. } => "answers lost",
            Self::CutRequests { .. } => "requests cut",
            Self::Refuse { .. } => "inserts refused",
            Self::SlowInserts { .. } => "slow inserts",
            Self::Guest { .. } => "guest joins and leaves",
            Self::RollingRestart => "rolling restart",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillInstance { instance, ms } => {
                write!(f, "kill -9 of instance {}, away {ms} ms", instance + 1)
            }
            Self::KillKafka { ms } => write!(f, "kill -9 of Kafka, away {ms} ms"),
            Self::KillClickHouse { ms } => write!(f, "kill -9 of ClickHouse, away {ms} ms"),
            Self::FreezeInstance { instance, ms } => {
                write!(f, "instance {} frozen for {ms} ms", instance + 1)
            }
            Self::FreezeKafka { ms } => write!(f, "Kafka frozen for {ms} ms"),
            Self::FreezeClickHouse { ms } => write!(f, "ClickHouse frozen for {ms} ms"),
            Self::KillNats { ms } => write!(f, "kill -9 of NATS, away {ms} ms"),
            Self::FreezeNats { ms } => write!(f, "NATS frozen for {ms} ms"),
            Self::Link { instance, to, how, ms } => {
                write!(f, "link of instance {} to {to:?}: {how:?} for {ms} ms", instance + 1)
            }
            Self::LoseAnswers { instance, nth, ms } => {
                let number = instance + 1;
                write!(f, "instance {number} loses every answer no. {nth} for {ms} ms")
            }
            Self::CutRequests { instance, bytes, ms } => {
                let number = instance + 1;
                write!(f, "requests of instance {number} cut after {bytes} bytes for {ms} ms")
            }
            Self::Refuse { code, done, ms } => {
                let done = if *done { " although they are done" } else { "" };
                write!(f, "inserts refused by {code}{done} for {ms} ms")
            }
            Self::SlowInserts { each_ms, ms } => {
                write!(f, "inserts take {each_ms} ms longer for {ms} ms")
            }
            Self::Guest { ms } => write!(f, "a fourth instance joins for {ms} ms"),
            Self::RollingRestart => write!(f, "rolling restart"),
        }
    }
}
