//! Tests of the lab, seen from outside.

mod generator;
