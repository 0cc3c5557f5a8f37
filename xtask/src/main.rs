//! The one front door: check, test, demo, and the servers they need.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod check;
mod test;

mod bench;
mod chaos;
mod cuts;
mod demo;
mod fuzz;
#[cfg(test)]
mod grafana;
mod sim;
mod stack;

mod prerequisites;
mod screen;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests and shows this project", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, layers, dependencies, clippy and documentation: everything but the tests
    Check(check::Arguments),
    /// All tests; installs the servers that they need
    Test(test::Arguments),
    /// Kafka, NATS and ClickHouse on this machine
    Stack(stack::Arguments),
    /// Real servers, three instances, 300,000 messages, a kill -9, and the verdict
    Demo(demo::Arguments),
    /// What things cost, beside something else in the same run
    Bench(bench::Arguments),
    /// Where the time goes while a topic is drained: a table and a flame graph
    Profile(bench::profile::Arguments),
    Sim(sim::Arguments),
    /// Three instances under load, a random fault every few seconds, and the verdict
    Chaos(chaos::Arguments),
    Cuts(cuts::Arguments),
    /// Mutated inputs for everything that reads what others wrote
    Fuzz(fuzz::Arguments),
    /// What continuous integration runs: check, then test
    Ci,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// `false` when something was found that the commands themselves have already shown.
fn run(command: &Command) -> Result<bool> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Stack(arguments) => stack::run(arguments).map(|()| true),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Profile(arguments) => bench::profile::run(arguments).map(|()| true),
        Command::Sim(arguments) => sim::run(arguments),
        Command::Chaos(arguments) => chaos::run(arguments),
        Command::Cuts(arguments) => cuts::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::Ci => {
            let checked = check::run(&check::Arguments::default())?;
            let tested = test::run(&test::Arguments::default())?;
            Ok(checked && tested)
        }
    }
}
