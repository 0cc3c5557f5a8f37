//! A TCP proxy on loopback whose faults can be changed while it runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod accept;
mod inserts;
mod relay;

/// What happens to the bytes. A change holds at once, for connections that are open, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass.
    Pass,
    /// Nobody listens: connecting is refused, open connections are reset.
    Refuse,
    /// Connections are taken and stay open, no byte passes. What was held passes when this ends.
    BlackHole,
    /// Open connections and new ones are reset.
    Reset,
    /// Connections are closed after this many bytes in one direction, counted per connection
    /// since the fault was set or the connection was made.
    CutAfter {
        /// Which bytes are counted; both directions pass until then.
        direction: Direction,
        /// How many pass.
        bytes: u64,
    },
    /// Requests pass; when the server begins to answer, the connection is closed and nothing of
    /// the answer passes: it was done, and nobody knows.
    CutAnswer,
    /// The same for every `nth` HTTP POST with an INSERT in its first line; all else passes.
    CutInsertAnswer {
        /// 1 cuts all of them. 0 is taken for 1.
        nth: u64,
    },
    /// Each piece of up to 64 KiB is held for so long.
    Delay(Duration),
    /// At most so many bytes per second, per connection and direction. 0 is taken for 1.
    Throttle {
        /// The rate.
        bytes_per_second: u64,
    },
}

/// A direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client: requests.
    ToServer,
    /// To the client: answers.
    ToClient,
}

/// What the proxy has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken.
    pub connections: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Bytes passed to the server.
    pub to_server: u64,
    /// Bytes passed to the client.
    pub to_client: u64,
    /// Connections cut or reset by a fault.
    pub cuts: u64,
    /// First lines of HTTP POSTs with INSERT that passed.
    pub inserts: u64,
}

/// A running proxy; dropped, it is gone with all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A fault and when it was set.
#[derive(Clone, Copy, Debug)]
struct Setting {
    fault: Fault,
    /// Tells two equal faults apart.
    epoch: u64,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    setting: watch::Sender<Setting>,
    /// Cuts that are left before bytes pass again; `u64::MAX` is no limit.
    left: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    cuts: AtomicU64,
    inserts: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of loopback for connections to `target`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_at(0, target).await
    }

    /// As [`start`](Self::start), on this port: for servers that must tell their clients where to
    /// come back.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_at(port: u16, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let setting = watch::Sender::new(Setting { fault: Fault::Pass, epoch: 0 });
        let shared = Arc::new(Shared {
            target,
            setting,
            left: AtomicU64::new(u64::MAX),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            inserts: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept::accept(listener, address, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens; the same for as long as it lives.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the fault until another is set.
    pub fn set(&self, fault: Fault) {
        self.times(fault, u64::MAX);
    }

    /// Sets the fault until it has cut `times` connections; then bytes pass.
    pub fn times(&self, fault: Fault, times: u64) {
        self.shared.left.store(times, Ordering::SeqCst);
        self.shared.set(fault);
    }

    /// The fault that holds now.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.shared.setting.borrow().fault
    }

    /// What it has seen until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let shared = &self.shared;
        Counts {
            connections: of(&shared.connections),
            open: of(&shared.open),
            to_server: of(&shared.to_server),
            to_client: of(&shared.to_client),
            cuts: of(&shared.cuts),
            inserts: of(&shared.inserts),
        }
    }
}

impl Shared {
    fn set(&self, fault: Fault) {
        self.setting.send_modify(|setting| {
            setting.fault = fault;
            setting.epoch += 1;
        });
    }

    /// Counts a cut and takes it off the ones that are left. False when none were left, as two
    /// connections may reach for the last one: then nothing is cut.
    fn take_cut(&self) -> bool {
        let mut last = false;
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            last = left == 1;
            match left {
                0 => None,
                u64::MAX => Some(u64::MAX),
                left => Some(left - 1),
            }
        });
        if taken.is_err() {
            return false;
        }
        self.cuts.fetch_add(1, Ordering::SeqCst);
        if last {
            self.set(Fault::Pass);
        }
        true
    }
}
