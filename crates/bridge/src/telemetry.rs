//! How an instance is seen from outside.

pub mod log;
