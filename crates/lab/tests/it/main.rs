//! Tests of the lab, seen from outside.

mod broker;
mod by_hand;
mod fake;
mod generator;
mod model;
mod proxy;
mod verify;
mod waiting;
