//! The core crate from outside.

mod simulation;
