//! The fake's HTTP server.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::exception_text;
use super::{Answer, Request, Shared, request};

/// Takes connections for as long as the fake lives.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
            let answer = shared.answer(request);
            answered(answer).await
        }
    });
    // An error is a client that went away, or an answer that was meant to break off.
    let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A request with its whole body.
pub(crate) async fn received(incoming: hyper::Request<Incoming>) -> io::Result<Request> {
    let (parts, body) = incoming.into_parts();
    // A body that is cut short inserts nothing, as with the real server.
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        params: request::params(parts.uri.query().unwrap_or_default()),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body,
        at: Instant::now(),
    })
}

/// The answer as it goes over the wire, when its time has come.
pub(crate) async fn answered(mut answer: Answer) -> io::Result<Response<Pieces>> {
    while let Answer::After(delay, later) = answer {
        tokio::time::sleep(delay).await;
        answer = *later;
    }
    match answer {
        Answer::Ok => Ok(respond(200, None, whole(String::new()))),
        Answer::Text(text) => Ok(respond(200, None, whole(text))),
        Answer::Exception { code, name, message, status } => {
            Ok(respond(status, Some(code), whole(exception_text(code, &name, &message))))
        }
        Answer::Http { status, body } => Ok(respond(status, None, whole(body))),
        Answer::ExceptionInBody { before, code, name, message } => {
            let text = before + &exception_text(code, &name, &message);
            Ok(respond(200, None, whole(text)))
        }
        Answer::CutBody { before } => {
            let left = VecDeque::from([Bytes::from(before)]);
            Ok(respond(200, None, Pieces { left, breaks: true }))
        }
        Answer::Close => Err(io::Error::other("closed on purpose")),
        Answer::Hang | Answer::After(..) => std::future::pending().await,
    }
}

/// A body that does not break off.
pub(crate) fn whole(text: impl Into<Bytes>) -> Pieces {
    Pieces { left: VecDeque::from([text.into()]), breaks: false }
}

pub(crate) fn respond(status: u16, code: Option<i32>, body: Pieces) -> Response<Pieces> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if let Some(code) = code {
        response.headers_mut().insert("X-ClickHouse-Exception-Code", code.into());
    }
    response
}

/// A body in pieces that may break off.
pub(crate) struct Pieces {
    left: VecDeque<Bytes>,
    breaks: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.left.pop_front() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.breaks => Some(Err(io::Error::other("cut on purpose"))),
            None => None,
        })
    }
}
