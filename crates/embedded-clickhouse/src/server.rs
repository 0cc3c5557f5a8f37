//! The HTTP server: accepts, authenticates, hands statements to threads, drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use crate::engine::{Engine, EngineError};
use crate::exception::Exception;
use crate::http::answer::{AnswerBody, Labels, LeaveGuard, Reply, plain};
use crate::http::body;
use crate::http::request::Request;
use crate::options::Options;
use crate::running::Running;
use crate::sessions::Sessions;
use crate::work::{self, Job, Ticket};

/// How often sessions whose time is over are closed.
const SWEEP: Duration = Duration::from_secs(1);
/// What is left for statements to notice that they were cancelled.
const CANCEL: Duration = Duration::from_secs(10);

/// Why there is no server, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The engine has no password worth the name and may read files of its user.
    #[error("the embedded ClickHouse listens on loopback only, not on {0}: use 127.0.0.1 or ::1")]
    NotLoopback(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Runs the embedded ClickHouse until `shutdown` completes; `ready` hears the address once the
/// server answers.
///
/// Requests under way when `shutdown` completes have `options.drain` to end; then they are
/// cancelled and the engine is stopped. Inserts that were answered with 200 survive even a kill.
///
/// # Errors
/// See [`ServeError`]; nothing is left running.
pub async fn serve(
    options: Options,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = options.listen;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let server = Server::start(options).await?;
    tracing::info!(address = %bound, version = %server.engine.version,
        library = %server.engine.library_version(), "embedded ClickHouse answers");
    ready(bound);
    server.run(listener, shutdown).await;
    Ok(())
}

struct Server {
    /// Before the engine: its connections close before the engine stops.
    sessions: Arc<Sessions>,
    engine: Arc<Engine>,
    running: Arc<Running>,
    places: Arc<Semaphore>,
    options: Options,
    display_name: String,
}

impl Server {
    async fn start(options: Options) -> Result<Arc<Self>, EngineError> {
        // A thread of its own: loading the library leaves a signal blocked in it.
        let (sender, started) = oneshot::channel();
        let for_engine = options.clone();
        let thread = std::thread::Builder::new().name("engine-start".to_owned()).spawn(move || {
            // The receiver waits for exactly this; it is gone only with the whole server.
            drop(sender.send(Engine::start(&for_engine)));
        });
        let data = || options.data.display().to_string();
        thread.map_err(|source| EngineError::Data { path: data(), source })?;
        let started = started.await;
        let engine =
            started.unwrap_or_else(|_| Err(EngineError::Start { data: data(), log: None }))?;
        Ok(Arc::new(Self {
            engine: Arc::new(engine),
            sessions: Arc::default(),
            running: Arc::default(),
            places: Arc::new(Semaphore::new(options.max_concurrent.max(1))),
            display_name: host_name(),
            options,
        }))
    }

    async fn run(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let server = Arc::clone(&self);
                        connections.spawn(server.connection(stream, stopping.clone()));
                    }
                    // Out of descriptors, most likely: the next tick tries again.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sweep.tick().await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = sweep.tick() => {
                    let sessions = Arc::clone(&self.sessions);
                    connections.spawn_blocking(move || sessions.sweep(Instant::now()));
                }
            }
        }
        drop(listener);
        stop.send_replace(true);
        self.stop(connections).await;
    }

    /// Lets requests end, cancels what does not, stops the engine.
    async fn stop(self: Arc<Self>, mut connections: JoinSet<()>) {
        let all = u32::try_from(self.options.max_concurrent.max(1)).unwrap_or(u32::MAX);
        let drained = async {
            while connections.join_next().await.is_some() {}
            // A change whose client left still runs.
            self.places.acquire_many(all).await.is_ok()
        };
        let mut idle = tokio::time::timeout(self.options.drain, drained).await == Ok(true);
        if !idle {
            tracing::warn!("cancelling requests that did not end in time");
            connections.shutdown().await;
            let engine = Arc::clone(&self.engine);
            if let Err(error) = tokio::task::spawn_blocking(move || engine.kill_all()).await {
                tracing::warn!(%error, "running statements were not cancelled");
            }
            let cancelled = tokio::time::timeout(CANCEL, self.places.acquire_many(all)).await;
            idle = cancelled.is_ok_and(|all| all.is_ok());
        }
        if !idle {
            // Stopping the engine under a running statement is worse than leaving it to the
            // end of the process: what was answered is stored.
            tracing::warn!(
                "a statement does not end; the engine is left to the end of the process"
            );
            std::mem::forget(Arc::clone(&self));
            return;
        }
        let stopped = tokio::task::spawn_blocking(move || drop(self));
        if let Err(error) = stopped.await {
            tracing::warn!(%error, "the engine did not stop cleanly");
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // The sender lives as long as the server runs.
        let asked_to_stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = asked_to_stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> Response<AnswerBody> {
        let (parts, incoming) = request.into_parts();
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        match parts.uri.path() {
            "/ping" | "/replicas_status" if reads => return plain(StatusCode::OK, "Ok.\n"),
            "/" => {}
            path => {
                let text = format!(
                    "There is no handle {path}\n\nUse / or /ping for health checks.\n\
                     Send queries from your program with POST method or GET /?query=...\n"
                );
                return plain(StatusCode::NOT_FOUND, &text);
            }
        }
        if !reads && parts.method != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET, HEAD or POST\n");
        }
        let parsed = Request::parse(&parts);
        let parsed = parsed.and_then(|request| {
            request.authenticate(self.options.password.as_deref()).map(|()| request)
        });
        match parsed {
            Ok(request) if reads && request.query.is_empty() => plain(StatusCode::OK, "Ok.\n"),
            Ok(request) => self.statement(request, incoming).await,
            Err(exception) => {
                body::discard(incoming).await;
                let identity = crate::codec::encode::AnswerEncoding::Identity;
                let reply = Reply::failed(&exception, identity, &self.engine.version);
                reply.response(&self.labels(String::new()))
            }
        }
    }

    async fn statement(&self, request: Request, incoming: Incoming) -> Response<AnswerBody> {
        let labels = self.labels(request.query_id.clone());
        let encoding = request.answer_encoding();
        let failed = |exception: &Exception| {
            Reply::failed(exception, encoding, &self.engine.version).response(&labels)
        };
        let (input, feed) = match body::open(incoming).await {
            Ok(opened) => opened,
            Err(exception) => return failed(&exception),
        };
        let place = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(place)) = tokio::time::timeout(self.options.max_queue_wait, place).await else {
            let message =
                format!("Too many simultaneous queries. Maximum: {}", self.options.max_concurrent);
            return failed(&Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", &message));
        };
        let id = match self.running.enter(&request.query_id) {
            Ok(id) => id,
            Err(exception) => return failed(&exception),
        };
        let ticket = Ticket::new();
        let mut guard = self.cancel_when_dropped(&ticket);
        let (reply, mut replied) = oneshot::channel();
        let job = Job {
            engine: Arc::clone(&self.engine),
            sessions: Arc::clone(&self.sessions),
            request,
            input,
            ticket,
            id,
            place,
        };
        // A thread of its own, not one of the runtime's, which waits for them at its end: should
        // a statement never end, the process still can. The reply tells the statement's end, the
        // place its last breath, so nobody joins it.
        let thread = std::thread::Builder::new().name("statement".to_owned());
        if let Err(error) = thread.spawn(move || work::run(job, reply)) {
            let message = format!("no thread for the statement: {error}");
            guard.disarm();
            return failed(&Exception::new(439, "CANNOT_SCHEDULE_TASK", &message));
        }
        let replied = match feed {
            None => replied.await,
            Some(feed) => {
                let mut feed = std::pin::pin!(feed.run());
                tokio::select! {
                    () = &mut feed => replied.await,
                    reply = &mut replied => {
                        // An early answer is an error. A client that still sends would not read
                        // it: take the rest first.
                        feed.await;
                        reply
                    }
                }
            }
        };
        let Ok(reply) = replied else {
            guard.disarm();
            let message = "the statement's thread ended without an answer";
            return failed(&Exception::new(1002, "UNKNOWN_EXCEPTION", message));
        };
        reply.response(&labels).map(|body| body.guarded(guard))
    }

    /// A client that leaves takes its query with it.
    fn cancel_when_dropped(&self, ticket: &Arc<Ticket>) -> LeaveGuard {
        let (engine, ticket) = (Arc::downgrade(&self.engine), Arc::clone(ticket));
        let runtime = tokio::runtime::Handle::current();
        LeaveGuard::new(move || {
            if let (true, Some(engine)) = (ticket.leave(), engine.upgrade()) {
                drop(runtime.spawn_blocking(move || engine.kill(&ticket.tag)));
            }
        })
    }

    fn labels(&self, query_id: String) -> Labels {
        Labels {
            display_name: self.display_name.clone(),
            timezone: self.engine.timezone.clone(),
            query_id,
        }
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
