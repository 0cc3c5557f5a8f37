//! The ClickHouse engine behind its own HTTP interface.
//!
//! libchdb, the engine as a library, is loaded at run time and served on loopback the way a
//! ClickHouse server serves HTTP, so that a system that needs ClickHouse can be tried and tested
//! where none is installed. Not for production.

mod codec;
mod engine;
mod exception;
mod ffi;
mod http;
mod library;
mod options;
mod running;
mod server;
mod sessions;
mod statement;
mod work;

#[cfg(test)]
mod fuzz;

pub use engine::EngineError;
pub use library::{LibraryError, find_library};
pub use options::{LIMITS, Options};
pub use server::{ServeError, serve};
