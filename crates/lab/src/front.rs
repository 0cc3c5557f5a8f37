//! What stands before a real ClickHouse: passes requests on, or answers in its stead.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fake_clickhouse::serve::{Pieces, answered, received, respond, whole};
use crate::fake_clickhouse::{Answer, Request};

/// What a front does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The server answers.
    Pass,
    /// The server answers, but hears of it so much later.
    PassAfter(Duration),
    /// The server never hears of it.
    Answer(Answer),
    /// The server does it, and something else is answered: it was done, and reported as failed.
    PassThen(Answer),
}

type Decide = Box<dyn FnMut(&Request) -> Reaction + Send>;

/// A running front; dropped, it is gone with all its connections. It keeps nothing of what passes.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    client: reqwest::Client,
    decide: Mutex<Decide>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Front {
    /// Listens on a free port of loopback; `decide` is asked about every request to `target`, one
    /// request at a time.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(
        target: SocketAddr,
        decide: impl FnMut(&Request) -> Reaction + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = crate::verify::http_client();
        let decide: Mutex<Decide> = Mutex::new(Box::new(decide));
        let shared = Arc::new(Shared { target, client, decide });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared));
        Ok(Self { address, _tasks: tasks })
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
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                if let Ok((stream, _)) = taken {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|incoming: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let request = received(incoming).await?;
            let reaction = {
                let mut decide = shared.decide.lock().unwrap_or_else(PoisonError::into_inner);
                decide(&request)
            };
            match reaction {
                Reaction::Pass => shared.pass(&request).await,
                Reaction::PassAfter(time) => {
                    tokio::time::sleep(time).await;
                    shared.pass(&request).await
                }
                Reaction::Answer(answer) => answered(answer).await,
                Reaction::PassThen(answer) => {
                    shared.pass(&request).await?;
                    answered(answer).await
                }
            }
        }
    });
    // An error is a client that went away, or a server that did.
    let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    /// Sends a request on and takes the whole answer. A server that is away closes the connection.
    async fn pass(&self, request: &Request) -> io::Result<Response<Pieces>> {
        /// Of one connection only.
        const HOP: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];
        let method = reqwest::Method::from_bytes(request.method.as_bytes());
        let url = format!("http://{}{}", self.target, request.path);
        let mut onward = self
            .client
            .request(method.map_err(io::Error::other)?, url)
            .query(&request.params)
            .body(request.body.clone());
        for (name, value) in &request.headers {
            if !HOP.contains(&name.as_str()) {
                onward = onward.header(name, value);
            }
        }
        let answer = onward.send().await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let code = answer.headers().get("X-ClickHouse-Exception-Code");
        let code = code.and_then(|code| code.to_str().ok()?.parse().ok());
        let body: Bytes = answer.bytes().await.map_err(io::Error::other)?;
        Ok(respond(status, code, whole(body)))
    }
}
