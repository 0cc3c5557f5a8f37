//! The core crate from outside.

#![expect(clippy::print_stdout, reason = "a search says how much it saw, a replay what happened")]

mod exhaustive;
mod simulation;
