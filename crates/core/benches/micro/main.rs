//! What a message costs inside the bridge, beside the way most programs would read it, in the same
//! run on the same bytes. `cargo xtask bench decode` and `cargo xtask bench encode` start it.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

mod decode;
mod encode;
mod messages;
mod serde;
mod spread;

use std::process::ExitCode;

/// What the command line says.
struct Arguments {
    what: String,
    json: bool,
    rounds: usize,
    only: Option<String>,
}

fn arguments() -> Option<Arguments> {
    // Cargo adds this one when it starts a bench.
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let what = given.next()?;
    let mut arguments = Arguments { what, json: false, rounds: 41, only: None };
    while let Some(name) = given.next() {
        match name.as_str() {
            "--json" => arguments.json = true,
            "--rounds" => arguments.rounds = given.next()?.parse().ok().filter(|n| *n > 0)?,
            "--only" => arguments.only = Some(given.next()?),
            _ => return None,
        }
    }
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprint_usage();
        return ExitCode::from(2);
    };
    let sound = match arguments.what.as_str() {
        "decode" => decode::run(&arguments),
        "encode" => encode::run(&arguments),
        _ => {
            eprint_usage();
            return ExitCode::from(2);
        }
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stderr, reason = "usage belongs there")]
fn eprint_usage() {
    eprintln!("usage: micro decode|encode [--json] [--rounds N] [--only PART-OF-A-NAME]");
}
