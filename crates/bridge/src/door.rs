//! Where HTTP comes in: so many visitors at once, none that keeps silent for long, and who of them shows
//! the token. Whoever sends a byte a minute, or reads none, costs a place for a while, not memory and
//! not the data path.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::config::Secret;

/// Connections at once: a browser opens six, Prometheus one; the rest wait in the system's queue.
const PLACES: usize = 256;
/// Longest silence in both directions: longer than the slowest answer, which waits a minute for the
/// group.
const SILENCE: Duration = Duration::from_secs(75);

/// Whether a visitor shows this token; nobody shows an empty one.
#[must_use]
pub fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let (shown, token) = (shown.as_bytes(), token.expose().as_bytes());
    // As long for a wrong letter at the beginning as for one at the end.
    let differences = shown.iter().zip(token).fold(0, |all, (one, other)| all | (one ^ other));
    !token.is_empty() && shown.len() == token.len() && differences == 0
}

/// A listener that lets so many in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence: Duration,
}

impl Door {
    /// A door at this listener.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(PLACES)), silence: SILENCE }
    }
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let quiet = Box::pin(tokio::time::sleep(self.silence));
        (Visit { stream, quiet, silence: self.silence, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself when nothing comes or goes.
#[derive(Debug)]
pub struct Visit {
    stream: TcpStream,
    /// Over when there was silence for too long.
    quiet: Pin<Box<Sleep>>,
    silence: Duration,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    /// What the stream says, unless it says nothing for too long.
    fn unless_silent<T>(
        &mut self,
        context: &mut Context<'_>,
        said: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if said.is_ready() {
            let until = Instant::now() + self.silence;
            self.quiet.as_mut().reset(until);
            return said;
        }
        ready!(self.quiet.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.unless_silent(context, said)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_silent(context, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.unless_silent(context, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn only_the_token_as_a_whole_opens() {
        let is_opened = |value: &str, token: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            shows(&headers, &Secret::new(token))
        };
        assert!(is_opened("Bearer open sesame", "open sesame"));
        for other in [
            "open sesame",
            "Bearer open sesam",
            "Bearer open sesame!",
            "Bearer opem sesame",
            "Bearer ",
            "Basic open sesame",
        ] {
            assert!(!is_opened(other, "open sesame"), "{other}");
        }
        for nothing in ["Bearer ", "Bearer x", ""] {
            assert!(!is_opened(nothing, ""), "{nothing:?} opens what has no token");
        }
        assert!(!shows(&HeaderMap::new(), &Secret::new("open sesame")));
    }

    async fn door(places: usize, silence: Duration) -> (Door, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(places));
        (Door { listener, places, silence }, address)
    }

    #[tokio::test]
    async fn who_keeps_silent_is_shown_out_and_who_speaks_stays() {
        let silence = Duration::from_millis(300);
        let (mut door, address) = door(2, silence).await;
        let mut caller = TcpStream::connect(address).await.unwrap();
        let (mut visit, _) = door.accept().await;
        let began = Instant::now();
        let talk = async {
            for _ in 0..4 {
                tokio::time::sleep(silence / 3).await;
                caller.write_all(b".").await.unwrap();
            }
            caller
        };
        let heard = async {
            let mut all = Vec::new();
            let error = visit.read_to_end(&mut all).await.expect_err("it is never closed");
            (all.len(), error.kind())
        };
        let (_caller, heard) = tokio::join!(talk, heard);
        assert_eq!(heard, (4, io::ErrorKind::TimedOut));
        assert!(began.elapsed() >= silence / 3 * 4 + silence / 2);
    }

    #[tokio::test]
    async fn no_more_are_let_in_than_there_are_places() {
        let (mut door, address) = door(1, SILENCE).await;
        let (_first, _second) = (
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        );
        let (visit, _) = door.accept().await;
        let waits = tokio::time::timeout(Duration::from_millis(50), door.accept()).await;
        assert!(waits.is_err(), "there is one place");
        drop(visit);
        door.accept().await;
    }
}
