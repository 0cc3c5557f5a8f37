//! Compression of answers while they are made.

use std::io::{self, Write};

use super::blocks;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEncoding {
    /// Not at all.
    Identity,
    /// ClickHouse's blocks: `compress=1`.
    Blocks,
    /// `Accept-Encoding: gzip`; the zlib level.
    Gzip(u32),
    /// `Accept-Encoding: deflate`; the zlib level.
    Deflate(u32),
    /// `Accept-Encoding: zstd`.
    Zstd,
    /// `Accept-Encoding: lz4`, an LZ4 frame.
    Lz4,
}

impl AnswerEncoding {
    /// The first of ours that the client accepts, in the order in which ClickHouse looks.
    pub(crate) fn negotiate(accepted: &str, level: u32) -> Self {
        let offers: Vec<_> = accepted
            .split(',')
            .filter(|offer| !offer.replace(' ', "").ends_with(";q=0"))
            .map(|offer| offer.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .collect();
        [
            ("lz4", Self::Lz4),
            ("gzip", Self::Gzip(level)),
            ("deflate", Self::Deflate(level)),
            ("zstd", Self::Zstd),
        ]
        .into_iter()
        .find(|(name, _)| offers.iter().any(|offer| offer == name))
        .map_or(Self::Identity, |(_, encoding)| encoding)
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Blocks => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Deflate(_) => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }
}

/// Takes raw bytes, gives encoded ones.
pub(crate) enum Encoder {
    Identity(Vec<u8>),
    Blocks { raw: Vec<u8>, out: Vec<u8> },
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(lz4_flex::frame::FrameEncoder<Vec<u8>>),
}

impl Encoder {
    pub(crate) fn new(encoding: AnswerEncoding) -> io::Result<Self> {
        let level = |level: u32| flate2::Compression::new(level.min(9));
        Ok(match encoding {
            AnswerEncoding::Identity => Self::Identity(Vec::new()),
            AnswerEncoding::Blocks => Self::Blocks { raw: Vec::new(), out: Vec::new() },
            AnswerEncoding::Gzip(at) => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level(at)))
            }
            AnswerEncoding::Deflate(at) => {
                Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level(at)))
            }
            AnswerEncoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
            AnswerEncoding::Lz4 => Self::Lz4(lz4_flex::frame::FrameEncoder::new(Vec::new())),
        })
    }

    /// Takes the next raw bytes.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(out) => out.extend_from_slice(data),
            Self::Blocks { raw, out } => {
                for part in data.chunks(blocks::RAW) {
                    if raw.len() + part.len() > blocks::RAW {
                        blocks::pack(raw, out);
                        raw.clear();
                    }
                    raw.extend_from_slice(part);
                }
            }
            Self::Gzip(encoder) => encoder.write_all(data)?,
            Self::Deflate(encoder) => encoder.write_all(data)?,
            Self::Zstd(encoder) => encoder.write_all(data)?,
            Self::Lz4(encoder) => encoder.write_all(data)?,
        }
        Ok(())
    }

    /// Bytes that [`Encoder::take`] would give.
    pub(crate) fn ready(&self) -> usize {
        match self {
            Self::Identity(out) | Self::Blocks { out, .. } => out.len(),
            Self::Gzip(encoder) => encoder.get_ref().len(),
            Self::Deflate(encoder) => encoder.get_ref().len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
            Self::Lz4(encoder) => encoder.get_ref().len(),
        }
    }

    /// The encoded bytes so far.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Identity(out) | Self::Blocks { out, .. } => out,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Lz4(encoder) => encoder.get_mut(),
        })
    }

    /// The rest of the encoded bytes.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Blocks { raw, mut out } => {
                if !raw.is_empty() {
                    blocks::pack(&raw, &mut out);
                }
                Ok(out)
            }
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }
}
