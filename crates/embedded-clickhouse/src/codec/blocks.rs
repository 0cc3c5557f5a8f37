//! ClickHouse's own compressed blocks: checksum (16 bytes), method (1), size with these nine
//! header bytes (4), size of the raw data (4), data. `decompress=1` and `compress=1` of the HTTP
//! interface.

use std::io::{self, Read};

use super::cityhash::checksum;
use crate::exception::Exception;

const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const NONE: u8 = 0x02;
const HEADER: usize = 9;
/// `DBMS_MAX_COMPRESSED_SIZE` of ClickHouse; a larger size is garbage.
const LARGEST: usize = 0x4000_0000;
/// A byte of LZ4 stands for so many raw ones at most.
const DENSEST: usize = 255;
/// Raw bytes per block of an answer, as ClickHouse's `DBMS_DEFAULT_BUFFER_SIZE`.
pub(crate) const RAW: usize = 1 << 20;

/// Reads blocks, gives raw bytes.
pub(crate) struct BlockReader<R> {
    inner: R,
    raw: Vec<u8>,
    at: usize,
    packed: Vec<u8>,
}

impl<R: Read> BlockReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, raw: Vec::new(), at: 0, packed: Vec::new() }
    }

    /// Loads the next block; `false` at a clean end.
    fn load(&mut self) -> io::Result<bool> {
        let mut head = [0; 16 + HEADER];
        let first = read_some(&mut self.inner, &mut head)?;
        if first == 0 {
            return Ok(false);
        }
        if first < head.len() {
            return Err(cut("in the header of a compressed block"));
        }
        let size = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize
        };
        let (packed, raw) = (size(17), size(21));
        // Room is made for what a block says of itself, before it is unpacked.
        let most = if head[16] == LZ4 { packed * DENSEST } else { LARGEST };
        if !(HEADER..=LARGEST).contains(&packed) || raw > LARGEST.min(most) {
            return Err(broken(271, "CANNOT_DECOMPRESS", "sizes of a compressed block are absurd"));
        }
        self.packed.clear();
        self.packed.extend_from_slice(&head[16..]);
        let wanted = packed - HEADER;
        let got = self.inner.by_ref().take(wanted as u64).read_to_end(&mut self.packed)?;
        if got < wanted {
            return Err(cut("in the middle of a compressed block"));
        }
        if checksum(&self.packed) != head[..16] {
            return Err(broken(
                40,
                "CHECKSUM_DOESNT_MATCH",
                "checksum of a compressed block differs",
            ));
        }
        let data = &self.packed[HEADER..];
        self.at = 0;
        self.raw.clear();
        match head[16] {
            NONE => self.raw.extend_from_slice(data),
            LZ4 => {
                self.raw.resize(raw, 0);
                let length = lz4_flex::block::decompress_into(data, &mut self.raw)
                    .map_err(|error| broken(271, "CANNOT_DECOMPRESS", &format!("LZ4: {error}")))?;
                self.raw.truncate(length);
            }
            ZSTD => {
                self.raw = zstd::bulk::decompress(data, raw)
                    .map_err(|error| broken(271, "CANNOT_DECOMPRESS", &format!("ZSTD: {error}")))?;
            }
            method => {
                let message =
                    format!("method 0x{method:02x} of a compressed block is not LZ4, ZSTD or NONE");
                return Err(broken(89, "UNKNOWN_COMPRESSION_METHOD", &message));
            }
        }
        if self.raw.len() != raw {
            return Err(broken(
                271,
                "CANNOT_DECOMPRESS",
                "a compressed block has another size than it says",
            ));
        }
        Ok(true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.raw.len() {
            if !self.load()? {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.raw.len() - self.at);
        buffer[..length].copy_from_slice(&self.raw[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// Reads until the buffer is full or the input ends.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

fn cut(place: &str) -> io::Error {
    broken(33, "CANNOT_READ_ALL_DATA", &format!("the body ends {place}"))
}

fn broken(code: i32, name: &str, message: &str) -> io::Error {
    io::Error::other(Exception::new(code, name, message))
}

/// Appends `raw` as one LZ4 block.
pub(crate) fn pack(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 16 + HEADER, 0);
    let room = lz4_flex::block::get_maximum_output_size(raw.len());
    let data = out.len();
    out.resize(data + room, 0);
    let length =
        lz4_flex::block::compress_into(raw, &mut out[data..]).expect("room for the worst case");
    out.truncate(data + length);
    let size = |length: usize| u32::try_from(length).expect("a block of a mebibyte").to_le_bytes();
    out[start + 16] = LZ4;
    out[start + 17..start + 21].copy_from_slice(&size(length + HEADER));
    out[start + 21..start + 25].copy_from_slice(&size(raw.len()));
    let sum = checksum(&out[start + 16..]);
    out[start..start + 16].copy_from_slice(&sum);
}
