//! A scripted fake of ClickHouse's HTTP interface: answers what a test wants, keeps what it got.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod answer;
pub mod native;
mod request;
pub(crate) mod serve;

pub use answer::Answer;
pub use request::Request;

use crate::wait::{self, TimedOut};

/// Decides the answer to a request; `None` leaves it to the programmed answers.
type Script = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// A running fake; dropped, it is gone with all its connections.
#[derive(Debug)]
pub struct FakeClickHouse {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    script: Option<Script>,
    /// Answers for the next inserts, in order.
    inserts: std::collections::VecDeque<Answer>,
    /// A piece of a query, and its answer; the newest first.
    programmed: Vec<(String, Answer)>,
    requests: Vec<Request>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("requests", &self.state().requests.len())
            .finish_non_exhaustive()
    }
}

impl FakeClickHouse {
    /// Listens on a free port of loopback. Until told otherwise it answers `/ping`, takes every
    /// insert and answers every other query with nothing.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks `script` first, for every request. `None` from it: as if there were none.
    pub fn script(&self, script: impl FnMut(&Request) -> Option<Answer> + Send + 'static) {
        self.shared.state().script = Some(Box::new(script));
    }

    /// Answers queries that contain `piece`, the newest such answer first: `system.columns`,
    /// `SELECT version()`.
    pub fn program(&self, piece: &str, answer: Answer) {
        self.shared.state().programmed.insert(0, (piece.to_owned(), answer));
    }

    /// Answers the next insert that nothing else answers; each call adds one more.
    pub fn next_insert(&self, answer: Answer) {
        self.shared.state().inserts.push_back(answer);
    }

    /// Everything that was asked until now, bodies included.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The inserts among them.
    #[must_use]
    pub fn inserts(&self) -> Vec<Request> {
        self.shared.state().requests.iter().filter(|request| request.is_insert()).cloned().collect()
    }

    /// Waits until there were `count` inserts, and returns all there were.
    ///
    /// # Errors
    /// After `deadline`.
    pub async fn wait_for_inserts(
        &self,
        count: usize,
        deadline: Duration,
    ) -> Result<Vec<Request>, TimedOut> {
        wait::until(deadline, &format!("{count} inserts"), async || {
            let inserts = self.inserts();
            if inserts.len() >= count {
                Ok(inserts)
            } else {
                Err(format!("{} inserts", inserts.len()))
            }
        })
        .await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request and finds its answer.
    fn answer(&self, request: Request) -> Answer {
        let mut state = self.state();
        let scripted = state.script.as_mut().and_then(|script| script(&request));
        let answer = scripted.unwrap_or_else(|| state.programmed_answer(&request));
        state.requests.push(request);
        answer
    }
}

impl State {
    fn programmed_answer(&mut self, request: &Request) -> Answer {
        let sql = request.sql();
        if let Some((_, answer)) = self.programmed.iter().find(|(piece, _)| sql.contains(piece)) {
            return answer.clone();
        }
        if request.path == "/ping" {
            return Answer::Text("Ok.\n".to_owned());
        }
        if request.is_insert() {
            return self.inserts.pop_front().unwrap_or(Answer::Ok);
        }
        Answer::Ok
    }
}
