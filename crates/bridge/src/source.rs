//! Where messages come from.

pub mod kafka;
pub mod nats;
mod waker;

pub use waker::Waker;
pub(crate) use waker::Woken;
