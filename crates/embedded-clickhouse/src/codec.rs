//! Compression of bodies, both ways.

pub(crate) mod blocks;
pub(crate) mod cityhash;
pub(crate) mod decode;
pub(crate) mod encode;
mod lz4_frames;
