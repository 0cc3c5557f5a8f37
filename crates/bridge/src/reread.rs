//! Reads a part of the log again and decodes it as an instance would: for audits and replays.

mod bound;
mod plan;
mod rows;

pub use bound::Bound;
pub use plan::{Plan, Reach, Window, WindowError, plan};
pub use rows::Rows;
