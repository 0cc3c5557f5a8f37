//! Lines for a person or a log to read.

use std::io::{self, Write};

/// A line on standard output.
pub(crate) fn line(text: &str) {
    // A reader that has gone away (`| head`) is no reason to stop the work.
    writeln!(io::stdout().lock(), "{text}").ok();
}

/// A part of the screen, drawn at once.
pub(crate) fn part(text: &str) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// A line on standard error.
pub(crate) fn error(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}
