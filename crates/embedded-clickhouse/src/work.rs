//! One statement on a thread that may block: its connection, its cancellation, its answer.

mod context;
mod execute;
mod external;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::engine::{self, Engine};
use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::answer::{ClientLeft, Output, Reply};
use crate::http::body::Input;
use crate::http::request::Request;
use crate::running::Entered;
use crate::sessions::Sessions;

use context::Before;
use execute::Run;

/// All that a statement needs.
pub(crate) struct Job {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) request: Request,
    pub(crate) input: Input,
    pub(crate) ticket: Arc<Ticket>,
    /// The query id, held to the end.
    pub(crate) id: Entered,
    /// The place among the running statements, held to the end.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What the statement's thread and its connection know of each other.
pub(crate) struct Ticket {
    /// Under which the engine knows the statement; no other one has it.
    pub(crate) tag: String,
    /// It only reads: nobody wants its answer once the client has left. A change goes on, as in
    /// a server.
    only_reads: AtomicBool,
    left: AtomicBool,
}

impl Ticket {
    pub(crate) fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let tag = format!("{}{}", engine::TAG_PREFIX, NEXT.fetch_add(1, Ordering::Relaxed));
        Arc::new(Self { tag, only_reads: AtomicBool::new(false), left: AtomicBool::new(false) })
    }

    /// The client has left; whether the statement shall be cancelled.
    pub(crate) fn leave(&self) -> bool {
        self.left.store(true, Ordering::SeqCst);
        self.only_reads.load(Ordering::SeqCst)
    }

    /// From here on the statement may be cancelled, unless that is due already.
    fn start_reading(&self) -> Result<(), ClientLeft> {
        self.only_reads.store(true, Ordering::SeqCst);
        if self.left.load(Ordering::SeqCst) { Err(ClientLeft) } else { Ok(()) }
    }
}

/// Why a statement did not come to its end.
enum Stop {
    Exception(Exception),
    ClientLeft,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl From<ClientLeft> for Stop {
    fn from(ClientLeft: ClientLeft) -> Self {
        Self::ClientLeft
    }
}

/// Runs the job; what it has to say goes to `reply`.
pub(crate) fn run(job: Job, reply: oneshot::Sender<Reply>) {
    let Job { engine, sessions, request, input, ticket, id, place } = job;
    let (encoding, wait_end) = (request.answer_encoding(), request.wait_end);
    let Ok(output) = Output::new(reply, encoding, wait_end, &engine.version) else {
        return;
    };
    let mut run = Run { request, ticket: &ticket, id: &id, output };
    let result = with_connection(&engine, &sessions, &mut run, input);
    let Run { request, output, .. } = run;
    // Free before the client hears the end, so that its next statement finds them; the place
    // last, because whoever holds all places may stop the engine.
    drop((sessions, engine, id, place));
    let said = match result {
        Ok(()) => output.finish(),
        Err(Stop::Exception(exception)) => {
            tracing::debug!(query_id = %request.query_id, error = %exception, "statement failed");
            output.fail(&exception)
        }
        Err(Stop::ClientLeft) => Err(ClientLeft),
    };
    if let Err(ClientLeft) = said {
        tracing::debug!(query_id = %request.query_id, "client left");
    }
}

/// Finds the connection, of the session or a fresh one, and gives it back.
fn with_connection(
    engine: &Engine,
    sessions: &Sessions,
    run: &mut Run<'_>,
    input: Input,
) -> Result<(), Stop> {
    let tag = &run.ticket.tag;
    let Some(session) = run.request.session.clone() else {
        return run.statement(&mut engine.open(tag)?, input);
    };
    let taken = sessions.take(&session, Instant::now())?;
    let mut connection = match taken.map_or_else(|| engine.open(tag), Ok) {
        Ok(connection) => connection,
        Err(exception) => {
            sessions.end(&session.id);
            return Err(exception.into());
        }
    };
    let result = in_session(&mut connection, run, input);
    if session.close {
        sessions.end(&session.id);
    } else {
        sessions.give_back(&session.id, connection, session.timeout);
    }
    result
}

fn in_session(connection: &mut Connection, run: &mut Run<'_>, input: Input) -> Result<(), Stop> {
    let before = Before::of(connection, &run.request)?;
    context::set(connection, &[("log_comment".to_owned(), run.ticket.tag.clone())])?;
    let result = run.statement(connection, input);
    before.restore(connection);
    result
}
