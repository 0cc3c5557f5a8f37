//! What tests the bridge from outside.
