//! Whether a running fleet keeps what it promises: six tests and the benchmarks, from outside.
//!
//! Messages of its own go through the fleet, under a symbol of its own; what comes of them is asked
//! of the instances, their hub and ClickHouse. Nothing here is part of the data path.

mod bench;
mod harm;
mod report;
mod rows;
mod run;
mod seen;
mod shares;
mod ticks;

pub use report::{Line, Outcome, Report};
pub use run::{Objectives, Reach, Validation};
pub use ticks::ProduceError;
