//! LZ4 frames, read strictly: `lz4_flex` takes an input that ends between two blocks for a whole
//! frame, and half a body for a whole one would store half an insert.

use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder;

/// Reads one frame behind the other.
pub(crate) struct FrameReader<R: Read> {
    state: State<R>,
}

enum State<R: Read> {
    /// Before a frame, or at the end.
    Between(Watched<R>),
    /// A decoder per frame: it does not take a second one with other parameters.
    Within(Box<FrameDecoder<Watched<R>>>),
    /// After an error.
    Broken,
}

impl<R: Read> FrameReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        let watched = Watched { inner: BufReader::new(inner), ended: false };
        Self { state: State::Between(watched) }
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Between(mut watched) => {
                    if watched.inner.fill_buf()?.is_empty() {
                        self.state = State::Between(watched);
                        return Ok(0);
                    }
                    self.state = State::Within(Box::new(FrameDecoder::new(watched)));
                }
                State::Within(mut decoder) => {
                    let length = decoder.read(buffer)?;
                    if length > 0 || buffer.is_empty() {
                        self.state = State::Within(decoder);
                        return Ok(length);
                    }
                    // The end mark of a frame is read without asking for more than there is.
                    if decoder.get_ref().ended {
                        return Err(cut());
                    }
                    self.state = State::Between(decoder.into_inner());
                }
                State::Broken => return Err(cut()),
            }
        }
    }
}

fn cut() -> io::Error {
    let message = "the body ends in the middle of an LZ4 frame";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// Remembers that the input has ended.
struct Watched<R: Read> {
    inner: BufReader<R>,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.ended |= length == 0 && !buffer.is_empty();
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_whole_frames_are_read() {
        let frame = |text: &[u8]| {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let mut two = frame(&vec![7; 300_000]);
        let first = two.len();
        two.extend(frame(b"more"));
        let read = |data: &[u8]| {
            let mut out = Vec::new();
            FrameReader::new(data).read_to_end(&mut out).map(|_| out.len())
        };
        assert_eq!(read(&two).unwrap(), 300_004);
        assert_eq!(read(&two[..first]).unwrap(), 300_000);
        assert_eq!(read(b"").unwrap(), 0);
        for end in (1..first).chain(first + 1..two.len()) {
            assert!(read(&two[..end]).is_err(), "cut at {end} of {}", two.len());
        }
    }
}
