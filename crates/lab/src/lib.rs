//! What tests the bridge from outside.

mod chance;
pub mod generate;
pub mod kafka;
mod layout;
pub mod model;
pub mod plan;
pub mod verify;
pub mod wait;
