//! Reads a part of the log again and decodes it as an instance would: for audits and replays.

mod bound;
mod log;
mod plan;
mod rows;

pub use bound::Bound;
pub use log::{Log, Part, Sources, Step};
pub use plan::{Plan, Reach, Window, WindowError};
pub use rows::Rows;
