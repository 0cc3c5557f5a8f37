//! `data-bridge dlq`: dead letters, found, looked at, replayed, accepted.

mod accept;
mod list;
mod replay;
mod show;

use std::sync::Arc;

use clap::Subcommand;
use data_bridge_core::catalog::Catalog;
use tokio::runtime::Runtime;

use super::window::catalog;
use super::{Exit, Stop};
use crate::config::{Config, Environment};
use crate::letters::{Filter, Letters, LettersError};

/// List, show, replay and accept dead letters
///
/// A message that cannot become a row of its table is a row of `dead_letters`, with its bytes, its
/// headers and the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Replay(replay::Args),
    Accept(accept::Args),
}

const HELP: &str = "\
Examples:
  data-bridge dlq list                             how many, and why
  data-bridge dlq show kafka:tick_archive:3@104200 one letter, with its message
  data-bridge dlq replay --reason unknown_timeframe
  data-bridge dlq accept ticks                     let a held flood through

Exit codes:
  0  done
  1  a letter stays, or there is none of that name
  2  usage or configuration
  3  ClickHouse, or an instance, cannot be reached";

/// Carries out one of the four.
pub(super) fn execute(environment: &Environment, args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => list::execute(&args.settings.load_aloud(environment)?.config, args),
        Command::Show(args) => show::execute(&args.settings.load_aloud(environment)?.config, args),
        Command::Replay(args) => {
            replay::execute(&args.settings.load_aloud(environment)?.config, args)
        }
        Command::Accept(args) => {
            accept::execute(&args.settings.load_aloud(environment)?.config, args)
        }
    }
}

/// Which letters.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only of this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,

    /// Only of routes that lead to this table
    #[arg(long, value_name = "TABLE", conflicts_with = "route")]
    table: Option<String>,

    /// Only with this reason, such as `bad_number`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,

    /// Only from this partition or stream, such as `kafka:tick_archive:3`
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// Only received at this time or later, such as 2024-01-25T16:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// Only received before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<i64>,
}

/// A time in ms since 1970.
fn time(text: &str) -> Result<i64, String> {
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_millisecond)
        .map_err(|_no_time| "write a time with its zone, such as 2024-01-25T16:00:00Z".to_owned())
}

/// What all of them start with.
struct Opened {
    runtime: Runtime,
    catalog: Arc<Catalog>,
    letters: Letters,
}

fn open(config: &Config) -> anyhow::Result<Opened> {
    let runtime = super::runtime()?;
    let (clickhouse, catalog) = catalog(config, &runtime)?;
    let letters = runtime.block_on(Letters::open(clickhouse, &catalog)).map_err(stop)?;
    Ok(Opened { runtime, catalog, letters })
}

fn stop(error: LettersError) -> Stop {
    match error {
        LettersError::Server(failure) => failure.into(),
        LettersError::Table(_) => Stop::new(
            Exit::Failed,
            error.to_string(),
            "`data-bridge check` says what would be right, `data-bridge init` creates what is missing",
        ),
        LettersError::Answer(_) | LettersError::Late(_) => {
            Stop::new(Exit::Failed, error.to_string(), "")
        }
    }
}

impl FilterArgs {
    /// The filter; a table stands for the routes that lead to it.
    fn filter(&self, catalog: &Catalog) -> Result<Filter, Stop> {
        let of_table = |name: &String| {
            let unknown = || {
                let names: Vec<_> =
                    catalog.tables().iter().map(|table| table.name.as_str()).collect();
                let hint = format!("these are: {}", names.join(", "));
                Stop::new(Exit::Usage, format!("no route leads to a table {name}"), hint)
            };
            let id = catalog.table_id(name).ok_or_else(unknown)?;
            let routes = catalog.routes().iter().filter(|route| route.table == id);
            let routes: Vec<_> = routes.map(|route| route.name.clone()).collect();
            if routes.is_empty() { Err(unknown()) } else { Ok(routes) }
        };
        let routes = match (&self.route, &self.table) {
            (Some(route), _) => Some(vec![route.clone()]),
            (None, Some(table)) => Some(of_table(table)?),
            (None, None) => None,
        };
        Ok(Filter {
            routes,
            reason: self.reason.clone(),
            origin: self.origin.clone(),
            position: None,
            from_ms: self.from,
            to_ms: self.to,
            replayed: None,
        })
    }
}

/// A moment for people and programs.
fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |time| format!("{time:.3}"))
}
