//! A fleet on one machine: starts instances, starts them again, scales them, stops them.
//!
//! One task owns the members and does one thing after the other. Instances are processes of their
//! own that go on when the supervisor is killed; the next one finds them by `fleet.json`.

mod fleet;
mod kafka;
mod launch;
mod member;
mod process;
mod restart;
mod roll;
mod state;

pub use fleet::{Ended, Options, SupervisorError, run};
pub use kafka::{LeaveError, Leaver, SecurityError};
pub use launch::Launch;
pub use process::Identity;
pub use state::{Recorded, State, Target, lock};
