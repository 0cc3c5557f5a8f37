//! The bridge from outside.

mod cli;
