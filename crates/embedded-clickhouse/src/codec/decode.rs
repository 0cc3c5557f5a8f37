//! Decompression of a request's body while it is read.

use std::io::{BufReader, Read};

use super::blocks::BlockReader;
use super::lz4_frames::FrameReader;
use crate::exception::Exception;

/// `Content-Encoding` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    /// As it is.
    Identity,
    /// One or more gzip members.
    Gzip,
    /// A zlib stream.
    Deflate,
    /// Zstandard frames.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl ContentEncoding {
    /// Reads the header's value.
    ///
    /// # Errors
    /// `UNKNOWN_COMPRESSION_METHOD` for one that is not understood.
    pub(crate) fn parse(value: &str) -> Result<Self, Exception> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            other => Err(Exception::new(
                89,
                "UNKNOWN_COMPRESSION_METHOD",
                &format!(
                    "Content-Encoding {other} is not supported by the embedded ClickHouse; \
                     use gzip, deflate, zstd or lz4"
                ),
            )),
        }
    }
}

/// The raw bytes behind a body; `blocks`: what the encoding holds are ClickHouse's blocks.
pub(crate) fn reader<'a>(
    body: impl Read + Send + 'a,
    encoding: ContentEncoding,
    blocks: bool,
) -> std::io::Result<Box<dyn Read + Send + 'a>> {
    let plain: Box<dyn Read + Send + 'a> = match encoding {
        ContentEncoding::Identity => Box::new(body),
        ContentEncoding::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(body)))
        }
        ContentEncoding::Deflate => {
            Box::new(flate2::bufread::ZlibDecoder::new(BufReader::new(body)))
        }
        ContentEncoding::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
        ContentEncoding::Lz4 => Box::new(FrameReader::new(body)),
    };
    Ok(if blocks { Box::new(BlockReader::new(BufReader::new(plain))) } else { plain })
}
