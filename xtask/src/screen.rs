//! Lines for a person or a log to read.

use std::io::{self, Write};

/// A line on standard output.
pub(crate) fn line(text: &str) {
    // A reader that has gone away (`| head`) is no reason to stop the work.
    writeln!(io::stdout().lock(), "{text}").ok();
}

/// A line on standard error.
pub(crate) fn error(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}
