//! The command line: what can be asked of `data-bridge`, and how it answers.

pub mod audit;
pub mod check;
pub mod clickhouse;
pub mod completions;
pub mod config;
pub mod dlq;
pub mod exit;
pub mod fleet;
pub mod hub;
pub mod init;
pub mod load;
pub mod rebalance;
pub mod replay;
pub mod report;
pub mod run;
pub mod scale;
pub mod settings;
pub mod window;

mod screen;
mod state_dir;
pub mod status;
mod table;
pub mod top;
pub mod up;
pub mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

pub use exit::{Exit, Stop};
pub use settings::Settings;

use crate::config::Environment;

/// Moves market data from Kafka and NATS into ClickHouse: nothing lost, nothing doubled, nothing
/// altered.
#[derive(Debug, Parser)]
#[command(name = "data-bridge", version, after_help = OVERVIEW, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const OVERVIEW: &str = "\
Examples:
  data-bridge init                     create tables and topics that are missing
  data-bridge check                    is everything there that an instance needs?
  data-bridge run --config bridge.yaml   one instance
  data-bridge up                       three of them, kept running
  data-bridge config show              what holds, and where each value comes from
  data-bridge audit                    is everything there that the log says must be?
  data-bridge dlq list                 what could not become a row, and why

Exit codes:
  0  done, also after a drained SIGTERM or SIGINT
  1  found something, or failed
  2  usage or configuration
  3  a dependency cannot be reached
  4  fenced: another instance runs under the same id";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Init(init::Args),
    Check(check::Args),
    Load(load::Args),
    Audit(audit::Args),
    Replay(replay::Args),
    Dlq(dlq::Args),
    Up(up::Args),
    Scale(scale::ScaleArgs),
    Status(status::Args),
    Top(top::Args),
    Restart(scale::RestartArgs),
    Rebalance(rebalance::Args),
    Validate(validate::Args),
    Down(scale::DownArgs),
    Hub(hub::Args),
    #[command(name = "clickhouse")]
    ClickHouse(clickhouse::Args),
    Config(config::Args),
    Completions(completions::Args),
}

/// Runs the process's command line to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    answer(std::env::args_os(), &Environment::of_process()).into()
}

/// Carries out one command line; all that is wrong ends on standard error.
pub fn answer(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    environment: &Environment,
) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are no errors: clap knows.
        Err(error) => return report::usage(&error),
    };
    match dispatch(&cli.command, environment) {
        Ok(exit) => exit,
        // The reader has enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => report::error(&error),
    }
}

/// Whether nobody reads our output any more.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(command: &Command, environment: &Environment) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => {
            let loaded = args.settings.load(environment)?;
            crate::telemetry::log::init(&loaded.config.log, &loaded.config.instance)?;
            for warning in &loaded.warnings {
                tracing::warn!(
                    key = warning.key,
                    origin = %warning.origin,
                    hint = warning.hint,
                    "{} {}", warning.key, warning.what
                );
            }
            run::execute(&loaded.config, args)
        }
        Command::Init(args) => init::execute(&args.settings.load_aloud(environment)?.config, args),
        Command::Check(args) => {
            check::execute(&args.settings.load_aloud(environment)?.config, args)
        }
        Command::Load(args) => load::execute(&args.settings.load_aloud(environment)?.config, args),
        Command::Audit(args) => {
            audit::execute(&args.settings.load_aloud(environment)?.config, args)
        }
        Command::Replay(args) => {
            replay::execute(&args.settings.load_aloud(environment)?.config, args)
        }
        Command::Dlq(args) => dlq::execute(environment, args),
        Command::Up(args) => {
            let loaded = args.settings.load_aloud(environment)?;
            up::execute(&loaded.config, environment, args)
        }
        Command::Scale(args) => {
            scale::scale(&args.which.settings.load(environment)?.config, environment, args)
        }
        Command::Status(args) => {
            status::execute(&args.which.settings.load(environment)?.config, environment, args)
        }
        Command::Top(args) => {
            top::execute(&args.which.settings.load(environment)?.config, environment, args)
        }
        Command::Restart(args) => {
            scale::restart(&args.which.settings.load(environment)?.config, environment, args)
        }
        Command::Rebalance(args) => {
            let loaded = args.which.settings.load_aloud(environment)?;
            rebalance::execute(&loaded.config, environment, args)
        }
        Command::Validate(args) => {
            let loaded = args.which.settings.load_aloud(environment)?;
            validate::execute(&loaded.config, environment, args)
        }
        Command::Down(args) => {
            scale::down(&args.which.settings.load(environment)?.config, environment, args)
        }
        Command::Hub(args) => {
            let loaded = args.settings.load_aloud(environment)?;
            hub::execute(&loaded.config, environment, args)
        }
        Command::ClickHouse(args) => clickhouse::execute(args),
        Command::Config(args) => config::execute(environment, args),
        Command::Completions(args) => completions::execute(args),
    }
}

/// A small runtime for commands that ask servers.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().context("cannot start the runtime")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_about_examples_and_exit_codes() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("Examples:"), "{name}: {text}");
            assert!(text.contains("Exit codes:"), "{name}: {text}");
        }
    }
}
