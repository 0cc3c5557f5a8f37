//! What is true about moving messages into tables: which rows belong to which fetch, what may be
//! committed when, how a message becomes columns. No I/O, no tasks, no clock.

pub mod arena;
pub mod block;
pub mod catalog;
pub mod engine;
pub mod settle;
pub mod units;
pub mod verdict;
