//! A request's body on its way from the connection, which is asynchronous, to the engine, which
//! blocks: a bounded queue of pieces, so that a fast client waits for a busy engine.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::exception::Exception;

/// Held before the engine is asked for: a small insert takes no place among the running
/// statements while it still arrives.
const AHEAD_BYTES: usize = 1 << 20;
/// Pieces under way to the engine; hyper's are up to 400 KiB.
const QUEUE: usize = 4;
/// As a server's `http_receive_timeout`, but patient with a client that waits for its own source.
const SILENCE: Duration = Duration::from_mins(5);
/// What is read and thrown away so that a client that sends on gets to read the error.
const DISCARD_BYTES: usize = 256 << 20;

enum Message {
    Data(Bytes),
    End,
    Cut(String),
}

/// The reading end; gives an error when the body did not come to its proper end.
pub(crate) struct Input {
    pieces: VecDeque<Bytes>,
    rest: Option<mpsc::Receiver<Message>>,
}

/// The other end, for as long as the body is not read to its end.
pub(crate) struct Feed {
    incoming: Incoming,
    queue: mpsc::Sender<Message>,
}

/// Reads the beginning of a body.
///
/// # Errors
/// `CANNOT_READ_ALL_DATA` when it is cut already there.
pub(crate) async fn open(mut incoming: Incoming) -> Result<(Input, Option<Feed>), Exception> {
    let mut pieces = VecDeque::new();
    let mut length = 0;
    while length < AHEAD_BYTES {
        match next(&mut incoming).await {
            Message::Data(piece) => {
                length += piece.len();
                pieces.push_back(piece);
            }
            Message::End => return Ok((Input { pieces, rest: None }, None)),
            Message::Cut(reason) => return Err(cut(&reason)),
        }
    }
    let (queue, rest) = mpsc::channel(QUEUE);
    Ok((Input { pieces, rest: Some(rest) }, Some(Feed { incoming, queue })))
}

impl Feed {
    /// Passes the rest on; when the reader is gone, reads on for a while into nothing.
    pub(crate) async fn run(mut self) {
        let mut discarded = 0;
        loop {
            let message = next(&mut self.incoming).await;
            let (length, last) = match &message {
                Message::Data(piece) => (piece.len(), false),
                Message::End | Message::Cut(_) => (0, true),
            };
            if self.queue.send(message).await.is_err() {
                discarded += length;
            }
            if last || discarded > DISCARD_BYTES {
                return;
            }
        }
    }
}

/// Reads a refused body for a while into nothing.
pub(crate) async fn discard(mut incoming: Incoming) {
    let mut discarded = 0;
    while let Message::Data(piece) = next(&mut incoming).await {
        discarded += piece.len();
        if discarded > DISCARD_BYTES {
            return;
        }
    }
}

async fn next(incoming: &mut Incoming) -> Message {
    loop {
        match tokio::time::timeout(SILENCE, incoming.frame()).await {
            Ok(None) => return Message::End,
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Message::Data(data);
                }
            }
            Ok(Some(Err(error))) => return Message::Cut(error.to_string()),
            Err(_) => return Message::Cut(format!("nothing came for {} s", SILENCE.as_secs())),
        }
    }
}

fn cut(reason: &str) -> Exception {
    Exception::new(33, "CANNOT_READ_ALL_DATA", &format!("the body was cut short: {reason}"))
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(piece) = self.pieces.front_mut() {
                let length = piece.remaining().min(buffer.len());
                piece.copy_to_slice(&mut buffer[..length]);
                if !piece.has_remaining() {
                    self.pieces.pop_front();
                }
                if length > 0 {
                    return Ok(length);
                }
                continue;
            }
            let Some(rest) = &mut self.rest else {
                return Ok(0);
            };
            match rest.blocking_recv() {
                Some(Message::Data(piece)) => self.pieces.push_back(piece),
                Some(Message::End) => self.rest = None,
                Some(Message::Cut(reason)) => return Err(io::Error::other(cut(&reason))),
                None => return Err(io::Error::other(cut("the client left"))),
            }
        }
    }
}
