//! Real servers for tests and the demo.
