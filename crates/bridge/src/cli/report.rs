//! What goes to standard error: `error: …`, `warning: …`, and below it `hint: …`.

use std::io::Write;

use super::exit::{Exit, Stop};
use crate::config::problem::count;
use crate::config::{Problem, Problems};
use crate::telemetry::log::colours;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Prints clap's own message: an error of usage, or help and version on standard output.
pub(super) fn usage(error: &clap::Error) -> Exit {
    // Nothing is left to say when the terminal is gone.
    drop(error.print());
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Prints an error and tells its exit code.
pub(super) fn error(error: &anyhow::Error) -> Exit {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        warnings(&problems.warnings);
        let mut err = Lines::new();
        for problem in &problems.problems {
            err.problem("error", problem);
        }
        let number = count(problems.problems.len(), "problem");
        err.line("error", &format!("the configuration has {number}"));
        return Exit::Usage;
    }
    let mut err = Lines::new();
    // The whole chain: what failed, and what it was caused by.
    err.line("error", &format!("{error:#}"));
    match error.downcast_ref::<Stop>() {
        Some(stop) => {
            if !stop.hint.is_empty() {
                err.line("hint", &stop.hint);
            }
            stop.exit
        }
        None => Exit::Failed,
    }
}

/// Prints warnings.
pub(super) fn warnings(warnings: &[Problem]) {
    let mut err = Lines::new();
    for warning in warnings {
        err.problem("warning", warning);
    }
}

struct Lines {
    colours: bool,
    err: std::io::StderrLock<'static>,
}

impl Lines {
    fn new() -> Self {
        Self { colours: colours(), err: std::io::stderr().lock() }
    }

    fn problem(&mut self, word: &str, problem: &Problem) {
        self.line(word, &problem.summary());
        self.line("hint", &problem.hint);
    }

    fn line(&mut self, word: &str, text: &str) {
        let colour = match word {
            "error" => RED,
            "warning" => YELLOW,
            _ => CYAN,
        };
        let written = if self.colours {
            writeln!(self.err, "{colour}{word}{PLAIN}: {text}")
        } else {
            writeln!(self.err, "{word}: {text}")
        };
        // Nothing is left to say when the terminal is gone.
        drop(written);
    }
}
