//! An answer on its way from the engine's thread to the client: whole when it is small, in pieces
//! when it is large.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::codec::encode::{AnswerEncoding, Encoder};
use crate::exception::Exception;
use crate::ffi::Tally;

/// An answer up to this size goes out whole, with its summary; a larger one in pieces of it.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces under way to the client.
const QUEUE: usize = 4;

/// What every answer of this server carries.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    pub(crate) display_name: String,
    pub(crate) timezone: String,
    pub(crate) query_id: String,
}

/// What the engine's thread has to say; the first thing that the client hears.
pub(crate) struct Reply {
    status: u16,
    exception_code: Option<i32>,
    /// Marks an exception that follows the first piece.
    tag: Option<String>,
    format: String,
    encoding: AnswerEncoding,
    tally: Tally,
    body: AnswerBody,
}

impl Reply {
    /// An error, said before anything else.
    pub(crate) fn failed(exception: &Exception, encoding: AnswerEncoding, version: &str) -> Self {
        let text = exception.body(version);
        let packed = Encoder::new(encoding).and_then(|mut encoder| {
            encoder.write(text.as_bytes())?;
            encoder.finish()
        });
        let (body, encoding) = match packed {
            Ok(body) => (body, encoding),
            Err(_) => (text.into_bytes(), AnswerEncoding::Identity),
        };
        Self {
            status: exception.status(),
            exception_code: Some(exception.code),
            tag: None,
            format: String::new(),
            encoding,
            tally: Tally::default(),
            body: AnswerBody::whole(body),
        }
    }

    /// The HTTP response.
    pub(crate) fn response(self, labels: &Labels) -> Response<AnswerBody> {
        let content_type = match self.exception_code {
            Some(_) => "text/plain; charset=UTF-8",
            None => content_type(&self.format),
        };
        let mut builder = Response::builder()
            .status(self.status)
            .header("Content-Type", content_type)
            .header("X-ClickHouse-Server-Display-Name", &labels.display_name)
            .header("X-ClickHouse-Query-Id", printable(&labels.query_id))
            .header("X-ClickHouse-Timezone", &labels.timezone)
            .header("X-ClickHouse-Summary", summary(&self.tally));
        if self.exception_code.is_none() && !self.format.is_empty() {
            builder = builder.header("X-ClickHouse-Format", printable(&self.format));
        }
        if let Some(code) = self.exception_code {
            builder = builder.header("X-ClickHouse-Exception-Code", code.to_string());
        }
        if let Some(tag) = &self.tag {
            builder = builder.header("X-ClickHouse-Exception-Tag", tag);
        }
        if let Some(encoding) = self.encoding.header() {
            builder =
                builder.header("Content-Encoding", encoding).header("Vary", "Accept-Encoding");
        }
        builder
            .body(self.body)
            .unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
    }
}

/// A plain answer, such as `Ok.`
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        "Content-Type",
        hyper::header::HeaderValue::from_static("text/html; charset=UTF-8"),
    );
    response
}

/// Header values are visible ASCII; a query id may be anything.
fn printable(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_ascii_graphic() || sign == ' ' { sign } else { '?' })
        .collect()
}

fn summary(tally: &Tally) -> String {
    // Nanoseconds of a duration in seconds: far below 2^63.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a short, positive time"
    )]
    let nanoseconds = (tally.elapsed.max(0.0) * 1e9) as u64;
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
         \"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"{}\",\
         \"elapsed_ns\":\"{nanoseconds}\"}}",
        tally.read_rows,
        tally.read_bytes,
        tally.written_rows,
        tally.written_bytes,
        tally.result_rows.max(tally.written_rows),
        tally.result_bytes.max(tally.written_bytes),
    )
}

fn content_type(format: &str) -> &'static str {
    match format {
        "" => "text/plain; charset=UTF-8",
        "Parquet"
        | "Arrow"
        | "ArrowStream"
        | "ORC"
        | "Avro"
        | "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "MsgPack"
        | "Protobuf"
        | "Npy"
        | "CapnProto"
        | "BSONEachRow"
        | "RawBLOB" => "application/octet-stream",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "XML" => "application/xml; charset=UTF-8",
        format if format.starts_with("TabSeparated") || format.starts_with("TSV") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        format if format.contains("EachRow") => "application/x-ndjson; charset=UTF-8",
        format if format.starts_with("JSON") => "application/json; charset=UTF-8",
        _ => "text/plain; charset=UTF-8",
    }
}

/// The client does not listen any more.
#[derive(Debug)]
pub(crate) struct ClientLeft;

impl<T> From<mpsc::error::SendError<T>> for ClientLeft {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

/// An encoder writes to memory: it does not fail.
impl From<std::io::Error> for ClientLeft {
    fn from(error: std::io::Error) -> Self {
        tracing::warn!(%error, "an answer cannot be encoded");
        Self
    }
}

/// The writing end of an answer, on the engine's thread.
pub(crate) struct Output {
    reply: Option<oneshot::Sender<Reply>>,
    pieces: Option<mpsc::Sender<Piece>>,
    encoder: Encoder,
    encoding: AnswerEncoding,
    tag: String,
    version: String,
    /// Nothing goes out before the end.
    wait_end: bool,
    pub(crate) format: String,
    pub(crate) tally: Tally,
}

enum Piece {
    Data(Bytes),
    End,
}

impl Output {
    pub(crate) fn new(
        reply: oneshot::Sender<Reply>,
        encoding: AnswerEncoding,
        wait_end: bool,
        version: &str,
    ) -> std::io::Result<Self> {
        Ok(Self {
            reply: Some(reply),
            pieces: None,
            encoder: Encoder::new(encoding)?,
            encoding,
            tag: std::iter::repeat_with(fastrand::lowercase).take(16).collect(),
            version: version.to_owned(),
            wait_end,
            format: String::new(),
            tally: Tally::default(),
        })
    }

    /// Takes the next bytes of the answer; waits for a slow client.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), ClientLeft> {
        for part in data.chunks(PIECE_BYTES) {
            self.encoder.write(part)?;
            if self.encoder.ready() >= PIECE_BYTES && !self.wait_end {
                let piece = self.encoder.take();
                self.send(piece)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, piece: Vec<u8>) -> Result<(), ClientLeft> {
        if let Some(reply) = self.reply.take() {
            let (sender, pieces) = mpsc::channel(QUEUE);
            let body = AnswerBody {
                whole: VecDeque::new(),
                pieces: Some(pieces),
                ending: Ending::Open,
                guard: None,
            };
            let tag = Some(self.tag.clone());
            let head = self.head(200, None, tag, body);
            reply.send(head).or(Err(ClientLeft))?;
            self.pieces = Some(sender);
        }
        let pieces = self.pieces.as_ref().ok_or(ClientLeft)?;
        Ok(pieces.blocking_send(Piece::Data(piece.into()))?)
    }

    fn head(&self, status: u16, code: Option<i32>, tag: Option<String>, body: AnswerBody) -> Reply {
        Reply {
            status,
            exception_code: code,
            tag,
            format: self.format.clone(),
            encoding: self.encoding,
            tally: self.tally,
            body,
        }
    }

    /// Ends the answer.
    pub(crate) fn finish(mut self) -> Result<(), ClientLeft> {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Identity(Vec::new()));
        let rest = encoder.finish()?;
        if let Some(reply) = self.reply.take() {
            let head = self.head(200, None, None, AnswerBody::whole(rest));
            return reply.send(head).or(Err(ClientLeft));
        }
        self.send(rest)?;
        let pieces = self.pieces.as_ref().ok_or(ClientLeft)?;
        Ok(pieces.blocking_send(Piece::End)?)
    }

    /// Says what went wrong: as the answer, or behind what was sent already, in which case the
    /// connection is cut so that no client takes the answer for complete.
    pub(crate) fn fail(mut self, exception: &Exception) -> Result<(), ClientLeft> {
        if let Some(reply) = self.reply.take() {
            let failed = Reply::failed(exception, self.encoding, &self.version);
            return reply.send(failed).or(Err(ClientLeft));
        }
        let text = exception.body(&self.version);
        let (tag, length) = (&self.tag, text.len());
        let block =
            format!("\r\n__exception__\r\n{tag}\r\n{text}\r\n{length} {tag}\r\n__exception__\r\n");
        let mut encoder = std::mem::replace(&mut self.encoder, Encoder::Identity(Vec::new()));
        encoder.write(block.as_bytes())?;
        let rest = encoder.finish()?;
        self.send(rest)
    }
}

/// The body of a response.
pub(crate) struct AnswerBody {
    whole: VecDeque<Bytes>,
    pieces: Option<mpsc::Receiver<Piece>>,
    ending: Ending,
    /// Dropped with the body; a body dropped before its end means that the client left.
    guard: Option<LeaveGuard>,
}

enum Ending {
    Open,
    /// The engine's side ended without a proper end: let hyper send what it holds, then cut.
    Flushing,
}

/// Does something when it is dropped unless it was disarmed before.
pub(crate) struct LeaveGuard(Option<Box<dyn FnOnce() + Send>>);

impl LeaveGuard {
    pub(crate) fn new(on_leave: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(on_leave)))
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        if let Some(on_leave) = self.0.take() {
            on_leave();
        }
    }
}

impl AnswerBody {
    fn whole(body: Vec<u8>) -> Self {
        let whole = if body.is_empty() { VecDeque::new() } else { VecDeque::from([body.into()]) };
        Self { whole, pieces: None, ending: Ending::Open, guard: None }
    }

    /// Keeps the guard until the body ends; at once disarmed when nothing runs any more.
    pub(crate) fn guarded(mut self, mut guard: LeaveGuard) -> Self {
        if self.pieces.is_none() {
            guard.disarm();
        }
        self.guard = Some(guard);
        self
    }
}

/// An answer that broke off.
#[derive(Debug, thiserror::Error)]
#[error("the statement failed in the middle of its answer")]
pub(crate) struct BrokenOff;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(piece) = self.whole.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(pieces) = &mut self.pieces else {
            return Poll::Ready(None);
        };
        let over = match pieces.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Piece::Data(piece))) => {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            Poll::Ready(Some(Piece::End)) => None,
            Poll::Ready(None) => match self.ending {
                Ending::Open => {
                    self.ending = Ending::Flushing;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ending::Flushing => Some(Err(BrokenOff)),
            },
        };
        if let Some(guard) = &mut self.guard {
            guard.disarm();
        }
        self.pieces = None;
        Poll::Ready(over)
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty() && self.pieces.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.pieces.is_some() {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.whole.iter().map(|piece| piece.len() as u64).sum())
    }
}
